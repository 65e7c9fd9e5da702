//! The queue beside a plain one of bytes, and what it keeps alive.

use super::*;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Buf;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Copy(usize),
    Chunk(usize),
    /// Parts of one input: the length of each, and the gap between them.
    Slices(Vec<usize>, usize),
    Compact(usize),
    Read(usize),
    Pop(usize),
    Transmit(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0usize..40_000).prop_map(Op::Copy),
        (0usize..5000).prop_map(Op::Chunk),
        (proptest::collection::vec(0usize..20_000, 1..5), 0usize..20_000)
            .prop_map(|(parts, gap)| Op::Slices(parts, gap)),
        prop_oneof![Just(usize::MAX), 0usize..40_000].prop_map(Op::Compact),
        (0usize..9000).prop_map(Op::Read),
        (0usize..9000).prop_map(Op::Pop),
        (0usize..9000).prop_map(Op::Transmit),
    ]
}

fn held(buffer: &Buffer) -> usize {
    usize::try_from(buffer.size().held).unwrap()
}

/// What a compacted buffer of `len` bytes may hold.
fn compact(len: usize) -> usize {
    len + len / HEADS + SLACK
}

proptest! {
    #[test]
    fn is_a_byte_queue(ops in proptest::collection::vec(op(), 0..60)) {
        let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
        let mut model: VecDeque<u8> = VecDeque::new();
        let mut next = 0u8;
        let mut fresh = |n: usize| -> Vec<u8> {
            (0..n).map(|_| { next = next.wrapping_add(1); next }).collect()
        };
        for op in ops {
            match op {
                Op::Copy(n) => {
                    let bytes = fresh(n);
                    buffer.push_copy(&bytes, &mut pool);
                    model.extend(&bytes);
                }
                Op::Chunk(n) => {
                    let bytes = fresh(n);
                    model.extend(&bytes);
                    buffer.push_chunk(bytes.into(), &mut pool);
                }
                Op::Slices(parts, gap) => {
                    let lengths = parts.iter().map(|part| part + gap).sum();
                    let input = Bytes::from(fresh(lengths));
                    let mut at = 0;
                    for part in parts {
                        let slice = &input[at..at + part];
                        model.extend(slice);
                        buffer.push_slice(slice, &input, &mut pool);
                        at += part + gap;
                    }
                }
                Op::Compact(most) => {
                    let before = held(&buffer);
                    buffer.compact(most);
                    if most == usize::MAX {
                        prop_assert!(held(&buffer) <= compact(buffer.len()));
                    }
                    // Copies are made before the input is freed.
                    let most = most.min(64 << 10) + (32 << 10);
                    let allowed = before.max(compact(buffer.len())) + most;
                    prop_assert!(held(&buffer) <= allowed + 1024);
                }
                Op::Read(n) => {
                    let (mut seen, mut got) = (vec![0; n], vec![0; n]);
                    let peeked = buffer.peek(&mut seen);
                    let count = buffer.read(&mut got, &mut pool);
                    prop_assert_eq!(count, n.min(model.len()));
                    prop_assert_eq!(peeked, count);
                    prop_assert_eq!(&seen, &got);
                    let expected: Vec<u8> = model.drain(..count).collect();
                    prop_assert_eq!(&got[..count], &expected[..]);
                }
                Op::Pop(n) => {
                    if let Some(piece) = buffer.pop(n, &mut pool) {
                        prop_assert!(!piece.is_empty() && piece.len() <= n);
                        let expected: Vec<u8> = model.drain(..piece.len()).collect();
                        prop_assert_eq!(&piece[..], &expected[..]);
                    } else {
                        prop_assert!(n == 0 || model.is_empty());
                    }
                }
                Op::Transmit(n) => {
                    let n = n.min(model.len());
                    let mut out = Transmit::new();
                    buffer.transmit(n, &mut out, &mut pool);
                    let expected: Vec<u8> = model.drain(..n).collect();
                    prop_assert_eq!(&out.copy_to_bytes(n)[..], &expected[..]);
                    prop_assert!(out.is_empty());
                }
            }
            prop_assert!(buffer.is_sound());
            prop_assert_eq!(buffer.len(), model.len());
            prop_assert_eq!(buffer.is_empty(), model.is_empty());
            prop_assert!(held(&buffer) >= buffer.len());
        }
    }
}

