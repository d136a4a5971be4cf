//! Each rule of the trust table, broken by hand: the side that is lied to names the rule.

#[path = "hostile/words.rs"]
#[expect(dead_code, reason = "the views here do not lie")]
mod words;

use shmring::{
    Pool, PoolConfig, Slice,
    abi::{Desc, Features, Flags, MAX_FRAGS, MAX_FRAME, class, ctrl, gso, header, queue, status},
    guest::{Broken, MemClass, Region, RegionConfig, RxRing, Watch},
    memory::SharedMemory,
    ring::{Consumer, Layout, Producer},
    tender::{self, AttachError, Attached, Limits, Violation, attach},
};
use std::{ptr::NonNull, sync::atomic::Ordering};
use words::{RingView, Source, View};

const MEMORY: u64 = 1 << 20;

struct World {
    view: View,
    pool: Pool,
    large: Option<Pool>,
    config: RegionConfig,
}

const LARGE: PoolConfig = PoolConfig { stride: 1 << 16, count: 4, headroom: 0, reserve: 0 };

impl World {
    fn new() -> World {
        let pool = Pool::heap(PoolConfig { count: 64, reserve: 4, ..PoolConfig::default() });
        let config = RegionConfig {
            pairs: 1,
            entries: 64,
            offered: Features::all(),
            accepted: Features::all()
                - Features::STATS
                - Features::USO
                - Features::MEM_CLASS
                - Features::FILL_LARGE,
            origin: (pool.base().as_ptr() as u64).wrapping_sub(0x10_000),
            mem: None,
            stats: None,
        };
        World { view: View::new(config.size(), &Source::new(&[])), pool, large: None, config }
    }

    /// With large buffers, of ids 64 to 67.
    fn with_large() -> World {
        let World { mut config, .. } = World::new();
        let memory = NonNull::from(vec![0u64; MEMORY as usize / 8].leak()).cast::<u8>();
        let small = PoolConfig { count: 64, reserve: 4, ..PoolConfig::default() };
        // SAFETY: two areas of memory that nobody else knows and that stays.
        let (pool, large) = unsafe {
            let at = |offset| memory.add(offset);
            (Pool::from_raw(small, at(0x1_0000)), Pool::from_raw(LARGE, at(0x8_0000)))
        };
        config.accepted |= Features::FILL_LARGE;
        config.origin = memory.as_ptr() as u64;
        let view = View::new(config.size(), &Source::new(&[]));
        World { view, pool, large: Some(large), config }
    }

    fn build(&self) -> Region<View> {
        Region::build_with(self.view.clone(), &self.config, &self.pool, self.large.as_ref())
    }

    fn attach(&self) -> Result<Attached<View>, AttachError> {
        let limits = Limits { offered: self.config.offered, max_pairs: 1, memory: MEMORY };
        attach(self.view.clone(), &limits)
    }

    fn layout(&self, i: u64) -> Layout {
        let row = header::QUEUES + i * queue::ROW;
        Layout {
            ctrl: self.view.load_u64(row + queue::CTRL),
            desc: self.view.load_u64(row + queue::DESC),
            entries: self.config.entries,
        }
    }
}

fn good() -> Desc {
    Desc { id: 3, offset: 128, len: 100, ..Desc::default() }
}

/// What the tender says to a frame of these descriptors.
fn sent(frame: &[Desc]) -> Result<Option<usize>, Violation> {
    let words: Vec<_> = frame.iter().map(Desc::encode).collect();
    sent_words(&words)
}

fn sent_words(frame: &[[u64; 2]]) -> Result<Option<usize>, Violation> {
    let world = World::new();
    let _region = world.build();
    let mut attached = world.attach().unwrap();
    let mut ring: Producer<RingView> = Producer::new(&world.view, world.layout(0)).unwrap();
    frame.iter().for_each(|words| ring.write(*words));
    let _ = ring.publish();
    let tx = &mut attached.pairs[0].tx;
    tx.refresh()?;
    let answer = tx.next().map(|frame| frame.map(|frame| frame.len));
    assert_eq!(tx.broken(), answer.err());
    answer
}

