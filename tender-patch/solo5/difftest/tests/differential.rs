//! The same guest, lawful or hostile, in front of the Rust tender and of the C tender: both come
//! to the same verdict at every step, and leave the same bytes behind.

use proptest::prelude::*;
use shmring::{
    abi::{DESC_LOG2, Desc, Features, Flags, MAGIC, MAJOR, MINOR, class, ctrl, gso, header, queue},
    memory::SharedMemory,
    tender::{self, Limits, RxInfo, Span, attach},
};
use shmring_difftest::{Frame, Service, World};
use std::sync::atomic::Ordering;

const PAGE: u64 = 4096;
const CTRL: u64 = PAGE;
const DESC: u64 = 2 * PAGE;
const LIMITS: Limits =
    Limits { offered: Features::all(), max_pairs: 2, memory: World::SIZE as u64 };

/// A region that both tenders accept.
#[derive(Clone, Copy, Debug)]
struct Plan {
    pairs: u64,
    log2: u8,
    /// Of LARGE.
    large_log2: u8,
    features: Features,
    /// Where all indices start.
    start: u32,
}

impl Plan {
    fn queues(self) -> u64 {
        self.pairs * u64::from(self.features.queues_per_pair())
    }

    fn size(self) -> u64 {
        DESC + self.queues() * PAGE
    }

    fn log2(self, kind: u64) -> u8 {
        if kind == u64::from(queue::LARGE) { self.large_log2 } else { self.log2 }
    }

    fn build(self, memory: &impl SharedMemory) {
        memory.store_u64(header::MAGIC, MAGIC);
        memory.store_u64(header::VERSION, u64::from(MAJOR) | header::LEN << 32);
        memory.store_u64(header::REGION_SIZE, self.size());
        memory.store_u64(header::FEATURES_OFFERED, LIMITS.offered.bits());
        memory.store_u64(header::FEATURES_ACCEPTED, self.features.bits());
        let classes = 2 + u64::from(self.features.contains(Features::MEM_CLASS));
        memory.store_u64(header::COUNTS, self.queues() | classes << 16);
        memory.store_u64(header::STATS, World::SIZE as u64 - PAGE);
        memory.store_u64(header::STATS_COUNT, 64);
        let ((count, stride), (large, large_stride)) = (World::BUFFERS, World::LARGE);
        let whole = (0, 65_536, World::SIZE / 65_536, count + large);
        let rows = [
            (World::POOL, stride, count, 0),
            (World::LARGE_POOL, large_stride, large, count),
            whole,
        ];
        for (i, (base, stride, count, first)) in rows.into_iter().enumerate() {
            let row = header::CLASSES + i as u64 * class::ROW;
            memory.store_u64(row + class::BASE, base as u64);
            memory.store_u64(row + class::SHAPE, stride as u64 | (count as u64) << 32);
            memory.store_u64(row + class::FIRST_ID, first as u64);
        }
        let per_pair = self.queues() / self.pairs;
        for i in 0..self.queues() {
            let row = header::QUEUES + i * queue::ROW;
            let kind = i % per_pair + 1;
            memory.store_u64(row + queue::TYPE, kind | (i / per_pair) << 16);
            memory.store_u64(row + queue::CTRL, ctrl_at(i));
            memory.store_u64(row + queue::DESC, DESC + i * PAGE);
            let shape = u64::from(self.log2(kind)) | u64::from(DESC_LOG2) << 8;
            memory.store_u64(row + queue::SHAPE, shape);
            for (word, value) in [
                (ctrl::PROD, self.start),
                (ctrl::CONS, self.start),
                (ctrl::CONS_EVENT, u32::MAX),
                (ctrl::PROD_EVENT, u32::MAX),
            ] {
                memory.store_u32(ctrl_at(i) + word, value, Ordering::Relaxed);
            }
        }
    }
}

fn ctrl_at(queue: u64) -> u64 {
    CTRL + queue * ctrl::LEN
}

