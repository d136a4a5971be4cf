//! Frames that the guest sends: slices lent to the tender, in order, until it is done with them.

use super::Broken;
use crate::{
    Pool, Slice,
    abi::{Desc, Flags, MAX_FRAGS, MEM_STRIDE},
    memory::SharedMemory,
    ring::{Layout, Producer},
};
use alloc::collections::VecDeque;

/// Offload facts of a frame to send; the fields of the first descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxInfo {
    /// Where summing starts and, from there, where the sum goes.
    pub csum: Option<(u16, u8)>,
    /// One of [`crate::abi::gso`] and the payload bytes of each segment.
    pub gso: Option<(u8, u16)>,
}

/// The TX ring and what is lent through it.
#[derive(Debug)]
pub struct TxRing<M> {
    ring: Producer<M>,
    lent: VecDeque<Slice>,
    pool: Pool,
    origin: u64,
    mem_first_id: Option<u32>,
}

impl<M: SharedMemory> TxRing<M> {
    pub(super) fn new(
        memory: M,
        layout: Layout,
        pool: Pool,
        origin: u64,
        mem: Option<u32>,
    ) -> Self {
        let lent = VecDeque::with_capacity(layout.entries as usize);
        TxRing { ring: Producer::new(memory, layout), lent, pool, origin, mem_first_id: mem }
    }

    /// Takes back what the tender is done with.
    ///
    /// # Errors
    /// [`Broken`] when its index is out of bounds.
    pub fn reclaim(&mut self) -> Result<(), Broken> {
        let done = self.ring.refresh().map_err(|_| Broken::Index)?;
        self.lent.drain(..done as usize);
        Ok(())
    }

    /// Descriptors that can be written now.
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
        if slice.is_of(&self.pool) {
            return Some(1);
        }
        self.mem_first_id?;
        let (first, last) = self.stride_range(slice);
        Some((last - first + 1) as usize)
    }

    fn stride_range(&self, slice: &Slice) -> (u64, u64) {
        let start = slice.as_ptr() as u64 - self.origin;
        let stride = u64::from(MEM_STRIDE);
        (start / stride, (start + slice.len() as u64 - 1) / stride)
    }

    /// Writes one frame. The caller has made sure that there is [`TxRing::room`] for the sum of
    /// [`TxRing::descriptors`], that it is at most [`MAX_FRAGS`], and that no slice is empty.
    ///
    /// # Panics
    /// When one of these does not hold.
    pub fn push(&mut self, info: TxInfo, frags: impl Iterator<Item = Slice>) {
        let mut frags = frags.peekable();
        let mut first = true;
        let mut written = 0;
        while let Some(slice) = frags.next() {
            let last_slice = frags.peek().is_none();
            let mut at = 0;
            while at < slice.len() {
                let mut desc = self.describe(&slice, at);
                at += usize::from(desc.len);
                if !(last_slice && at == slice.len()) {
                    desc.flags |= Flags::NEXT;
                }
                if core::mem::take(&mut first) {
                    if let Some((start, offset)) = info.csum {
                        desc.flags |= Flags::NEEDS_CSUM;
                        (desc.csum_start, desc.csum_offset) = (start, offset);
                    }
                    if let Some((kind, size)) = info.gso {
                        (desc.gso_type, desc.gso_size) = (kind, size);
                    }
                }
                self.ring.write(desc.encode());
                written += 1;
                self.lent.push_back(if at < slice.len() {
                    slice.clone()
                } else {
                    Slice::default()
                });
            }
            if let Some(lent) = self.lent.back_mut() {
                *lent = slice;
            }
        }
        assert!(written <= MAX_FRAGS, "too many fragments");
    }

    fn describe(&self, slice: &Slice, at: usize) -> Desc {
        let rest = slice.len() - at;
        match slice.buffer() {
            Some((id, offset)) if slice.is_of(&self.pool) => {
                Desc { id, offset: offset as u16, len: rest as u16, ..Desc::default() }
            }
            _ => {
                let Some(first_id) = self.mem_first_id else { panic!("bytes out of reach") };
                let address = slice.as_ptr() as u64 - self.origin + at as u64;
                let offset = (address % u64::from(MEM_STRIDE)) as usize;
                let len = rest.min(MEM_STRIDE as usize - offset).min(usize::from(u16::MAX));
                let id = first_id + (address / u64::from(MEM_STRIDE)) as u32;
                Desc { id, offset: offset as u16, len: len as u16, ..Desc::default() }
            }
        }
    }

    /// Hands over everything written; whether to kick.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Asks to be woken when `entries` are done; [`TxRing::reclaim`] once more before sleeping.
    pub fn arm(&self, entries: u32) {
        self.ring.arm(entries);
    }
}