#[test]
fn a_tender_names_the_rule_that_a_frame_breaks() {
    let more = |desc: Desc| Desc { flags: desc.flags | Flags::NEXT, ..desc };
    let sum = Desc { flags: Flags::NEEDS_CSUM, csum_start: 34, csum_offset: 16, ..good() };
    let cut = Desc { gso_type: gso::TCPV4, gso_size: 1448, ..sum };
    assert_eq!(sent(&[good()]), Ok(Some(100)));
    assert_eq!(sent(&[more(cut), good()]), Ok(Some(200)));
    let bad = [
        (vec![Desc { id: 64, ..good() }], Violation::BufferId),
        (vec![Desc { id: 0xff_ffff, ..good() }], Violation::BufferId),
        (vec![Desc { len: 0, ..good() }], Violation::Range),
        (vec![Desc { offset: 2000, ..good() }], Violation::Range),
        (vec![Desc { offset: u16::MAX, len: u16::MAX, ..good() }], Violation::Range),
        (vec![more(good())], Violation::Chain),
        (vec![more(good()); MAX_FRAGS + 1], Violation::Chain),
        (vec![more(Desc { offset: 0, len: 2048, ..good() }); 33], Violation::Chain),
        (vec![Desc { len: 13, ..good() }], Violation::FrameLength),
        (vec![Desc { flags: Flags::DATA_VALID, ..good() }], Violation::Flags),
        (vec![more(good()), sum], Violation::Flags),
        (vec![more(good()), Desc { gso_size: 1, ..good() }], Violation::Flags),
        (vec![Desc { csum_start: 83, ..sum }], Violation::Checksum),
        (vec![Desc { csum_start: u16::MAX, csum_offset: 255, ..sum }], Violation::Checksum),
        (vec![Desc { gso_size: 0, ..cut }], Violation::Segmentation),
        (vec![Desc { gso_type: 3, ..cut }], Violation::Segmentation),
        (vec![Desc { gso_type: gso::UDP_L4, ..cut }], Violation::Segmentation),
        (vec![Desc { gso_type: gso::UDP_L4 | gso::ECN, ..cut }], Violation::Segmentation),
        (vec![Desc { gso_type: gso::ECN, ..cut }], Violation::Segmentation),
        (vec![Desc { flags: Flags::empty(), ..cut }], Violation::Segmentation),
    ];
    for (frame, violation) in bad {
        assert_eq!(sent(&frame), Err(violation), "{frame:?}");
    }
    let mut long = vec![more(Desc { offset: 0, len: 2048, ..good() }); MAX_FRAGS];
    long[MAX_FRAGS - 1].flags = Flags::empty();
    assert_eq!(sent(&long), Err(Violation::FrameLength));
    let [w0, w1] = good().encode();
    assert_eq!(sent_words(&[[w0, w1 | 8]]), Err(Violation::Flags));
}

#[test]
fn a_tender_refuses_indices_out_of_bounds_and_bad_fill_buffers() {
    for claim in [65, u32::MAX, 1 << 31] {
        let world = World::new();
        let _region = world.build();
        let mut attached = world.attach().unwrap();
        world.view.store_u32(world.layout(0).ctrl + ctrl::PROD, claim, Ordering::Relaxed);
        assert_eq!(attached.pairs[0].tx.refresh(), Err(Violation::Index));
        world.view.store_u32(world.layout(2).ctrl + ctrl::CONS, claim, Ordering::Relaxed);
        assert_eq!(attached.pairs[0].rx.pending(), Err(Violation::Index));
    }
    let bad = [
        (Desc { id: 99, ..good() }, Violation::BufferId),
        (Desc { flags: Flags::NEXT, ..good() }, Violation::Flags),
        (Desc { offset: 2047, len: 2, ..good() }, Violation::Range),
        (Desc { gso_size: 1, ..good() }, Violation::Flags),
        (Desc { csum_offset: 1, ..good() }, Violation::Flags),
    ];
    for (desc, violation) in bad {
        let world = World::new();
        let _region = world.build();
        let mut attached = world.attach().unwrap();
        let mut fill: Producer<RingView> = Producer::new(&world.view, world.layout(1)).unwrap();
        fill.write(desc.encode());
        let _ = fill.publish();
        assert_eq!(attached.pairs[0].rx.buffers().err(), Some(violation));
    }
}

