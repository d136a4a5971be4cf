//! Frames on their way between a device and the stack: batches of buffer slices with the offload
//! facts that travel beside them. Nothing here allocates once its queues have grown to their use.
#![forbid(unsafe_code)]

use crate::Slice;
use alloc::collections::VecDeque;
use bytes::Buf;

bitflags::bitflags! {
    /// Work that a device takes over.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Offloads: u32 {
        /// Completes the checksum of a sent frame.
        const TX_CSUM = 1;
        /// Segments TCP over IPv4.
        const TSO4 = 1 << 1;
        /// Segments TCP over IPv6.
        const TSO6 = 1 << 2;
        /// Segments UDP.
        const USO = 1 << 3;
        /// Says of a received frame whether its checksum is known to be good.
        const RX_CSUM = 1 << 4;
        /// Hands over received TCP segments coalesced.
        const RX_GSO = 1 << 5;
    }
}

/// What a super-frame is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP datagrams.
    Udp,
}

/// Segmentation of a super-frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// The protocol that is segmented.
    pub kind: GsoKind,
    /// Payload bytes of each segment but the last.
    pub size: u16,
    /// Whether CWR is set in the first segment only (RFC 3168).
    pub ecn: bool,
}

/// A checksum that the device still has to complete, in bytes from the frame's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialCsum {
    /// Where summing starts.
    pub start: u16,
    /// Where the sum goes, from `start`.
    pub offset: u16,
}

/// Offload facts of a frame to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxMeta {
    /// Checksum left to the device.
    pub csum: Option<PartialCsum>,
    /// Segmentation left to the device.
    pub gso: Option<Gso>,
}

/// What is known about a received transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxCsum {
    /// Nothing: the stack verifies it.
    #[default]
    Unknown,
    /// The sender or the device vouches for it (it was verified, or never left the host).
    Valid,
}

/// Offload facts of a received frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxMeta {
    /// State of the transport checksum.
    pub csum: RxCsum,
    /// How the frame was coalesced, if it was.
    pub gso: Option<Gso>,
}

/// Bytes in order over one or more slices: a frame, or what is left of it after its headers.
#[derive(Default, Debug)]
pub struct Chain {
    frags: VecDeque<Slice>,
    len: usize,
}

impl Chain {
    /// An empty chain.
    pub const fn new() -> Chain {
        Chain { frags: VecDeque::new(), len: 0 }
    }

    /// Bytes in all slices together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slices in order.
    pub fn iter(&self) -> impl Iterator<Item = &Slice> {
        self.frags.iter()
    }

    /// The first slice, sharing its buffer; an empty one when the chain is.
    pub fn first_slice(&self) -> Slice {
        self.frags.front().cloned().unwrap_or_default()
    }

    /// The first slice's bytes; empty when the chain is.
    pub fn first(&self) -> &[u8] {
        self.frags.front().map_or(&[], |s| s)
    }

    /// Adds a slice at the end; an empty one is dropped.
    pub fn push(&mut self, slice: Slice) {
        if !slice.is_empty() {
            self.len += slice.len();
            self.frags.push_back(slice);
        }
    }

    /// Takes the first slice.
    pub fn pop(&mut self) -> Option<Slice> {
        let slice = self.frags.pop_front()?;
        self.len -= slice.len();
        Some(slice)
    }

    /// Drops the first `n` bytes, or all when there are fewer.
    pub fn advance(&mut self, mut n: usize) {
        while n > 0 {
            let Some(first) = self.frags.front_mut() else {
                return;
            };
            if first.len() > n {
                first.advance(n);
                self.len -= n;
                return;
            }
            n -= first.len();
            self.pop();
        }
    }

    /// Takes the first `n` bytes off, or all when there are fewer.
    pub fn split_to(&mut self, n: usize) -> Chain {
        let mut head = Chain::new();
        while let Some(mut slice) = (head.len < n).then(|| self.pop()).flatten() {
            if slice.len() > n - head.len {
                let rest = slice.split_off(n - head.len);
                self.len += rest.len();
                self.frags.push_front(rest);
            }
            head.push(slice);
        }
        head
    }

    /// Keeps the first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        while self.len > n {
            let Some(last) = self.frags.back_mut() else {
                return;
            };
            let excess = self.len - n;
            if last.len() > excess {
                last.truncate(last.len() - excess);
                self.len = n;
            } else {
                self.len -= last.len();
                self.frags.pop_back();
            }
        }
    }

    /// Makes the first `n` bytes lie in one slice, by copying them when they do not (which a
    /// well-behaved device avoids); whether there are as many and `pool` had a buffer.
    pub fn pull_up(&mut self, n: usize, pool: &crate::Pool) -> bool {
        if self.first().len() >= n {
            return true;
        }
        if self.len < n {
            return false;
        }
        let Some(mut buf) = pool.alloc_reserved().filter(|buf| buf.tailroom() >= n) else {
            return false;
        };
        while buf.len() < n {
            let Some(mut slice) = self.pop() else { return false };
            let part = slice.split_to(slice.len().min(n - buf.len()));
            buf.append(part.len()).copy_from_slice(&part);
            if !slice.is_empty() {
                self.len += slice.len();
                self.frags.push_front(slice);
            }
        }
        self.len += n;
        self.frags.push_front(buf.freeze());
        true
    }

    /// Drops everything, keeps the capacity.
    pub fn clear(&mut self) {
        self.frags.clear();
        self.len = 0;
    }
}

