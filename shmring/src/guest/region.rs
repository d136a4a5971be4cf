//! Laying out a region.

use super::{
    Broken, RxRing, TxRing,
    rx::{HEADROOM, Lender},
    tx::Reach,
};
use crate::{
    Pool,
    abi::{
        DESC_LEN, DESC_LOG2, Features, MAGIC, MAJOR, MEM_STRIDE, MIN_ENTRIES_RX_GSO, MINOR, class,
        ctrl, header, queue, status,
    },
    memory::{RingMemory, SharedMemory, Word},
    ring::{Consumer, Layout, Producer},
};
use alloc::{vec, vec::Vec};
use core::sync::atomic::Ordering;

/// A class for TX that covers the guest's memory as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemClass {
    /// Bytes of memory, from guest-physical address 0.
    pub size: u64,
}

/// What a region is laid out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionConfig {
    /// Queue pairs, at least 1 and as many as were offered; each takes three rings, or four with
    /// [`Features::FILL_LARGE`].
    pub pairs: u16,
    /// Entries of each ring, a power of two up to 2^15, at least 64 with [`Features::RX_GSO`].
    pub entries: u32,
    /// Features that the tender offered.
    pub offered: Features,
    /// Features to accept; a subset of those.
    pub accepted: Features,
    /// What to subtract from an address of this side for the guest-physical address: 0 where
    /// memory is mapped one to one.
    pub origin: u64,
    /// Present with [`Features::MEM_CLASS`].
    pub mem: Option<MemClass>,
    /// Guest-physical address and records of the statistics table, with [`Features::STATS`].
    pub stats: Option<(u64, u32)>,
}

impl RegionConfig {
    const CTRL: u64 = 0x1000;

    fn per_pair(&self) -> u64 {
        self.accepted.queues_per_pair().into()
    }

    fn queues(&self) -> u64 {
        if self.accepted.contains(Features::RINGS) {
            self.per_pair() * u64::from(self.pairs)
        } else {
            0
        }
    }

    /// Descriptors start on a page behind all control words.
    fn desc(&self) -> u64 {
        (Self::CTRL + self.queues() * ctrl::LEN).next_multiple_of(4096)
    }

    fn ring_bytes(&self) -> u64 {
        u64::from(self.entries) * DESC_LEN
    }

    /// Bytes that the region needs, a multiple of the page size.
    pub fn size(&self) -> u64 {
        match self.queues() {
            0 => 4096,
            queues => (self.desc() + queues * self.ring_bytes()).next_multiple_of(4096),
        }
    }

    fn layout(&self, i: u64) -> Layout {
        Layout {
            ctrl: Self::CTRL + i * ctrl::LEN,
            desc: self.desc() + i * self.ring_bytes(),
            entries: self.entries,
        }
    }

    fn check(&self) {
        assert!(self.entries.is_power_of_two() && self.entries <= 1 << queue::MAX_LOG2);
        assert!(self.offered.contains(self.accepted) && self.accepted.closed());
        let gso = self.accepted.contains(Features::RX_GSO);
        assert!(!gso || self.entries >= MIN_ENTRIES_RX_GSO, "too few entries for large frames");
        assert!((1..=header::MAX_QUEUES as u64 / self.per_pair()).contains(&u64::from(self.pairs)));
    }
}

/// A region that was laid out.
#[derive(Debug)]
pub struct Region<M: SharedMemory> {
    /// The rings of each queue pair; none without [`Features::RINGS`].
    pub pairs: Vec<(TxRing<M>, RxRing<M>)>,
}

impl<M: SharedMemory> Region<M> {
    /// Writes a region into `memory`, whose content does not matter. The caller then attaches it.
    /// Received frames lie in `pool`.
    ///
    /// # Panics
    /// When the memory is smaller than [`RegionConfig::size`], or the configuration is out of its
    /// stated bounds.
    pub fn build(memory: M, config: &RegionConfig, pool: &Pool) -> Region<M> {
        Region::build_with(memory, config, pool, None)
    }

    /// Likewise, with a second pool of larger buffers, which may be sent from, and with
    /// [`Features::FILL_LARGE`] received into.
    ///
    /// # Panics
    /// As [`Region::build`], and when that feature is accepted without a second pool.
    pub fn build_with(
        memory: M,
        config: &RegionConfig,
        pool: &Pool,
        large: Option<&Pool>,
    ) -> Region<M> {
        assert!(memory.len() >= config.size(), "region is too small");
        config.check();
        for at in (0..header::LEN).step_by(8) {
            memory.store_u64(at, 0);
        }
        let version = u64::from(MAJOR) | u64::from(MINOR) << 16 | header::LEN << 32;
        memory.store_u64(header::VERSION, version);
        memory.store_u64(header::REGION_SIZE, config.size());
        memory.store_u64(header::FEATURES_OFFERED, config.offered.bits());
        memory.store_u64(header::FEATURES_ACCEPTED, config.accepted.bits());
        if let Some((address, records)) = config.stats {
            memory.store_u64(header::STATS, address);
            memory.store_u64(header::STATS_COUNT, records.into());
        }
        let mut pairs = Vec::new();
        let mut classes = 0;
        if config.accepted.contains(Features::RINGS) {
            let reach;
            (classes, reach) = write_classes(&memory, config, pool, large);
            let fills = config.accepted.contains(Features::FILL_LARGE);
            assert!(!fills || large.is_some(), "no pool of large buffers");
            for pair in 0..config.pairs {
                pairs.push(write_pair(&memory, config, pair, &reach));
            }
        }
        memory.store_u64(header::COUNTS, config.queues() | classes << 16);
        memory.store_u64(header::MAGIC, MAGIC);
        Region { pairs }
    }
}