#[test]
fn memory_is_used_again_when_its_parts_have_gone() {
    let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
    let mut through = |fill: u8| {
        buffer.push_copy(&vec![fill; 16 << 10], &mut pool);
        buffer.pop(16 << 10, &mut pool).unwrap()
    };
    let first = through(1);
    let place = first.as_ptr();
    let second = through(2);
    assert_ne!(second.as_ptr(), place);
    assert!(first.iter().all(|&byte| byte == 1) && second.iter().all(|&byte| byte == 2));
    let place = second.as_ptr();
    drop((first, second));
    assert_eq!(through(3).as_ptr(), place);
}

#[test]
fn an_input_counts_once_until_its_last_slice_has_gone() {
    let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
    let input = Bytes::from(vec![1; 64 << 10]);
    for part in input.chunks(16 << 10) {
        buffer.push_slice(part, &input, &mut pool);
    }
    let all = held(&buffer);
    assert!((128 << 10..129 << 10).contains(&all), "{all}");
    drop(buffer.pop(48 << 10, &mut pool));
    drop(buffer.pop(48 << 10, &mut pool));
    assert_eq!(held(&buffer), all);
}

#[test]
fn the_last_byte_of_a_block_keeps_little() {
    let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
    for chunk in [false, true] {
        let block = vec![7; 64 << 10];
        if chunk {
            buffer.push_chunk(block.into(), &mut pool);
        } else {
            buffer.push_copy(&block, &mut pool);
        }
        while buffer.len() > 1 {
            drop(buffer.pop(buffer.len() - 1, &mut pool));
        }
        assert!(held(&buffer) >= 64 << 10);
        buffer.compact(usize::MAX);
        assert!(held(&buffer) < 1024, "{}", held(&buffer));
        assert_eq!(buffer.pop(9, &mut pool).unwrap(), [7][..]);
    }
}

#[test]
fn what_is_compact_is_not_copied() {
    let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
    buffer.push_copy(&vec![1; 16 << 10], &mut pool);
    drop(buffer.pop(7000, &mut pool));
    let input = Bytes::from(vec![2; 11_000]);
    buffer.push_slice(&input, &input, &mut pool);
    buffer.push_chunk(vec![3; 20_000].into(), &mut pool);
    assert_eq!(buffer.compact(usize::MAX), 11_000);
}

/// The first chunk may have been read in part, and the queue itself counts as well.
#[test]
fn a_compacted_queue_holds_no_more_than_it_may_whatever_was_read_of_its_first_chunk() {
    for read in (0..16 << 10).step_by(32) {
        let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
        buffer.push_copy(&vec![1; 16 << 10], &mut pool);
        drop(buffer.pop(read, &mut pool));
        buffer.push_chunk(vec![2; CHUNK_MIN].into(), &mut pool);
        buffer.compact(usize::MAX);
        let (held, most) = (held(&buffer), compact(buffer.len()));
        assert!(held <= most, "{read} were read, {held} of {most} are held");
    }
}

#[test]
fn a_queue_that_holds_little_more_than_its_bytes_is_left_alone() {
    let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
    buffer.push_chunk(vec![1; 1 << 20].into(), &mut pool);
    // An input counts twice, so each of these adds as much as it has.
    for loose in [false, false, true] {
        assert_eq!(buffer.compact(usize::MAX), 0);
        let input = Bytes::from(vec![2; 11_000]);
        buffer.push_slice(&input, &input, &mut pool);
        assert_eq!(held(&buffer) > compact(buffer.len()), loose);
    }
    assert_eq!(buffer.compact(usize::MAX), 33_000);
}

#[test]
fn a_queue_that_was_long_gives_its_memory_back() {
    let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
    let small = Bytes::from(vec![1; CHUNK_MIN]);
    (0..10_000).for_each(|_| drop(buffer.push_chunk(small.clone(), &mut pool)));
    while buffer.len() > CHUNK_MIN {
        drop(buffer.pop(usize::MAX, &mut pool));
    }
    assert!(held(&buffer) < 4096, "{}", held(&buffer));
    drop(buffer.pop(usize::MAX, &mut pool));
    assert_eq!(held(&buffer), 0);
}

