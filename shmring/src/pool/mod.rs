//! The packet pool: preallocated buffers, a unique handle to write one ([`PacketBuf`]) and a
//! reference-counted view to read it ([`Slice`]).
//!
//! Metadata is private memory of this side: what a peer can reach holds packet bytes only.

mod buf;
mod free;
#[cfg(all(test, not(miri)))]
mod free_loom;
mod refs;
#[cfg(all(test, not(miri)))]
mod refs_loom;
mod slice;

pub use buf::PacketBuf;
pub use slice::Slice;

use alloc::{boxed::Box, vec::Vec};
use core::{
    alloc::Layout,
    ptr::NonNull,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};
use free::FreeList;
use refs::Refs;

/// Size and number of buffers, in bytes and pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Bytes from one buffer to the next; a multiple of 64.
    pub stride: usize,
    /// Number of buffers, at most 2^20.
    pub count: usize,
    /// Bytes left free in front of the data of a fresh buffer, for headers; up to 192 more where
    /// a frame has room beside them.
    pub headroom: usize,
    /// Buffers that only [`Pool::alloc_reserved`] hands out.
    pub reserve: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig { stride: 2048, count: 1024, headroom: 128, reserve: 32 }
    }
}

impl PoolConfig {
    /// Bytes of the buffers together.
    pub const fn bytes(&self) -> usize {
        self.stride * self.count
    }

    /// Buffers start at the same few cache sets, as their stride is a power of two: headers that
    /// are built in many of them would evict each other. Where there is room beside a frame,
    /// headroom varies by up to three cache lines.
    fn shades(&self) -> usize {
        const SHADES: usize = 3 * CACHE_LINE;
        if self.stride - self.headroom >= FRAME + SHADES { SHADES } else { 0 }
    }

