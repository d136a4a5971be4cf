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
///
/// The first slice lies apart, since nearly everything asks for it; it is empty only when the chain
/// is.
#[derive(Default, Debug)]
pub struct Chain {
    first: Slice,
    rest: VecDeque<Slice>,
    len: usize,
}

impl Chain {
    /// An empty chain.
    pub const fn new() -> Chain {
        Chain { first: Slice::from_static(&[]), rest: VecDeque::new(), len: 0 }
    }

    /// Bytes in all slices together.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slices in order.
    pub fn iter(&self) -> impl Iterator<Item = &Slice> {
        let first = (self.len > 0).then_some(&self.first);
        first.into_iter().chain(&self.rest)
    }

    /// The first slice, sharing its buffer; an empty one when the chain is.
    pub fn first_slice(&self) -> Slice {
        self.first.clone()
    }

    /// The first slice's bytes; empty when the chain is.
    #[inline]
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Adds a slice at the end; an empty one is dropped.
    #[inline]
    pub fn push(&mut self, slice: Slice) {
        let n = slice.len();
        if n == 0 {
            return;
        }
        if self.len == 0 {
            self.first = slice;
        } else {
            self.rest.push_back(slice);
        }
        self.len += n;
    }

    /// Adds a slice in front.
    fn push_front(&mut self, slice: Slice) {
        if self.len > 0 {
            self.rest.push_front(core::mem::take(&mut self.first));
        }
        self.len += slice.len();
        self.first = slice;
    }

    /// Takes the first slice.
    #[inline]
    pub fn pop(&mut self) -> Option<Slice> {
        if self.len == 0 {
            return None;
        }
        let next = self.rest.pop_front().unwrap_or_default();
        let slice = core::mem::replace(&mut self.first, next);
        self.len -= slice.len();
        Some(slice)
    }

    /// Takes the only slice, if it is.
    #[inline]
    pub(crate) fn take_lone(&mut self) -> Option<Slice> {
        if !self.rest.is_empty() || self.len == 0 {
            return None;
        }
        self.len = 0;
        Some(core::mem::take(&mut self.first))
    }

    /// Takes every slice, and hands it on.
    #[inline]
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Slice)) {
        let mut next = (self.len > 0).then(|| core::mem::take(&mut self.first));
        self.len = 0;
        while let Some(slice) = next {
            each(slice);
            next = self.rest.pop_front();
        }
    }

    /// Drops the first `n` bytes, or all when there are fewer.
    #[inline(always)]
    pub fn advance(&mut self, n: usize) {
        if n < self.first.len() {
            self.first.advance(n);
            self.len -= n;
        } else {
            self.advance_over(n);
        }
    }

    fn advance_over(&mut self, mut n: usize) {
        n = n.min(self.len);
        self.len -= n;
        while n >= self.first.len() && n > 0 {
            n -= self.first.len();
            self.first = self.rest.pop_front().unwrap_or_default();
        }
        self.first.advance(n);
    }

    /// Takes the first `n` bytes off, or all when there are fewer.
    pub fn split_to(&mut self, n: usize) -> Chain {
        let mut head = Chain::new();
        while let Some(mut slice) = (head.len < n).then(|| self.pop()).flatten() {
            if slice.len() > n - head.len {
                self.push_front(slice.split_off(n - head.len));
            }
            head.push(slice);
        }
        head
    }

    /// Keeps the first `n` bytes.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        if self.len > n {
            self.cut(n);
        }
    }

    fn cut(&mut self, n: usize) {
        while self.len > n {
            let excess = self.len - n;
            let last = self.rest.back_mut().unwrap_or(&mut self.first);
            if last.len() > excess {
                last.truncate(last.len() - excess);
                self.len = n;
            } else {
                self.len -= last.len();
                if self.rest.pop_back().is_none() {
                    self.first = Slice::default();
                }
            }
        }
    }

    /// Makes the first `n` bytes lie in one slice, by copying them when they do not (which a
    /// well-behaved device avoids); whether there are as many and `pool` had a buffer.
    #[inline]
    pub fn pull_up(&mut self, n: usize, pool: &crate::Pool) -> bool {
        self.first.len() >= n || self.gather(n, pool)
    }

    #[cold]
    fn gather(&mut self, n: usize, pool: &crate::Pool) -> bool {
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
                self.push_front(slice);
            }
        }
        self.push_front(buf.freeze());
        true
    }

    /// Drops everything, keeps the capacity.
    #[inline]
    pub fn clear(&mut self) {
        if self.len > 0 {
            self.first = Slice::default();
            self.rest.clear();
            self.len = 0;
        }
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
    #[inline]
    pub fn push(&mut self, meta: M, head: Slice, rest: impl IntoIterator<Item = Slice>) {
        self.begin();
        self.frags.push_back(head);
        // One by one: `extend` sets out for many.
        rest.into_iter().for_each(|slice| self.frags.push_back(slice));
        self.finish(meta);
    }

    /// Frames ever added.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Slices, and bytes in them, of the frame added last.
    pub(crate) fn last_size(&self) -> (usize, usize) {
        let slices = self.frames.back().map_or(0, |(_, n)| usize::from(*n));
        let bytes = self.frags.iter().rev().take(slices).map(|slice| slice.len()).sum();
        (slices, bytes)
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
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.open = self.frags.len();
    }

    /// Adds a slice to the frame that was begun.
    #[inline]
    pub(crate) fn add(&mut self, slice: Slice) {
        self.frags.push_back(slice);
    }

    /// Slices of the frame that was begun.
    #[inline]
    pub(crate) fn open_frags(&self) -> usize {
        self.frags.len() - self.open
    }

    /// Takes back all slices of the frame that was begun, which is none then.
    pub(crate) fn take_open(&mut self) -> alloc::vec::Vec<Slice> {
        self.frags.split_off(self.open).into()
    }

    /// Ends the frame that was begun.
    #[inline]
    pub(crate) fn finish(&mut self, meta: M) {
        self.frames.push_back((meta, (self.frags.len() - self.open) as u16));
        self.pushed += 1;
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
    #[inline]
    pub fn pop(&mut self) -> Option<(M, Frags<'_>)> {
        let (meta, left) = self.frames.pop_front()?;
        Some((meta, Frags { frags: &mut self.frags, left }))
    }

    /// Takes the next frame into `chain`, whose former content is dropped.
    #[inline(always)]
    pub fn pop_into(&mut self, chain: &mut Chain) -> Option<M> {
        let (meta, mut frags) = self.pop()?;
        chain.clear();
        if let Some(first) = frags.next() {
            chain.push(first);
        }
        if frags.left > 0 {
            frags.for_each(|slice| chain.push(slice));
        }
        Some(meta)
    }
}

/// The slices of a frame that was taken out of its queue.
pub struct Frags<'a> {
    frags: &'a mut VecDeque<Slice>,
    left: u16,
}

impl Iterator for Frags<'_> {
    type Item = Slice;

    #[inline(always)]
    fn next(&mut self) -> Option<Slice> {
        self.left = self.left.checked_sub(1)?;
        self.frags.pop_front()
    }
}

impl Frags<'_> {
    #[inline(never)]
    fn skip(&mut self) {
        while self.next().is_some() {}
    }
}

impl Drop for Frags<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.left > 0 {
            self.skip();
        }
    }
}
