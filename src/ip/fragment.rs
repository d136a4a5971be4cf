//! Making fragments, for both families (RFC 791, section 3.2; RFC 8200, section 4.5).

use crate::{
    PacketBuf, Slice,
    frame::Chain,
    wire::{checksum::Checksum, udp},
};
use core::{
    hash::{Hash, Hasher},
    net::IpAddr,
};
use siphasher::sip::SipHasher13;

/// The next-header value of IPv6's fragment header.
pub(crate) const FRAGMENT: u8 = 44;
/// Its bytes.
pub(crate) const FRAGMENT_LEN: usize = 8;

/// IPv6's fragment header (RFC 8200, section 4.5).
pub(crate) fn fragment6(
    next_header: u8,
    offset: usize,
    more: bool,
    ident: u32,
) -> [u8; FRAGMENT_LEN] {
    let mut bytes = [next_header, 0, 0, 0, 0, 0, 0, 0];
    // The offset is a multiple of eight: its low bits are the field's flags.
    bytes[2..4].copy_from_slice(&(offset as u16 | u16::from(more)).to_be_bytes());
    bytes[4..].copy_from_slice(&ident.to_be_bytes());
    bytes
}

/// A piece of a datagram's payload.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// Where it lies in the payload.
    pub(crate) offset: usize,
    /// Whether further ones follow.
    pub(crate) more: bool,
    /// Its bytes.
    pub(crate) data: Chain,
}

/// Cuts a payload into fragments; no byte is copied.
#[derive(Debug)]
pub(crate) struct Fragments {
    rest: Chain,
    offset: usize,
    size: usize,
}

impl Fragments {
    /// Fragments of `payload` that fit into packets of `mtu` bytes behind `header_len` of headers.
    pub(crate) fn of(payload: Chain, mtu: usize, header_len: usize) -> Fragments {
        let size = mtu.saturating_sub(header_len) / 8 * 8;
        Fragments { rest: payload, offset: 0, size: size.max(8) }
    }

    /// How many there will be.
    pub(crate) fn number(&self) -> usize {
        self.rest.len().div_ceil(self.size)
    }
}

impl Iterator for Fragments {
    type Item = Fragment;

    fn next(&mut self) -> Option<Fragment> {
        if self.rest.is_empty() {
            return None;
        }
        let data = self.rest.split_to(self.size);
        let offset = self.offset;
        self.offset += data.len();
        Some(Fragment { offset, more: !self.rest.is_empty(), data })
    }
}

/// Completes a transport checksum that was left to the device: it would sum a fragment only.
/// The field, `at` bytes into `head`, holds the pseudo-header's sum.
pub(crate) fn complete_checksum(protocol: u8, head: &mut PacketBuf, rest: &[Slice], at: usize) {
    let mut sum = Checksum::new();
    sum.add(head);
    rest.iter().for_each(|slice| sum.add(slice));
    let sum = match sum.finish() {
        // RFC 768: a sum of zero is sent as all ones.
        0 if protocol == udp::PROTOCOL => 0xffff,
        sum => sum,
    };
    head[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Identifications of fragmented packets: counters behind a keyed hash of the addresses, so that
/// nobody learns from his own what others are sent (RFC 7739, section 5.3; RFC 6864).
pub(crate) struct Idents {
    key: SipHasher13,
    counters: [u32; Idents::COUNTERS],
    /// The hash of the addresses that were asked for last.
    last: Option<(IpAddr, IpAddr, u64)>,
}

impl Idents {
    const COUNTERS: usize = 64;

    pub(crate) fn new(key: [u8; 16]) -> Idents {
        let key = SipHasher13::new_with_key(&key);
        Idents { key, counters: [0; Idents::COUNTERS], last: None }
    }

    pub(crate) fn next(&mut self, local: IpAddr, remote: IpAddr) -> u32 {
        let hash = match self.last {
            Some((from, to, hash)) if from == local && to == remote => hash,
            _ => {
                let mut hasher = self.key;
                (local, remote).hash(&mut hasher);
                let hash = hasher.finish();
                self.last = Some((local, remote, hash));
                hash
            }
        };
        let counter = &mut self.counters[(hash >> 32) as usize % Idents::COUNTERS];
        *counter = counter.wrapping_add(1);
        counter.wrapping_add(hash as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn chain(lens: &[usize]) -> Chain {
        let mut chain = Chain::new();
        let mut at = 0;
        for len in lens {
            chain.push(Slice::from((at..at + len).map(|i| i as u8).collect::<Vec<_>>()));
            at += len;
        }
        chain
    }

    #[test]
    fn fragments_fill_packets_in_multiples_of_eight() {
        let fragments = Fragments::of(chain(&[8, 3000, 1, 5, 1000]), 1500, 20);
        assert_eq!(fragments.number(), 3);
        let all: Vec<_> = fragments.map(|f| (f.offset, f.data.len(), f.more)).collect();
        assert_eq!(all, [(0, 1480, true), (1480, 1480, true), (2960, 1054, false)]);
        let fragments = Fragments::of(chain(&[200]), 99, 20);
        assert_eq!(fragments.map(|f| f.data.len()).collect::<Vec<_>>(), [72, 72, 56]);
    }

    #[test]
    fn fragments_together_are_the_payload() {
        let whole: Vec<u8> = chain(&[100, 7, 900]).iter().flat_map(|s| s.to_vec()).collect();
        let parts = Fragments::of(chain(&[100, 7, 900]), 84, 20);
        let parts: Vec<u8> = parts
            .flat_map(|f| f.data.iter().flat_map(|s| s.to_vec()).collect::<Vec<_>>())
            .collect();
        assert_eq!(parts, whole);
    }

    #[test]
    fn identifications_of_one_peer_tell_nothing_of_anothers() {
        let mut idents = Idents::new([7; 16]);
        let [local, a, b] = ["10.0.0.2", "10.0.0.1", "10.0.0.3"].map(|a| a.parse().unwrap());
        let first = idents.next(local, a);
        assert_eq!(idents.next(local, a), first.wrapping_add(1));
        assert_ne!(idents.next(local, b).wrapping_sub(first) as i32 / 1000, 0);
        let seen = [idents.next(local, a), idents.next(local, a)];
        assert_eq!(seen[1], seen[0].wrapping_add(1));
    }
}