fn plans() -> impl Strategy<Value = Plan> {
    let features = prop_oneof![
        3 => Just(Features::all()),
        1 => Just(Features::RINGS),
        1 => Just(Features::all() - Features::FILL_LARGE),
        1 => Just(Features::all() - Features::FILL_LARGE - Features::RX_GSO),
        1 => (0..1u64 << 10).prop_map(Features::from_bits_retain),
    ];
    // Most have rings long enough for coalesced frames.
    let log2 = prop_oneof![1 => 1..=5u8, 2 => 6..=8u8];
    let start = prop_oneof![Just(0), Just(u32::MAX - 5), any::<u32>()];
    (1..=2u64, log2, 1..=8u8, features, start).prop_map(
        |(pairs, log2, large_log2, features, start)| Plan {
            pairs,
            log2,
            large_log2,
            features,
            start,
        },
    )
}

/// A write of the guest that the protocol may not allow.
#[derive(Clone, Copy, Debug)]
struct Poke {
    at: u64,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Set(u64),
    Add(u64),
    Flip(u32),
}

impl Poke {
    fn apply(self, memory: &impl SharedMemory) {
        let at = self.at % (memory.len() / 8) * 8;
        let old = memory.load_u64(at);
        memory.store_u64(
            at,
            match self.value {
                Value::Set(value) => value,
                Value::Add(by) => old.wrapping_add(by),
                Value::Flip(bit) => old ^ 1 << (bit % 64),
            },
        );
    }
}

fn pokes(words: std::ops::Range<u64>) -> impl Strategy<Value = Poke> {
    let odd = [0, 1, u64::MAX, 1 << 32, 1 << 63, World::SIZE as u64, u64::MAX - 4095];
    let by = [1, u64::MAX, 64, 1 << 12, 1 << 16, 1 << 32, 3 << 32, 1 << 48];
    let value = prop_oneof![
        prop::sample::select(odd.to_vec()).prop_map(Value::Set),
        any::<u64>().prop_map(Value::Set),
        prop::sample::select(by.to_vec()).prop_map(Value::Add),
        any::<u32>().prop_map(Value::Flip),
    ];
    (words, value.boxed()).prop_map(|(at, value)| Poke { at, value })
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    // The guest's.
    Frame { descs: Vec<Desc>, announce: u32 },
    Lend { descs: Vec<Desc>, announce: u32 },
    LendLarge { descs: Vec<Desc>, announce: u32 },
    Take(u32),
    Event { queue: u64, producer: bool, ahead: u32 },
    Poke(Poke),
    // The tender's.
    TxRefresh,
    TxNext,
    TxRelease,
    TxArm,
    TxDisarm,
    Buffers,
    Commit { len: usize, info: RxInfo },
    Publish,
    Pending,
    ArmFill,
    DisarmFill,
}

fn descs() -> impl Strategy<Value = Desc> {
    let id = prop_oneof![20 => 0..128u32, 4 => 128..150u32, 1 => 0..1u32 << 24];
    let offset = prop_oneof![8 => 0..128u16, 1 => 1900..2100u16, 1 => any::<u16>()];
    let len = prop_oneof![16 => 60..1500u16, 2 => 0..3u16, 2 => 1900..2100u16, 1 => any::<u16>()];
    (id, offset, len, any::<u8>()).prop_map(|(id, offset, len, generation)| Desc {
        id,
        generation,
        offset,
        len,
        ..Desc::default()
    })
}

/// Entries of LARGE, mostly long enough for the rest of any frame.
fn large_descs() -> impl Strategy<Value = Desc> {
    let id = prop_oneof![40 => 128..131u32, 1 => 0..140u32, 1 => 0..1u32 << 24];
    let len = prop_oneof![
        20 => Just(u16::MAX),
        4 => 64_000..=u16::MAX,
        2 => 1..5000u16,
        1 => any::<u16>(),
    ];
    let offset = prop_oneof![30 => Just(0u16), 1 => 0..2000u16];
    let mark = prop::option::weighted(0.01, offloads());
    (id, offset, len, mark).prop_map(|(id, offset, len, mark)| Desc {
        id,
        offset,
        len,
        ..mark.unwrap_or_default()
    })
}

