//! Checking and latching a region.

use super::{Classes, RxRing, TxRing, classes::Class};
use crate::{
    abi::{
        DESC_LEN, DESC_LOG2, Features, MAGIC, MAJOR, MAX_STATS, MIN_ENTRIES_RX_GSO, STAT_LEN,
        class, ctrl, header, queue,
    },
    memory::SharedMemory,
    ring::Layout,
};
use alloc::vec::Vec;
use core::{fmt, ops::Range};

/// What the tender allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Features that were offered.
    pub offered: Features,
    /// Most queue pairs.
    pub max_pairs: u16,
    /// Bytes of guest memory; every buffer must lie below.
    pub memory: u64,
}

/// Why a region was refused; the number is what the guest gets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum AttachError {
    /// Not inside guest memory, or not aligned to a page.
    Region = 1,
    /// Another magic number or header length.
    Magic = 2,
    /// Another major version.
    Version = 3,
    /// Features that were not offered, or not closed.
    Features = 4,
    /// A class outside memory, of a bad shape, or with ids that overlap.
    Class = 5,
    /// A queue of a bad shape or place, or not of a whole pair.
    Queue = 6,
    /// A statistics table outside memory.
    Stats = 7,
    /// The device is attached already, or is none.
    Handle = 8,
    /// A ring's indices are further apart than it is long.
    Index = 9,
}

impl AttachError {
    /// Every one, by its number.
    pub const ALL: [AttachError; 9] = [
        AttachError::Region,
        AttachError::Magic,
        AttachError::Version,
        AttachError::Features,
        AttachError::Class,
        AttachError::Queue,
        AttachError::Stats,
        AttachError::Handle,
        AttachError::Index,
    ];

    /// A short name for statistics and logs.
    pub fn name(self) -> &'static str {
        match self {
            AttachError::Region => "region",
            AttachError::Magic => "magic",
            AttachError::Version => "version",
            AttachError::Features => "features",
            AttachError::Class => "class",
            AttachError::Queue => "queue",
            AttachError::Stats => "stats",
            AttachError::Handle => "handle",
            AttachError::Index => "index",
        }
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttachError::Region => "the region is not page-aligned inside guest memory",
            AttachError::Magic => "the region has a wrong magic number or header length",
            AttachError::Version => "the region is of another major version",
            AttachError::Features => "features were accepted that were not offered or need others",
            AttachError::Class => "a buffer class is malformed or lies outside guest memory",
            AttachError::Queue => "a queue is malformed or lies outside its region",
            AttachError::Stats => "the statistics table lies outside guest memory",
            AttachError::Index => "a ring's indices are further apart than it is long",
            AttachError::Handle => "no such network device, or it is attached already",
        })
    }
}

impl core::error::Error for AttachError {}

/// The rings of one queue pair.
#[derive(Debug)]
pub struct Pair<M: SharedMemory> {
    /// Frames from the guest.
    pub tx: TxRing<M>,
    /// Frames to the guest, and the buffers for them.
    pub rx: RxRing<M>,
}

/// A region that was checked and latched.
#[derive(Debug)]
pub struct Attached<M: SharedMemory> {
    /// Features in force.
    pub features: Features,
    /// Queue pairs; none without [`Features::RINGS`].
    pub pairs: Vec<Pair<M>>,
    /// Guest-physical ranges of the classes that FILL may name, to which the tender will write. One
    /// that keeps parts of guest memory from being written checks these before it serves.
    pub filled: Vec<Range<u64>>,
    /// Guest-physical address and number of statistics records.
    pub stats: Option<(u64, u32)>,
}

/// Checks the region in `memory` against `limits` and latches it. Each constant is read once.
///
/// # Errors
/// [`AttachError`]; nothing is latched then.
pub fn attach<M: SharedMemory>(memory: M, limits: &Limits) -> Result<Attached<M>, AttachError> {
    let size = memory.len();
    if size < 4096 {
        return Err(AttachError::Region);
    }
    if memory.load_u64(header::MAGIC) != MAGIC {
        return Err(AttachError::Magic);
    }
    let version = memory.load_u64(header::VERSION);
    if version as u16 != MAJOR {
        return Err(AttachError::Version);
    }
    if version >> 32 != header::LEN || memory.load_u64(header::REGION_SIZE) != size {
        return Err(AttachError::Magic);
    }
    let features = Features::from_bits(memory.load_u64(header::FEATURES_ACCEPTED))
        .filter(|f| limits.offered.contains(*f) && f.closed())
        .ok_or(AttachError::Features)?;
    let stats = latch_stats(&memory, limits, features)?;
    let counts = memory.load_u64(header::COUNTS);
    let (queues, classes) = (usize::from(counts as u16), usize::from((counts >> 16) as u16));
    if !features.contains(Features::RINGS) {
        return Ok(Attached { features, pairs: Vec::new(), filled: Vec::new(), stats });
    }
    let classes = latch_classes(&memory, classes, limits, features)?;
    let pairs = latch_pairs(&memory, queues, limits, features, classes)?;
    Ok(Attached { features, pairs, filled: classes.filled(), stats })
}

