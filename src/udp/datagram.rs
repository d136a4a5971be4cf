//! Received datagrams.

use crate::{Slice, frame::Chain};
use alloc::vec::Vec;
use core::{
    net::{IpAddr, SocketAddr},
    ops::Deref,
};

/// A received datagram.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// The address that it was sent to: one of ours, a broadcast or a group.
    pub local: IpAddr,
    /// Its bytes.
    pub data: Payload,
}

/// The slices of a datagram: one, usually; more when it came in fragments.
#[derive(Clone, Debug)]
pub struct Payload(Slices);

#[derive(Clone, Debug)]
enum Slices {
    /// The usual one costs no allocation.
    One([Slice; 1]),
    More(Vec<Slice>),
}

impl Payload {
    /// Takes the slices out of `chain`.
    pub(super) fn take(chain: &mut Chain) -> Payload {
        let first = chain.pop().unwrap_or_default();
        if chain.is_empty() {
            return Payload(Slices::One([first]));
        }
        let rest = core::iter::from_fn(|| chain.pop());
        Payload(Slices::More(core::iter::once(first).chain(rest).collect()))
    }

    /// Bytes in all slices together.
    pub fn bytes(&self) -> usize {
        self.iter().map(|slice| slice.len()).sum()
    }

    /// Bytes of memory that the slices keep from being used again.
    pub(super) fn pinned(&self) -> usize {
        self.iter().map(Slice::pinned).sum()
    }

    /// The bytes in one piece, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        self.iter().for_each(|slice| bytes.extend_from_slice(slice));
        bytes
    }
}

impl Deref for Payload {
    type Target = [Slice];

    fn deref(&self) -> &[Slice] {
        match &self.0 {
            Slices::One(one) => one,
            Slices::More(more) => more,
        }
    }
}
