//! The service of rings with a fuzzer for guest and tap: what a machine would do for the same
//! exits, in one thread.
#![forbid(unsafe_code)]

use crate::{
    args::{Io, ServiceMode},
    memory::Memory,
    rings::Nets,
    stats::Stats,
    tap::{Tap, VNET_HEADER},
};
use shmring::tender::Span;
use std::{os::unix::net::UnixDatagram, sync::Arc, time::Duration};

/// Guest memory, in bytes.
pub const MEMORY: u64 = 1 << 20;
const HANDLE: u64 = 1;

/// A machine with one network device.
pub struct World {
    memory: Memory,
    nets: Nets,
    wire: UnixDatagram,
    stats: Arc<Stats>,
}

impl World {
    /// Zeroed memory, no rings.
    ///
    /// # Errors
    /// What the host refused.
    pub fn new(mac_filter: bool) -> Result<World, String> {
        let memory = Memory::new(MEMORY)?;
        let stats = Arc::new(Stats::new(memory.clone(), None)?);
        let mut nets = Nets::new(memory.clone(), stats.clone(), Io::Auto, ServiceMode::Inline)?;
        let pair = UnixDatagram::pair().map_err(|e| e.to_string())?;
        pair.0.set_nonblocking(true).map_err(|e| e.to_string())?;
        pair.1.set_nonblocking(true).map_err(|e| e.to_string())?;
        let source = mac_filter.then_some([2, 0, 0, 0, 0, 1]);
        nets.add(HANDLE, Tap::of_socket(pair.0.into(), true), source, None);
        Ok(World { memory, nets, wire: pair.1, stats })
    }

    /// The guest writes its memory.
    pub fn write(&self, address: u64, data: &[u8]) {
        // Outside memory the guest would fault.
        let _ = self.memory.write(address, data);
    }

    /// The guest hands a region over; whether it was taken.
    pub fn attach(&mut self, handle: u64, address: u64, size: u64) -> bool {
        self.nets.attach(handle, address, size).is_ok()
    }

    /// The guest waits; returns the devices that are ready.
    pub fn wait(&mut self) -> u64 {
        self.nets.wait(Duration::ZERO)
    }

    /// The guest resets a device.
    pub fn reset(&mut self, handle: u64) -> bool {
        self.nets.reset(handle)
    }

    /// The guest sends or receives a frame by hypercall.
    pub fn hypercall(&mut self, write: bool, handle: u64, address: u64, len: u32) {
        let span = Span { address, len };
        if write {
            self.nets.write(handle, span);
        } else {
            self.nets.read(handle, span);
        }
    }

    /// A frame, behind its vnet header, comes from the host.
    pub fn arrives(&self, frame: &[u8]) {
        // A full queue drops it, as a tap's does.
        let _ = self.wire.send(frame);
    }

    /// Takes what the guest has sent; every packet has its header.
    pub fn sent(&self) -> usize {
        let mut packet = [0; 70_000];
        let mut count = 0;
        while let Ok(len) = self.wire.recv(&mut packet) {
            assert!(len > VNET_HEADER, "a packet of {len} bytes");
            count += 1;
        }
        count
    }

    /// Queues given up so far.
    pub fn broken(&self) -> u64 {
        self.stats.counters.queue_broken.get()
    }
}
