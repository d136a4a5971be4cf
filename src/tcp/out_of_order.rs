//! Pieces of the received stream that lie behind a hole.

use crate::{
    Slice,
    wire::tcp::{SackBlocks, SeqNum},
};
use alloc::{collections::VecDeque, vec::Vec};
use bytes::Buf;

/// Pieces out of order, at most, and how many a small buffer may have: each pins a whole packet
/// buffer, however few bytes it has.
const MAX_OUT_OF_ORDER: usize = 32_768;
const SOME_OUT_OF_ORDER: usize = 256;
/// Pieces whose memory is kept when no hole is left.
const KEPT: usize = 64;

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

#[derive(Default)]
pub(super) struct OutOfOrder {
    /// Sorted and disjoint.
    pieces: VecDeque<(SeqNum, Slice)>,
    bytes: usize,
    /// The ranges touched last, the latest first (RFC 2018, section 4).
    recent: Vec<(SeqNum, SeqNum)>,
}

impl OutOfOrder {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Forgets what was touched; whether the memory is little enough to be kept.
    pub(super) fn is_reusable(&mut self) -> bool {
        self.recent.clear();
        self.pieces.capacity() <= KEPT
    }

    /// Pieces, and bytes in them.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.pieces.len(), self.bytes)
    }

    /// Keeps a piece that lies behind a hole, without the bytes that are there already. `buffer`
    /// is the size of the receive buffer.
    pub(super) fn insert(&mut self, mut seq: SeqNum, mut slice: Slice, buffer: u32) -> Inserted {
        let end = seq + slice.len() as u32;
        let index = self.pieces.partition_point(|(start, _)| *start <= seq);
        if let Some((start, before)) = index.checked_sub(1).and_then(|i| self.pieces.get(i)) {
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
        if self.pieces.len() >= most {
            return Inserted::Dropped;
        }
        // Pieces that the new one covers go; the first one that it reaches into cuts it.
        while let Some((start, after)) = self.pieces.get(index) {
            if *start >= end {
                break;
            }
            if *start + after.len() as u32 <= end {
                self.bytes -= after.len();
                self.pieces.remove(index);
            } else {
                slice.truncate((*start - seq) as usize);
                break;
            }
        }
        if slice.is_empty() {
            return Inserted::Duplicate;
        }
        self.bytes += slice.len();
        let touched = (seq, seq + slice.len() as u32);
        self.pieces.insert(index, (seq, slice));
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

    /// Takes out the first piece if `rcv_nxt` has reached it, without the bytes before that.
    pub(super) fn reached(&mut self, rcv_nxt: SeqNum) -> Option<Slice> {
        self.recent.retain(|&(_, end)| end > rcv_nxt);
        self.pieces.front().filter(|(start, _)| *start <= rcv_nxt)?;
        let (start, mut slice) = self.pieces.pop_front()?;
        self.bytes -= slice.len();
        slice.advance(slice.len().min((rcv_nxt - start) as usize));
        Some(slice)
    }

    /// The blocks to report, the latest first.
    pub(super) fn blocks(&self) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        for &(start, end) in &self.recent {
            blocks.push(start, end);
        }
        blocks
    }
}
