//! Frames that the guest receives: empty buffers handed out through FILL come back in order.

use super::Broken;
use crate::{
    PacketBuf, Pool, Slice,
    abi::{Desc, Features, Flags, MAX_FRAGS, MAX_FRAME, gso},
    memory::{RingMemory, SharedMemory},
    ring::{Consumer, Producer},
};
use alloc::collections::VecDeque;

/// Bytes left free in front of a received frame.
pub(super) const HEADROOM: usize = 64;
/// The low-water mark: a batch of this many at most pays for the fence.
const LOW_WATER: usize = 32;

/// Offload facts of a received frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxInfo {
    /// The checksum is known to be good.
    pub csum_valid: bool,
    /// One of [`crate::abi::gso`] and the payload bytes of each coalesced segment.
    pub gso: Option<(u8, u16)>,
}

/// A ring through which empty buffers of a pool are lent, in order.
#[derive(Debug)]
pub(super) struct Lender<R> {
    ring: Producer<R>,
    pool: Pool,
    /// The id of the pool's first buffer.
    first_id: u32,
    headroom: usize,
    lent: VecDeque<PacketBuf>,
}

impl<R: RingMemory> Lender<R> {
    pub(super) fn new(ring: Producer<R>, pool: Pool, first_id: u32, headroom: usize) -> Lender<R> {
        let lent = VecDeque::with_capacity(ring.entries() as usize);
        Lender { ring, pool, first_id, headroom, lent }
    }

    /// Lends buffers until `most` are out, or none is left; whether to kick.
    fn refill(&mut self, most: usize) -> Result<bool, Broken> {
        let most = most.min(self.ring.entries() as usize);
        let missing = most.saturating_sub(self.lent.len());
        if missing < (most / 8).clamp(1, LOW_WATER) {
            return Ok(false);
        }
        if (self.ring.room() as usize) < missing {
            self.ring.refresh().map_err(|_| Broken::Index)?;
        }
        while self.lent.len() < most && self.ring.room() > 0 {
            let Some(mut buf) = self.pool.alloc() else {
                break;
            };
            buf.reset(self.headroom);
            let len = buf.tailroom().min(usize::from(u16::MAX)) as u16;
            let id = self.first_id + buf.index();
            let desc = Desc { id, offset: self.headroom as u16, len, ..Desc::default() };
            self.ring.write(desc.encode());
            self.lent.push_back(buf);
        }
        Ok(self.ring.publish())
    }

    /// The buffer lent first, if it is the one that `desc` names.
    fn head(&self, desc: &Desc) -> Option<&PacketBuf> {
        let head = self.lent.front()?;
        let same = desc.id == self.first_id + head.index();
        (same && usize::from(desc.offset) == self.headroom).then_some(head)
    }
}

/// The FILL, LARGE and RX rings and the buffers out through them.
#[derive(Debug)]
pub struct RxRing<M: SharedMemory> {
    fill: Lender<M::Ring>,
    large: Option<Lender<M::Ring>>,
    rx: Consumer<M::Ring>,
    features: Features,
    broken: Option<Broken>,
}

impl<M: SharedMemory> RxRing<M> {
    pub(super) fn new(
        fill: Lender<M::Ring>,
        large: Option<Lender<M::Ring>>,
        rx: Consumer<M::Ring>,
        features: Features,
    ) -> Self {
        RxRing { fill, large, rx, features, broken: None }
    }

    fn check(&self) -> Result<(), Broken> {
        self.broken.map_or(Ok(()), Err)
    }

    fn fail<T>(&mut self, broken: Broken) -> Result<T, Broken> {
        Err(*self.broken.insert(broken))
    }

    /// Hands empty buffers out until the ring is full, the pool is down to its reserve, or `most`
    /// are out; whether to kick. Does nothing while less than an eighth of them (32 at most) is
    /// missing.
    ///
    /// # Errors
    /// [`Broken`] when the tender's index is out of bounds, now or before.
    pub fn refill(&mut self, most: usize) -> Result<bool, Broken> {
        self.check()?;
        self.fill.refill(most).or_else(|broken| self.fail(broken))
    }

    /// Likewise, with large buffers, of which none are out without [`Features::FILL_LARGE`].
    ///
    /// # Errors
    /// As [`RxRing::refill`].
    pub fn refill_large(&mut self, most: usize) -> Result<bool, Broken> {
        self.check()?;
        let Some(large) = &mut self.large else { return Ok(false) };
        large.refill(most).or_else(|broken| self.fail(broken))
    }

