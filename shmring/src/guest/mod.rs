//! The guest's side: it owns the memory, lays the region out, lends buffers and trusts nothing
//! that the tender writes back.
//!
//! A buffer that was lent stays in a private FIFO until the tender gives it back, in order: what the
//! tender writes is compared with the head of that FIFO and never used to find a buffer. When it
//! does not match, the queue is broken for good, and what is still lent stays out of the pool,
//! because the tender may still write to it: also when the rings are dropped. Only after a RESET
//! that the tender has answered are lent buffers taken back (`after_reset`).
#![forbid(unsafe_code)]

mod region;
mod rx;
mod tx;

pub use region::{MemClass, Region, RegionConfig, Watch};
pub use rx::{RxInfo, RxRing};
pub use tx::{TxInfo, TxRing};

/// The tender broke the protocol; the queue is not used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// An index moved where the protocol does not let it.
    Index,
    /// A returned buffer is not the one that was lent first.
    Buffer,
    /// A length is over what was lent, or a chain does not end.
    Length,
    /// An unknown flag.
    Flags,
    /// An offload that was not accepted, or makes no sense.
    Offload,
    /// The tender says that we broke a queue; its reason.
    Refused(u8),
    /// The tender has started over and knows nothing of these rings.
    Epoch,
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let text = match self {
            Broken::Refused(reason) => {
                return write!(f, "the tender refused what we wrote (reason {reason})");
            }
            Broken::Index => "the tender moved an index out of the ring",
            Broken::Buffer => "the tender returned a buffer out of order",
            Broken::Length => "the tender returned a frame longer than its buffers",
            Broken::Flags => "the tender set an unknown flag",
            Broken::Offload => "the tender set an offload that was not accepted",
            Broken::Epoch => "the tender has started over",
        };
        f.write_str(text)
    }
}

impl core::error::Error for Broken {}