/// What a first descriptor says about offloads.
fn offloads() -> impl Strategy<Value = Desc> {
    let kind = prop_oneof![
        3 => Just(gso::NONE),
        3 => prop::sample::select(&[gso::TCPV4, gso::TCPV6, gso::UDP_L4, 0x81, 0x84][..]),
        1 => any::<u8>(),
    ];
    let start = prop_oneof![8 => 14..64u16, 1 => any::<u16>()];
    let flags = prop_oneof![2 => Just(0u16), 5 => Just(2u16), 1 => 0..8u16];
    (flags, start, any::<u8>(), kind, 0..3000u16).prop_map(
        |(flags, csum_start, csum_offset, gso_type, gso_size)| Desc {
            flags: Flags::from_bits_truncate(flags),
            csum_start,
            csum_offset: csum_offset % 40,
            gso_type,
            gso_size,
            ..Desc::default()
        },
    )
}

fn frames() -> impl Strategy<Value = Vec<Desc>> {
    let count = prop_oneof![8 => 1..5usize, 1 => 30..38usize];
    let chain = count.prop_flat_map(|n| prop::collection::vec(descs(), n));
    let mark = prop::option::weighted(0.5, offloads());
    let stray = prop::option::weighted(0.05, (any::<prop::sample::Index>(), offloads()));
    (chain, mark, stray).prop_map(|(mut chain, mark, stray)| {
        let last = chain.len() - 1;
        for desc in &mut chain[..last] {
            desc.flags = Flags::NEXT;
        }
        let stray = stray.map(|(index, mark)| (index.index(last + 1), mark));
        for (i, mark) in mark.map(|mark| (0, mark)).into_iter().chain(stray) {
            let Desc { id, generation, offset, len, flags, .. } = chain[i];
            chain[i] = Desc { id, generation, offset, len, flags: flags | mark.flags, ..mark };
        }
        chain
    })
}

fn steps() -> impl Strategy<Value = Step> {
    // Mostly what was written, now and then more or less.
    let lie = || prop_oneof![30 => Just(0u32), 1 => Just(u32::MAX), 1 => 1..300u32];
    let gso = (prop::sample::select(&[1u8, 4, 0x81][..]), 1..2000u16);
    let info = (any::<bool>(), prop::option::of(gso))
        .prop_map(|(csum_valid, gso)| RxInfo { csum_valid, gso });
    let len = prop_oneof![3 => 14..1600usize, 2 => 1600..68_000usize];
    prop_oneof![
        6 => (frames(), lie()).prop_map(|(descs, announce)| Step::Frame { descs, announce }),
        4 => (prop::collection::vec(descs(), 1..40), lie())
            .prop_map(|(descs, announce)| Step::Lend { descs, announce }),
        4 => (prop::collection::vec(large_descs(), 1..3), lie())
            .prop_map(|(descs, announce)| Step::LendLarge { descs, announce }),
        2 => prop_oneof![8 => 0..20u32, 1 => any::<u32>()].prop_map(Step::Take),
        2 => (0..4u64, any::<bool>(), 0..8u32)
            .prop_map(|(queue, producer, ahead)| Step::Event { queue, producer, ahead }),
        1 => pokes(0..1 << 20).prop_map(Step::Poke),
        6 => Just(Step::TxRefresh),
        12 => Just(Step::TxNext),
        3 => Just(Step::TxRelease),
        1 => Just(Step::TxArm),
        1 => Just(Step::TxDisarm),
        6 => Just(Step::Buffers),
        8 => (len, info).prop_map(|(len, info)| Step::Commit { len, info }),
        3 => Just(Step::Publish),
        2 => Just(Step::Pending),
        1 => Just(Step::ArmFill),
        1 => Just(Step::DisarmFill),
    ]
}