#[test]
fn a_tender_names_the_rule_that_a_large_buffer_breaks() {
    let whole = Desc { id: 64, len: u16::MAX, ..Desc::default() };
    let lent = |large: Desc, claim: u32| {
        let mut world = World::with_large();
        world.config.accepted |= Features::MEM_CLASS;
        world.config.mem = Some(MemClass { size: MEMORY });
        let mut region = world.build();
        let mut attached = world.attach().unwrap();
        let _ = region.pairs[0].1.refill(2).unwrap();
        let mut ring: Producer<RingView> = Producer::new(&world.view, world.layout(3)).unwrap();
        ring.write(large.encode());
        let _ = ring.publish();
        world.view.store_u32(world.layout(3).ctrl + ctrl::PROD, claim, Ordering::Relaxed);
        let rx = &mut attached.pairs[0].rx;
        let answer = rx.buffers().map(|spans| spans.map(|span| span.len).collect::<Vec<_>>());
        assert_eq!(rx.broken(), answer.as_ref().err().copied());
        assert_eq!(rx.pending().err(), answer.as_ref().err().copied(), "served any more");
        answer
    };
    assert_eq!(lent(whole, 1), Ok(vec![1984, 65_535]));
    assert_eq!(lent(Desc { generation: 9, ..whole }, 1), Ok(vec![1984, 65_535]));
    assert_eq!(lent(Desc { len: (MAX_FRAME - 1984) as u16, ..whole }, 1).unwrap().len(), 2);
    assert_eq!(lent(Desc { len: (MAX_FRAME - 1985) as u16, ..whole }, 1), Ok(vec![]), "too short");
    assert_eq!(lent(good(), 1), Ok(vec![]), "a small one is only too short");
    let bad = [
        // Memory as a whole follows from id 68 on.
        (Desc { id: 68, ..whole }, Violation::BufferId),
        (Desc { id: 68 + 16, ..whole }, Violation::BufferId),
        (Desc { id: 0xff_ffff, ..whole }, Violation::BufferId),
        (Desc { len: 0, ..whole }, Violation::Range),
        (Desc { offset: 2, ..whole }, Violation::Range),
        (Desc { id: 3, len: 2049, ..whole }, Violation::Range),
        (Desc { flags: Flags::NEXT, ..whole }, Violation::Flags),
        (Desc { flags: Flags::DATA_VALID, ..whole }, Violation::Flags),
        (Desc { gso_type: gso::TCPV4, ..whole }, Violation::Flags),
        (Desc { csum_start: 1, ..whole }, Violation::Flags),
    ];
    for (large, violation) in bad {
        assert_eq!(lent(large, 1), Err(violation), "{large:?}");
    }
    for claim in [65, u32::MAX, 1 << 31] {
        assert_eq!(lent(whole, claim), Err(Violation::Index));
    }
}