fn write_classes(
    memory: &impl SharedMemory,
    config: &RegionConfig,
    pool: &Pool,
    large: Option<&Pool>,
) -> (u64, Reach) {
    let mut reach = Reach { pools: vec![], mem: None, origin: config.origin };
    let (mut classes, mut next_id) = (0, 0);
    let mut row = |base: u64, stride: u32, count: u32| {
        let row = header::CLASSES + classes * class::ROW;
        memory.store_u64(row + class::BASE, base);
        memory.store_u64(row + class::SHAPE, u64::from(stride) | u64::from(count) << 32);
        memory.store_u64(row + class::FIRST_ID, u64::from(next_id));
        classes += 1;
        let first = next_id;
        next_id += count;
        first
    };
    for pool in [Some(pool), large].into_iter().flatten() {
        let shape = pool.config();
        let base = pool.base().as_ptr() as u64 - config.origin;
        let first = row(base, shape.stride as u32, shape.count as u32);
        reach.pools.push((pool.clone(), first));
    }
    if let Some(mem) = config.mem.filter(|_| config.accepted.contains(Features::MEM_CLASS)) {
        let count = (mem.size / u64::from(MEM_STRIDE)) as u32;
        let covered = u64::from(count) * u64::from(MEM_STRIDE);
        reach.mem = Some((row(0, MEM_STRIDE, count), covered));
    }
    (classes, reach)
}

fn write_pair<M: SharedMemory>(
    memory: &M,
    config: &RegionConfig,
    pair: u16,
    reach: &Reach,
) -> (TxRing<M>, RxRing<M>) {
    let queue = |n: u64, kind: u16| {
        let i = config.per_pair() * u64::from(pair) + n;
        let layout = config.layout(i);
        let row = header::QUEUES + i * queue::ROW;
        memory.store_u64(row + queue::TYPE, u64::from(kind) | u64::from(pair) << 16);
        memory.store_u64(row + queue::CTRL, layout.ctrl);
        memory.store_u64(row + queue::DESC, layout.desc);
        let log2 = u64::from(layout.entries.trailing_zeros());
        memory.store_u64(row + queue::SHAPE, log2 | u64::from(DESC_LOG2) << 8);
        let words = memory.ring(layout);
        for (word, start) in [
            (Word::Prod, 0),
            (Word::Cons, 0),
            (Word::ConsEvent, u32::MAX),
            (Word::ProdEvent, u32::MAX),
        ] {
            words.store(word, start, Ordering::Relaxed);
        }
        layout
    };
    // What was just written is not read back: a tender may be writing there already.
    let tx = Producer::fresh(memory.ring(queue(0, queue::TX)), config.entries);
    let fill = Producer::fresh(memory.ring(queue(1, queue::FILL)), config.entries);
    let rx = Consumer::fresh(memory.ring(queue(2, queue::RX)), config.entries);
    let lender = |n: usize, ring, headroom| {
        let (pool, first_id) = &reach.pools[n];
        Lender::new(ring, pool.clone(), *first_id, headroom)
    };
    let large = config.accepted.contains(Features::FILL_LARGE).then(|| {
        let ring = Producer::fresh(memory.ring(queue(3, queue::LARGE)), config.entries);
        // Headers are prepended only to where a frame starts, which is in a small one.
        lender(1, ring, 0)
    });
    let rx = RxRing::new(lender(0, fill, HEADROOM), large, rx, config.accepted);
    (TxRing::new(tx, reach.clone()), rx)
}

/// What the tender says about an attached region.
#[derive(Debug)]
pub struct Watch<M> {
    memory: M,
    epoch: u32,
}

impl<M: SharedMemory> Watch<M> {
    /// Acknowledges the epoch of a region that the tender has just attached.
    pub fn new(memory: M) -> Watch<M> {
        let epoch = memory.load_u32(header::EPOCH, Ordering::Relaxed);
        memory.store_u32(header::EPOCH_ACK, epoch, Ordering::Relaxed);
        Watch { memory, epoch }
    }

    /// Whether a thread of the tender's polls, so that polling pays here too.
    ///
    /// # Errors
    /// [`Broken::Refused`] or [`Broken::Epoch`] when the rings are not served any more.
    pub fn polling(&self) -> Result<bool, Broken> {
        let word = self.memory.load_u32(header::TENDER_STATUS, Ordering::Relaxed);
        if word & status::BROKEN != 0 {
            return Err(Broken::Refused((word >> status::REASON) as u8));
        }
        if self.memory.load_u32(header::EPOCH, Ordering::Relaxed) != self.epoch {
            return Err(Broken::Epoch);
        }
        Ok(word & status::POLLING != 0)
    }
}
