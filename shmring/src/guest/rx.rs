//! Frames that the guest receives: empty buffers handed out through FILL come back in order.

use super::Broken;
use crate::{
    PacketBuf, Pool, Slice,
    abi::{Desc, Features, Flags, MAX_FRAGS, MAX_FRAME, gso},
    memory::SharedMemory,
    ring::{Consumer, Producer},
};
use alloc::collections::VecDeque;

/// Bytes left free in front of a received frame.
const HEADROOM: usize = 64;

/// Offload facts of a received frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxInfo {
    /// The checksum is known to be good.
    pub csum_valid: bool,
    /// One of [`crate::abi::gso`] and the payload bytes of each coalesced segment.
    pub gso: Option<(u8, u16)>,
}

/// The FILL and RX rings and the buffers out through them.
#[derive(Debug)]
pub struct RxRing<M: SharedMemory> {
    fill: Producer<M::Ring>,
    rx: Consumer<M::Ring>,
    lent: VecDeque<PacketBuf>,
    pool: Pool,
    features: Features,
    broken: Option<Broken>,
}

impl<M: SharedMemory> RxRing<M> {
    pub(super) fn new(
        fill: Producer<M::Ring>,
        rx: Consumer<M::Ring>,
        pool: Pool,
        features: Features,
    ) -> Self {
        let lent = VecDeque::with_capacity((fill.entries() + rx.entries()) as usize);
        RxRing { fill, rx, lent, pool, features, broken: None }
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
        let most = most.min(self.fill.entries() as usize);
        let missing = most.saturating_sub(self.lent.len());
        // The low-water mark: a batch pays for the fence.
        if missing < (most / 8).clamp(1, 32) {
            return Ok(false);
        }
        if (self.fill.room() as usize) < missing && self.fill.refresh().is_err() {
            return self.fail(Broken::Index);
        }
        while self.lent.len() < most && self.fill.room() > 0 {
            let Some(mut buf) = self.pool.alloc() else {
                break;
            };
            buf.reset(HEADROOM);
            let len = buf.tailroom().min(usize::from(u16::MAX)) as u16;
            let id = buf.index();
            let desc = Desc { id, offset: HEADROOM as u16, len, ..Desc::default() };
            self.fill.write(desc.encode());
            self.lent.push_back(buf);
        }
        Ok(self.fill.publish())
    }

    /// Buffers out.
    pub fn lent(&self) -> usize {
        self.lent.len()
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
            let lent = self.lent.front().ok_or(Broken::Buffer)?;
            if desc.id != lent.index() || usize::from(desc.offset) != HEADROOM {
                return Err(Broken::Buffer);
            }
            total += usize::from(desc.len);
            let single = !self.features.contains(Features::RX_GSO);
            if desc.len == 0
                || usize::from(desc.len) > lent.tailroom()
                || total > MAX_FRAME
                || (single && desc.flags.contains(Flags::NEXT))
            {
                return Err(Broken::Length);
            }
            if let Some(mut buf) = self.lent.pop_front() {
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
        self.lent.clear();
    }
}

impl<M: SharedMemory> Drop for RxRing<M> {
    fn drop(&mut self) {
        // The tender may still write to these.
        self.lent.drain(..).for_each(core::mem::forget);
    }
}