#[test]
fn a_region_is_refused_for_what_is_wrong_with_its_large_queue() {
    let row = header::QUEUES + 3 * queue::ROW;
    let accepted = World::with_large().config.accepted;
    let cases = [
        (header::COUNTS, 3 | 2 << 16, AttachError::Queue),
        (header::COUNTS, 8 | 2 << 16, AttachError::Queue),
        (header::FEATURES_ACCEPTED, (accepted - Features::FILL_LARGE).bits(), AttachError::Queue),
        (header::FEATURES_ACCEPTED, (accepted - Features::RX_GSO).bits(), AttachError::Features),
        (row, u64::from(queue::FILL), AttachError::Queue),
        (row, u64::from(queue::LARGE) | 1 << 16, AttachError::Queue),
        // The descriptors, or the control words, of another queue.
        (row + queue::CTRL, 0x1000, AttachError::Queue),
        (row + queue::DESC, 0x1000, AttachError::Queue),
        (row + queue::SHAPE, 4 << 8, AttachError::Queue),
        (row + queue::SHAPE, 16 | 4 << 8, AttachError::Queue),
        (0x1000 + 3 * ctrl::LEN, 65, AttachError::Index),
    ];
    for (at, value, error) in cases {
        let world = World::with_large();
        let _region = world.build();
        assert!(world.attach().is_ok());
        world.view.store_u64(at, value);
        assert_eq!(world.attach().err(), Some(error), "{value:#x} at {at:#x}");
    }
    // It may be as short as a queue can be, unlike FILL and RX.
    let world = World::with_large();
    let _region = world.build();
    world.view.store_u64(row + queue::SHAPE, 1 | 4 << 8);
    assert!(world.attach().is_ok());
    let world = World::with_large();
    let _region = world.build();
    let offered = Features::all() - Features::FILL_LARGE;
    let limits = Limits { offered, max_pairs: 1, memory: MEMORY };
    assert_eq!(attach(world.view.clone(), &limits).err(), Some(AttachError::Features));
}

#[test]
fn a_region_is_refused_for_what_is_wrong_with_it() {
    let queue_row = header::QUEUES + queue::ROW;
    let cases = [
        (header::MAGIC, 0, AttachError::Magic),
        (header::VERSION, 2 | header::LEN << 32, AttachError::Version),
        (header::VERSION, 1, AttachError::Magic),
        (header::REGION_SIZE, 4096, AttachError::Magic),
        (header::FEATURES_ACCEPTED, 1 << 63, AttachError::Features),
        (header::FEATURES_ACCEPTED, Features::TSO4.bits() | 1, AttachError::Features),
        (header::COUNTS, 3, AttachError::Class),
        (header::COUNTS, 3 | 5 << 16, AttachError::Class),
        (header::COUNTS, 2 | 1 << 16, AttachError::Queue),
        (header::COUNTS, 6 | 1 << 16, AttachError::Queue),
        (header::CLASSES, MEMORY, AttachError::Class),
        (header::CLASSES, u64::MAX - 4096, AttachError::Class),
        (header::CLASSES, 0, AttachError::Class),
        (header::CLASSES + 8, u64::MAX, AttachError::Class),
        (header::CLASSES + 8, 2048, AttachError::Class),
        (header::CLASSES + 16, 1 << 24, AttachError::Class),
        (queue_row, 3, AttachError::Queue),
        (queue_row + queue::CTRL, 0, AttachError::Queue),
        (queue_row + queue::CTRL, 0x1001, AttachError::Queue),
        (queue_row + queue::CTRL, 0x1000, AttachError::Queue),
        (queue_row + queue::DESC, u64::MAX - 15, AttachError::Queue),
        (queue_row + queue::SHAPE, 16 | 4 << 8, AttachError::Queue),
        (queue_row + queue::SHAPE, 6 | 5 << 8, AttachError::Queue),
        (0x1000, 65, AttachError::Index),
    ];
    for (at, value, error) in cases {
        let world = World::new();
        let _region = world.build();
        world.view.store_u64(at, value);
        assert_eq!(world.attach().err(), Some(error), "{value:#x} at {at:#x}");
    }
    let mut world = World::new();
    world.config.accepted |= Features::STATS;
    world.config.stats = Some((MEMORY - 8, 1));
    let _region = world.build();
    assert_eq!(world.attach().err(), Some(AttachError::Stats));
}

#[test]
fn a_class_for_sending_only_is_never_written_to() {
    let mut world = World::new();
    world.config.accepted |= Features::MEM_CLASS;
    world.config.mem = Some(MemClass { size: MEMORY });
    let _region = world.build();
    let mut attached = world.attach().unwrap();
    let mut fill: Producer<RingView> = Producer::new(&world.view, world.layout(1)).unwrap();
    // The pool has ids 0 to 63; memory as a whole follows.
    fill.write(Desc { id: 64, ..good() }.encode());
    let _ = fill.publish();
    assert_eq!(attached.pairs[0].rx.buffers().err(), Some(Violation::BufferId));
    let mut tx: Producer<RingView> = Producer::new(&world.view, world.layout(0)).unwrap();
    tx.write(Desc { id: 64, ..good() }.encode());
    let _ = tx.publish();
    attached.pairs[0].tx.refresh().unwrap();
    assert!(attached.pairs[0].tx.next().unwrap().is_some());
}