/// Two worlds that a guest writes alike.
struct Guest {
    worlds: [World; 2],
    plan: Plan,
}

impl Guest {
    fn new(plan: Plan) -> Guest {
        let guest = Guest { worlds: [World::new(), World::new()], plan };
        guest.both(|memory| plan.build(memory));
        guest
    }

    fn both(&self, write: impl Fn(&shmring::memory::RawMemory)) {
        for world in &self.worlds {
            write(&world.words(self.plan.size()));
        }
    }

    fn produce(&self, queue: u64, descs: &[Desc], lie: u32) {
        let ring = 1u32 << self.plan.log2(queue + 1);
        self.both(|memory| {
            let prod = memory.load_u32(ctrl_at(queue) + ctrl::PROD, Ordering::Relaxed);
            for (i, desc) in descs.iter().enumerate() {
                let slot = prod.wrapping_add(i as u32) & (ring - 1);
                let at = DESC + queue * PAGE + u64::from(slot) * 16;
                let [w0, w1] = desc.encode();
                memory.store_u64(at, w0);
                memory.store_u64(at + 8, w1);
            }
            let prod = prod.wrapping_add(descs.len() as u32).wrapping_add(lie);
            memory.store_u32(ctrl_at(queue) + ctrl::PROD, prod, Ordering::Release);
        });
    }

    /// A guest's step; false for one of the tender's.
    fn act(&self, step: &Step) -> bool {
        match step {
            Step::Frame { descs, announce } => self.produce(0, descs, *announce),
            Step::Lend { descs, announce } => self.produce(1, descs, *announce),
            Step::LendLarge { descs, announce } => {
                if self.plan.features.contains(Features::FILL_LARGE) {
                    self.produce(3, descs, *announce);
                }
            }
            Step::Take(count) => self.both(|memory| {
                let at = ctrl_at(2) + ctrl::CONS;
                let cons = memory.load_u32(at, Ordering::Relaxed).wrapping_add(*count);
                memory.store_u32(at, cons, Ordering::Release);
            }),
            Step::Event { queue, producer, ahead } => self.both(|memory| {
                let (index, event) = match producer {
                    true => (ctrl::CONS, ctrl::PROD_EVENT),
                    false => (ctrl::PROD, ctrl::CONS_EVENT),
                };
                // The last of four is the next pair's first where each has three.
                let ctrl = ctrl_at(*queue % self.plan.queues());
                let value = memory.load_u32(ctrl + index, Ordering::Relaxed).wrapping_add(*ahead);
                memory.store_u32(ctrl + event, value, Ordering::Relaxed);
            }),
            Step::Poke(poke) => self.both(|memory| poke.apply(memory)),
            _ => return false,
        }
        true
    }

    fn assert_same_bytes(&self) {
        let all = Span { address: 0, len: World::SIZE as u32 };
        let [a, b] = &self.worlds;
        let (a, b) = (a.read(all), b.read(all));
        if let Some(at) = (0..a.len()).find(|at| a[*at] != b[*at]) {
            panic!("byte {at:#x} differs: Rust left {:#x}, C {:#x}", a[at], b[at]);
        }
    }
}

fn spans_in_memory(spans: &[Span]) {
    for span in spans {
        assert!(span.len > 0 && span.address + u64::from(span.len) <= World::SIZE as u64);
    }
}

