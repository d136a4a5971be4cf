//! Reassembly of fragmented packets, of both families (RFC 791, section 3.2; RFC 8200, section
//! 4.5), sans I/O.
//!
//! Fragments are kept as the slices that the device filled, and a complete datagram is the chain
//! of them. Small ones are copied together, so that a flood of tiny fragments cannot hold the
//! pool's buffers. What is kept is bounded in datagrams, fragments and buffers; the oldest
//! datagram makes room.

mod datagram;
#[cfg(test)]
mod tests;

use super::Ecn;
use crate::{
    Pool, Slice,
    frame::Chain,
    stack::Counters,
    time::{Duration, Instant},
};
use alloc::vec::Vec;
use core::net::IpAddr;
use datagram::{Added, Datagram};
use zerocopy::{Immutable, IntoBytes};

/// How long an IPv4 datagram may take to arrive.
const TIMEOUT_V4: Duration = Duration::from_secs(30);
/// RFC 8200, section 4.5.
const TIMEOUT_V6: Duration = Duration::from_secs(60);
/// Datagrams that are put together at a time.
const MAX_DATAGRAMS: usize = 64;
/// Fragments of all datagrams together.
const MAX_FRAGMENTS: usize = 2048;
/// Buffers that must be left to the device: two of the largest frames.
const SPARE: usize = 80;

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Our address.
    pub local: IpAddr,
    /// The sender.
    pub remote: IpAddr,
    /// Identification.
    pub ident: u32,
    /// The protocol of IPv4; 0 for IPv6, where it is no part of the key.
    pub protocol: u8,
}

/// What a fragment's headers say.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    /// Its datagram.
    pub key: Key,
    /// What the datagram carries; the first fragment's counts.
    pub protocol: u8,
    /// Where its payload lies in the datagram's.
    pub offset: usize,
    /// Whether further ones follow.
    pub more: bool,
    /// Payload bytes that the whole datagram may have with its headers before the payload.
    pub most: usize,
    /// ECN bits.
    pub ecn: Ecn,
}

/// What became of a fragment.
#[derive(Debug)]
pub enum Verdict {
    /// It is kept, or dropped and counted.
    Done,
    /// It was the last one missing: the chain holds the datagram's payload now.
    Complete(Whole),
    /// Its length is no multiple of eight though further ones follow (RFC 8200, section 4.5: a
    /// parameter problem at the payload length).
    BadLength,
    /// The datagram would be too long (RFC 8200, section 4.5: a parameter problem at the offset).
    TooLong,
}

/// A datagram that was put together.
#[derive(Debug)]
pub struct Whole {
    /// What it carries.
    pub protocol: u8,
    /// ECN bits of all fragments together.
    pub ecn: Ecn,
    /// The first fragment's packet from its IP header on, to be quoted in an error.
    pub start: Slice,
}

/// A datagram whose time ran out after its first fragment had arrived: the sender is told.
#[derive(Debug)]
pub struct Expired {
    /// The datagram.
    pub key: Key,
    /// The first fragment's packet from its IP header on.
    pub start: Slice,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, IntoBytes, Immutable)]
#[repr(C)]
pub struct Stats {
    /// Fragments received.
    pub fragments: u64,
    /// Datagrams put together.
    pub datagrams: u64,
    /// Fragments dropped: a length that cannot be.
    pub malformed: u64,
    /// Fragments dropped: the same arrived before.
    pub duplicate: u64,
    /// Datagrams dropped: fragments overlap, or disagree about the end.
    pub overlap: u64,
    /// Fragments dropped: their datagram was.
    pub late: u64,
    /// Datagrams dropped: ECN bits that cannot be (RFC 3168, section 5.3).
    pub ecn: u64,
    /// Datagrams dropped: others needed the room.
    pub evicted: u64,
    /// Datagrams dropped: fragments did not arrive in time.
    pub expired: u64,
    /// Payload bytes copied: small fragments put together.
    pub payload_bytes_copied: u64,
}

impl Stats {
    /// Every counter by its name.
    pub(crate) fn named(&self) -> Counters<'_> {
        const NAMES: &[&str] = &[
            "fragments",
            "fragments_datagrams",
            "fragments_malformed",
            "fragments_duplicate",
            "fragments_overlap",
            "fragments_late",
            "fragments_ecn",
            "fragments_evicted",
            "fragments_expired",
        ];
        (NAMES, self.as_bytes())
    }
}

