//! What the peer sent and the application has not read: slices of the buffers that the device
//! filled, in order or waiting for a hole to be filled.

use super::out_of_order::{Inserted, OutOfOrder};
use crate::{PacketBuf, Pool, Slice, wire::tcp::SackBlocks, wire::tcp::SeqNum};
use alloc::{boxed::Box, collections::VecDeque};

/// Payloads shorter than this are copied together, or each would pin a whole buffer.
const SMALL: usize = 256;
/// The memory that a piece of a packet pins, at least.
const PINNED: usize = 2048;

pub(crate) struct RecvQueue {
    ready: VecDeque<Slice>,
    /// Small payloads that are still being put together, behind `ready`.
    tail: Option<PacketBuf>,
    ready_len: usize,
    /// What lies behind a hole, if there is one.
    waiting: Option<Box<OutOfOrder>>,
    /// What lay behind the last one, for its memory, unless that was much.
    spare: Option<Box<OutOfOrder>>,
}

impl RecvQueue {
    pub(crate) const fn new() -> RecvQueue {
        RecvQueue { ready: VecDeque::new(), tail: None, ready_len: 0, waiting: None, spare: None }
    }

    /// Bytes that can be read.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ready_len
    }

    /// Whether nothing waits for a hole to be filled.
    #[inline]
    pub(crate) fn in_order(&self) -> bool {
        self.waiting.is_none()
    }

    /// What the queue is charged for: the buffers it pins, in bytes.
    #[inline]
    pub(crate) fn charge(&self) -> usize {
        let (pieces, bytes) = self.waiting.as_ref().map_or((0, 0), |waiting| waiting.size());
        let pieces = self.ready.len() + pieces + usize::from(self.tail.is_some());
        (self.ready_len + bytes).max(pieces * PINNED)
    }

    /// Adds bytes in order; returns how many bytes were copied for it.
    #[inline(always)]
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
    /// is the size of the receive buffer. There is a byte in the piece, so that something waits now.
    pub(crate) fn insert(&mut self, seq: SeqNum, slice: Slice, buffer: u32) -> Inserted {
        let waiting = self.waiting.get_or_insert_with(|| self.spare.take().unwrap_or_default());
        waiting.insert(seq, slice, buffer)
    }

    /// Makes what `rcv_nxt` has reached readable; returns the new `rcv_nxt` and the bytes copied.
    pub(crate) fn advance(&mut self, mut rcv_nxt: SeqNum, pool: &Pool) -> (SeqNum, usize) {
        let mut copied = 0;
        while let Some(slice) = self.waiting.as_mut().and_then(|waiting| waiting.reached(rcv_nxt)) {
            if !slice.is_empty() {
                rcv_nxt += slice.len() as u32;
                copied += self.push(slice, pool);
            }
        }
        if let Some(mut waited) = self.waiting.take_if(|waiting| waiting.is_empty()) {
            self.spare = waited.is_reusable().then_some(waited);
        }
        (rcv_nxt, copied)
    }

    /// The blocks to report, the latest first.
    pub(crate) fn sack_blocks(&self) -> SackBlocks {
        self.waiting.as_ref().map(|waiting| waiting.blocks()).unwrap_or_default()
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = RecvQueue::new();
    }

    /// Gives memory back when there is nothing to keep.
    pub(crate) fn shrink(&mut self) {
        self.spare = None;
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

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