fn run(plan: Plan, changes: &[Poke], steps: &[Step]) {
    let guest = Guest::new(plan);
    for poke in changes {
        guest.both(|memory| poke.apply(memory));
    }
    let rust = attach(guest.worlds[0].words(plan.size()), &LIMITS);
    let c = Service::attach(&guest.worlds[1], plan.size(), &LIMITS);
    let (mut rust, mut c) = match (rust, c) {
        (Ok(rust), Ok(c)) => (rust, c),
        (Err(rust), Err(c)) => {
            assert_eq!(rust as i32, c);
            return;
        }
        (rust, c) => panic!("Rust: {:?}, C: {:?}", rust.map(drop), c.map(drop)),
    };
    assert_eq!((rust.features, rust.stats), (c.features(), c.stats()));
    assert_eq!(rust.pairs.len(), c.pairs());
    if rust.pairs.is_empty() {
        return;
    }
    let (mut tx, mut rx) = c.pair(0);
    let tender::Pair { tx: rust_tx, rx: rust_rx, .. } = &mut rust.pairs[0];
    for step in steps {
        if guest.act(step) {
            continue;
        }
        match *step {
            Step::TxRefresh => assert_eq!(rust_tx.refresh(), tx.refresh()),
            Step::TxNext => {
                let frame = rust_tx.next().map(|frame| {
                    frame.map(|f| Frame {
                        spans: f.spans().to_vec(),
                        len: f.len,
                        csum: f.csum,
                        gso: f.gso,
                    })
                });
                if let Ok(Some(frame)) = &frame {
                    spans_in_memory(&frame.spans);
                }
                assert_eq!(frame, tx.next());
            }
            Step::TxRelease => assert_eq!(rust_tx.release_notify(), tx.release()),
            Step::TxArm => (rust_tx.arm(), tx.arm()).1,
            Step::TxDisarm => (rust_tx.disarm(), tx.disarm()).1,
            Step::Buffers | Step::Commit { .. } => {
                let lent: Result<Vec<_>, _> = rust_rx.buffers().map(Iterator::collect);
                assert_eq!(lent, rx.buffers());
                let lent = lent.unwrap_or_default();
                spans_in_memory(&lent);
                let Step::Commit { len, info } = *step else { continue };
                let fits = lent.iter().map(|span| span.len as usize).sum::<usize>() >= len;
                assert_eq!(rx.commit(len, info), fits && !lent.is_empty());
                if fits && !lent.is_empty() {
                    rust_rx.commit(len, info);
                }
            }
            Step::Publish => assert_eq!(rust_rx.publish_notify(), rx.publish()),
            Step::Pending => assert_eq!(rust_rx.pending(), rx.pending()),
            Step::ArmFill => (rust_rx.arm_fill(), rx.arm_fill()).1,
            Step::DisarmFill => (rust_rx.disarm_fill(), rx.disarm_fill()).1,
            _ => {}
        }
    }
    guest.assert_same_bytes();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_region_is_accepted_by_both_or_refused_alike(
        plan in plans(),
        changes in prop::collection::vec(pokes(0..(header::QUEUES + 8 * queue::ROW) / 8), 0..4),
    ) {
        run(plan, &changes, &[]);
    }

    #[test]
    fn indices_in_a_region_are_taken_over_or_refused_alike(
        plan in plans(),
        changes in prop::collection::vec(pokes(CTRL / 8..DESC / 8), 0..6),
    ) {
        run(plan, &changes, &[Step::TxRefresh, Step::TxNext, Step::Buffers, Step::Pending]);
    }

    #[test]
    fn rings_are_served_alike_whatever_the_guest_does(
        plan in plans(),
        steps in prop::collection::vec(steps(), 1..120),
    ) {
        run(plan, &[], &steps);
    }
}

