//! Frames that the guest sends: slices lent to the tender, in order, until it is done with them.

use super::Broken;
use crate::{
    Pool, Slice,
    abi::{Desc, Flags, MAX_FRAGS, MEM_STRIDE},
    memory::SharedMemory,
    ring::Producer,
};
use alloc::{collections::VecDeque, vec::Vec};

/// Offload facts of a frame to send; the fields of the first descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxInfo {
    /// Where summing starts and, from there, where the sum goes.
    pub csum: Option<(u16, u8)>,
    /// One of [`crate::abi::gso`] and the payload bytes of each segment.
    pub gso: Option<(u8, u16)>,
}

/// What of the guest's memory the tender can send from.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// Each pool with the id of its first buffer.
    pub(super) pools: Vec<(Pool, u32)>,
    /// The first id of the class that covers memory from its start, and the bytes it covers.
    pub(super) mem: Option<(u32, u64)>,
    /// What to subtract from an address for the guest-physical one.
    pub(super) origin: u64,
}

impl Reach {
    /// The id and offset of a slice in one of the pools.
    #[inline]
    fn in_pool(&self, slice: &Slice) -> Option<(u32, usize)> {
        let (_, first) = self.pools.iter().find(|(pool, _)| slice.is_of(pool))?;
        let (index, offset) = slice.buffer()?;
        Some((first + index, offset))
    }

    /// Descriptors for a slice that the class for memory covers.
    fn strides(&self, slice: &Slice) -> Option<usize> {
        let (_, covered) = self.mem?;
        let start = (slice.as_ptr() as u64).checked_sub(self.origin)?;
        let end = start.checked_add(slice.len() as u64).filter(|end| *end <= covered)?;
        let stride = u64::from(MEM_STRIDE);
        let touched = end.saturating_sub(1).max(start) / stride - start / stride + 1;
        // A stride of 65,536 bytes that is covered whole takes two, as a length has 16 bits.
        Some(touched as usize + slice.len() / MEM_STRIDE as usize)
    }

    fn in_memory(&self, first_id: u32, slice: &Slice, at: usize) -> Desc {
        let address = slice.as_ptr() as u64 - self.origin + at as u64;
        let offset = address % u64::from(MEM_STRIDE);
        // The last byte of a stride goes by itself when a slice covers all of it.
        let rest = u64::from(MEM_STRIDE) - offset;
        let len = (slice.len() - at).min(rest as usize).min(usize::from(u16::MAX));
        let id = first_id + (address / u64::from(MEM_STRIDE)) as u32;
        Desc { id, offset: offset as u16, len: len as u16, ..Desc::default() }
    }
}

/// The TX ring and what is lent through it.
#[derive(Debug)]
pub struct TxRing<M: SharedMemory> {
    ring: Producer<M::Ring>,
    lent: VecDeque<Slice>,
    reach: Reach,
    broken: Option<Broken>,
}

impl<M: SharedMemory> TxRing<M> {
    pub(super) fn new(ring: Producer<M::Ring>, reach: Reach) -> Self {
        let lent = VecDeque::with_capacity(ring.entries() as usize);
        TxRing { ring, lent, reach, broken: None }
    }

    /// Takes back what the tender is done with.
    ///
    /// # Errors
    /// [`Broken`] when its index is out of bounds, now or before.
    #[inline]
    pub fn reclaim(&mut self) -> Result<(), Broken> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let Ok(done) = self.ring.refresh() else {
            return Err(*self.broken.insert(Broken::Index));
        };
        (0..done).for_each(|_| drop(self.lent.pop_front()));
        Ok(())
    }

    /// Descriptors that can be written now.
    #[inline]
    pub fn room(&self) -> usize {
        self.ring.room() as usize
    }

    /// Slices lent and not taken back yet.
    pub fn in_flight(&self) -> usize {
        self.lent.len()
    }

    /// Descriptors that a slice needs, or `None` when the tender cannot reach its bytes: they are
    /// then copied into a buffer of the pool by the caller.
    pub fn descriptors(&self, slice: &Slice) -> Option<usize> {
        if self.reach.in_pool(slice).is_some() {
            return Some(slice.len().div_ceil(usize::from(u16::MAX)));
        }
        self.reach.strides(slice)
    }

    /// Writes one frame. The caller has made sure that there is [`TxRing::room`] for the sum of
    /// [`TxRing::descriptors`], that it is at most [`MAX_FRAGS`], and that no slice is empty.
    ///
    /// # Panics
    /// When one of these does not hold.
    #[inline]
    pub fn push(&mut self, info: TxInfo, frags: impl Iterator<Item = Slice>) {
        let mut written = 0;
        // The last descriptor differs, so each is written when the next one is known.
        let mut pending: Option<Desc> = None;
        for slice in frags {
            assert!(!slice.is_empty(), "empty slice");
            let mut at = 0;
            loop {
                let mut desc = self.describe(&slice, at);
                at += usize::from(desc.len);
                match pending {
                    None => offload(&mut desc, info),
                    Some(last) => {
                        let last = Desc { flags: last.flags | Flags::NEXT, ..last };
                        self.ring.write(last.encode());
                    }
                }
                pending = Some(desc);
                written += 1;
                assert!(written <= MAX_FRAGS, "too many fragments");
                if at == slice.len() {
                    break;
                }
                // Whole frames are given back, so one owner for the slice's descriptors is enough.
                self.lent.push_back(Slice::default());
            }
            self.lent.push_back(slice);
        }
        if let Some(last) = pending {
            self.ring.write(last.encode());
        }
    }

    #[inline]
    fn describe(&self, slice: &Slice, at: usize) -> Desc {
        match (self.reach.in_pool(slice), self.reach.mem) {
            (Some((id, offset)), _) => {
                let len = (slice.len() - at).min(usize::from(u16::MAX));
                let offset = (offset + at) as u16;
                Desc { id, offset, len: len as u16, ..Desc::default() }
            }
            (None, Some((first_id, _))) => self.reach.in_memory(first_id, slice, at),
            (None, None) => panic!("bytes out of reach"),
        }
    }

    /// Hands over everything written; whether to kick.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Asks to be woken when `entries` are done; a fence and [`TxRing::reclaim`] before sleeping.
    pub fn arm(&self, entries: u32) {
        self.ring.arm(entries);
    }

    /// Takes everything lent back. To be called only when the tender has answered a RESET: until
    /// then it may still read it.
    pub fn after_reset(mut self) {
        self.lent.clear();
    }
}

fn offload(desc: &mut Desc, info: TxInfo) {
    if let Some((start, offset)) = info.csum {
        desc.flags |= Flags::NEEDS_CSUM;
        (desc.csum_start, desc.csum_offset) = (start, offset);
    }
    if let Some((kind, size)) = info.gso {
        (desc.gso_type, desc.gso_size) = (kind, size);
    }
}

impl<M: SharedMemory> Drop for TxRing<M> {
    fn drop(&mut self) {
        // The tender may still read these.
        while let Some(slice) = self.lent.pop_front() {
            core::mem::forget(slice);
        }
    }
}
