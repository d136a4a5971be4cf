//! Where frames come from and go to.

#[cfg(not(feature = "host"))]
pub(crate) mod hypercall;
pub mod ring;
#[cfg(any(test, not(feature = "host")))]
pub(crate) mod solo5_ring;

use crate::{
    Pool,
    frame::{Offloads, RxQueue, TxQueue},
    time::Instant,
    wire::MacAddr,
};

/// What a device is and can do.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// The device's hardware address.
    pub mac: MacAddr,
    /// Largest IP packet in bytes, without the Ethernet header.
    pub mtu: u16,
    /// Work that the device takes over.
    pub offloads: Offloads,
    /// How frames travel, as reported at boot: `shmring`, `solo5-ring`, `hypercall`, `tap`, `wire`.
    pub io_mode: &'static str,
}

/// What a device counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// Payload bytes copied because the other side could not reach them where they lay.
    pub payload_bytes_copied: u64,
    /// Frames that were not sent: too many pieces, or no buffer for copies.
    pub dropped: u64,
    /// Times that the way to the host was set up again after a fault.
    pub restarts: u64,
}

/// The largest IP packet that a device takes which reads each frame into `room` bytes of one
/// buffer. A frame that fills them all was cut.
#[cfg(any(test, not(feature = "host")))]
pub(crate) fn mtu_of_one_buffer(mtu: u16, room: usize) -> u16 {
    mtu.min((room - crate::wire::ethernet::HEADER_LEN - 1) as u16)
}

/// What a look at a device tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is something to do.
    Ready,
    /// Nothing yet, but somebody serves the device meanwhile: another look is cheaper than a wait.
    Again,
    /// Only a wait tells.
    Wait,
}

/// A source and sink of Ethernet frames, in batches.
pub trait Device {
    /// Facts that do not change while the device is in use.
    fn info(&self) -> &DeviceInfo;

    /// The pool that received frames lie in and that frames to send are best built in.
    fn pool(&self) -> &Pool;

    /// Appends up to `budget` received frames; returns how many.
    fn receive(&mut self, queue: &mut RxQueue, budget: usize) -> usize;

    /// Takes frames from the front of `queue` while the device has room, and hands them over as
    /// one batch; returns how many. What is left must be offered again.
    fn transmit(&mut self, queue: &mut TxQueue) -> usize;

    /// What the device has counted so far.
    fn stats(&self) -> DeviceStats {
        DeviceStats::default()
    }

    /// Looks for what a wait would wake for, without one. `due` says whether its end has come.
    fn look(&mut self, due: bool) -> Look {
        let _ = due;
        Look::Wait
    }

    /// Sleeps until a frame may have arrived, room may be there again for a frame that did not
    /// fit, or `until` has come; may return early.
    fn wait(&mut self, until: Option<Instant>);
}
