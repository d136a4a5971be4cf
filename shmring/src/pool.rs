//! The packet pool: preallocated buffers, a unique handle to write one ([`PacketBuf`]) and a
//! shared, reference-counted view to read it ([`Slice`]).

use alloc::{sync::Arc, vec::Vec};
use bytes::{Buf, Bytes};
use core::{
    ops::{Deref, DerefMut, Range},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Size and number of buffers, in bytes and pieces.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Bytes from one buffer to the next.
    pub stride: usize,
    /// Number of buffers.
    pub count: usize,
    /// Bytes left free in front of the data of a fresh buffer, for headers.
    pub headroom: usize,
    /// Buffers that only [`Pool::alloc_reserved`] hands out.
    pub reserve: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig {
            stride: 2048,
            count: 1024,
            headroom: 128,
            reserve: 32,
        }
    }
}

/// A snapshot of a pool's accounting, in buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// All buffers of the pool.
    pub total: usize,
    /// Buffers in the free list.
    pub free: usize,
    /// Allocations refused because the pool was empty.
    pub refused: u64,
}

struct Inner {
    config: PoolConfig,
    used: AtomicUsize,
}

/// A handle to a pool; clones name the same pool.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

impl Pool {
    /// A pool in memory of the allocator.
    pub fn heap(config: PoolConfig) -> Pool {
        Pool(Arc::new(Inner {
            config,
            used: AtomicUsize::new(0),
        }))
    }

    /// A buffer with the configured headroom and no data; `None` when only the reserve is left.
    pub fn alloc(&self) -> Option<PacketBuf> {
        self.take(self.0.config.count - self.0.config.reserve)
    }

    /// Like [`Pool::alloc`], and from the reserve too: for what must go out (ACK, RST, ARP).
    pub fn alloc_reserved(&self) -> Option<PacketBuf> {
        self.take(self.0.config.count)
    }

    fn take(&self, limit: usize) -> Option<PacketBuf> {
        if self.0.used.load(Ordering::Relaxed) >= limit {
            return None;
        }
        self.0.used.fetch_add(1, Ordering::Relaxed);
        let config = self.0.config;
        let memory = Memory {
            bytes: alloc::vec![0; config.stride],
            pool: self.0.clone(),
        };
        Some(PacketBuf {
            memory,
            head: config.headroom,
            tail: config.headroom,
        })
    }

    /// The configuration that the pool was made with.
    pub fn config(&self) -> PoolConfig {
        self.0.config
    }

    /// The accounting now.
    pub fn stats(&self) -> PoolStats {
        let total = self.0.config.count;
        PoolStats {
            total,
            free: total - self.0.used.load(Ordering::Relaxed),
            refused: 0,
        }
    }
}

struct Memory {
    bytes: Vec<u8>,
    pool: Arc<Inner>,
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A pool buffer that one owner may write. It derefs to its data, which lies between headroom and
/// tailroom.
pub struct PacketBuf {
    memory: Memory,
    head: usize,
    tail: usize,
}

impl PacketBuf {
    /// Free bytes in front of the data.
    pub fn headroom(&self) -> usize {
        self.head
    }

    /// Free bytes behind the data.
    pub fn tailroom(&self) -> usize {
        self.memory.bytes.len() - self.tail
    }

    /// Grows the data by `n` bytes at the front and returns them.
    ///
    /// # Panics
    /// When `n` is over [`PacketBuf::headroom`].
    pub fn prepend(&mut self, n: usize) -> &mut [u8] {
        assert!(n <= self.head);
        self.head -= n;
        &mut self.memory.bytes[self.head..self.head + n]
    }

    /// Grows the data by `n` bytes at the end and returns them.
    ///
    /// # Panics
    /// When `n` is over [`PacketBuf::tailroom`].
    pub fn append(&mut self, n: usize) -> &mut [u8] {
        assert!(n <= self.tailroom());
        self.tail += n;
        &mut self.memory.bytes[self.tail - n..self.tail]
    }

    /// Keeps the first `n` bytes of the data.
    pub fn truncate(&mut self, n: usize) {
        self.tail = self.tail.min(self.head + n);
    }

    /// Drops the first `n` bytes of the data; they become headroom.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len());
        self.head += n;
    }

    /// Ends writing: the data as a slice that can be shared.
    pub fn freeze(self) -> Slice {
        Slice(Bytes::from_owner(self.memory).slice(self.head..self.tail))
    }
}

impl Deref for PacketBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory.bytes[self.head..self.tail]
    }
}

impl DerefMut for PacketBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes[self.head..self.tail]
    }
}

/// A reference-counted view of bytes that nobody writes: part of a pool buffer, of a static page,
/// or of a [`Bytes`]. Clones and splits copy no byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice(Bytes);

impl Slice {
    /// A view of static memory.
    pub const fn from_static(bytes: &'static [u8]) -> Slice {
        Slice(Bytes::from_static(bytes))
    }

    /// The bytes of `range`, sharing the buffer.
    ///
    /// # Panics
    /// When the range is not inside the slice.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        Slice(self.0.slice(range))
    }

    /// Splits after `n` bytes: returns the first part and keeps the rest.
    ///
    /// # Panics
    /// When `n` is over the length.
    pub fn split_to(&mut self, n: usize) -> Slice {
        Slice(self.0.split_to(n))
    }

    /// Keeps the first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        self.0.truncate(n)
    }

    /// The buffer for writing, when this is a pool buffer's only view.
    ///
    /// # Errors
    /// The slice itself, when it is shared or not of a pool.
    pub fn try_into_mut(self) -> Result<PacketBuf, Slice> {
        Err(self)
    }
}

impl Deref for Slice {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Buf for Slice {
    fn remaining(&self) -> usize {
        self.0.len()
    }
    fn chunk(&self) -> &[u8] {
        &self.0
    }
    fn advance(&mut self, n: usize) {
        self.0.advance(n)
    }
    fn copy_to_bytes(&mut self, n: usize) -> Bytes {
        self.0.split_to(n)
    }
}

impl From<Bytes> for Slice {
    fn from(bytes: Bytes) -> Slice {
        Slice(bytes)
    }
}

impl From<Slice> for Bytes {
    fn from(slice: Slice) -> Bytes {
        slice.0
    }
}

impl From<Vec<u8>> for Slice {
    fn from(bytes: Vec<u8>) -> Slice {
        Slice(bytes.into())
    }
}

impl From<&'static [u8]> for Slice {
    fn from(bytes: &'static [u8]) -> Slice {
        Slice::from_static(bytes)
    }
}

impl From<&'static str> for Slice {
    fn from(text: &'static str) -> Slice {
        Slice::from_static(text.as_bytes())
    }
}