#[test]
fn classes_whose_ids_overlap_are_refused() {
    let mut world = World::new();
    world.config.accepted |= Features::MEM_CLASS;
    world.config.mem = Some(MemClass { size: MEMORY });
    let _region = world.build();
    world.view.store_u64(header::CLASSES + class::ROW + class::FIRST_ID, 63);
    assert_eq!(world.attach().err(), Some(AttachError::Class));
}

#[test]
fn more_pairs_or_records_than_allowed_are_refused() {
    let mut world = World::new();
    world.config.pairs = 2;
    world.view = View::new(world.config.size(), &Source::new(&[]));
    let _region = world.build();
    assert_eq!(world.attach().err(), Some(AttachError::Queue));
    let mut world = World::new();
    world.config.accepted |= Features::STATS;
    world.config.stats = Some((0, 0));
    let _region = world.build();
    world.view.store_u64(header::STATS, 4096);
    world.view.store_u64(header::STATS_COUNT, 257);
    assert_eq!(world.attach().err(), Some(AttachError::Stats));
    world.view.store_u64(header::STATS_COUNT, 256);
    assert!(world.attach().is_ok());
}

#[test]
fn rings_too_short_for_a_large_frame_are_refused() {
    let world = World::new();
    let _region = world.build();
    for queue in [1, 2] {
        let row = header::QUEUES + queue * queue::ROW + queue::SHAPE;
        let good = world.view.load_u64(row);
        world.view.store_u64(row, 5 | 4 << 8);
        assert_eq!(world.attach().err(), Some(AttachError::Queue));
        world.view.store_u64(row, good);
    }
    assert!(world.attach().is_ok());
}

#[test]
fn slices_out_of_reach_are_told_from_those_in_memory() {
    let mut world = World::new();
    // Memory ends within a stride, whose class ends at the last whole one.
    world.config.accepted |= Features::MEM_CLASS;
    world.config.mem = Some(MemClass { size: 3 * 65_536 + 4096 });
    let bytes: &'static [u8] = vec![1u8; 4 * 65_536].leak();
    world.config.origin = bytes.as_ptr() as u64;
    let region = world.build();
    let tx = &region.pairs[0].0;
    let needs = |from: usize, len: usize| tx.descriptors(&Slice::from(&bytes[from..from + len]));
    assert_eq!(needs(0, 100), Some(1));
    assert_eq!(needs(65_500, 100), Some(2));
    assert_eq!(needs(0, 65_536), Some(2));
    assert_eq!(needs(3 * 65_536 - 10, 10), Some(1));
    assert_eq!(needs(3 * 65_536 - 10, 11), None);
    assert_eq!(needs(3 * 65_536 + 5, 10), None);
    let below: &'static [u8] = b"somewhere else";
    let elsewhere = tx.descriptors(&Slice::from(below));
    assert!(elsewhere.is_none(), "{:p} is not in memory at {:p}", below, bytes);
}

#[test]
fn buffers_are_lent_in_batches_below_a_low_water_mark() {
    let world = World::new();
    let mut region = world.build();
    let rx = &mut region.pairs[0].1;
    let _ = rx.refill(32).unwrap();
    assert_eq!(rx.lent(), 32);
    let _ = rx.refill(35).unwrap();
    assert_eq!(rx.lent(), 32, "three are not worth a fence");
    let _ = rx.refill(40).unwrap();
    assert_eq!(rx.lent(), 40);
    let _ = rx.refill(usize::MAX).unwrap();
    assert_eq!(rx.lent(), 60, "all but the reserve");
}

/// A guest that has lent two buffers, and what the tender answers.
fn returned(answer: impl Fn(Desc) -> Vec<[u64; 2]>) -> (Result<usize, Broken>, usize) {
    returned_to(World::new(), answer)
}

