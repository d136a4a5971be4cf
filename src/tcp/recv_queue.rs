//! What the peer sent and the application has not read: slices of the buffers that the device
//! filled, in order or waiting for a hole to be filled.

use crate::{PacketBuf, Pool, Slice, wire::tcp::SackBlocks, wire::tcp::SeqNum};
use alloc::{collections::VecDeque, vec::Vec};
use bytes::Buf;

/// Payloads shorter than this are copied together, or each would pin a whole buffer.
const SMALL: usize = 256;
/// Pieces out of order, at most, and how many a small buffer may have: each pins a whole packet
/// buffer, however few bytes it has.
const MAX_OUT_OF_ORDER: usize = 32_768;
const SOME_OUT_OF_ORDER: usize = 256;
/// The memory that a piece of a packet pins, at least.
const PINNED: usize = 2048;

/// What became of a piece that was out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It was kept, wholly or in part.
    Kept,
    /// All its bytes were there already.
    Duplicate,
    /// There is no room for it.
    Dropped,
}

pub(crate) struct RecvQueue {
    ready: VecDeque<Slice>,
    /// Small payloads that are still being put together, behind `ready`.
    tail: Option<PacketBuf>,
    ready_len: usize,
    /// Sorted and disjoint.
    waiting: VecDeque<(SeqNum, Slice)>,
    waiting_len: usize,
    /// The ranges touched last, the latest first (RFC 2018, section 4).
    recent: Vec<(SeqNum, SeqNum)>,
}

impl RecvQueue {
    pub(crate) const fn new() -> RecvQueue {
        RecvQueue {
            ready: VecDeque::new(),
            tail: None,
            ready_len: 0,
            waiting: VecDeque::new(),
            waiting_len: 0,
            recent: Vec::new(),
        }
    }

