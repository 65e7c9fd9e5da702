//! What a queue holds, and what it counts.

use super::*;

#[test]
fn what_each_stream_with_bytes_has_is_small() {
    assert!(size_of::<Chunks>() <= 104, "{}", size_of::<Chunks>());
}

#[test]
fn a_cleared_queue_has_no_bytes_and_no_charge() {
    let mut chunks = Chunks::default();
    chunks.push_chunk(Bytes::from(std::vec![1; 5000]));
    chunks.push_copy(&[2; 10]);
    chunks.clear();
    assert_eq!(chunks.pieces().map(<[u8]>::len).sum::<usize>(), 0);
    assert_eq!((chunks.len(), chunks.charges, chunks.front().len()), (0, 0, 0));
}

#[test]
fn a_chunk_that_is_taken_whole_leaves_no_empty_one() {
    for max in [4999, 5000, 5001] {
        let mut chunks = Chunks::default();
        chunks.push_chunk(Bytes::from(std::vec![1; 5000]));
        assert_eq!(chunks.pop(max).len(), max.min(5000));
        assert_eq!(
            (chunks.len(), chunks.chunks.len()),
            (5000 - max.min(5000), usize::from(max < 5000))
        );
    }
}

#[test]
fn a_tail_has_one_block_at_most_whatever_it_had_before() {
    for first in [100, 1000, 20_000, BLOCK / 2, BLOCK / 2 + 1, 40_000, BLOCK - 1, BLOCK] {
        // Parts that were split off its front may keep its memory, or have gone.
        for (split, kept) in [(0, false), (10, false), (10, true), (1, false), (1, true)] {
            let mut chunks = Chunks::default();
            chunks.push_copy(&std::vec![1; first]);
            let part = first.checked_div(split).map(|part| chunks.pop(part));
            let _part = part.filter(|_| kept);
            for more in [1, 1000, BLOCK] {
                chunks.push_copy(&std::vec![2; more]);
                assert!(chunks.is_sound(), "{more} after {first}, a {split}th was taken");
                while chunks.len() > 0 {
                    chunks.take_to(usize::MAX, |_| ());
                }
            }
        }
    }
}

#[test]
fn small_writes_come_together_in_one_piece() {
    let mut chunks = Chunks::default();
    for count in 1..BLOCK / 10 {
        chunks.push_copy(&[7; 10]);
        assert_eq!(chunks.front().len(), 10 * count);
    }
}

/// A frame was cut from a full tail. If it is not written yet, the end of the tail cannot grow; if it
/// was, the tail has all its memory again.
#[test]
fn a_tail_whose_front_was_cut_makes_room_for_a_new_one() {
    for (rest, is_written) in [100, 1100, BLOCK / 2 - 1].map(|n| [(n, false), (n, true)]).concat() {
        let mut chunks = Chunks::default();
        (0..BLOCK).for_each(|_| chunks.push_copy(&[1]));
        let batch = Some(chunks.pop(BLOCK - rest)).filter(|_| !is_written);
        for count in 1..=BLOCK / 1000 {
            chunks.push_copy(&[2; 1000]);
            assert!(chunks.is_sound(), "{rest} bytes and {count} writes, {}", batch.is_none());
            // The rest was copied once, and everything after it is in one piece again.
            let pieces: Vec<usize> = chunks.pieces().map(<[u8]>::len).collect();
            assert_eq!(pieces, [rest, count * 1000]);
        }
    }
}

#[test]
fn a_queue_that_is_emptied_keeps_no_more_than_a_few_places() {
    for count in [1, SPARE_CHUNKS, SPARE_CHUNKS + 1, 1000] {
        let mut chunks = Chunks::default();
        (0..count).for_each(|_| chunks.push_chunk(Bytes::from_static(&[7; 600])));
        assert!(chunks.chunks.capacity() <= count + (count / 4).max(4));
        chunks.clear();
        assert!(chunks.is_sound() && chunks.chunks.capacity() <= SPARE_CHUNKS);
        if count > 100 {
            assert_eq!(chunks.held(), size_of::<Chunks>());
        }
    }
}

#[test]
fn places_are_added_many_at_a_time() {
    let mut chunks = Chunks::default();
    let mut before = 0;
    for len in 0..1000 {
        chunks.push_chunk(Bytes::from_static(&[7; 600]));
        let places = chunks.chunks.capacity();
        // A fourth more, when all are taken.
        let more = if len == before { (len / 4).max(4) } else { 0 };
        assert_eq!(places, before + more);
        before = places;
    }
}

#[test]
fn the_places_of_a_queue_shrink_with_it() {
    let mut chunks = Chunks::default();
    (0..1000).for_each(|_| chunks.push_chunk(Bytes::from_static(&[7; 600])));
    while chunks.len() > 0 {
        drop(chunks.pop(usize::MAX));
        let (len, places) = (chunks.chunks.len(), chunks.chunks.capacity());
        let few = places <= SPARE_CHUNKS || places / 4 <= len;
        assert!(few, "{places} places for {len} chunks");
    }
}