fn returned_to(
    world: World,
    answer: impl Fn(Desc) -> Vec<[u64; 2]>,
) -> (Result<usize, Broken>, usize) {
    let mut region = world.build();
    let rx: &mut RxRing<View> = &mut region.pairs[0].1;
    let _ = rx.refill(2).unwrap();
    let fill: Consumer<RingView> = Consumer::new(&world.view, world.layout(1)).unwrap();
    let first = Desc::decode(fill.peek(0)).unwrap();
    let mut ring: Producer<RingView> = Producer::new(&world.view, world.layout(2)).unwrap();
    answer(Desc { len: 60, ..first }).into_iter().for_each(|words| ring.write(words));
    let _ = ring.publish();
    rx.refresh().unwrap();
    let mut bytes = 0;
    let result = rx.pop(|slice| bytes += slice.len()).map(|_| bytes);
    let lost = world.pool.config().count - world.pool.stats().free;
    drop(region);
    let after = world.pool.config().count - world.pool.stats().free;
    assert_eq!(after, lost, "what the tender may still write to came back");
    (result, lost)
}

#[test]
fn a_guest_trusts_nothing_that_comes_back() {
    let one = |change: fn(Desc) -> Desc| returned(move |desc| vec![change(desc).encode()]);
    assert_eq!(one(|d| d), (Ok(60), 1));
    assert_eq!(one(|d| Desc { id: d.id + 1, ..d }), (Err(Broken::Buffer), 2));
    assert_eq!(one(|d| Desc { offset: d.offset + 1, ..d }), (Err(Broken::Buffer), 2));
    assert_eq!(one(|d| Desc { len: 2048, ..d }), (Err(Broken::Length), 2));
    assert_eq!(one(|d| Desc { flags: Flags::NEXT, ..d }).0, Err(Broken::Length));
    assert_eq!(one(|d| Desc { gso_type: 9, gso_size: 1, ..d }), (Err(Broken::Offload), 2));
    assert_eq!(one(|d| Desc { gso_type: gso::TCPV4, ..d }), (Err(Broken::Offload), 2));
    let flags = returned(|d| {
        let [w0, w1] = d.encode();
        vec![[w0, w1 | 1 << 15]]
    });
    assert_eq!(flags, (Err(Broken::Flags), 2));
    assert_eq!(one(|d| Desc { len: 0, ..d }), (Err(Broken::Length), 2));
    let mixed = |d| Desc { gso_type: gso::UDP_L4 | gso::ECN, gso_size: 9, ..d };
    assert_eq!(one(mixed), (Err(Broken::Offload), 2));
    let plain = || {
        let mut world = World::new();
        world.config.accepted = Features::RINGS;
        world
    };
    let sum = |d| vec![Desc { flags: Flags::DATA_VALID, ..d }.encode()];
    assert_eq!(returned_to(plain(), sum).0, Err(Broken::Offload), "not negotiated");
    let two = |d: Desc| {
        let head = Desc { flags: Flags::NEXT, ..d };
        vec![head.encode(), Desc { id: d.id, ..d }.encode()]
    };
    assert_eq!(returned_to(plain(), two).0, Err(Broken::Length), "one buffer a frame");
    let more = returned(|d| vec![d.encode(); 3]);
    assert_eq!(more.0, Ok(60), "the first is right");
}