fn latch_stats(
    memory: &impl SharedMemory,
    limits: &Limits,
    features: Features,
) -> Result<Option<(u64, u32)>, AttachError> {
    let address = memory.load_u64(header::STATS);
    let records = memory.load_u64(header::STATS_COUNT) as u32;
    if !features.contains(Features::STATS) || address == 0 {
        return Ok(None);
    }
    let fits =
        address.checked_add(u64::from(records) * STAT_LEN).is_some_and(|end| end <= limits.memory);
    if !address.is_multiple_of(8) || records > MAX_STATS || !fits {
        return Err(AttachError::Stats);
    }
    Ok(Some((address, records)))
}

fn latch_classes(
    memory: &impl SharedMemory,
    count: usize,
    limits: &Limits,
    features: Features,
) -> Result<Classes, AttachError> {
    if count == 0 || count > header::MAX_CLASSES {
        return Err(AttachError::Class);
    }
    let mut classes = Classes { len: count, ..Classes::default() };
    let mut next_id = 0u32;
    for i in 0..count {
        let row = header::CLASSES + i as u64 * class::ROW;
        let base = memory.load_u64(row + class::BASE);
        let shape = memory.load_u64(row + class::SHAPE);
        let first_id = memory.load_u64(row + class::FIRST_ID) as u32;
        let (stride, count) = (shape as u32, (shape >> 32) as u32);
        let end = u64::from(stride)
            .checked_mul(count.into())
            .and_then(|bytes| base.checked_add(bytes))
            .ok_or(AttachError::Class)?;
        // A class that covers memory starts at its first byte; only then may it be without the
        // private pages of others.
        let tx_only = base == 0;
        let allowed = !tx_only || features.contains(Features::MEM_CLASS);
        let next = first_id.checked_add(count).filter(|next| *next <= 1 << 24);
        if !(64..=65_536).contains(&stride)
            || count == 0
            || end > limits.memory
            || first_id < next_id
            || !allowed
        {
            return Err(AttachError::Class);
        }
        next_id = next.ok_or(AttachError::Class)?;
        classes.rows[i] = Class { base, stride, count, first_id, tx_only };
    }
    Ok(classes)
}

fn latch_pairs<M: SharedMemory>(
    memory: &M,
    queues: usize,
    limits: &Limits,
    features: Features,
    classes: Classes,
) -> Result<Vec<Pair<M>>, AttachError> {
    let per_pair = usize::from(features.queues_per_pair());
    let most = header::MAX_QUEUES.min(per_pair * usize::from(limits.max_pairs));
    if queues == 0 || queues > most || !queues.is_multiple_of(per_pair) {
        return Err(AttachError::Queue);
    }
    let mut taken = Vec::with_capacity(2 * queues);
    let mut pairs = Vec::with_capacity(queues / per_pair);
    for pair in 0..queues / per_pair {
        let mut row = |n: usize, kind: u16| {
            latch_queue(memory, pair * per_pair + n, kind, pair as u16, &mut taken)
        };
        let (tx, fill, rx) = (row(0, queue::TX)?, row(1, queue::FILL)?, row(2, queue::RX)?);
        let large = match features.contains(Features::FILL_LARGE) {
            true => Some(row(3, queue::LARGE)?),
            false => None,
        };
        let least = if features.contains(Features::RX_GSO) { MIN_ENTRIES_RX_GSO } else { 2 };
        if fill.entries < least || rx.entries < least {
            return Err(AttachError::Queue);
        }
        let tx = TxRing::new(memory, tx, classes, features);
        let rx = RxRing::new(memory, fill, large, rx, classes, features);
        let (Ok(tx), Ok(rx)) = (tx, rx) else { return Err(AttachError::Index) };
        pairs.push(Pair { tx, rx });
    }
    Ok(pairs)
}

fn latch_queue<M: SharedMemory>(
    memory: &M,
    index: usize,
    kind: u16,
    pair: u16,
    taken: &mut Vec<(u64, u64)>,
) -> Result<Layout, AttachError> {
    let row = header::QUEUES + index as u64 * queue::ROW;
    let kinds = memory.load_u64(row + queue::TYPE);
    let (ctrl, desc) = (memory.load_u64(row + queue::CTRL), memory.load_u64(row + queue::DESC));
    let [log2, desc_log2, ..] = memory.load_u64(row + queue::SHAPE).to_le_bytes();
    if kinds as u16 != kind || (kinds >> 16) as u16 != pair {
        return Err(AttachError::Queue);
    }
    if log2 == 0 || log2 > queue::MAX_LOG2 || desc_log2 != DESC_LOG2 {
        return Err(AttachError::Queue);
    }
    let layout = Layout { ctrl, desc, entries: 1 << log2 };
    if !layout.is_valid(memory.len()) {
        return Err(AttachError::Queue);
    }
    for (start, len) in [(ctrl, ctrl::LEN), (desc, u64::from(layout.entries) * DESC_LEN)] {
        let end = start + len;
        let apart = taken.iter().all(|(from, to)| end <= *from || *to <= start);
        if start < header::LEN || !apart {
            return Err(AttachError::Queue);
        }
        taken.push((start, end));
    }
    Ok(layout)
}
