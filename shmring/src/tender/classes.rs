//! Which bytes a descriptor may name.

use super::Violation;
use crate::abi::{Desc, header};
use alloc::vec::Vec;
use core::ops::Range;

/// Checked bytes of guest memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes, at least 1.
    pub len: u32,
}

impl Span {
    pub(super) const EMPTY: Span = Span { address: 0, len: 0 };
}

/// One latched class; all of its buffers lie in guest memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) base: u64,
    pub(super) stride: u32,
    pub(super) count: u32,
    pub(super) first_id: u32,
    pub(super) tx_only: bool,
}

/// The latched classes of a region.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classes {
    pub(super) rows: [Class; header::MAX_CLASSES],
    pub(super) len: usize,
}

impl Classes {
    /// Where the buffers lie that FILL may name.
    pub(super) fn filled(&self) -> Vec<Range<u64>> {
        let rows = self.rows[..self.len].iter().filter(|class| !class.tx_only);
        rows.map(|c| c.base..c.base + u64::from(c.stride) * u64::from(c.count)).collect()
    }

    /// The bytes that a descriptor names.
    #[inline]
    pub(super) fn resolve(&self, desc: &Desc, for_tx: bool) -> Result<Span, Violation> {
        for class in &self.rows[..self.len] {
            let Some(n) = desc.id.checked_sub(class.first_id).filter(|n| *n < class.count) else {
                continue;
            };
            if class.tx_only && !for_tx {
                return Err(Violation::BufferId);
            }
            let end = u32::from(desc.offset) + u32::from(desc.len);
            if desc.len == 0 || end > class.stride {
                return Err(Violation::Range);
            }
            let buffer = class.base + u64::from(n) * u64::from(class.stride);
            return Ok(Span { address: buffer + u64::from(desc.offset), len: desc.len.into() });
        }
        Err(Violation::BufferId)
    }
}
