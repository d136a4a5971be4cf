//! Segments in flight, in order of sequence: what was sacked, what is lost, what was sent again
//! (RFC 6675, section 3; RFC 8985, section 5).

use crate::{
    time::Instant,
    wire::tcp::{SackBlocks, SeqNum},
};
use alloc::collections::VecDeque;

bitflags::bitflags! {
    /// State of a segment in flight.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Mark: u8 {
        /// The first sequence number is a SYN.
        const SYN = 1;
        /// The last sequence number is a FIN.
        const FIN = 1 << 1;
        /// The peer reported it received.
        const SACKED = 1 << 2;
        /// Deemed lost.
        const LOST = 1 << 3;
        /// Lost, and sent again since.
        const RESENT = 1 << 4;
        /// Sent more than once at any time (Karn).
        const EVER_RESENT = 1 << 5;
        /// Sent while the application had no more to send.
        const APP_LIMITED = 1 << 6;
    }
}

/// A segment in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) seq: SeqNum,
    /// Sequence numbers that it takes: payload, SYN, FIN.
    pub(crate) len: u32,
    pub(crate) mark: Mark,
    /// When it was sent last.
    pub(crate) sent_at: Instant,
    /// `delivered` of the connection when it was sent.
    pub(crate) delivered: u64,
    pub(crate) delivered_at: Instant,
    pub(crate) first_sent_at: Instant,
}

impl Sent {
    #[inline]
    pub(crate) fn end(&self) -> SeqNum {
        self.seq + self.len
    }

    /// Deemed lost, and not sent again yet.
    pub(crate) fn is_lost(&self) -> bool {
        self.mark & (Mark::LOST | Mark::RESENT) == Mark::LOST
    }
}

#[derive(Default)]
pub(crate) struct Scoreboard {
    sent: VecDeque<Sent>,
    /// Bytes sacked above `snd_una`.
    sacked: u32,
    /// Bytes marked lost.
    lost: u32,
    /// Bytes marked lost and sent again.
    resent: u32,
    /// Nothing that has to be sent again lies before this index.
    lost_hint: u32,
}

impl Scoreboard {
    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(crate) fn front(&self) -> Option<&Sent> {
        self.sent.front()
    }

