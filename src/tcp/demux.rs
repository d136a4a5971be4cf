//! Finds the connection of a segment by its four-tuple, in constant time.

use core::net::IpAddr;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

/// A connection's addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl Tuple {
    /// SipHash of the tuple: an attacker without the key cannot choose collisions.
    #[inline]
    pub(crate) fn hash(&self, hasher: &SipHasher13) -> u64 {
        let ports = u32::from(self.local_port) << 16 | u32::from(self.remote_port);
        let mut bytes = [0; 36];
        bytes[..4].copy_from_slice(&ports.to_be_bytes());
        let len = match (self.local, self.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                bytes[4..8].copy_from_slice(&local.octets());
                bytes[8..12].copy_from_slice(&remote.octets());
                12
            }
            (local, remote) => {
                bytes[4..20].copy_from_slice(&v6_octets(local));
                bytes[20..36].copy_from_slice(&v6_octets(remote));
                36
            }
        };
        hasher.hash(&bytes[..len])
    }
}

fn v6_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

/// Tuple hashes to slab indices.
pub(crate) struct Demux {
    table: HashTable<(u64, u32)>,
    hasher: SipHasher13,
}

impl Demux {
    pub(crate) fn new(key: [u8; 16]) -> Demux {
        Demux { table: HashTable::new(), hasher: SipHasher13::new_with_key(&key) }
    }

    /// The index for which `is_it` holds among those of the tuple's hash.
    #[inline]
    pub(crate) fn find(&self, tuple: &Tuple, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = tuple.hash(&self.hasher);
        self.table.find(hash, |&(h, index)| h == hash && is_it(index)).map(|&(_, index)| index)
    }

    pub(crate) fn insert(&mut self, tuple: &Tuple, index: u32) {
        let hash = tuple.hash(&self.hasher);
        self.table.insert_unique(hash, (hash, index), |&(h, _)| h);
    }

    pub(crate) fn remove(&mut self, tuple: &Tuple, index: u32) {
        let hash = tuple.hash(&self.hasher);
        if let Ok(entry) = self.table.find_entry(hash, |&(_, i)| i == index) {
            entry.remove();
        }
    }
}