#[test]
fn large_buffers_are_used_held_back_and_refused_alike() {
    let small = |n: u32| Desc { id: n % 128, offset: 64, len: 1984, ..Desc::default() };
    let large = |id: u32, len: u16| Desc { id, len, ..Desc::default() };
    let lend = |n| Step::Lend { descs: (0..n).map(small).collect(), announce: 0 };
    let lend_large = |descs: &[Desc]| Step::LendLarge { descs: descs.to_vec(), announce: 0 };
    let commit =
        |len| Step::Commit { len, info: RxInfo { csum_valid: true, gso: Some((1, 1448)) } };
    let whole = large(128, u16::MAX);
    let lists = [
        // A frame in one, in two, in more than there are.
        vec![lend(3), lend_large(&[whole, large(129, u16::MAX)]), commit(1984), commit(1985)],
        vec![lend(2), lend_large(&[whole]), commit(65_549), Step::Buffers, lend(40), commit(3000)],
        vec![lend(2), lend_large(&[whole]), commit(67_519), commit(67_520)],
        // Without a first buffer, and without room in RX for two.
        vec![lend_large(&[whole]), Step::Buffers, lend(1), Step::Buffers, commit(30_000)],
        vec![lend(63), lend_large(&[whole]), commit(60), commit(65_000), Step::Publish],
        // Too short together with the first, and just long enough.
        vec![lend(40), lend_large(&[large(128, 4096)]), Step::Buffers, commit(65_549)],
        vec![lend(40), lend_large(&[large(128, 63_564)]), Step::Buffers, commit(65_549)],
        vec![lend(40), lend_large(&[large(128, 63_565)]), Step::Buffers, commit(65_549)],
        // Lent too late for the next frame, in time for the one behind it.
        vec![lend(40), Step::Buffers, lend_large(&[whole]), commit(9000), commit(9000)],
        // Sleepers that are told of either kind.
        vec![Step::ArmFill, lend(1), lend_large(&[whole]), Step::DisarmFill, Step::Publish],
        // What no rule allows.
        vec![lend(2), lend_large(&[large(131, 9)]), Step::Buffers],
        vec![lend(2), lend_large(&[large(u32::from(u16::MAX), 9)]), Step::Buffers],
        vec![lend(2), lend_large(&[Desc { offset: 2, ..whole }]), Step::Buffers],
        vec![lend(2), lend_large(&[Desc { flags: Flags::NEXT, ..whole }]), Step::Buffers],
        vec![lend(2), Step::LendLarge { descs: vec![whole], announce: 5 }, Step::Buffers],
    ];
    for steps in lists {
        // The second time the indices wrap in the midst of a frame.
        for (start, log2) in [(0, 6), (u32::MAX - 1, 8)] {
            let features = Features::all();
            run(Plan { pairs: 1, log2, large_log2: 1, features, start }, &[], &steps);
        }
    }
}

#[test]
fn the_offer_has_the_same_bytes() {
    let limits = Limits { offered: Features::RINGS | Features::MEM_CLASS, ..LIMITS };
    let offer = shmring::abi::offer::Offer::decode(Service::offer(&limits));
    assert_eq!(offer.features, limits.offered);
    assert_eq!((offer.major, offer.minor, offer.max_pairs), (MAJOR, MINOR, 2));
    assert_eq!(offer.port, shmring::abi::port::BASE);
    assert_eq!(offer.encode(), Service::offer(&limits));
}

#[test]
fn every_violation_reaches_the_status_word_with_its_number() {
    let plan = Plan { pairs: 1, log2: 6, large_log2: 2, features: Features::all(), start: 0 };
    let guest = Guest::new(plan);
    let memory = guest.worlds[1].words(guest.plan.size());
    let mut c = Service::attach(&guest.worlds[1], guest.plan.size(), &LIMITS).unwrap();
    for violation in [
        tender::Violation::Index,
        tender::Violation::BufferId,
        tender::Violation::Range,
        tender::Violation::Chain,
        tender::Violation::FrameLength,
        tender::Violation::Flags,
        tender::Violation::Checksum,
        tender::Violation::Segmentation,
    ] {
        c.set_broken(violation.code().into());
        let word = memory.load_u32(header::TENDER_STATUS, Ordering::Relaxed);
        assert_eq!(word, violation.status());
    }
    c.accept(7);
    assert_eq!(memory.load_u32(header::TENDER_STATUS, Ordering::Relaxed), 0);
    assert_eq!(memory.load_u32(header::EPOCH, Ordering::Relaxed), 7);
}