    /// Buffers out, without the large ones.
    pub fn lent(&self) -> usize {
        self.fill.lent.len()
    }

    /// Large buffers out.
    pub fn lent_large(&self) -> usize {
        self.large.as_ref().map_or(0, |large| large.lent.len())
    }

    /// Looks for frames; returns the descriptors that are ready.
    ///
    /// # Errors
    /// [`Broken`] when the tender's index is out of bounds, now or before.
    pub fn refresh(&mut self) -> Result<u32, Broken> {
        self.check()?;
        match self.rx.refresh() {
            Ok(ready) => Ok(ready),
            Err(_) => self.fail(Broken::Index),
        }
    }

    /// Takes one frame, its slices into `frags`; `None` when none is ready. After an error the
    /// slices taken for this frame are of no use.
    ///
    /// # Errors
    /// [`Broken`] when the tender returned something else than what was lent, in order, now or
    /// before.
    pub fn pop(&mut self, frags: impl FnMut(Slice)) -> Result<Option<RxInfo>, Broken> {
        self.check()?;
        if self.rx.ready() == 0 {
            return Ok(None);
        }
        match self.walk(frags) {
            Ok(info) => Ok(Some(info)),
            Err(broken) => self.fail(broken),
        }
    }

    fn walk(&mut self, mut frags: impl FnMut(Slice)) -> Result<RxInfo, Broken> {
        let mut info = None;
        let mut total = 0;
        for n in 0..MAX_FRAGS as u32 {
            if n >= self.rx.ready() {
                // A chain is published whole.
                return Err(Broken::Length);
            }
            let desc = Desc::decode(self.rx.peek(n)).map_err(|_| Broken::Flags)?;
            if info.is_none() {
                info = Some(self.info(&desc)?);
            } else if desc.has_offloads() {
                return Err(Broken::Flags);
            }
            // A frame's first buffer is a small one.
            let large = self.large.as_mut().filter(|large| n > 0 && large.head(&desc).is_some());
            let lender = large.unwrap_or(&mut self.fill);
            let room = lender.head(&desc).ok_or(Broken::Buffer)?.tailroom();
            total += usize::from(desc.len);
            let single = !self.features.contains(Features::RX_GSO);
            if desc.len == 0
                || usize::from(desc.len) > room
                || total > MAX_FRAME
                || (single && desc.flags.contains(Flags::NEXT))
            {
                return Err(Broken::Length);
            }
            if let Some(mut buf) = lender.lent.pop_front() {
                buf.append(desc.len.into());
                frags(buf.freeze());
            }
            if !desc.flags.contains(Flags::NEXT) {
                self.rx.take(n + 1);
                return Ok(info.unwrap_or_default());
            }
        }
        Err(Broken::Length)
    }

    fn info(&self, desc: &Desc) -> Result<RxInfo, Broken> {
        let csum_valid = desc.flags.intersects(Flags::NEEDS_CSUM | Flags::DATA_VALID);
        if csum_valid && !self.features.contains(Features::RX_CSUM) {
            return Err(Broken::Offload);
        }
        if desc.gso_type == gso::NONE {
            return Ok(RxInfo { csum_valid, gso: None });
        }
        if gso::kind(desc.gso_type).is_none()
            || desc.gso_size == 0
            || !self.features.contains(Features::RX_GSO)
        {
            return Err(Broken::Offload);
        }
        Ok(RxInfo { csum_valid, gso: Some((desc.gso_type, desc.gso_size)) })
    }

    /// Gives the descriptors of popped frames back.
    pub fn release(&mut self) {
        self.rx.release();
    }

    /// Asks to be woken by the next frame; a fence and [`RxRing::refresh`] before sleeping.
    pub fn arm(&self) {
        self.rx.arm();
    }

    /// Takes back [`RxRing::arm`].
    pub fn disarm(&self) {
        self.rx.disarm();
    }

    /// Takes every lent buffer back. To be called only when the tender has answered a RESET: until
    /// then it may write to them.
    pub fn after_reset(mut self) {
        self.lent_all().for_each(drop);
    }

    fn lent_all(&mut self) -> impl Iterator<Item = PacketBuf> {
        core::iter::from_fn(|| {
            let large = || self.large.as_mut()?.lent.pop_front();
            self.fill.lent.pop_front().or_else(large)
        })
    }
}

impl<M: SharedMemory> Drop for RxRing<M> {
    fn drop(&mut self) {
        // The tender may still write to these.
        self.lent_all().for_each(core::mem::forget);
    }
}
