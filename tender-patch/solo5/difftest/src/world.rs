//! Guest memory in this process: a region at its start, the pools' buffers behind.

use shmring::{Pool, PoolConfig, memory::RawMemory, tender::Span};
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ptr::NonNull,
};

/// A guest's memory, from the heap so that a sanitizer knows its bounds.
#[derive(Debug)]
pub struct World {
    base: NonNull<u8>,
}

// SAFETY: a world is memory; whoever reaches it from two threads does so by the rings' protocol.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

impl World {
    /// Bytes of memory.
    pub const SIZE: usize = 1 << 19;
    /// Bytes in front of the pool, for regions.
    pub const POOL: usize = 1 << 16;
    /// Buffers of the pool, and bytes of each.
    pub const BUFFERS: (usize, usize) = (128, 2048);
    /// Bytes in front of the pool of large buffers.
    pub const LARGE_POOL: usize = Self::POOL + Self::BUFFERS.0 * Self::BUFFERS.1;
    /// Large buffers, to the end of memory, and bytes of each.
    pub const LARGE: (usize, usize) = ((Self::SIZE - Self::LARGE_POOL) >> 16, 1 << 16);

    const LAYOUT: Layout = match Layout::from_size_align(Self::SIZE, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("a page is a power of two"),
    };

    /// Zeroed memory.
    pub fn new() -> World {
        // SAFETY: the size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(Self::LAYOUT) });
        World { base: base.expect("out of memory") }
    }

    /// The host's address of the first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The first `len` bytes as words.
    pub fn words(&self, len: u64) -> RawMemory {
        assert!(len <= Self::SIZE as u64);
        // SAFETY: every test keeps its world until its rings are gone, and reaches a region by
        // words alone.
        unsafe { RawMemory::new(self.base, len) }
    }

    /// The pool of a guest that lives here.
    pub fn pool(&self) -> Pool {
        let (count, stride) = Self::BUFFERS;
        let config = PoolConfig { count, stride, reserve: 4, ..PoolConfig::default() };
        // SAFETY: the pool's bytes lie behind the region and inside the world, which outlives it.
        unsafe { Pool::from_raw(config, self.base.add(Self::POOL)) }
    }

    /// Its pool of large buffers.
    pub fn large_pool(&self) -> Pool {
        let (count, stride) = Self::LARGE;
        let config = PoolConfig { count, stride, headroom: 0, reserve: 0 };
        // SAFETY: as above, behind the other pool.
        unsafe { Pool::from_raw(config, self.base.add(Self::LARGE_POOL)) }
    }

    /// A copy of the bytes of `span`, as a kernel would read them.
    pub fn read(&self, span: Span) -> Vec<u8> {
        let at = self.check(span);
        // SAFETY: inside the world, and lent to the tender's side by the protocol.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), span.len as usize) }.to_vec()
    }

    /// Writes to `span`, as a kernel would.
    pub fn write(&self, span: Span, bytes: &[u8]) {
        let at = self.check(Span { len: bytes.len() as u32, ..span });
        assert!(bytes.len() <= span.len as usize);
        // SAFETY: inside the world, and lent to the tender's side by the protocol.
        unsafe { at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) }
    }

    fn check(&self, span: Span) -> NonNull<u8> {
        let end = span.address + u64::from(span.len);
        assert!(end <= Self::SIZE as u64, "{span:?} is outside guest memory");
        // SAFETY: inside the world, as just checked.
        unsafe { self.base.add(span.address as usize) }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.base.as_ptr(), Self::LAYOUT) }
    }
}
