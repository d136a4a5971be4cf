//! The rings and the pool against simple models, over random sequences of operations.

#[path = "hostile/words.rs"]
#[expect(dead_code, reason = "the views here do not lie")]
mod words;

use proptest::prelude::*;
use shmring::{
    PacketBuf, Pool, PoolConfig, Slice,
    memory::{RingMemory, SharedMemory, Word},
    ring::{Consumer, Layout, Producer, need_event},
};
use std::{collections::VecDeque, sync::atomic::Ordering};
use words::{Source, View};

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Clone, Debug)]
enum Op {
    Write(u32),
    Publish,
    Reclaim,
    Take(u32),
    Release,
    Sleep,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (1..5u32).prop_map(Op::Write),
        Just(Op::Publish),
        Just(Op::Reclaim),
        (1..5u32).prop_map(Op::Take),
        Just(Op::Release),
        Just(Op::Sleep),
    ];
    prop::collection::vec(op, 0..200)
}

proptest! {
    #![proptest_config(config())]

    /// What comes out is what went in, in order; the indices never part further than the ring is
    /// long; and a sleeper that found nothing is told of what is published next, exactly once.
    #[test]
    fn a_ring_is_a_queue(log2 in 1u32..6, start: u32, near_wrap: bool, ops in ops()) {
        let start = if near_wrap { 0u32.wrapping_sub(start % 64) } else { start };
        let view = View::new(8192, &Source::new(&[]));
        let layout = Layout { ctrl: 0, desc: 4096, entries: 1 << log2 };
        let words = view.ring(layout);
        for word in [Word::Prod, Word::Cons] {
            words.store(word, start, Ordering::Relaxed);
        }
        for word in [Word::ConsEvent, Word::ProdEvent] {
            words.store(word, start.wrapping_sub(1), Ordering::Relaxed);
        }
        let mut producer = Producer::new(&view, layout).unwrap();
        let mut consumer = Consumer::new(&view, layout).unwrap();
        // Written, published, taken and not released.
        let (mut written, mut published, mut taken) = (VecDeque::new(), VecDeque::new(), 0);
        let mut next = 0u64;
        let (mut armed, mut asleep) = (false, false);
        for op in ops {
            match op {
                Op::Write(n) => for _ in 0..n.min(producer.room()) {
                    producer.write([next, !next]);
                    written.push_back(next);
                    next += 1;
                },
                Op::Publish => {
                    let kick = producer.publish();
                    prop_assert!(kick || !asleep || written.is_empty(), "a lost wake");
                    prop_assert!(!kick || armed && !written.is_empty(), "a kick for nothing");
                    armed &= !kick;
                    asleep &= !kick;
                    published.append(&mut written);
                }
                Op::Reclaim => {
                    producer.refresh().unwrap();
                    let there = written.len() + published.len() + taken as usize;
                    prop_assert_eq!(producer.in_flight() as usize, there);
                }
                Op::Take(n) => {
                    prop_assert_eq!(consumer.refresh().unwrap() as usize, published.len());
                    let n = n.min(consumer.ready());
                    for _ in 0..n {
                        let value = published.pop_front().unwrap();
                        prop_assert_eq!(consumer.peek(0), [value, !value]);
                        consumer.take(1);
                    }
                    taken += n;
                }
                Op::Release => {
                    prop_assert!(!consumer.release_notify(), "nobody waits for room");
                    taken = 0;
                }
                Op::Sleep => {
                    asleep = consumer.may_sleep().unwrap();
                    armed = true;
                }
            }
            let prod = words.load(Word::Prod, Ordering::Relaxed);
            let cons = words.load(Word::Cons, Ordering::Relaxed);
            prop_assert!(prod.wrapping_sub(cons) <= layout.entries);
            prop_assert!(!asleep || published.is_empty(), "asleep with work and no wake");
        }
    }

    /// virtio's formula says what it means: the event lies in what was moved over.
    #[test]
    fn an_event_is_due_when_it_is_passed(old: u32, moved in 0u32..70_000, event: u32, near: bool) {
        let event = if near { old.wrapping_add(event % 80_000).wrapping_sub(5_000) } else { event };
        let passed = event.wrapping_sub(old) < moved;
        prop_assert_eq!(need_event(event, old.wrapping_add(moved), old), passed);
    }

    /// An index that is out of bounds is refused, whatever it is, and one in bounds is taken.
    #[test]
    fn a_peers_index_is_taken_only_within_bounds(claim: u32, done in 0u32..8) {
        let view = View::new(8192, &Source::new(&[]));
        let layout = Layout { ctrl: 0, desc: 4096, entries: 16 };
        let words = view.ring(layout);
        let mut producer = Producer::new(&view, layout).unwrap();
        let mut consumer = Consumer::new(&view, layout).unwrap();
        for n in 0..8 {
            producer.write([n, n]);
        }
        let _ = producer.publish();
        words.store(Word::Cons, done, Ordering::Relaxed);
        producer.refresh().unwrap();
        words.store(Word::Cons, claim, Ordering::Relaxed);
        prop_assert_eq!(producer.refresh().is_ok(), (done..=8).contains(&claim));
        consumer.refresh().unwrap();
        words.store(Word::Prod, claim, Ordering::Relaxed);
        prop_assert_eq!(consumer.refresh().is_ok(), (8..=16).contains(&claim));
    }
}

/// A handle with the bytes that it must show.
enum Handle {
    Buf(PacketBuf, Vec<u8>),
    Slice(Slice, Vec<u8>),
}

