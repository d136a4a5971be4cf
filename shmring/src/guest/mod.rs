//! The guest's side: it owns the memory, lays the region out, lends buffers and trusts nothing
//! that the tender writes back.
#![forbid(unsafe_code)]

mod region;
mod rx;
mod tx;

pub use region::{MemClass, Region, RegionConfig};
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
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Broken::Index => "the tender moved an index out of the ring",
            Broken::Buffer => "the tender returned a buffer out of order",
            Broken::Length => "the tender returned a frame longer than its buffers",
            Broken::Flags => "the tender set an unknown flag",
        })
    }
}

impl core::error::Error for Broken {}