#[test]
fn the_front_of_a_tail_that_was_consumed_is_written_again() {
    let mut chunks = Chunks::default();
    chunks.push_copy(&[1; TAIL_MIN]);
    let held = chunks.held();
    for _ in 0..100 {
        assert_eq!(chunks.take_to(TAIL_MIN - 20, |_| ()), TAIL_MIN - 20);
        chunks.push_copy(&[1; TAIL_MIN - 20]);
        assert_eq!((chunks.held(), chunks.len()), (held, TAIL_MIN));
    }
}

/// Copying costs time, and keeping costs the memory that was read: the larger part decides.
#[test]
fn a_tail_is_copied_before_a_chunk_only_if_most_of_it_was_read() {
    for (read, is_copied) in [(1000, false), (2048, false), (2049, true), (3000, true)] {
        let mut chunks = Chunks::default();
        chunks.push_copy(&[1; 4096]);
        chunks.take_to(read, |_| ());
        let before = chunks.front().as_ptr();
        chunks.push_chunk(Bytes::from_static(&[2; 600]));
        assert_eq!(chunks.front().as_ptr() != before, is_copied, "{read} bytes were read");
        assert_eq!(chunks.front(), &std::vec![1; 4096 - read]);
        assert_eq!(chunks.charges, 600 + if is_copied { 4096 - read } else { 4096 });
        assert!(chunks.is_sound());
    }
}

#[test]
fn places_are_kept_until_three_of_four_are_free() {
    let mut chunks = Chunks::default();
    (0..1000).for_each(|_| chunks.push_chunk(Bytes::from_static(&[7; 600])));
    while chunks.len() > 0 {
        let before = chunks.chunks.capacity();
        drop(chunks.pop(usize::MAX));
        let (len, places) = (chunks.chunks.len(), chunks.chunks.capacity());
        let shrinks = before > SPARE_CHUNKS && len < before / 4;
        assert_eq!(places < before, shrinks, "{places} of {before} places for {len} chunks");
    }
}

#[test]
fn a_tail_that_comes_near_a_block_takes_the_rest_at_once() {
    let near = BLOCK / 4 * 3;
    for (first, all) in [(near / 4, near / 2), (near / 2, near), (near / 2 + 1, BLOCK)] {
        let mut chunks = Chunks::default();
        chunks.push_copy(&std::vec![1; first]);
        assert_eq!(chunks.held() - size_of::<Chunks>(), first);
        chunks.push_copy(&[1]);
        assert_eq!(chunks.held() - size_of::<Chunks>(), all, "after {first} bytes");
    }
}

#[test]
fn a_tail_of_the_small_size_is_not_large() {
    for (len, is_large) in [(SMALL_TAIL, false), (SMALL_TAIL + 1, true)] {
        let mut chunks = Chunks::default();
        chunks.push_copy(&std::vec![1; len]);
        assert_eq!(chunks.is_large(), is_large);
    }
}

#[test]
fn a_queue_that_holds_just_what_it_may_is_not_loose() {
    for (more, is_loose) in [(0, false), (1, true)] {
        let mut chunks = Chunks { len: 6400, ..Chunks::default() };
        chunks.push_back(Bytes::from_static(&[7; 6400]), 0);
        let rest = 6400 + 100 + SLACK - chunks.held();
        chunks.clear();
        chunks.len = 6400;
        chunks.push_back(Bytes::from_static(&[7; 6400]), rest + more);
        assert_eq!(chunks.is_loose(), is_loose, "{more} bytes more than it may");
    }
}

#[test]
fn a_later_chunk_may_waste_a_share_of_its_length() {
    let len = 2 * SLACK;
    let is_compact = |waste| {
        let bytes = Bytes::from(std::vec![7; len]);
        Chunk { bytes, charge: len + waste }.is_compact(false)
    };
    assert!(is_compact(0) && is_compact(len / 128));
    assert!(!is_compact(len / 128 + 1));
}

#[test]
fn compacting_ends_at_the_bound_for_one_call() {
    let mut chunks = Chunks::default();
    chunks.push_chunk(Bytes::from_static(&[7; 600]));
    chunks.push_copy(&[8; 50]);
    let tail = chunks.unread_tail().as_ptr();
    assert_eq!(chunks.compact(600), 600);
    assert_eq!(chunks.unread_tail().as_ptr(), tail, "the tail is left for the next call");
    assert_eq!(chunks.compact(601), 650);
    assert!(chunks.is_sound() && chunks.unread_tail().is_empty());
}

/// What a piece is charged for is all the memory that it has.
#[test]
fn the_pieces_of_a_compacted_queue_have_no_spare_memory() {
    let mut chunks = Chunks::default();
    (0..100).for_each(|_| chunks.push_chunk(Bytes::from_static(&[7; 600])));
    chunks.compact(usize::MAX);
    assert_eq!(chunks.len(), 60_000);
    while chunks.len() > 0 {
        let piece = chunks.pop(usize::MAX).try_into_mut().expect("nobody else has it");
        assert_eq!(piece.capacity(), piece.len());
    }
}
