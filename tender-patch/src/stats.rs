//! Counters, and the JSON object that they are written as.
#![forbid(unsafe_code)]

use crate::memory::Memory;
use serde_json::{Map, Value, json};
use shmring::{
    abi::{STAT_LEN, STAT_NAME},
    tender::{AttachError, Violation},
};
use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A counter that any thread may raise.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What the tender counts.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($(#[$doc])* pub(crate) $name: Counter),* }
        impl Counters {
            fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),*]
            }
        }
    };
}

counters! {
    /// Microseconds from the tender's start to the guest's.
    boot_us,
    /// Returns of the vCPU to this process.
    exits,
    /// Kicks of the guest that woke the service.
    kicks,
    rx_frames,
    tx_frames,
    rx_bytes,
    tx_bytes,
    /// Buffers that received frames took.
    rx_buffers,
    /// Groups of frames that the guest was told of at once.
    rx_batches,
    /// Groups of frames that were taken from the guest at once.
    tx_batches,
    /// Frames that the tap did not take.
    tx_dropped,
    /// Frames from another hardware address than the network's.
    tx_filtered,
    /// Frames for which the guest had no buffer when the tap was read.
    rx_no_buffer,
    /// Times that the guest slept.
    sleeps,
    /// Times that the rings moved to a thread of their own, and back.
    service_switches,
    /// Regions that were refused.
    attach_refused,
    /// Queues that were given up because the guest broke the protocol.
    queue_broken,
}

/// Reasons for an exit, each a counter.
#[derive(Debug, Default)]
pub(crate) struct ExitReasons([Counter; ExitReasons::NAMES.len()]);

impl ExitReasons {
    const NAMES: [&'static str; 15] = [
        "other",
        "walltime",
        "puts",
        "poll",
        "block_write",
        "block_read",
        "net_write",
        "net_read",
        "halt",
        "ring_attach",
        "ring_wait",
        "ring_reset",
        "entropy",
        "exception",
        "interrupted",
    ];

    /// Counts one; an unknown name counts as other.
    pub(crate) fn count(&self, name: &str) {
        let i = Self::NAMES.iter().position(|n| *n == name).unwrap_or(0);
        self.0[i].add(1);
    }

    fn json(&self) -> Value {
        let named = Self::NAMES.iter().zip(&self.0).filter(|(_, c)| c.get() > 0);
        named.map(|(name, c)| (name.to_string(), json!(c.get()))).collect::<Map<_, _>>().into()
    }
}

/// Why queues were given up, each a counter: by [`Violation::code`].
#[derive(Debug, Default)]
pub(crate) struct Violations([Counter; Violation::ALL.len()]);

impl Violations {
    /// Counts one.
    pub(crate) fn count(&self, violation: Violation) {
        self.0[usize::from(violation.code()) - 1].add(1);
    }

    fn json(&self) -> Value {
        let named = Violation::ALL.iter().zip(&self.0).filter(|(_, c)| c.get() > 0);
        named.map(|(v, c)| (v.name().to_string(), json!(c.get()))).collect::<Map<_, _>>().into()
    }
}

/// Regions that were refused, each reason a counter.
#[derive(Debug, Default)]
pub(crate) struct Refusals([Counter; AttachError::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub(crate) fn count(&self, error: AttachError) {
        self.0[error as usize - 1].add(1);
    }

    fn json(&self) -> Value {
        let named = AttachError::ALL.iter().zip(&self.0).filter(|(_, c)| c.get() > 0);
        named.map(|(e, c)| (e.name().to_string(), json!(c.get()))).collect::<Map<_, _>>().into()
    }
}

/// All that is counted, and where it goes.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) counters: Counters,
    pub(crate) reasons: ExitReasons,
    pub(crate) violations: Violations,
    pub(crate) refusals: Refusals,
    pub(crate) io_mode: Mutex<&'static str>,
    guest: Mutex<BTreeMap<u64, (u64, u32)>>,
    memory: Memory,
    file: Option<(PathBuf, File)>,
}

impl Stats {
    /// Nothing counted yet. The file is opened now: later nothing may be.
    pub(crate) fn new(memory: Memory, path: Option<&Path>) -> Result<Stats, String> {
        let file = match path {
            None => None,
            Some(path) => {
                let file = File::create(path)
                    .map_err(|e| format!("could not write the statistics {}: {e}", path.display()));
                Some((path.to_path_buf(), file?))
            }
        };
        Ok(Stats {
            counters: Counters::default(),
            reasons: ExitReasons::default(),
            violations: Violations::default(),
            refusals: Refusals::default(),
            io_mode: Mutex::new("hypercall"),
            guest: Mutex::default(),
            memory,
            file,
        })
    }

    pub(crate) fn set_io_mode(&self, mode: &'static str) {
        *self.io_mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// Takes the table that the guest has for a device, which was checked when it was attached.
    pub(crate) fn set_guest_table(&self, handle: u64, address: u64, records: u32) {
        let mut tables = self.guest.lock().unwrap_or_else(PoisonError::into_inner);
        tables.insert(handle, (address, records));
    }

    fn guest(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let tables = self.guest.lock().unwrap_or_else(PoisonError::into_inner);
        for (address, records) in tables.values() {
            for i in 0..u64::from(*records) {
                let mut record = [0; STAT_LEN as usize];
                if !self.memory.read(address + i * STAT_LEN, &mut record) {
                    continue;
                }
                let name: String = record[..STAT_NAME]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
                    .map(|b| char::from(*b))
                    .collect();
                let value = record[STAT_NAME..].try_into().map_or(0, u64::from_le_bytes);
                if !name.is_empty() {
                    all.insert(name, value.into());
                }
            }
        }
        all
    }

    /// Writes the object over what the file had.
    pub(crate) fn write(&self) {
        let Some((path, file)) = &self.file else { return };
        let mut object: Map<String, Value> =
            self.counters.named().into_iter().map(|(name, n)| (name.into(), n.into())).collect();
        let mode = *self.io_mode.lock().unwrap_or_else(PoisonError::into_inner);
        object.insert("io_mode".into(), mode.into());
        object.insert("exits_by_reason".into(), self.reasons.json());
        object.insert("violations".into(), self.violations.json());
        object.insert("attach_refused_by_reason".into(), self.refusals.json());
        object.insert("guest".into(), self.guest().into());
        let text = format!("{:#}\n", Value::Object(object));
        // Counters only grow, so one write leaves whole JSON at every time.
        let written = file.write_all_at(text.as_bytes(), 0);
        if let Err(e) = written.and_then(|()| file.set_len(text.len() as u64)) {
            log::error!("could not write {}: {e}", path.display());
        }
    }
}
