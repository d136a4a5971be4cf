//! A view of bytes that nobody writes.

use super::{Account, Charge, Header, Kind, Meta, PacketBuf, recycle, refs::Refs};
use alloc::{boxed::Box, vec::Vec};
use bytes::{Buf, Bytes};
use core::{
    fmt,
    mem::ManuallyDrop,
    ops::{Deref, Range},
    ptr::NonNull,
    sync::atomic::Ordering,
};

#[repr(C)]
struct Owned {
    header: Header,
    bytes: Bytes,
}

/// A reference-counted view of bytes that nobody writes: part of a pool buffer, of a static page,
/// or of a [`Bytes`]. Clones and splits copy no byte; a pool buffer goes back to its pool when its
/// last slice is dropped, on whatever thread.
pub struct Slice {
    ptr: NonNull<u8>,
    len: usize,
    owner: Option<NonNull<Header>>,
}

// SAFETY: the bytes are not written while shared, and the count is atomic.
unsafe impl Send for Slice {}
// SAFETY: as above.
unsafe impl Sync for Slice {}

impl Slice {
    /// A view of static memory.
    pub const fn from_static(bytes: &'static [u8]) -> Slice {
        // SAFETY: a reference is never null.
        let ptr = unsafe { NonNull::new_unchecked(bytes.as_ptr().cast_mut()) };
        Slice { ptr, len: bytes.len(), owner: None }
    }

    /// # Safety
    /// Takes over one reference to `meta`; `offset + len` must lie in the buffer.
    #[inline]
    pub(super) unsafe fn of_buffer(meta: NonNull<Meta>, offset: usize, len: usize) -> Slice {
        // SAFETY: the caller's reference keeps the metadata alive, the range is inside.
        let ptr = unsafe { meta.as_ref().data.add(offset) };
        Slice { ptr, len, owner: Some(meta.cast()) }
    }

    #[inline]
    fn header(&self) -> Option<&Header> {
        // SAFETY: this slice holds a reference to its owner.
        self.owner.map(|owner| unsafe { owner.as_ref() })
    }

    #[inline]
    fn meta(&self) -> Option<&Meta> {
        let owner = self.owner?;
        // SAFETY: this slice holds a reference, and the kind tells what the header starts.
        unsafe { (owner.as_ref().kind != Kind::Owned).then(|| owner.cast::<Meta>().as_ref()) }
    }

    /// The pool buffer that the bytes lie in: its index, and the offset of the first byte.
    #[inline]
    pub fn buffer(&self) -> Option<(u32, usize)> {
        let meta = self.meta()?;
        Some((meta.index, self.ptr.as_ptr() as usize - meta.data.as_ptr() as usize))
    }

    /// Whether the bytes lie in a buffer of the pool whose buffer 0 is at `base`.
    #[inline]
    pub fn is_of(&self, pool: &super::Pool) -> bool {
        self.meta().is_some_and(|meta| meta.pool == pool.0)
    }

    /// Bytes of memory that this slice keeps from being reused.
    #[inline]
    pub fn pinned(&self) -> usize {
        match self.meta() {
            // SAFETY: a buffer that is out keeps its pool alive.
            Some(meta) => unsafe { meta.pool.as_ref() }.config.stride,
            None => self.len,
        }
    }

    /// Charges the buffer to `account` until its last slice is dropped; a buffer that is not of a
    /// pool, or is charged already, stays as it is.
    #[inline]
    pub fn charge(&self, account: &Charge) {
        let Some(meta) = self.meta() else { return };
        let new: *mut Account = account.0.as_ptr();
        let free = core::ptr::null_mut();
        // SAFETY: the handle keeps the account alive.
        let count = unsafe { &account.0.as_ref().0 };
        if meta.header.kind == Kind::Confined {
            if meta.charge.load(Ordering::Relaxed).is_null() {
                meta.charge.store(new, Ordering::Relaxed);
                count.store(count.load(Ordering::Relaxed) + Account::HELD, Ordering::Relaxed);
            }
        } else if meta
            .charge
            .compare_exchange(free, new, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            // The charge takes a reference of its own.
            count.fetch_add(Account::HELD, Ordering::Relaxed);
        }
    }

