//! The tender's side: it latches the guest's layout once, then checks every index and descriptor
//! on a private snapshot. Nothing here touches packet bytes; what comes out are checked ranges of
//! guest memory.
#![forbid(unsafe_code)]

mod attach;
mod classes;
mod rx;
mod tx;

use crate::abi::status;
pub use attach::{AttachError, Attached, Limits, Pair, attach};
pub use classes::{Classes, Span};
pub use rx::{RxInfo, RxRing};
pub use tx::{TxFrame, TxRing};

/// What a guest did that breaks a queue. The queue is not served any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// An index further from ours than the ring is long, or moved back.
    Index,
    /// A buffer id of no class.
    BufferId,
    /// Bytes outside their buffer, none at all, or outside memory.
    Range,
    /// A chain that is too long or does not end.
    Chain,
    /// A frame that is too short or too long.
    FrameLength,
    /// A reserved flag, or one that has no place here.
    Flags,
    /// A checksum outside the first fragment, or not negotiated.
    Checksum,
    /// A segmentation that is unknown, not negotiated or without a size.
    Segmentation,
}

impl Violation {
    /// Every one, by its code.
    pub const ALL: [Violation; 8] = [
        Violation::Index,
        Violation::BufferId,
        Violation::Range,
        Violation::Chain,
        Violation::FrameLength,
        Violation::Flags,
        Violation::Checksum,
        Violation::Segmentation,
    ];

    /// The reason in the status word, see [`crate::abi::status`].
    pub fn code(self) -> u8 {
        match self {
            Violation::Index => 1,
            Violation::BufferId => 2,
            Violation::Range => 3,
            Violation::Chain => 4,
            Violation::FrameLength => 5,
            Violation::Flags => 6,
            Violation::Checksum => 7,
            Violation::Segmentation => 8,
        }
    }

    /// The status word of rings that this broke.
    pub fn status(self) -> u32 {
        status::BROKEN | u32::from(self.code()) << status::REASON
    }

    /// A short name for statistics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Violation::Index => "index",
            Violation::BufferId => "buffer_id",
            Violation::Range => "range",
            Violation::Chain => "chain",
            Violation::FrameLength => "frame_length",
            Violation::Flags => "flags",
            Violation::Checksum => "checksum",
            Violation::Segmentation => "segmentation",
        }
    }
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the guest broke a ring: {}", self.name())
    }
}

impl core::error::Error for Violation {}