/// A guest that has lent two buffers of each kind, and what the tender answers to the first ones.
fn returned_large(answer: impl Fn(Desc, Desc) -> Vec<Desc>) -> Result<Vec<usize>, Broken> {
    let world = World::with_large();
    let mut region = world.build();
    let rx: &mut RxRing<View> = &mut region.pairs[0].1;
    let _ = (rx.refill(2).unwrap(), rx.refill_large(2).unwrap());
    let first = |queue| {
        let ring: Consumer<RingView> = Consumer::new(&world.view, world.layout(queue)).unwrap();
        Desc::decode(ring.peek(0)).unwrap()
    };
    let mut ring: Producer<RingView> = Producer::new(&world.view, world.layout(2)).unwrap();
    let frame = answer(Desc { len: 60, ..first(1) }, Desc { len: 70, ..first(3) });
    frame.into_iter().for_each(|desc| ring.write(desc.encode()));
    let _ = ring.publish();
    rx.refresh().unwrap();
    let mut lens = Vec::new();
    let result = rx.pop(|slice| lens.push(slice.len())).map(|_| lens);
    let free = |pool: &Option<Pool>| pool.as_ref().map_or(0, |pool| pool.stats().free);
    let (small, large) = (world.pool.stats().free, free(&world.large));
    let (lent, lent_large) = (rx.lent(), rx.lent_large());
    assert!(small + lent <= 64 && large + lent_large <= LARGE.count);
    assert!(result.is_err() || (small + lent, large + lent_large) == (64, LARGE.count));
    drop(region);
    let after = (world.pool.stats().free, free(&world.large));
    assert_eq!(after, (small, large), "what the tender may still write to came back");
    result
}

#[test]
fn a_guest_takes_a_large_buffer_in_its_order_behind_a_small_one_only() {
    let next = |desc: Desc| Desc { flags: desc.flags | Flags::NEXT, ..desc };
    let behind = |change: fn(Desc) -> Desc| {
        returned_large(move |small, large| vec![next(small), change(large)])
    };
    assert_eq!(behind(|d| d), Ok(vec![60, 70]));
    assert_eq!(behind(|d| Desc { len: 65_489, ..d }), Ok(vec![60, 65_489]), "the longest frame");
    assert_eq!(behind(|d| Desc { len: 65_490, ..d }), Err(Broken::Length), "longer than any");
    assert_eq!(behind(|d| Desc { len: 0, ..d }), Err(Broken::Length));
    assert_eq!(behind(|d| Desc { offset: 1, ..d }), Err(Broken::Buffer));
    // The ids of the large pool are 64 to 67: another of them, and none.
    assert_eq!(behind(|d| Desc { id: 64 + (d.id + 1) % 4, ..d }), Err(Broken::Buffer));
    assert_eq!(behind(|d| Desc { id: d.id - 64, ..d }), Err(Broken::Buffer));
    assert_eq!(behind(|d| Desc { id: 68, ..d }), Err(Broken::Buffer));
    assert_eq!(behind(|d| Desc { flags: Flags::DATA_VALID, ..d }), Err(Broken::Flags));
    assert_eq!(behind(|d| Desc { flags: Flags::NEXT, ..d }), Err(Broken::Length), "no end");
    assert_eq!(returned_large(|_, large| vec![large]), Err(Broken::Buffer), "as the first");
    let swapped = returned_large(|small, large| vec![next(large), small]);
    assert_eq!(swapped, Err(Broken::Buffer));
    let twice = returned_large(|small, large| vec![next(small), next(large), large]);
    assert_eq!(twice, Err(Broken::Buffer));
    let small_again = returned_large(|small, large| vec![next(small), next(large), small]);
    assert_eq!(small_again, Err(Broken::Buffer));
}

#[test]
fn a_guest_that_lends_no_large_buffers_takes_none() {
    let world = World::new();
    let mut region = world.build();
    let rx = &mut region.pairs[0].1;
    assert_eq!((rx.refill_large(9), rx.lent_large()), (Ok(false), 0));
    let answer = returned_to(World::new(), |d| {
        let head = Desc { flags: Flags::NEXT, ..d };
        vec![head.encode(), Desc { id: 64, offset: 0, ..d }.encode()]
    });
    assert_eq!(answer.0, Err(Broken::Buffer));
}

#[test]
#[should_panic(expected = "no pool of large buffers")]
fn large_buffers_are_not_accepted_without_a_pool_of_them() {
    let world = World { large: None, ..World::with_large() };
    let _region = world.build();
}