/// A batch of frames in order, each with its facts `M` and its slices.
pub struct FrameQueue<M> {
    frames: VecDeque<(M, u16)>,
    frags: VecDeque<Slice>,
    open: usize,
    pushed: u64,
}

/// Frames that the stack sends.
pub type TxQueue = FrameQueue<TxMeta>;
/// Frames that a device received.
pub type RxQueue = FrameQueue<RxMeta>;

impl<M> Default for FrameQueue<M> {
    fn default() -> Self {
        FrameQueue { frames: VecDeque::new(), frags: VecDeque::new(), open: 0, pushed: 0 }
    }
}

impl<M> FrameQueue<M> {
    /// Frames in the queue.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Slices in the queue, of all frames.
    pub fn frags(&self) -> usize {
        self.frags.len()
    }

    /// Adds a frame of `head` and the slices behind it.
    pub fn push(&mut self, meta: M, head: Slice, rest: impl IntoIterator<Item = Slice>) {
        let before = self.frags.len();
        self.frags.push_back(head);
        self.frags.extend(rest);
        self.frames.push_back((meta, (self.frags.len() - before) as u16));
        self.pushed += 1;
    }

    /// Frames ever added.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Facts and first slice of the frame added last.
    pub(crate) fn last_mut(&mut self) -> Option<(&mut M, &mut Slice)> {
        let (meta, n) = self.frames.back_mut()?;
        let head = self.frags.len().checked_sub(usize::from(*n))?;
        Some((meta, self.frags.get_mut(head)?))
    }

    /// Adds a slice to the frame added last.
    pub(crate) fn extend_last(&mut self, slice: Slice) {
        if let Some((_, n)) = self.frames.back_mut() {
            *n += 1;
            self.frags.push_back(slice);
        }
    }

    /// Starts a frame: [`FrameQueue::add`] adds its slices, and [`FrameQueue::finish`] ends it.
    pub(crate) fn begin(&mut self) {
        self.open = self.frags.len();
    }

    /// Starts a frame whose head is known last; [`FrameQueue::finish_with`] ends it.
    pub(crate) fn begin_headless(&mut self) {
        self.begin();
        self.frags.push_back(Slice::default());
    }

    /// Adds a slice to the frame that was begun.
    pub(crate) fn add(&mut self, slice: Slice) {
        self.frags.push_back(slice);
    }

    /// Slices of the frame that was begun.
    pub(crate) fn open_frags(&self) -> usize {
        self.frags.len() - self.open
    }

    /// Takes back the slices that were added to the frame that was begun without its head, which
    /// is dropped.
    pub(crate) fn take_open(&mut self) -> alloc::vec::Vec<Slice> {
        let slices = self.frags.drain(self.open + 1..).collect();
        self.abandon();
        slices
    }

    /// Ends the frame that was begun.
    pub(crate) fn finish(&mut self, meta: M) {
        self.frames.push_back((meta, (self.frags.len() - self.open) as u16));
        self.pushed += 1;
    }

    /// Ends the frame that was begun without its head.
    pub(crate) fn finish_with(&mut self, meta: M, head: Slice) {
        self.frags[self.open] = head;
        self.finish(meta);
    }

    /// Drops the frame that was begun.
    pub(crate) fn abandon(&mut self) {
        self.frags.truncate(self.open);
    }

    /// Facts and number of slices of the next frame.
    pub fn peek(&self) -> Option<(&M, usize)> {
        self.frames.front().map(|(meta, n)| (meta, usize::from(*n)))
    }

    /// The slices of the next frame.
    pub fn peek_frags(&self) -> impl Iterator<Item = &Slice> {
        let n = self.peek().map_or(0, |(_, n)| n);
        self.frags.iter().take(n)
    }

    /// Takes the next frame: its facts and its slices. Slices not taken from the iterator are
    /// dropped with it.
    pub fn pop(&mut self) -> Option<(M, impl Iterator<Item = Slice> + '_)> {
        let (meta, n) = self.frames.pop_front()?;
        Some((meta, self.frags.drain(..usize::from(n))))
    }

    /// Takes the next frame into `chain`, whose former content is dropped.
    pub fn pop_into(&mut self, chain: &mut Chain) -> Option<M> {
        let (meta, frags) = self.pop()?;
        chain.clear();
        frags.for_each(|slice| chain.push(slice));
        Some(meta)
    }
}
