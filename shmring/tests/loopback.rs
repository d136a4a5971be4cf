//! Both sides in one process, over one region: frames arrive whole, in order, and every buffer is
//! in one place.

use shmring::{
    Pool, PoolConfig, Slice,
    abi::{Features, MAX_FRAME, gso},
    guest::{Region, RegionConfig, RxRing, TxInfo},
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
const LARGE_AT: usize = 0x80000;
const LARGE: usize = 6;

impl World {
    fn new() -> World {
        let layout = alloc::Layout::from_size_align(MEMORY, 4096).unwrap();
        // SAFETY: the size is not zero.
        let base = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).unwrap();
        World { base, layout }
    }

    fn words(&self) -> RawMemory {
        let len = large_config(self.origin()).size();
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

    /// Buffers of `stride` bytes for the rest of coalesced frames.
    fn large_pool(&self, stride: usize) -> Pool {
        let config = PoolConfig { stride, count: LARGE, headroom: 0, reserve: 0 };
        // SAFETY: as above, behind the other pool.
        unsafe { Pool::from_raw(config, self.base.add(LARGE_AT)) }
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
        accepted: Features::all() - Features::STATS - Features::MEM_CLASS - Features::FILL_LARGE,
        origin,
        mem: None,
        stats: None,
    }
}

fn large_config(origin: u64) -> RegionConfig {
    let mut config = config(origin);
    config.accepted |= Features::FILL_LARGE;
    config
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

/// Both ends of the receiving rings, with buffers of both kinds.
struct Receiving {
    guest: RxRing<RawMemory>,
    tender: tender::RxRing<RawMemory>,
    pool: Pool,
    large: Pool,
}

impl Receiving {
    fn new(world: &World, stride: usize) -> Receiving {
        let (pool, large) = (world.pool(), world.large_pool(stride));
        let config = large_config(world.origin());
        let mut region = Region::build_with(world.words(), &config, &pool, Some(&large));
        let tender = attach(world.words(), &limits()).unwrap().pairs.remove(0).rx;
        Receiving { guest: region.pairs.remove(0).1, tender, pool, large }
    }

    fn spans(&mut self) -> Vec<tender::Span> {
        self.tender.buffers().unwrap().collect()
    }

    /// A frame of `len` bytes that differ from round to round; how many buffers were there for it.
    fn arrives(&mut self, world: &World, len: usize, round: usize) -> (Vec<u8>, usize) {
        let frame: Vec<u8> = (0..len).map(|i| (i * 31 + round) as u8).collect();
        let spans = self.spans();
        let mut rest = &frame[..];
        for span in &spans {
            let (now, later) = rest.split_at(rest.len().min(span.len as usize));
            world.bytes(*span)[..now.len()].copy_from_slice(now);
            rest = later;
        }
        assert!(rest.is_empty());
        self.tender.commit(len, tender::RxInfo::default());
        (frame, spans.len())
    }

    /// The next frame, and the number of its slices.
    fn receive(&mut self) -> Option<(Vec<u8>, usize)> {
        let (mut bytes, mut slices) = (Vec::new(), 0);
        let popped = self.guest.pop(|slice| {
            bytes.extend_from_slice(&slice);
            slices += 1;
        });
        popped.unwrap().map(|_| (bytes, slices))
    }

    fn assert_conserved(&self) {
        assert_eq!(self.pool.stats().free + self.guest.lent(), 128);
        assert_eq!(self.large.stats().free + self.guest.lent_large(), LARGE);
    }
}

#[test]
fn a_frame_lies_in_a_small_and_a_large_buffer_or_in_small_ones_when_no_large_one_is_lent() {
    let world = World::new();
    let mut rings = Receiving::new(&world, 1 << 16);
    for round in 0..600usize {
        let _ = rings.guest.refill(40).unwrap();
        if round % 3 != 0 {
            let _ = rings.guest.refill_large(1 + round % 4).unwrap();
        }
        let lent_large = rings.guest.lent_large();
        let len = 14 + (round * 7919) % (MAX_FRAME - 13);
        let (frame, usable) = rings.arrives(&world, len, round);
        assert_eq!(usable == 2, lent_large > 0, "round {round}");
        rings.tender.publish();
        rings.guest.refresh().unwrap();
        let (bytes, slices) = rings.receive().unwrap();
        assert!(bytes == frame, "round {round}: {len} bytes came otherwise");
        let small = len.div_ceil(2048 - 64);
        assert_eq!(slices, if lent_large > 0 { small.min(2) } else { small });
        assert_eq!(rings.guest.lent_large(), lent_large - usize::from(usable == 2 && slices == 2));
        rings.guest.release();
        rings.assert_conserved();
    }
    let Receiving { guest, pool, large, .. } = rings;
    guest.after_reset();
    assert_eq!((pool.stats().free, large.stats().free), (128, LARGE));
}

#[test]
fn small_frames_leave_the_large_buffer_for_the_next_one() {
    let world = World::new();
    let mut rings = Receiving::new(&world, 1 << 16);
    let _ = rings.guest.refill(40).unwrap();
    let _ = rings.guest.refill_large(2).unwrap();
    for (round, len) in [60, 1984, 1985, 60, MAX_FRAME].into_iter().enumerate() {
        rings.arrives(&world, len, round);
    }
    rings.tender.publish();
    rings.guest.refresh().unwrap();
    let slices: Vec<_> = std::iter::from_fn(|| rings.receive()).map(|(_, n)| n).collect();
    assert_eq!(slices, [1, 1, 2, 1, 2]);
    assert_eq!(rings.guest.lent_large(), 0);
}

#[test]
fn large_buffers_that_are_too_short_stay_where_they_are_and_frames_take_small_ones() {
    let world = World::new();
    let mut rings = Receiving::new(&world, 4096);
    for round in 0..50 {
        let _ = rings.guest.refill(40).unwrap();
        let _ = rings.guest.refill_large(2).unwrap();
        let (frame, usable) = rings.arrives(&world, MAX_FRAME - round, round);
        assert_eq!(usable, 34);
        rings.tender.publish();
        rings.guest.refresh().unwrap();
        assert!(rings.receive().unwrap() == (frame, 34));
        rings.guest.release();
        assert_eq!(rings.guest.lent_large(), 2);
        rings.assert_conserved();
    }
}

/// The kernel writes to what was handed out, so nothing may take its place before it is used.
#[test]
fn buffers_handed_out_stay_the_same_until_used_whatever_is_lent_meanwhile() {
    let world = World::new();
    let mut rings = Receiving::new(&world, 1 << 16);
    let _ = rings.guest.refill(40).unwrap();
    let before = rings.spans();
    assert_eq!(before.len(), 34);
    let _ = rings.guest.refill_large(2).unwrap();
    assert_eq!(rings.spans(), before);
    let (frame, usable) = rings.arrives(&world, 9000, 0);
    assert_eq!(usable, 34);
    let (next, usable) = rings.arrives(&world, 9000, 1);
    assert_eq!(usable, 2, "the frame behind it finds the large one");
    rings.tender.publish();
    rings.guest.refresh().unwrap();
    assert!(rings.receive().unwrap() == (frame, 5));
    assert!(rings.receive().unwrap() == (next, 2));
}

#[test]
fn a_frame_waits_until_rx_has_an_entry_for_each_of_its_buffers() {
    let world = World::new();
    let mut rings = Receiving::new(&world, 1 << 16);
    // As many as a coalesced frame without large buffers may take are checked before any comes.
    let _ = rings.guest.refill(64).unwrap();
    assert_eq!(rings.spans().len(), 34);
    let _ = rings.guest.refill_large(LARGE).unwrap();
    let mut written = 0;
    let mut round = 0;
    while !rings.spans().is_empty() {
        let len = if round < 5 { 3000 } else { 60 };
        written += 1 + usize::from(len > 1984);
        rings.arrives(&world, len, round);
        round += 1;
    }
    assert_eq!(written, 63, "one entry is too few for a frame of two");
    rings.tender.publish();
    rings.guest.refresh().unwrap();
    while rings.receive().is_some() {}
    rings.guest.release();
    rings.assert_conserved();
    assert_eq!(rings.spans().len(), 2);
}

#[test]
fn a_tender_that_sleeps_for_buffers_is_woken_by_either_kind() {
    let world = World::new();
    let mut rings = Receiving::new(&world, 1 << 16);
    assert!(rings.spans().is_empty());
    assert!(!rings.guest.refill(1).unwrap(), "nobody sleeps");
    assert!(rings.spans().is_empty(), "one is too few");
    rings.tender.arm_fill();
    assert!(rings.guest.refill_large(1).unwrap(), "the tender armed");
    assert_eq!(rings.spans().len(), 2);
    rings.tender.arm_fill();
    assert!(rings.guest.refill(2).unwrap(), "the tender armed");
    rings.tender.arm_fill();
    rings.tender.disarm_fill();
    assert!(!rings.guest.refill(9).unwrap() && !rings.guest.refill_large(3).unwrap());
}
