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