    pub(crate) fn back(&self) -> Option<&Sent> {
        self.sent.back()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Sent> {
        self.sent.get(index)
    }

    #[inline]
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    #[inline]
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    #[inline]
    pub(crate) fn resent(&self) -> u32 {
        self.resent
    }

    /// Whether every segment in flight is just that: neither sacked nor lost.
    #[inline]
    pub(crate) fn is_clean(&self) -> bool {
        self.sacked | self.lost == 0
    }

    /// Adds a segment.
    #[inline]
    pub(crate) fn push(&mut self, sent: Sent) {
        self.sent.push_back(sent);
    }

    /// Adds a segment, as part of the one before when that ends with a whole segment of `unit`
    /// bytes and was sent at the same moment: until one of them is sacked or sent again, which
    /// cuts it out, what is known of one is known of all.
    #[inline]
    pub(crate) fn append(&mut self, sent: Sent, unit: u32) {
        let Some(last) = self.sent.back_mut() else { return self.push(sent) };
        let alike = last.sent_at == sent.sent_at
            && last.delivered == sent.delivered
            && last.mark == sent.mark
            && !sent.mark.contains(Mark::FIN)
            && last.end() == sent.seq
            && last.len.is_multiple_of(unit);
        if alike { last.len += sent.len } else { self.push(sent) }
    }

    /// Takes the only segment in flight out, if it ends at `una` and was sent once.
    #[inline]
    pub(crate) fn take_lone(&mut self, una: SeqNum) -> Option<Sent> {
        let lone = *self.sent.front()?;
        let usual =
            self.sent.len() == 1 && lone.end() == una && Mark::APP_LIMITED.contains(lone.mark);
        if !usual {
            return None;
        }
        self.sent.clear();
        self.lost_hint = 0;
        Some(lone)
    }

    fn forget(&mut self, mark: Mark, len: u32) {
        if mark.contains(Mark::SACKED) {
            self.sacked -= len;
        }
        if mark.contains(Mark::LOST) {
            self.lost -= len;
        }
        if mark.contains(Mark::RESENT) {
            self.resent -= len;
        }
    }

    /// Takes out what lies before `una`; `each` sees what is newly acknowledged of every segment.
    /// What is left of the first is cut where a segment of `unit` bytes ended.
    #[inline]
    pub(crate) fn acknowledge(&mut self, una: SeqNum, unit: u32, mut each: impl FnMut(&Sent)) {
        while let Some(front) = self.sent.front_mut() {
            if front.seq >= una {
                break;
            }
            let whole = front.end() <= una;
            let mut part = *front;
            let mut cut = 0;
            if whole {
                self.sent.pop_front();
                self.lost_hint = self.lost_hint.saturating_sub(1);
            } else {
                part.len = una - front.seq;
                front.seq = una;
                front.len -= part.len;
                front.mark.remove(Mark::SYN);
                let begun = part.len % unit;
                cut = if begun != 0 && front.len > unit - begun { unit - begun } else { 0 };
            }
            if !part.mark.is_empty() {
                self.forget(part.mark, part.len);
            }
            each(&part);
            if cut > 0 {
                self.split(0, cut);
            }
        }
    }

    /// Marks what `[start, end)` covers as sacked; `each` sees every segment that is new in that,
    /// as it was. A longer segment is cut at multiples of `unit`, the size of what the peer was
    /// sent, and nowhere else: a peer that reports bytes here and there makes no further segments.
    fn sack(&mut self, start: SeqNum, end: SeqNum, unit: u32, each: &mut impl FnMut(&Sent)) {
        let mut index = self.sent.partition_point(|s| s.end() <= start);
        while let Some(sent) = self.sent.get(index).copied() {
            if sent.seq >= end {
                break;
            }
            let from = if sent.seq < start { (start - sent.seq).next_multiple_of(unit) } else { 0 };
            let to = if end < sent.end() { (end - sent.seq) / unit * unit } else { sent.len };
            if !sent.mark.contains(Mark::SACKED) && from < to {
                if to < sent.len {
                    self.split(index, to);
                }
                if from > 0 {
                    self.split(index, from);
                    index += 1;
                }
                index = self.mark_sacked(index, each);
            }
            index += 1;
        }
    }

    /// Marks a whole segment, and joins it with its neighbours if they are marked: holes, not
    /// segments, are what later ACKs walk over. Returns where it is then.
    fn mark_sacked(&mut self, index: usize, each: &mut impl FnMut(&Sent)) -> usize {
        let sent = self.sent[index];
        self.forget(sent.mark, sent.len);
        self.sacked += sent.len;
        let slot = &mut self.sent[index];
        slot.mark.remove(Mark::LOST | Mark::RESENT);
        slot.mark.insert(Mark::SACKED);
        each(&sent);
        self.join(index + 1);
        if index > 0 && self.join(index) { index - 1 } else { index }
    }

    /// Joins the segment at `index` with the one before it if both are sacked.
    fn join(&mut self, index: usize) -> bool {
        let both = [index.checked_sub(1), Some(index)].map(|i| self.sent.get(i?).copied());
        let [Some(first), Some(second)] = both else {
            return false;
        };
        if !(first.mark & second.mark).contains(Mark::SACKED) {
            return false;
        }
        self.sent.remove(index);
        let joined = &mut self.sent[index - 1];
        joined.len += second.len;
        joined.mark |= second.mark;
        if index as u32 <= self.lost_hint {
            self.lost_hint = self.lost_hint.saturating_sub(1);
        }
        true
    }

    /// Marks all that the blocks cover.
    pub(crate) fn sack_blocks(
        &mut self,
        blocks: &SackBlocks,
        unit: u32,
        mut each: impl FnMut(&Sent),
    ) {
        for &(start, end) in blocks.as_slice() {
            self.sack(start, end, unit, &mut each);
        }
    }

    /// Cuts the segment at `index` after `len` sequence numbers.
    pub(crate) fn split(&mut self, index: usize, len: u32) {
        let first = &mut self.sent[index];
        let mut second = *first;
        second.seq = first.seq + len;
        second.len = first.len - len;
        second.mark.remove(Mark::SYN);
        first.len = len;
        first.mark.remove(Mark::FIN);
        self.sent.insert(index + 1, second);
    }

    /// Marks the segment at `index` lost, or lost again when its retransmission is.
    pub(crate) fn mark_lost(&mut self, index: usize) -> u32 {
        let Some(sent) = self.sent.get_mut(index) else {
            return 0;
        };
        if sent.mark.contains(Mark::SACKED) {
            return 0;
        }
        let mut newly = 0;
        if sent.mark.contains(Mark::RESENT) {
            sent.mark.remove(Mark::RESENT);
            self.resent -= sent.len;
            newly = sent.len;
        }
        if !sent.mark.contains(Mark::LOST) {
            sent.mark.insert(Mark::LOST);
            self.lost += sent.len;
            newly = sent.len;
        }
        self.lost_hint = self.lost_hint.min(index as u32);
        newly
    }

    /// Marks everything lost that is not sacked.
    pub(crate) fn mark_all_lost(&mut self) {
        for index in 0..self.sent.len() {
            self.mark_lost(index);
        }
    }

    /// Takes back every loss mark whose segment was not sent again.
    pub(crate) fn unmark_lost(&mut self) {
        for sent in &mut self.sent {
            if sent.mark.contains(Mark::LOST) && !sent.mark.contains(Mark::RESENT) {
                sent.mark.remove(Mark::LOST);
                self.lost -= sent.len;
            }
        }
    }

    /// RFC 2018, section 8: the peer may have dropped what it sacked.
    pub(crate) fn forget_sacks(&mut self) {
        for sent in &mut self.sent {
            sent.mark.remove(Mark::SACKED);
        }
        self.sacked = 0;
    }

    /// The first segment that is lost and not sent again.
    pub(crate) fn next_lost(&mut self) -> Option<(usize, Sent)> {
        if self.lost == self.resent {
            return None;
        }
        let marks = Mark::LOST | Mark::RESENT;
        while let Some(sent) = self.sent.get(self.lost_hint as usize) {
            if sent.mark & marks == Mark::LOST {
                return Some((self.lost_hint as usize, *sent));
            }
            self.lost_hint += 1;
        }
        None
    }

    /// Notes that the segment at `index` was sent again, with a new snapshot of the delivery.
    pub(crate) fn mark_resent(&mut self, index: usize, snapshot: Sent) {
        let Some(sent) = self.sent.get_mut(index) else {
            return;
        };
        if sent.mark & (Mark::LOST | Mark::RESENT) == Mark::LOST {
            sent.mark.insert(Mark::RESENT);
            self.resent += sent.len;
        }
        sent.mark.insert(Mark::EVER_RESENT);
        sent.mark.set(Mark::APP_LIMITED, snapshot.mark.contains(Mark::APP_LIMITED));
        sent.sent_at = snapshot.sent_at;
        sent.delivered = snapshot.delivered;
        sent.delivered_at = snapshot.delivered_at;
        sent.first_sent_at = snapshot.first_sent_at;
    }

    /// Segments in flight.
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Scoreboard::default();
    }