#[test]
fn many_small_chunks_become_few_large_ones() {
    let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
    let small = Bytes::from(vec![1; CHUNK_MIN]);
    (0..1000).for_each(|_| drop(buffer.push_chunk(small.clone(), &mut pool)));
    buffer.compact(usize::MAX);
    assert!(held(&buffer) <= compact(buffer.len()));
    assert_eq!(buffer.pop(usize::MAX, &mut pool).unwrap().len(), SLACK);
}

#[test]
fn only_small_chunks_are_copied_on_their_way_in() {
    let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
    for (size, copied) in [(CHUNK_MIN - 1, true), (CHUNK_MIN, false)] {
        let chunk = Bytes::from(vec![1; size]);
        buffer.push_chunk(chunk.clone(), &mut pool);
        let out = buffer.pop(size, &mut pool).unwrap();
        assert_eq!((out.len(), out.as_ptr() != chunk.as_ptr()), (size, copied));
    }
}

#[test]
fn only_small_parts_are_copied_on_their_way_out() {
    let (mut buffer, mut pool, mut out) = (Buffer::default(), Pool::default(), Transmit::new());
    let (small, large) = (Bytes::from(vec![1; 600]), Bytes::from(vec![2; 60_000]));
    buffer.push_chunk(small.clone(), &mut pool);
    buffer.push_chunk(large.clone(), &mut pool);
    buffer.transmit(60_600, &mut out, &mut pool);
    let pieces: Vec<*const u8> = out.slices().map(<[u8]>::as_ptr).collect();
    assert_eq!(pieces.len(), 2);
    assert_eq!((pieces[0] == small.as_ptr(), pieces[1] == large.as_ptr()), (false, true));
}

#[test]
fn the_small_rest_of_a_block_is_copied_on_its_way_out() {
    // An eighth of the block is no small rest any more.
    for (rest, copied) in [(1500, true), (8191, true), (8192, false), (20_000, false)] {
        for chunk in [true, false] {
            let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
            let block = Bytes::from(vec![7; 64 << 10]);
            if chunk {
                buffer.push_chunk(block.clone(), &mut pool);
            } else {
                buffer.push_copy(&block, &mut pool);
            }
            buffer.transmit((64 << 10) - rest - 1100, &mut Transmit::new(), &mut pool);
            // A part that is not the last keeps the block alive anyway.
            let place = buffer.0.as_ref().unwrap().front().as_ptr();
            let mut out = Transmit::new();
            buffer.transmit(1100, &mut out, &mut pool);
            assert_eq!(out.chunk().as_ptr(), place);
            let place = buffer.0.as_ref().unwrap().front().as_ptr();
            let mut out = Transmit::new();
            buffer.transmit(rest, &mut out, &mut pool);
            assert_eq!((out.len(), out.chunk().as_ptr() != place), (rest, copied));
        }
    }
}

#[test]
fn spare_memory_that_is_not_used_goes() {
    let mut pool = Pool::default();
    let use_at_once = |count: usize, bytes: &[u8], pool: &mut Pool| {
        let mut buffers: Vec<Buffer> = (0..count).map(|_| Buffer::default()).collect();
        buffers.iter_mut().for_each(|buffer| buffer.push_copy(bytes, pool));
        buffers.iter_mut().for_each(|buffer| assert_eq!(buffer.clear(pool), bytes.len()));
    };
    use_at_once(10, &[0; 100], &mut pool);
    assert_eq!(pool.spare(), (10, false));
    use_at_once(1, &[0; 5000], &mut pool);
    pool.shrink_to_use();
    assert_eq!(pool.spare(), (9, true));
    use_at_once(4, &[0; 100], &mut pool);
    pool.shrink_to_use();
    assert_eq!(pool.spare(), (4, false));
    assert!(pool.keeps_any());
    pool.shrink_to_use();
    assert_eq!(pool.spare(), (0, false));
    assert!(!pool.keeps_any());
}

#[test]
fn an_empty_buffer_is_a_pointer() {
    assert_eq!(size_of::<Buffer>(), size_of::<usize>());
}