    /// The bytes of `range`, sharing the buffer.
    ///
    /// # Panics
    /// When the range is not inside the slice.
    #[inline]
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len, "range out of the slice");
        let mut part = self.clone();
        // SAFETY: the start lies inside the slice.
        part.ptr = unsafe { part.ptr.add(range.start) };
        part.len = range.end - range.start;
        part
    }

    /// Splits after `n` bytes: returns the first part and keeps the rest.
    ///
    /// # Panics
    /// When `n` is over the length.
    #[inline]
    pub fn split_to(&mut self, n: usize) -> Slice {
        let first = self.slice(0..n);
        self.advance(n);
        first
    }

    /// Splits after `n` bytes: keeps the first part and returns the rest.
    ///
    /// # Panics
    /// When `n` is over the length.
    #[inline]
    pub fn split_off(&mut self, n: usize) -> Slice {
        let rest = self.slice(n..self.len);
        self.len = n;
        rest
    }

    /// Keeps the first `n` bytes.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n);
    }

    /// Joins `next` to the end when its bytes follow in the same buffer.
    ///
    /// # Errors
    /// `next` itself when they do not.
    pub fn try_join(&mut self, next: Slice) -> Result<(), Slice> {
        if self.owner.is_some() && self.owner == next.owner {
            // SAFETY: one past the slice's end is at most one past its buffer's end.
            let end = unsafe { self.ptr.add(self.len) };
            if end == next.ptr {
                self.len += next.len;
                return Ok(());
            }
        }
        Err(next)
    }

    /// The buffer for writing, with what lies around the slice as head- and tailroom, when this is
    /// a pool buffer's only view.
    ///
    /// # Errors
    /// The slice itself, when it is shared or not of a pool.
    pub fn try_into_mut(self) -> Result<PacketBuf, Slice> {
        let Some((_, offset)) = self.buffer() else {
            return Err(self);
        };
        if self.header().is_none_or(|h| !h.refs.is_one()) {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        let Some(owner) = this.owner else { unreachable!("a pool buffer has an owner") };
        Ok(PacketBuf::with_range(owner.cast(), offset, offset + this.len))
    }
}

impl Clone for Slice {
    #[inline]
    fn clone(&self) -> Slice {
        if let Some(header) = self.header() {
            header.retain();
        }
        Slice { ptr: self.ptr, len: self.len, owner: self.owner }
    }
}

impl Drop for Slice {
    #[inline]
    fn drop(&mut self) {
        let Some(owner) = self.owner else { return };
        // SAFETY: this slice's reference keeps the owner alive until it is given up here.
        let (kind, last) = unsafe { (owner.as_ref().kind, owner.as_ref().release()) };
        if !last {
            return;
        }
        match kind {
            // SAFETY: that was the last reference.
            Kind::Pool | Kind::Confined => unsafe { recycle(owner.cast()) },
            // SAFETY: likewise, and the owner came from a Box in `From<Bytes>`.
            Kind::Owned => unsafe { drop(Box::from_raw(owner.cast::<Owned>().as_ptr())) },
        }
    }
}

impl Deref for Slice {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the owner keeps the bytes alive, and nobody writes them while a slice exists.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Slice {
    fn default() -> Slice {
        Slice::from_static(&[])
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Slice) -> bool {
        **self == **other
    }
}

impl Eq for Slice {}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.buffer() {
            Some((index, offset)) => write!(f, "Slice #{index} +{offset} len {}", self.len),
            None => write!(f, "Slice len {}", self.len),
        }
    }
}

impl Buf for Slice {
    #[inline]
    fn remaining(&self) -> usize {
        self.len
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self
    }

    #[inline]
    fn advance(&mut self, n: usize) {
        assert!(n <= self.len, "advance over the end");
        // SAFETY: n is inside the slice.
        self.ptr = unsafe { self.ptr.add(n) };
        self.len -= n;
    }

    fn copy_to_bytes(&mut self, n: usize) -> Bytes {
        self.split_to(n).into()
    }
}

impl From<Bytes> for Slice {
    fn from(bytes: Bytes) -> Slice {
        let (ptr, len) = (bytes.as_ptr().cast_mut(), bytes.len());
        if len == 0 {
            return Slice::default();
        }
        let header = Header { refs: Refs::new(1), kind: Kind::Owned };
        let owner = NonNull::from(Box::leak(Box::new(Owned { header, bytes })));
        // SAFETY: the pointer of a non-empty `Bytes` is not null.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        Slice { ptr, len, owner: Some(owner.cast()) }
    }
}

impl From<Slice> for Bytes {
    /// Copies nothing; the buffer stays out of its pool until the last `Bytes` is gone.
    fn from(slice: Slice) -> Bytes {
        if slice.is_empty() { Bytes::new() } else { Bytes::from_owner(slice) }
    }
}

impl From<Vec<u8>> for Slice {
    fn from(bytes: Vec<u8>) -> Slice {
        Bytes::from(bytes).into()
    }
}

impl From<&'static [u8]> for Slice {
    fn from(bytes: &'static [u8]) -> Slice {
        Slice::from_static(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Slice {
    fn from(bytes: &'static [u8; N]) -> Slice {
        Slice::from_static(bytes)
    }
}

impl From<&'static str> for Slice {
    fn from(text: &'static str) -> Slice {
        Slice::from_static(text.as_bytes())
    }
}