#[test]
fn a_guest_is_told_why_its_rings_are_closed_and_that_the_tender_started_over() {
    let world = World::new();
    let _region = world.build();
    world.view.store_u32(header::EPOCH, 1, Ordering::Relaxed);
    let watch = Watch::new(world.view.clone());
    let say = |word| world.view.store_u32(header::TENDER_STATUS, word, Ordering::Relaxed);
    assert_eq!(watch.polling(), Ok(false));
    say(status::POLLING);
    assert_eq!(watch.polling(), Ok(true));
    say(Violation::Chain.status());
    assert_eq!(watch.polling(), Err(Broken::Refused(Violation::Chain.code())));
    say(0);
    world.view.store_u32(header::EPOCH, 2, Ordering::Relaxed);
    assert_eq!(watch.polling(), Err(Broken::Epoch));
}

#[test]
fn a_restarted_tender_goes_on_where_the_indices_stand() {
    let world = World::new();
    let mut region = world.build();
    let (tx, rx) = &mut region.pairs[0];
    let mut first = world.attach().unwrap();
    let _ = rx.refill(50).unwrap();
    let mut send = |n: usize| {
        for _ in 0..n {
            let mut buf = world.pool.alloc().unwrap();
            buf.append(60);
            tx.push(Default::default(), std::iter::once(buf.freeze()));
        }
        let _ = tx.publish();
        tx.reclaim().unwrap();
        tx.in_flight()
    };
    send(3);
    let pair = &mut first.pairs[0];
    pair.tx.refresh().unwrap();
    pair.tx.next().unwrap();
    pair.tx.release();
    assert!(pair.rx.buffers().unwrap().next().is_some());
    pair.rx.commit(60, tender::RxInfo::default());
    pair.rx.publish();
    drop(first);
    let mut second = world.attach().unwrap();
    let pair = &mut second.pairs[0];
    assert_eq!(pair.tx.refresh(), Ok(2));
    assert!(pair.rx.buffers().unwrap().next().is_some());
    pair.rx.commit(61, tender::RxInfo::default());
    pair.rx.publish();
    assert_eq!(send(1), 3);
    rx.refresh().unwrap();
    let mut lens = Vec::new();
    while rx.pop(|slice| lens.push(slice.len())).unwrap().is_some() {}
    assert_eq!(lens, [60, 61]);
}

#[test]
fn a_restarted_tender_goes_on_with_the_large_buffers_too() {
    let world = World::with_large();
    let mut region = world.build();
    let rx = &mut region.pairs[0].1;
    let _ = (rx.refill(8).unwrap(), rx.refill_large(3).unwrap());
    for len in [3000, 4000] {
        let mut attached = world.attach().unwrap();
        let tender = &mut attached.pairs[0].rx;
        assert_eq!(tender.buffers().unwrap().count(), 2);
        tender.commit(len, tender::RxInfo::default());
        tender.publish();
        // One that it held and did not use is found again by the next.
        assert_eq!(tender.buffers().unwrap().count(), 2);
    }
    rx.refresh().unwrap();
    let mut lens = Vec::new();
    while rx.pop(|slice| lens.push(slice.len())).unwrap().is_some() {}
    assert_eq!(lens, [1984, 1016, 1984, 2016]);
    assert_eq!(rx.lent_large(), 1);
}

#[test]
fn after_a_reset_every_buffer_is_back() {
    let world = World::with_large();
    let mut region = world.build();
    let (mut tx, mut rx) = region.pairs.remove(0);
    let _ = (rx.refill(8).unwrap(), rx.refill_large(3).unwrap());
    let mut buf = world.pool.alloc().unwrap();
    buf.append(60);
    tx.push(Default::default(), std::iter::once(buf.freeze()));
    let _ = tx.publish();
    let free = || (world.pool.stats().free, world.large.as_ref().unwrap().stats().free);
    assert_eq!(free(), (64 - 9, LARGE.count - 3));
    tx.after_reset();
    rx.after_reset();
    assert_eq!(free(), (64, LARGE.count));
    let mut region = world.build();
    assert!(world.attach().is_ok(), "the region can be laid out again");
    assert!(region.pairs[0].1.refill(8).is_ok() && region.pairs[0].1.refill_large(3).is_ok());
    drop(region);
    assert_eq!(free(), (64 - 8, LARGE.count - 3), "dropped without a reset");
}