#[derive(Clone, Debug)]
enum PoolOp {
    Alloc { reserved: bool },
    Append(u8),
    Prepend(u8),
    Freeze,
    Clone,
    SplitTo(u8),
    SplitOff(u8),
    Truncate(u8),
    IntoMut,
    IntoBytes,
    Drop,
}

fn pool_ops() -> impl Strategy<Value = Vec<(PoolOp, u8)>> {
    let op = prop_oneof![
        any::<bool>().prop_map(|reserved| PoolOp::Alloc { reserved }),
        any::<u8>().prop_map(PoolOp::Append),
        any::<u8>().prop_map(PoolOp::Prepend),
        Just(PoolOp::Freeze),
        Just(PoolOp::Clone),
        any::<u8>().prop_map(PoolOp::SplitTo),
        any::<u8>().prop_map(PoolOp::SplitOff),
        any::<u8>().prop_map(PoolOp::Truncate),
        Just(PoolOp::IntoMut),
        Just(PoolOp::IntoBytes),
        Just(PoolOp::Drop),
    ];
    prop::collection::vec((op, any::<u8>()), 0..150)
}

proptest! {
    #![proptest_config(config())]

    /// Every handle shows the bytes that were written through it, whatever happens to others; and
    /// all buffers are free again when all handles are gone.
    #[test]
    fn handles_show_their_own_bytes(ops in pool_ops()) {
        const COUNT: usize = 8;
        let pool = Pool::heap(PoolConfig { stride: 512, count: COUNT, headroom: 64, reserve: 2 });
        let mut handles: Vec<Handle> = Vec::new();
        let mut fill = 0u8;
        for (op, pick) in ops {
            if let PoolOp::Alloc { reserved } = op {
                let free = pool.stats().free;
                let buf = if reserved { pool.alloc_reserved() } else { pool.alloc() };
                prop_assert_eq!(buf.is_some(), free > if reserved { 0 } else { 2 });
                handles.extend(buf.map(|buf| Handle::Buf(buf, Vec::new())));
                continue;
            }
            if handles.is_empty() {
                continue;
            }
            let handle = handles.swap_remove(usize::from(pick) % handles.len());
            match (op, handle) {
                (PoolOp::Append(n), Handle::Buf(mut buf, mut bytes)) => {
                    let n = usize::from(n).min(buf.tailroom());
                    fill = fill.wrapping_add(1);
                    buf.append(n).fill(fill);
                    bytes.extend(std::iter::repeat_n(fill, n));
                    handles.push(Handle::Buf(buf, bytes));
                }
                (PoolOp::Prepend(n), Handle::Buf(mut buf, mut bytes)) => {
                    let n = usize::from(n).min(buf.headroom());
                    fill = fill.wrapping_add(1);
                    buf.prepend(n).fill(fill);
                    bytes.splice(0..0, std::iter::repeat_n(fill, n));
                    handles.push(Handle::Buf(buf, bytes));
                }
                (PoolOp::Freeze, Handle::Buf(buf, bytes)) => {
                    handles.push(Handle::Slice(buf.freeze(), bytes));
                }
                (PoolOp::Clone, Handle::Slice(slice, bytes)) => {
                    handles.push(Handle::Slice(slice.clone(), bytes.clone()));
                    handles.push(Handle::Slice(slice, bytes));
                }
                (PoolOp::SplitTo(n), Handle::Slice(mut slice, mut bytes)) => {
                    let n = usize::from(n).min(slice.len());
                    let rest = bytes.split_off(n);
                    handles.push(Handle::Slice(slice.split_to(n), bytes));
                    handles.push(Handle::Slice(slice, rest));
                }
                (PoolOp::SplitOff(n), Handle::Slice(mut slice, mut bytes)) => {
                    let n = usize::from(n).min(slice.len());
                    let rest = bytes.split_off(n);
                    handles.push(Handle::Slice(slice.split_off(n), rest));
                    handles.push(Handle::Slice(slice, bytes));
                }
                (PoolOp::Truncate(n), Handle::Slice(mut slice, mut bytes)) => {
                    slice.truncate(n.into());
                    bytes.truncate(n.into());
                    handles.push(Handle::Slice(slice, bytes));
                }
                (PoolOp::IntoMut, Handle::Slice(slice, bytes)) => {
                    let of = |h: &Handle| match h {
                        Handle::Slice(s, _) => s.buffer().map(|(id, _)| id),
                        Handle::Buf(..) => None,
                    };
                    let id = slice.buffer().map(|(id, _)| id);
                    let alone = handles.iter().all(|h| of(h) != id);
                    match slice.try_into_mut() {
                        Ok(buf) => {
                            prop_assert!(alone, "written while shared");
                            handles.push(Handle::Buf(buf, bytes));
                        }
                        Err(slice) => handles.push(Handle::Slice(slice, bytes)),
                    }
                }
                (PoolOp::IntoBytes, Handle::Slice(slice, bytes)) => {
                    let at = slice.as_ptr();
                    let out = bytes::Bytes::from(slice);
                    prop_assert!(out.is_empty() || out.as_ptr() == at, "copied");
                    prop_assert_eq!(&out[..], &bytes[..]);
                }
                (PoolOp::Drop, _) => {}
                (_, handle) => handles.push(handle),
            }
            for handle in &handles {
                match handle {
                    Handle::Buf(buf, bytes) => prop_assert_eq!(&buf[..], &bytes[..]),
                    Handle::Slice(slice, bytes) => prop_assert_eq!(&slice[..], &bytes[..]),
                }
            }
        }
        drop(handles);
        prop_assert_eq!(pool.stats().free, COUNT);
    }
}
