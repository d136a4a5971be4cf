//! What the application wrote and the peer has not acknowledged: its own slices, by reference.

use crate::{Slice, wire::tcp::SeqNum};
use alloc::collections::VecDeque;

/// What holding one piece costs beside its bytes, so that tiny writes are bounded too.
const PIECE_COST: usize = 64;

/// A piece of what was written. In this order no padding is copied with it, which would be slow
/// right after it was stored.
#[repr(C)]
struct Piece {
    slice: Slice,
    /// The sequence number of its first byte.
    start: SeqNum,
}

pub(crate) struct SendQueue {
    pieces: VecDeque<Piece>,
    /// Bytes that are not acknowledged.
    bytes: usize,
    /// Bytes of the pool that the pieces keep from being reused, a buffer that several share counted
    /// for each.
    pinned: usize,
    /// Bytes of other memory that the pieces hold.
    borrowed: usize,
    /// After the last byte written.
    end: SeqNum,
    /// The piece that was looked up last.
    cursor: u32,
}

impl SendQueue {
    pub(crate) const fn new(start: SeqNum) -> SendQueue {
        SendQueue {
            pieces: VecDeque::new(),
            bytes: 0,
            pinned: 0,
            borrowed: 0,
            end: start,
            cursor: 0,
        }
    }

    /// The sequence number after the last byte written.
    #[inline]
    pub(crate) fn end(&self) -> SeqNum {
        self.end
    }

    /// What the queue is charged for, in bytes.
    #[inline]
    pub(crate) fn charge(&self) -> usize {
        self.bytes + self.pieces.len() * PIECE_COST
    }

    /// Bytes of the pool that the queue holds.
    #[inline]
    pub(crate) fn pinned(&self) -> usize {
        self.pinned
    }

    /// Bytes of other memory that the queue holds.
    #[inline]
    pub(crate) fn borrowed(&self) -> usize {
        self.borrowed
    }

    /// The account that a piece is charged to.
    #[inline]
    fn account(&mut self, slice: &Slice) -> &mut usize {
        if slice.buffer().is_some() { &mut self.pinned } else { &mut self.borrowed }
    }

    #[inline]
    pub(crate) fn push(&mut self, slice: Slice) {
        let len = slice.len();
        *self.account(&slice) += slice.pinned();
        self.pieces.push_back(Piece { slice, start: self.end });
        self.bytes += len;
        self.end += len as u32;
    }

    /// Lets go of the pieces that lie wholly before `una`. What is acknowledged of another one has
    /// room again at once: a writer of large pieces must not wait for the last byte of one.
    #[inline]
    pub(crate) fn acknowledge(&mut self, una: SeqNum) {
        if una == self.end && self.is_lone() {
            self.pieces.pop_front();
            (self.bytes, self.pinned, self.borrowed, self.cursor) = (0, 0, 0, 0);
        } else {
            self.acknowledge_some(una);
        }
    }

    #[inline(never)]
    fn acknowledge_some(&mut self, una: SeqNum) {
        self.bytes = if self.end > una { (self.end - una) as usize } else { 0 };
        while let Some(Piece { slice, start }) = self.pieces.front()
            && *start + slice.len() as u32 <= una
            && let Some(Piece { slice, .. }) = self.pieces.pop_front()
        {
            *self.account(&slice) -= slice.pinned();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    fn contains(&self, index: usize, seq: SeqNum) -> bool {
        self.pieces.get(index).is_some_and(|piece| seq - piece.start < piece.slice.len() as u32)
    }

    /// The pieces of `len` bytes from `seq` on, without copying; `seq + len` must not be past the
    /// end. Sequential look-ups take constant time, others a binary search.
    #[inline]
    pub(crate) fn range(&mut self, seq: SeqNum, len: usize) -> Range<'_> {
        if !self.contains(self.cursor as usize, seq) {
            self.cursor += 1;
            if !self.contains(self.cursor as usize, seq) {
                let after = self.pieces.partition_point(|piece| piece.start <= seq);
                self.cursor = after.saturating_sub(1) as u32;
            }
        }
        let skip =
            self.pieces.get(self.cursor as usize).map_or(0, |piece| (seq - piece.start) as usize);
        Range { pieces: &self.pieces, index: self.cursor as usize, skip, left: len }
    }

    /// Where `len` bytes from `seq` on lie, if that is in the piece that was looked up last, or the
    /// one behind it.
    #[inline]
    pub(crate) fn piece(
        &mut self,
        seq: SeqNum,
        len: u32,
    ) -> Option<(&Slice, core::ops::Range<usize>)> {
        if !self.contains(self.cursor as usize, seq) {
            self.cursor += 1;
        }
        let Piece { slice, start } = self.pieces.get(self.cursor as usize)?;
        let from = (seq - *start) as usize;
        let part = from..from + len as usize;
        (part.end <= slice.len()).then_some((slice, part))
    }

    /// Whether one piece is all there is.
    #[inline]
    pub(crate) fn is_lone(&self) -> bool {
        self.pieces.len() == 1
    }

    /// A range without bytes.
    #[inline]
    pub(crate) fn nothing(&self) -> Range<'_> {
        Range { pieces: &self.pieces, index: 0, skip: 0, left: 0 }
    }

    /// Drops everything, keeps the position.
    pub(crate) fn clear(&mut self) {
        self.pieces = VecDeque::new();
        self.bytes = 0;
        self.pinned = 0;
        self.borrowed = 0;
        self.cursor = 0;
    }

    /// Gives memory back when there is nothing to keep.
    pub(crate) fn shrink(&mut self) {
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }
}

/// Pieces of a range: the slice that each lies in, with the part of it.
#[derive(Clone)]
pub(crate) struct Range<'a> {
    pieces: &'a VecDeque<Piece>,
    index: usize,
    skip: usize,
    left: usize,
}

impl Range<'_> {
    /// Bytes that are left.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.left
    }

    /// Bytes of the first piece.
    #[inline(always)]
    pub(crate) fn first_bytes(&self) -> usize {
        let piece = self.pieces.get(self.index);
        piece.map_or(0, |piece| (piece.slice.len() - self.skip).min(self.left))
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = (&'a Slice, core::ops::Range<usize>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let Piece { slice, .. } = self.pieces.get(self.index)?;
        let start = core::mem::take(&mut self.skip);
        let len = (slice.len() - start).min(self.left);
        self.left -= len;
        self.index += 1;
        Some((slice, start..start + len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn bytes(queue: &mut SendQueue, seq: u32, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for (slice, part) in queue.range(SeqNum(seq), len) {
            out.extend_from_slice(&slice[part]);
        }
        out
    }

    #[test]
    fn ranges_cross_pieces_and_survive_acknowledgement() {
        let start = u32::MAX - 3;
        let mut queue = SendQueue::new(SeqNum(start));
        for piece in ["abcd", "e", "fghij"] {
            queue.push(piece.into());
        }
        assert_eq!(bytes(&mut queue, start, 10), b"abcdefghij");
        assert_eq!(bytes(&mut queue, start.wrapping_add(3), 3), b"def");
        queue.acknowledge(SeqNum(start) + 6);
        assert_eq!(bytes(&mut queue, start.wrapping_add(6), 4), b"ghij");
        assert_eq!(queue.charge(), 4 + PIECE_COST);
        assert_eq!(queue.borrowed(), 5);
        queue.acknowledge(queue.end());
        assert_eq!(queue.charge() + queue.borrowed(), 0);
    }
}
