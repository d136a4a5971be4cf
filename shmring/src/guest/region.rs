//! Laying out a region with one queue pair.

use super::{RxRing, TxRing};
use crate::{
    Pool,
    abi::{
        DESC_LEN, DESC_LOG2, Features, MAGIC, MAJOR, MEM_STRIDE, MINOR, class, ctrl, header, queue,
    },
    memory::SharedMemory,
    ring::Layout,
};
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
    /// Entries of each ring, a power of two up to 2^15.
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
    const DESC: u64 = 0x2000;

    /// Bytes that the region needs, a multiple of the page size.
    pub fn size(&self) -> u64 {
        if self.accepted.contains(Features::RINGS) {
            (Self::DESC + 3 * self.ring_bytes()).next_multiple_of(4096)
        } else {
            4096
        }
    }

    fn ring_bytes(&self) -> u64 {
        u64::from(self.entries) * DESC_LEN
    }
}

/// A region that was laid out: the rings of its queue pair, or none without [`Features::RINGS`].
#[derive(Debug)]
pub struct Region<M> {
    /// The rings.
    pub rings: Option<(TxRing<M>, RxRing<M>)>,
}

impl<M: SharedMemory + Copy> Region<M> {
    /// Writes the constant parts into zeroed `memory`. The caller then attaches it.
    ///
    /// # Panics
    /// When the memory is smaller than [`RegionConfig::size`], the entries are no power of two, or
    /// the accepted features are not closed or not on offer.
    pub fn build(memory: M, config: &RegionConfig, pool: &Pool) -> Region<M> {
        assert!(memory.len() >= config.size(), "region is too small");
        assert!(config.entries.is_power_of_two() && config.entries <= 1 << queue::MAX_LOG2);
        assert!(config.offered.contains(config.accepted) && config.accepted.closed());
        let rings = config.accepted.contains(Features::RINGS);
        let mem = config.mem.filter(|_| config.accepted.contains(Features::MEM_CLASS));
        let (queues, classes) = if rings { (3, 1 + u64::from(mem.is_some())) } else { (0, 0) };
        memory.store_u64(
            header::VERSION,
            u64::from(MAJOR) | u64::from(MINOR) << 16 | header::LEN << 32,
        );
        memory.store_u64(header::REGION_SIZE, config.size());
        memory.store_u64(header::FEATURES_OFFERED, config.offered.bits());
        memory.store_u64(header::FEATURES_ACCEPTED, config.accepted.bits());
        memory.store_u64(header::COUNTS, queues | classes << 16);
        if let Some((address, records)) = config.stats {
            memory.store_u64(header::STATS, address);
            memory.store_u64(header::STATS_COUNT, records.into());
        }
        memory.store_u64(header::MAGIC, MAGIC);
        if !rings {
            return Region { rings: None };
        }
        let shape = pool.config();
        let base = pool.base().as_ptr() as u64 - config.origin;
        write_class(&memory, 0, base, shape.stride as u32, shape.count as u32, 0);
        let first_mem_id = shape.count as u32;
        if let Some(mem) = mem {
            let count = (mem.size / u64::from(MEM_STRIDE)) as u32;
            write_class(&memory, 1, 0, MEM_STRIDE, count, first_mem_id);
        }
        let layout = |i: u64, kind: u16| {
            let layout = Layout {
                ctrl: RegionConfig::CTRL + i * ctrl::LEN,
                desc: RegionConfig::DESC + i * config.ring_bytes(),
                entries: config.entries,
            };
            write_queue(&memory, i, kind, layout);
            layout
        };
        let (tx, fill, rx) = (layout(0, queue::TX), layout(1, queue::FILL), layout(2, queue::RX));
        let tx = TxRing::new(memory, tx, pool.clone(), config.origin, mem.map(|_| first_mem_id));
        let rx = RxRing::new(memory, fill, rx, pool.clone());
        Region { rings: Some((tx, rx)) }
    }
}

fn write_class(memory: &impl SharedMemory, i: u64, base: u64, stride: u32, count: u32, first: u32) {
    let row = header::CLASSES + i * class::ROW;
    memory.store_u64(row + class::BASE, base);
    memory.store_u64(row + class::SHAPE, u64::from(stride) | u64::from(count) << 32);
    memory.store_u64(row + class::FIRST_ID, first.into());
}

fn write_queue(memory: &impl SharedMemory, i: u64, kind: u16, layout: Layout) {
    let row = header::QUEUES + i * queue::ROW;
    memory.store_u64(row + queue::TYPE, kind.into());
    memory.store_u64(row + queue::CTRL, layout.ctrl);
    memory.store_u64(row + queue::DESC, layout.desc);
    let log2 = u64::from(layout.entries.trailing_zeros());
    memory.store_u64(row + queue::SHAPE, log2 | u64::from(DESC_LOG2) << 8);
    for word in [ctrl::CONS_EVENT, ctrl::PROD_EVENT] {
        memory.store_u32(layout.ctrl + word, u32::MAX, Ordering::Relaxed);
    }
}
