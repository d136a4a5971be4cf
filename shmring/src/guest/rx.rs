//! Frames that the guest receives: empty buffers handed out through FILL come back in order.

use super::Broken;
use crate::{
    PacketBuf, Pool, Slice,
    abi::{Desc, Flags, MAX_FRAGS},
    memory::SharedMemory,
    ring::{Consumer, Layout, Producer},
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
pub struct RxRing<M> {
    fill: Producer<M>,
    rx: Consumer<M>,
    lent: VecDeque<PacketBuf>,
    pool: Pool,
}

impl<M: SharedMemory + Copy> RxRing<M> {
    pub(super) fn new(memory: M, fill: Layout, rx: Layout, pool: Pool) -> Self {
        let lent = VecDeque::with_capacity(fill.entries as usize);
        RxRing { fill: Producer::new(memory, fill), rx: Consumer::new(memory, rx), lent, pool }
    }

    /// Hands empty buffers out until the ring is full, the pool is down to its reserve, or `most`
    /// are out; whether to kick.
    ///
    /// # Errors
    /// [`Broken`] when the tender's index is out of bounds.
    pub fn refill(&mut self, most: usize) -> Result<bool, Broken> {
        self.fill.refresh().map_err(|_| Broken::Index)?;
        while self.lent.len() < most && self.fill.room() > 0 {
            let Some(mut buf) = self.pool.alloc() else {
                break;
            };
            buf.reset(HEADROOM);
            let len = buf.tailroom();
            let desc = Desc {
                id: buf.index(),
                offset: HEADROOM as u16,
                len: len as u16,
                ..Desc::default()
            };
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
    /// [`Broken`] when the tender's index is out of bounds.
    pub fn refresh(&mut self) -> Result<u32, Broken> {
        self.rx.refresh().map_err(|_| Broken::Index)
    }

    /// Takes one frame, its slices into `frags`; `None` when none is ready.
    ///
    /// # Errors
    /// [`Broken`] when the tender returned something else than what was lent, in order.
    pub fn pop(&mut self, mut frags: impl FnMut(Slice)) -> Result<Option<RxInfo>, Broken> {
        let mut info = None;
        for n in 0..MAX_FRAGS as u32 {
            if n >= self.rx.ready() {
                // A chain is published whole.
                return if n == 0 { Ok(None) } else { Err(Broken::Length) };
            }
            let desc = Desc::decode(self.rx.peek(n)).map_err(|_| Broken::Flags)?;
            let mut buf = self.lent.pop_front().ok_or(Broken::Buffer)?;
            if desc.id != buf.index() || usize::from(desc.offset) != HEADROOM {
                return Err(Broken::Buffer);
            }
            if usize::from(desc.len) > buf.tailroom() {
                return Err(Broken::Length);
            }
            buf.append(desc.len.into());
            frags(buf.freeze());
            info.get_or_insert(RxInfo {
                csum_valid: desc.flags.intersects(Flags::NEEDS_CSUM | Flags::DATA_VALID),
                gso: (desc.gso_type != 0).then_some((desc.gso_type, desc.gso_size)),
            });
            if !desc.flags.contains(Flags::NEXT) {
                self.rx.take(n + 1);
                return Ok(info);
            }
        }
        Err(Broken::Length)
    }

    /// Gives the descriptors of popped frames back; whether the tender waits for room.
    #[must_use]
    pub fn release(&mut self) -> bool {
        self.rx.release()
    }

    /// Asks to be woken by the next frame; a fence and [`RxRing::refresh`] before sleeping.
    pub fn arm(&self) {
        self.rx.arm();
    }

    /// Takes back [`RxRing::arm`].
    pub fn disarm(&self) {
        self.rx.disarm();
    }
}