/// The datagrams of a stack that are incomplete.
#[derive(Default)]
pub struct Reassembly {
    /// The oldest first.
    datagrams: Vec<Datagram>,
    /// Counters.
    pub stats: Stats,
}

impl Reassembly {
    /// Takes a fragment: `payload` is what follows its headers, `start` its packet from the IP
    /// header on.
    pub fn add(
        &mut self,
        now: Instant,
        fragment: &Fragment,
        start: Slice,
        payload: &mut Chain,
        pool: &Pool,
    ) -> Verdict {
        self.stats.fragments += 1;
        if payload.is_empty() || (fragment.more && !payload.len().is_multiple_of(8)) {
            self.stats.malformed += 1;
            return Verdict::BadLength;
        }
        if fragment.offset + payload.len() > fragment.most {
            self.stats.malformed += 1;
            return Verdict::TooLong;
        }
        let found = self.datagrams.iter().position(|d| d.key == fragment.key);
        let index = found.unwrap_or_else(|| self.open(now, fragment.key));
        let datagram = &mut self.datagrams[index];
        let added = datagram.add(fragment, start, payload, pool);
        self.stats.payload_bytes_copied += core::mem::take(&mut datagram.copied) as u64;
        match added {
            Added::Kept => self.bound(pool),
            Added::Complete => {
                let datagram = self.datagrams.remove(index);
                return self.complete(datagram, payload);
            }
            Added::Duplicate => self.stats.duplicate += 1,
            Added::Overlap => self.stats.overlap += 1,
            Added::Late => self.stats.late += 1,
        }
        Verdict::Done
    }

    fn open(&mut self, now: Instant, key: Key) -> usize {
        if self.datagrams.len() >= MAX_DATAGRAMS {
            self.evict();
        }
        let timeout = if key.remote.is_ipv4() { TIMEOUT_V4 } else { TIMEOUT_V6 };
        self.datagrams.push(Datagram::new(key, now + timeout));
        self.datagrams.len() - 1
    }

    fn complete(&mut self, datagram: Datagram, payload: &mut Chain) -> Verdict {
        let Some((whole, pieces)) = datagram.into_whole() else {
            self.stats.ecn += 1;
            return Verdict::Done;
        };
        payload.clear();
        pieces.for_each(|slice| payload.push(slice));
        self.stats.datagrams += 1;
        Verdict::Complete(whole)
    }

    /// Drops the oldest datagrams while all hold too much.
    fn bound(&mut self, pool: &Pool) {
        let most = pool.config().count / 4;
        while !self.datagrams.is_empty() {
            let buffers: usize = self.datagrams.iter().map(Datagram::buffers).sum();
            let fragments: usize = self.datagrams.iter().map(Datagram::fragments).sum();
            let short = pool.available() < SPARE.min(most) && buffers > 0;
            if buffers <= most && fragments <= MAX_FRAGMENTS && !short {
                return;
            }
            self.evict();
        }
    }

    fn evict(&mut self) {
        let oldest = self.datagrams.remove(0);
        self.stats.evicted += u64::from(!oldest.is_dead());
    }

    /// Drops datagrams whose time has run out; `tell` gets those whose sender is to be told (RFC
    /// 792; RFC 4443, section 3.3: only when the first fragment arrived).
    pub fn poll(&mut self, now: Instant, mut tell: impl FnMut(Expired)) {
        let due = |d: &mut Datagram| d.expires <= now;
        for datagram in self.datagrams.extract_if(.., due) {
            self.stats.expired += u64::from(!datagram.is_dead());
            if let Some((key, start)) = datagram.into_start() {
                tell(Expired { key, start });
            }
        }
    }

    /// When [`Reassembly::poll`] has something to do.
    pub fn poll_at(&self) -> Option<Instant> {
        self.datagrams.iter().map(|d| d.expires).min()
    }

    /// Pool buffers and fragments that are held.
    pub fn held(&self) -> (usize, usize) {
        self.datagrams.iter().fold((0, 0), |(b, f), d| (b + d.buffers(), f + d.fragments()))
    }
}