    /// Bytes that can be read.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ready_len
    }

    /// Whether nothing waits for a hole to be filled.
    #[inline]
    pub(crate) fn in_order(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What the queue is charged for: the buffers it pins, in bytes.
    #[inline]
    pub(crate) fn charge(&self) -> usize {
        let pieces = self.ready.len() + self.waiting.len() + usize::from(self.tail.is_some());
        (self.ready_len + self.waiting_len).max(pieces * PINNED)
    }

    /// Adds bytes in order; returns how many bytes were copied for it.
    #[inline]
    pub(crate) fn push(&mut self, slice: Slice, pool: &Pool) -> usize {
        self.ready_len += slice.len();
        if slice.len() < SMALL && self.ready_len > slice.len() {
            return self.push_small(slice, pool);
        }
        self.flush_tail();
        self.ready.push_back(slice);
        0
    }

    #[inline(never)]
    fn push_small(&mut self, slice: Slice, pool: &Pool) -> usize {
        let mut copied = 0;
        if self.tail.as_ref().is_none_or(|t| t.tailroom() < slice.len()) {
            self.flush_tail();
            let last_is_small = self.ready.back().is_some_and(|s| s.len() < SMALL);
            if !last_is_small {
                self.ready.push_back(slice);
                return 0;
            }
            let Some(mut buf) = pool.alloc() else {
                self.ready.push_back(slice);
                return 0;
            };
            if let Some(last) = self.ready.pop_back() {
                buf.append(last.len()).copy_from_slice(&last);
                copied += last.len();
            }
            self.tail = Some(buf);
        }
        if let Some(tail) = &mut self.tail {
            tail.append(slice.len()).copy_from_slice(&slice);
            copied += slice.len();
        }
        copied
    }

    #[inline]
    fn flush_tail(&mut self) {
        if self.tail.is_some() {
            self.flush();
        }
    }

    #[inline(never)]
    fn flush(&mut self) {
        if let Some(tail) = self.tail.take() {
            self.ready.push_back(tail.freeze());
        }
    }

    /// Takes up to `max` bytes that lie in one buffer.
    #[inline]
    pub(crate) fn read(&mut self, max: usize) -> Option<Slice> {
        if self.ready.is_empty() {
            self.flush_tail();
        }
        let front = self.ready.front_mut()?;
        let slice = if front.len() <= max { self.ready.pop_front()? } else { front.split_to(max) };
        self.ready_len -= slice.len();
        Some(slice)
    }

    /// Keeps a piece that lies behind a hole, without the bytes that are there already. `buffer`
    /// is the size of the receive buffer.
    pub(crate) fn insert(&mut self, mut seq: SeqNum, mut slice: Slice, buffer: u32) -> Inserted {
        let end = seq + slice.len() as u32;
        let index = self.waiting.partition_point(|(start, _)| *start <= seq);
        if let Some((start, before)) = index.checked_sub(1).and_then(|i| self.waiting.get(i)) {
            let covered = *start + before.len() as u32;
            if covered >= end {
                return Inserted::Duplicate;
            }
            if covered > seq {
                slice.advance((covered - seq) as usize);
                seq = covered;
            }
        }
        let most = (SOME_OUT_OF_ORDER + buffer as usize / 512).min(MAX_OUT_OF_ORDER);
        if self.waiting.len() >= most {
            return Inserted::Dropped;
        }
        // Pieces that the new one covers go; the first one that it reaches into cuts it.
        while let Some((start, after)) = self.waiting.get(index) {
            if *start >= end {
                break;
            }
            if *start + after.len() as u32 <= end {
                self.waiting_len -= after.len();
                self.waiting.remove(index);
            } else {
                slice.truncate((*start - seq) as usize);
                break;
            }
        }
        if slice.is_empty() {
            return Inserted::Duplicate;
        }
        self.waiting_len += slice.len();
        let touched = (seq, seq + slice.len() as u32);
        self.waiting.insert(index, (seq, slice));
        self.touch(touched);
        Inserted::Kept
    }

    /// Puts a range in front of the recent ones, merged with those that it touches.
    fn touch(&mut self, (mut start, mut end): (SeqNum, SeqNum)) {
        self.recent.retain(|&(s, e)| {
            let apart = e < start || end < s;
            if !apart {
                start = start.min(s);
                end = end.max(e);
            }
            apart
        });
        self.recent.truncate(3);
        self.recent.insert(0, (start, end));
    }

    /// Makes what `rcv_nxt` has reached readable; returns the new `rcv_nxt` and the bytes copied.
    pub(crate) fn advance(&mut self, mut rcv_nxt: SeqNum, pool: &Pool) -> (SeqNum, usize) {
        let mut copied = 0;
        while let Some((start, _)) = self.waiting.front()
            && *start <= rcv_nxt
        {
            let Some((start, mut slice)) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_len -= slice.len();
            let overlap = (rcv_nxt - start) as usize;
            if overlap < slice.len() {
                slice.advance(overlap);
                rcv_nxt += slice.len() as u32;
                copied += self.push(slice, pool);
            }
        }
        self.recent.retain(|&(_, end)| end > rcv_nxt);
        if self.waiting.is_empty() && self.waiting.capacity() > 64 {
            self.waiting = VecDeque::new();
        }
        (rcv_nxt, copied)
    }

    /// The blocks to report, the latest first.
    pub(crate) fn sack_blocks(&self) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        for &(start, end) in &self.recent {
            blocks.push(start, end);
        }
        blocks
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = RecvQueue::new();
    }

    /// Gives memory back when there is nothing to keep.
    pub(crate) fn shrink(&mut self) {
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
            self.recent = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::heap(crate::PoolConfig::default())
    }

    fn drain(queue: &mut RecvQueue) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(slice) = queue.read(usize::MAX) {
            out.extend_from_slice(&slice);
        }
        out
    }

    #[test]
    fn overlapping_pieces_become_one_stream() {
        let text = b"the quick brown fox jumps over the lazy dog";
        let piece = |a: usize, b: usize| (SeqNum(a as u32), Slice::from(&text[a..b]));
        let mut queue = RecvQueue::new();
        for (a, b) in [(10, 20), (30, 43), (15, 25), (5, 12), (8, 40), (10, 11)] {
            let (seq, slice) = piece(a, b);
            queue.insert(seq, slice, 65_535);
        }
        assert_eq!(queue.sack_blocks().as_slice(), [(SeqNum(5), SeqNum(43))]);
        queue.push(piece(0, 5).1, &pool());
        let (next, _) = queue.advance(SeqNum(5), &pool());
        assert_eq!(next, SeqNum(43));
        assert_eq!(drain(&mut queue), text);
        assert!(queue.in_order() && queue.sack_blocks().is_empty());
    }

    #[test]
    fn latest_block_is_first() {
        let mut queue = RecvQueue::new();
        for start in [100, 300, 500, 700, 900] {
            assert_eq!(
                queue.insert(SeqNum(start), Slice::from(&[0; 10][..]), 65_535),
                Inserted::Kept
            );
        }
        assert_eq!(queue.sack_blocks().as_slice()[0], (SeqNum(900), SeqNum(910)));
        assert_eq!(queue.sack_blocks().as_slice().len(), 4);
        queue.insert(SeqNum(310), Slice::from(&[0; 10][..]), 65_535);
        assert_eq!(queue.sack_blocks().as_slice()[0], (SeqNum(300), SeqNum(320)));
        assert_eq!(
            queue.insert(SeqNum(305), Slice::from(&[0; 10][..]), 65_535),
            Inserted::Duplicate
        );
    }

    #[test]
    fn small_payloads_share_a_buffer() {
        let mut queue = RecvQueue::new();
        let pool = pool();
        let copied: usize = (0..100).map(|_| queue.push(Slice::from_static(b"xy"), &pool)).sum();
        assert_eq!(copied, 200);
        assert!(queue.charge() <= 2 * PINNED);
        assert_eq!(drain(&mut queue).len(), 200);
    }

    #[test]
    fn a_lone_small_payload_is_not_copied() {
        let mut queue = RecvQueue::new();
        assert_eq!(queue.push(Slice::from_static(b"x"), &pool()), 0);
        assert_eq!(drain(&mut queue), b"x");
        assert_eq!(queue.push(Slice::from_static(b"y"), &pool()), 0);
    }
}