    /// Gives memory back when there is nothing to keep.
    pub(crate) fn shrink(&mut self) {
        if self.sent.is_empty() {
            self.sent = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(segments: u32) -> Scoreboard {
        let mut board = Scoreboard::default();
        for i in 0..segments {
            board.push(Sent {
                seq: SeqNum(i * 100),
                len: 100,
                mark: Mark::empty(),
                sent_at: Instant::ZERO,
                delivered: 0,
                delivered_at: Instant::ZERO,
                first_sent_at: Instant::ZERO,
            });
        }
        board
    }

    #[test]
    fn only_a_lone_segment_that_was_sent_once_is_taken_whole() {
        assert!(board(2).take_lone(SeqNum(100)).is_none());
        let mut one = board(1);
        assert!(one.take_lone(SeqNum(50)).is_none());
        assert_eq!(one.take_lone(SeqNum(100)).map(|sent| sent.len), Some(100));
        assert!(one.is_empty());
        let mut resent = board(1);
        let again = *resent.front().unwrap();
        resent.mark_lost(0);
        resent.mark_resent(0, again);
        assert!(resent.take_lone(SeqNum(100)).is_none());
    }

    #[test]
    fn blocks_split_segments_and_are_counted_once() {
        let mut board = board(10);
        let mut new = 0;
        let mut blocks = SackBlocks::default();
        blocks.push(SeqNum(240), SeqNum(430));
        board.sack_blocks(&blocks, 10, |s| new += s.len);
        board.sack_blocks(&blocks, 10, |s| new += s.len);
        assert_eq!((new, board.sacked()), (190, 190));
        let mut blocks = SackBlocks::default();
        blocks.push(SeqNum(200), SeqNum(500));
        board.sack_blocks(&blocks, 10, |s| new += s.len);
        assert_eq!((new, board.sacked()), (300, 300));
        assert_eq!(board.len(), 2 + 1 + 5, "what is sacked is one piece");
        let mut acked = 0;
        board.acknowledge(SeqNum(450), 100, |s| acked += s.len);
        assert_eq!((acked, board.sacked()), (450, 50));
    }

    #[test]
    fn whole_segments_of_one_moment_are_one_until_they_are_told_apart() {
        let one = board(1).sent[0];
        let at = |seq: u32, len: u32| Sent { seq: SeqNum(seq), len, ..one };
        let mut board = Scoreboard::default();
        (0..10).for_each(|i| board.append(at(i * 100, 100), 100));
        board.append(at(1000, 30), 100);
        assert_eq!(board.len(), 1);
        board.append(at(1030, 100), 100);
        let later = Instant::from_millis(1);
        board.append(Sent { sent_at: later, ..at(1130, 100) }, 100);
        assert_eq!(board.len(), 3, "after a short one, and at another time");
        let mut ends = alloc::vec::Vec::new();
        board.acknowledge(SeqNum(250), 100, |sent| ends.push(sent.end()));
        assert_eq!((ends.as_slice(), board.len()), (&[SeqNum(250)][..], 4));
        let mut blocks = SackBlocks::default();
        blocks.push(SeqNum(400), SeqNum(600));
        board.sack_blocks(&blocks, 100, |_| {});
        assert_eq!((board.sacked(), board.len()), (200, 6), "segments are where they were");
    }

    #[test]
    fn a_peer_cannot_cut_segments_into_bytes() {
        let mut board = board(10);
        for at in (1..1000).step_by(2) {
            let mut blocks = SackBlocks::default();
            blocks.push(SeqNum(at), SeqNum(at + 1));
            board.sack_blocks(&blocks, 50, |_| {});
        }
        assert_eq!((board.len(), board.sacked()), (10, 0));
        let mut blocks = SackBlocks::default();
        blocks.push(SeqNum(149), SeqNum(301));
        board.sack_blocks(&blocks, 50, |_| {});
        assert_eq!((board.len(), board.sacked()), (10, 150));
    }

    #[test]
    fn lost_segments_come_once_each_until_lost_again() {
        let mut board = board(4);
        board.mark_lost(2);
        board.mark_lost(0);
        for want in [0, 200] {
            let (index, sent) = board.next_lost().unwrap();
            assert_eq!(sent.seq, SeqNum(want));
            board.mark_resent(index, sent);
        }
        assert!(board.next_lost().is_none());
        assert_eq!((board.lost(), board.resent()), (200, 200));
        board.mark_lost(0);
        assert_eq!(board.next_lost().unwrap().1.seq, SeqNum(0));
        assert_eq!((board.lost(), board.resent()), (200, 100));
    }
}