    fn check(&self) {
        assert!(self.stride.is_multiple_of(64) && self.stride <= 1 << 16, "stride");
        assert!(self.count > 0 && self.count <= free::MAX, "count");
        assert!(self.headroom < self.stride && self.reserve < self.count, "headroom or reserve");
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

/// What every reference-counted owner of bytes starts with.
#[repr(C)]
struct Header {
    refs: Refs,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A buffer of a pool whose handles may go to other threads.
    Pool,
    /// A buffer of a pool that stays on one thread.
    Confined,
    /// Bytes of somebody else.
    Owned,
}

impl Header {
    #[inline]
    fn retain(&self) {
        self.refs.retain(self.kind == Kind::Confined);
    }

    /// One reference less; whether it was the last.
    #[inline]
    fn release(&self) -> bool {
        self.refs.release(self.kind == Kind::Confined)
    }
}

/// One buffer's private state; [`Header`] comes first so that a slice finds it by one pointer. Each
/// has a cache line of its own: neighbours may be with different threads.
#[repr(C, align(64))]
struct Meta {
    header: Header,
    index: u32,
    next: AtomicU32,
    pool: NonNull<Inner>,
    data: NonNull<u8>,
    charge: AtomicPtr<Account>,
}

/// The free list on cache lines of its own: the rest is only read.
#[repr(align(128))]
struct Padded(FreeList);

impl core::ops::Deref for Padded {
    type Target = FreeList;
    #[inline]
    fn deref(&self) -> &FreeList {
        &self.0
    }
}

struct Inner {
    config: PoolConfig,
    base: NonNull<u8>,
    owns_memory: bool,
    confined: bool,
    /// Bits of a buffer's index, in cache lines, by which its headroom is larger.
    shades: usize,
    metas: Box<[Meta]>,
    free: Padded,
    /// Wide enough that no number of forgotten clones brings it round.
    handles: AtomicUsize,
    refused: AtomicU64,
}

/// Who holds delivered buffers: a connection charges its receive window by the buffers that its
/// application has not dropped yet, whatever their fill.
#[derive(Debug, Default)]
pub struct Account(AtomicUsize);

impl Account {
    /// The handle's reference in the count.
    const HANDLE: usize = 1;
    /// That of a buffer.
    const HELD: usize = 2;
}

/// A handle to an [`Account`].
#[derive(Debug)]
pub struct Charge(NonNull<Account>);

// SAFETY: an account is only atomics and is freed by its last reference.
unsafe impl Send for Charge {}
// SAFETY: as above.
unsafe impl Sync for Charge {}

impl Charge {
    /// A fresh account that holds nothing.
    pub fn new() -> Charge {
        let account = Account(AtomicUsize::new(Account::HANDLE));
        Charge(NonNull::from(Box::leak(Box::new(account))))
    }

    /// Buffers charged and not dropped yet.
    pub fn held(&self) -> usize {
        // SAFETY: this handle keeps the account alive.
        unsafe { self.0.as_ref() }.0.load(Ordering::Relaxed) / Account::HELD
    }
}

impl Default for Charge {
    fn default() -> Self {
        Charge::new()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        release_account(self.0, Account::HANDLE, false);
    }
}

#[inline]
fn release_account(account: NonNull<Account>, reference: usize, alone: bool) {
    // SAFETY: the caller gives up one reference, which kept the account alive until here.
    let count = unsafe { &account.as_ref().0 };
    let before = if alone {
        let before = count.load(Ordering::Relaxed);
        count.store(before - reference, Ordering::Relaxed);
        before
    } else {
        count.fetch_sub(reference, Ordering::AcqRel)
    };
    if before == reference {
        // SAFETY: the last reference is gone, and the account came from a Box.
        drop(unsafe { Box::from_raw(account.as_ptr()) });
    }
}

/// A handle to a pool; clones name the same pool. The memory lives until the last handle and the
/// last slice are gone.
pub struct Pool(NonNull<Inner>);

// SAFETY: the pool's state is atomics; buffers are handed to one owner at a time.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

const ALIGN: usize = 4096;
const CACHE_LINE: usize = 64;
/// Bytes of a frame on Ethernet, with VLAN tags.
const FRAME: usize = 1522;

impl Pool {
    /// A pool in zeroed memory of the allocator, page-aligned.
    ///
    /// # Panics
    /// When the configuration is out of its stated bounds.
    pub fn heap(config: PoolConfig) -> Pool {
        Pool::heap_of(config, Kind::Pool)
    }

    /// Likewise, for one thread: no instruction is locked, which halves the cost of a buffer.
    ///
    /// # Safety
    /// Every handle, buffer, slice and `Bytes` of the pool, every [`Charge`] that one of its buffers
    /// is charged to, and what else is charged to that, stays on the thread that made it.
    ///
    /// # Panics
    /// As [`Pool::heap`].
    pub unsafe fn heap_confined(config: PoolConfig) -> Pool {
        Pool::heap_of(config, Kind::Confined)
    }

    fn heap_of(config: PoolConfig, kind: Kind) -> Pool {
        config.check();
        let layout = Layout::from_size_align(config.bytes(), ALIGN).expect("size");
        // SAFETY: the size is not zero.
        let base = unsafe { alloc::alloc::alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { alloc::alloc::handle_alloc_error(layout) };
        Pool::build(config, base, true, kind)
    }

    /// A pool in memory that the caller provides, which also a peer may reach.
    ///
    /// # Safety
    /// `config.bytes()` bytes from `base` must stay valid for ever, be used by nobody else on this
    /// side, and the peer must keep the rings' protocol: it touches a buffer only while it owns it.
    pub unsafe fn from_raw(config: PoolConfig, base: NonNull<u8>) -> Pool {
        config.check();
        Pool::build(config, base, false, Kind::Pool)
    }

    /// Likewise, for one thread: no instruction is locked, which halves the cost of a buffer. It is
    /// the pool of a unikernel, which has no other thread.
    ///
    /// # Safety
    /// As [`Pool::from_raw`], and what [`Pool::heap_confined`] asks for.
    pub unsafe fn from_raw_confined(config: PoolConfig, base: NonNull<u8>) -> Pool {
        config.check();
        Pool::build(config, base, false, Kind::Confined)
    }

    fn build(config: PoolConfig, base: NonNull<u8>, owns_memory: bool, kind: Kind) -> Pool {
        let inner = Box::leak(Box::new(Inner {
            config,
            base,
            owns_memory,
            confined: kind == Kind::Confined,
            shades: config.shades(),
            metas: Box::new([]),
            free: Padded(FreeList::new()),
            handles: AtomicUsize::new(1),
            refused: AtomicU64::new(0),
        }));
        // All later accesses go through this one pointer, which the metadata has too.
        let pool = NonNull::from(inner);
        let metas: Vec<Meta> = (0..config.count)
            .map(|i| Meta {
                header: Header { refs: Refs::new(0), kind },
                index: i as u32,
                next: AtomicU32::new(0),
                pool,
                // SAFETY: i * stride lies inside the memory.
                data: unsafe { base.add(i * config.stride) },
                charge: AtomicPtr::new(core::ptr::null_mut()),
            })
            .collect();
        // SAFETY: nobody else knows the pool yet.
        unsafe { (*pool.as_ptr()).metas = metas.into_boxed_slice() };
        // SAFETY: as above; from here on it is only shared.
        let inner = unsafe { pool.as_ref() };
        for i in (0..config.count).rev() {
            inner.free.push(i, |next| inner.metas[i].next.store(next, Ordering::Relaxed));
        }
        Pool(pool)
    }

    #[inline]
    fn inner(&self) -> &Inner {
        // SAFETY: a handle keeps the pool alive.
        unsafe { self.0.as_ref() }
    }

    /// A buffer with the configured headroom and no data; `None` when only the reserve is left.
    #[inline]
    pub fn alloc(&self) -> Option<PacketBuf> {
        self.buffer(self.take(self.inner().config.reserve)?)
    }

    /// Like [`Pool::alloc`], and from the reserve too: for what must go out (ACK, RST, ARP).
    #[inline]
    pub fn alloc_reserved(&self) -> Option<PacketBuf> {
        self.buffer(self.take(0)?)
    }

    /// A fresh buffer. Made apart from [`Pool::take`], so that it need not pass through memory.
    #[inline]
    fn buffer(&self, meta: NonNull<Meta>) -> Option<PacketBuf> {
        let inner = self.inner();
        // SAFETY: the pool is alive.
        let index = unsafe { meta.as_ref() }.index as usize;
        let shade = (index * CACHE_LINE) & inner.shades;
        Some(PacketBuf::new(meta, inner.config.headroom + shade))
    }

    #[inline]
    fn take(&self, keep: usize) -> Option<NonNull<Meta>> {
        let inner = self.inner();
        let next_of = |i: usize| inner.metas[i].next.load(Ordering::Relaxed);
        let taken = if inner.confined {
            inner.free.pop_alone(keep, next_of)
        } else {
            inner.free.pop(keep, next_of)
        };
        let Some(index) = taken else {
            inner.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let meta = &inner.metas[index];
        meta.header.refs.set_one();
        Some(NonNull::from(meta))
    }

    /// The configuration that the pool was made with.
    pub fn config(&self) -> PoolConfig {
        self.inner().config
    }

    /// Address of buffer 0.
    pub fn base(&self) -> NonNull<u8> {
        self.inner().base
    }

    /// The accounting now.
    pub fn stats(&self) -> PoolStats {
        let inner = self.inner();
        PoolStats {
            total: inner.config.count,
            free: inner.free.len(),
            refused: inner.refused.load(Ordering::Relaxed),
        }
    }

    /// Buffers that [`Pool::alloc`] would still hand out.
    pub fn available(&self) -> usize {
        let inner = self.inner();
        inner.free.len().saturating_sub(inner.config.reserve)
    }
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Pool").field(&self.config()).field(&self.stats()).finish()
    }
}

impl Clone for Pool {
    fn clone(&self) -> Self {
        self.inner().handles.fetch_add(1, Ordering::Relaxed);
        Pool(self.0)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.inner().handles.fetch_sub(1, Ordering::AcqRel) == 1
            && self.inner().free.orphan(self.inner().config.count)
        {
            // SAFETY: no handle and no buffer is out, and only one caller is told so.
            unsafe { destroy(self.0) };
        }
    }
}

/// Frees a pool.
///
/// # Safety
/// Nothing may use the pool any more.
unsafe fn destroy(pool: NonNull<Inner>) {
    // SAFETY: the pool came from a Box, and the caller is its last user.
    let inner = unsafe { Box::from_raw(pool.as_ptr()) };
    if inner.owns_memory {
        let layout = Layout::from_size_align(inner.config.bytes(), ALIGN).expect("size");
        // SAFETY: allocated with this layout in `Pool::heap`.
        unsafe { alloc::alloc::dealloc(inner.base.as_ptr(), layout) };
    }
}

/// Gives a buffer back to its pool.
///
/// # Safety
/// The caller held its last reference.
unsafe fn recycle(meta: NonNull<Meta>) {
    // SAFETY: the buffer being out keeps its pool alive.
    let (pool, index) = unsafe { (meta.as_ref().pool, meta.as_ref().index as usize) };
    // SAFETY: as above.
    let charge = unsafe { &meta.as_ref().charge };
    if let Some(account) = NonNull::new(charge.load(Ordering::Relaxed)) {
        charge.store(core::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: as above.
        let alone = unsafe { pool.as_ref() }.confined;
        release_account(account, Account::HELD, alone);
    }
    // SAFETY: as above; after the push the pool may be gone, so nothing touches it then.
    let last = unsafe {
        let inner = pool.as_ref();
        let count = inner.config.count;
        let link = |next| meta.as_ref().next.store(next, Ordering::Relaxed);
        let free = if inner.confined {
            inner.free.push_alone(index, link)
        } else {
            inner.free.push(index, link)
        };
        free.orphaned && free.len == count
    };
    if last {
        // SAFETY: the pool has no handle, and this was the last buffer.
        unsafe { destroy(pool) };
    }
}

#[cfg(test)]
mod tests;
