//! A buffer that one owner writes.

use super::{Meta, Slice, recycle};
use core::{
    fmt,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// A pool buffer that one owner may write. It derefs to its data, which lies between headroom and
/// tailroom.
pub struct PacketBuf {
    meta: NonNull<Meta>,
    head: u32,
    tail: u32,
}

// SAFETY: the buffer has this one owner.
unsafe impl Send for PacketBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for PacketBuf {}

impl PacketBuf {
    #[inline]
    pub(super) fn new(meta: NonNull<Meta>, headroom: usize) -> PacketBuf {
        PacketBuf { meta, head: headroom as u32, tail: headroom as u32 }
    }

    pub(super) fn with_range(meta: NonNull<Meta>, head: usize, tail: usize) -> PacketBuf {
        PacketBuf { meta, head: head as u32, tail: tail as u32 }
    }

    #[inline]
    fn meta(&self) -> &Meta {
        // SAFETY: the buffer being out keeps its pool and metadata alive.
        unsafe { self.meta.as_ref() }
    }

    #[inline]
    fn stride(&self) -> usize {
        // SAFETY: as in `meta`.
        unsafe { self.meta().pool.as_ref() }.config.stride
    }

    /// The buffer's index in its pool.
    #[inline]
    pub fn index(&self) -> u32 {
        self.meta().index
    }

    /// Free bytes in front of the data.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.head as usize
    }

    /// Free bytes behind the data.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.stride() - self.tail as usize
    }

    /// Drops the data and leaves `headroom` free bytes in front.
    ///
    /// # Panics
    /// When `headroom` is over the buffer's size.
    #[inline]
    pub fn reset(&mut self, headroom: usize) {
        assert!(headroom <= self.stride());
        self.head = headroom as u32;
        self.tail = self.head;
    }

    /// Grows the data by `n` bytes at the front and returns them.
    ///
    /// # Panics
    /// When `n` is over [`PacketBuf::headroom`].
    #[inline(always)]
    pub fn prepend(&mut self, n: usize) -> &mut [u8] {
        assert!(n <= self.head as usize, "no headroom");
        self.head -= n as u32;
        &mut self[..n]
    }

    /// Grows the data by `n` bytes at the end and returns them; their content is whatever the
    /// buffer held.
    ///
    /// # Panics
    /// When `n` is over [`PacketBuf::tailroom`].
    #[inline(always)]
    pub fn append(&mut self, n: usize) -> &mut [u8] {
        assert!(n <= self.tailroom(), "no tailroom");
        let at = self.len();
        self.tail += n as u32;
        &mut self[at..]
    }

    /// Keeps the first `n` bytes of the data.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        if n < self.len() {
            self.tail = self.head + n as u32;
        }
    }

    /// Drops the first `n` bytes of the data; they become headroom.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len());
        self.head += n as u32;
    }

    /// Ends writing: the data as a slice that can be shared.
    #[inline]
    pub fn freeze(self) -> Slice {
        let this = ManuallyDrop::new(self);
        // SAFETY: the slice takes over this handle's reference; head..tail lies in the buffer.
        unsafe { Slice::of_buffer(this.meta, this.head as usize, this.len()) }
    }
}

impl Deref for PacketBuf {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        let len = (self.tail - self.head) as usize;
        // SAFETY: head <= tail <= stride; this owner is the only one to touch the buffer.
        unsafe {
            core::slice::from_raw_parts(self.meta().data.as_ptr().add(self.head as usize), len)
        }
    }
}

impl DerefMut for PacketBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = (self.tail - self.head) as usize;
        // SAFETY: as in `deref`, and `self` is borrowed uniquely.
        unsafe {
            core::slice::from_raw_parts_mut(self.meta().data.as_ptr().add(self.head as usize), len)
        }
    }
}

impl Drop for PacketBuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a buffer being written has one reference, this one.
        unsafe { recycle(self.meta) };
    }
}

impl fmt::Debug for PacketBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketBuf #{} {}..{}", self.index(), self.head, self.tail)
    }
}
