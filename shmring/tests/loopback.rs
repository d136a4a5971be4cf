//! Both sides in one process, over one region: frames arrive whole, in order, and every buffer is
//! in one place.

use shmring::{
    Pool, PoolConfig, Slice,
    abi::{Features, gso},
    guest::{Region, RegionConfig, TxInfo},
    memory::RawMemory,
    tender::{self, Limits, Violation, attach},
};
use std::{alloc, ptr::NonNull};

/// Guest memory: a region in the first pages, the pool behind it.
struct World {
    base: NonNull<u8>,
    layout: alloc::Layout,
}

const MEMORY: usize = 1 << 20;
const POOL_AT: usize = 0x10000;

impl World {
    fn new() -> World {
        let layout = alloc::Layout::from_size_align(MEMORY, 4096).unwrap();
        // SAFETY: the size is not zero.
        let base = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).unwrap();
        World { base, layout }
    }

    fn words(&self) -> RawMemory {
        let len = config(self.origin()).size();
        // SAFETY: the world outlives the rings of a test, and the region is only reached by words.
        unsafe { RawMemory::new(self.base, len) }
    }

    fn origin(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    fn pool(&self) -> Pool {
        let config = PoolConfig { count: 128, reserve: 4, ..PoolConfig::default() };
        // SAFETY: the pool's bytes lie behind the region and inside the world.
        unsafe { Pool::from_raw(config, self.base.add(POOL_AT)) }
    }

    /// What the tender's kernel would read or write.
    #[expect(clippy::mut_from_ref, reason = "as a kernel would reach it")]
    fn bytes(&self, span: tender::Span) -> &mut [u8] {
        assert!(span.address + u64::from(span.len) <= MEMORY as u64);
        // SAFETY: inside the world; the buffer is the tender's by the protocol.
        unsafe {
            let at = self.base.as_ptr().add(span.address as usize);
            std::slice::from_raw_parts_mut(at, span.len as usize)
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { alloc::dealloc(self.base.as_ptr(), self.layout) }
    }
}

fn config(origin: u64) -> RegionConfig {
    RegionConfig {
        pairs: 1,
        entries: 64,
        offered: Features::all(),
        accepted: Features::all() - Features::STATS - Features::MEM_CLASS,
        origin,
        mem: None,
        stats: None,
    }
}

fn limits() -> Limits {
    Limits { offered: Features::all(), max_pairs: 1, memory: MEMORY as u64 }
}

fn frame(pool: &Pool, data: &[u8]) -> Slice {
    let mut buf = pool.alloc().unwrap();
    buf.append(data.len()).copy_from_slice(data);
    buf.freeze()
}

#[test]
fn frames_travel_both_ways_and_every_buffer_comes_back() {
    let world = World::new();
    let pool = world.pool();
    let (mut tx, mut rx) =
        Region::build(world.words(), &config(world.origin()), &pool).pairs.remove(0);
    let mut attached = attach(world.words(), &limits()).unwrap();
    let pair = &mut attached.pairs[0];
    let _ = rx.refill(40).unwrap();
    for round in 0..1000usize {
        tx.reclaim().unwrap();
        let payload = vec![round as u8; 1 + round % 1400];
        let info = TxInfo { csum: Some((20, 16)), gso: Some((gso::TCPV4, 1448)) };
        tx.push(info, [frame(&pool, &[7; 54]), frame(&pool, &payload)].into_iter());
        let _ = tx.publish();

        assert_eq!(pair.tx.refresh().unwrap(), 2);
        let sent = pair.tx.next().unwrap().unwrap().clone();
        assert_eq!((sent.csum, sent.gso), (Some((20, 16)), Some((gso::TCPV4, 1448))));
        let bytes: Vec<u8> =
            sent.spans().iter().flat_map(|span| world.bytes(*span).to_vec()).collect();
        assert!(pair.tx.next().unwrap().is_none());
        let _ = pair.tx.release_notify();

        // Back to the guest, as a coalesced frame over several buffers.
        let echo = bytes.repeat(3);
        let mut rest = &echo[..];
        for span in pair.rx.buffers().unwrap() {
            let n = rest.len().min(span.len as usize);
            world.bytes(span)[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
        }
        assert!(rest.is_empty());
        pair.rx.commit(echo.len(), tender::RxInfo { csum_valid: true, gso: None });
        let _ = pair.rx.publish_notify();

        rx.refresh().unwrap();
        let mut got = Vec::new();
        let info = rx.pop(|slice| got.push(slice)).unwrap().unwrap();
        assert!(info.csum_valid);
        assert_eq!(got.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>(), echo);
        rx.release();
        drop(got);
        let _ = rx.refill(40).unwrap();
        tx.reclaim().unwrap();
        assert_eq!(pool.stats().free + rx.lent() + tx.in_flight(), 128);
    }
}

#[test]
fn a_sleeper_that_armed_is_kicked_once() {
    let world = World::new();
    let pool = world.pool();
    let (mut tx, _rx) =
        Region::build(world.words(), &config(world.origin()), &pool).pairs.remove(0);
    let mut attached = attach(world.words(), &limits()).unwrap();
    let tender = &mut attached.pairs[0].tx;
    let mut send = || {
        tx.push(TxInfo::default(), [frame(&pool, &[0; 60])].into_iter());
        tx.publish()
    };
    assert!(!send(), "nobody sleeps");
    tender.refresh().unwrap();
    tender.arm();
    assert!(send(), "the tender armed");
    assert!(!send(), "it was kicked already");
    tender.refresh().unwrap();
    tender.arm();
    tender.disarm();
    assert!(!send(), "it took the wish back");
}

#[test]
fn static_bytes_go_by_reference_through_the_memory_class() {
    let world = World::new();
    let pool = world.pool();
    let mut config = config(world.origin());
    config.accepted |= Features::MEM_CLASS;
    config.mem = Some(shmring::guest::MemClass { size: MEMORY as u64 });
    let (mut tx, _rx) = Region::build(world.words(), &config, &pool).pairs.remove(0);
    let mut attached = attach(world.words(), &limits()).unwrap();
    // A page of the guest outside its pool, across a 64 KiB line.
    let at = 0x5_fff0;
    let page = world.bytes(tender::Span { address: at, len: 64 });
    page.copy_from_slice(&[9; 64]);
    // SAFETY: the world outlives the slice.
    let page: &'static [u8] = unsafe { std::slice::from_raw_parts(page.as_ptr(), 64) };
    let slice = Slice::from_static(page);
    assert_eq!(tx.descriptors(&slice), Some(2));
    tx.push(TxInfo::default(), [frame(&pool, &[7; 54]), slice].into_iter());
    let _ = tx.publish();
    let pair = &mut attached.pairs[0];
    pair.tx.refresh().unwrap();
    let sent = pair.tx.next().unwrap().unwrap().clone();
    assert_eq!(sent.len, 54 + 64);
    assert_eq!(sent.spans()[1], tender::Span { address: at, len: 16 });
    assert_eq!(sent.spans()[2], tender::Span { address: at + 16, len: 48 });
}

#[test]
fn a_broken_queue_stays_broken_and_says_why() {
    let world = World::new();
    let pool = world.pool();
    let (mut tx, _rx) =
        Region::build(world.words(), &config(world.origin()), &pool).pairs.remove(0);
    let mut attached = attach(world.words(), &limits()).unwrap();
    tx.push(TxInfo { csum: Some((60, 16)), gso: None }, [frame(&pool, &[7; 54])].into_iter());
    let _ = tx.publish();
    let pair = &mut attached.pairs[0];
    pair.tx.refresh().unwrap();
    assert_eq!(pair.tx.next().unwrap_err(), Violation::Checksum);
    assert_eq!(pair.tx.refresh(), Err(Violation::Checksum));
    assert_eq!(pair.tx.broken(), Some(Violation::Checksum));
}
