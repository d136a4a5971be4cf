//! Our addresses, of both families.

use super::Cidr;
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most addresses of a stack.
const MAX: usize = 32;

/// Where an address or a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody configured it.
    Static,
    /// A DHCP server.
    Dhcp,
    /// Made for the link alone (RFC 4862, section 5.3).
    LinkLocal,
    /// A router's advertisement (RFC 4862, section 5.5).
    Router,
    /// A router's advertisement, with an identifier that changes (RFC 8981).
    Temporary,
    /// A router that knows a better way (RFC 4861, section 8); of routes only.
    Redirect,
}

/// How far an address may be used (RFC 4862, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// Still being verified to be unique: not used yet.
    Tentative,
    /// Being verified, and used meanwhile: for nothing that a host which has it too would notice
    /// (RFC 4429).
    Optimistic,
    /// In use.
    Preferred,
    /// In use by what uses it; not for anything new if there is another.
    Deprecated,
}

/// An address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address with its network.
    pub cidr: Cidr,
    /// Where it comes from.
    pub origin: Origin,
    /// How far it may be used.
    pub state: AddressState,
    /// When it becomes deprecated.
    pub preferred_until: Instant,
    /// When it goes.
    pub valid_until: Instant,
}

impl Address {
    /// An address that stays.
    pub const fn new(cidr: Cidr, origin: Origin) -> Address {
        let (preferred_until, valid_until) = (Instant::NEVER, Instant::NEVER);
        Address { cidr, origin, state: AddressState::Preferred, preferred_until, valid_until }
    }

    /// The same until `valid_until`.
    pub const fn until(mut self, valid_until: Instant) -> Address {
        self.preferred_until = valid_until;
        self.valid_until = valid_until;
        self
    }

    fn is_assigned(&self) -> bool {
        self.state != AddressState::Tentative
    }

    /// Whether it is known to be ours alone.
    pub(crate) fn is_verified(&self) -> bool {
        !matches!(self.state, AddressState::Tentative | AddressState::Optimistic)
    }
}

/// A table has no room, or an address cannot be a host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The table is full: remove something first.
    Full,
    /// No host can have this address, or no router this one.
    Invalid,
}

impl core::fmt::Display for TableError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            TableError::Full => "the table is full: remove an entry first",
            TableError::Invalid => "no host can have this address",
        })
    }
}

impl core::error::Error for TableError {}

/// The table. What the path of a packet asks lies ready in lists of their own.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    list: Vec<Address>,
    own4: Vec<Ipv4Addr>,
    broadcast4: Vec<Ipv4Addr>,
    own6: Vec<Ipv6Addr>,
    /// No life ends before.
    due: Option<Instant>,
    /// Changes whenever an address does.
    generation: u32,
}

impl Addresses {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Address> + Clone {
        self.list.iter()
    }

    pub(crate) fn get(&self, address: IpAddr) -> Option<&Address> {
        self.list.iter().find(|a| a.cidr.address == address)
    }

    /// Adds an address, or replaces what is known of it.
    pub(crate) fn add(&mut self, address: Address) -> Result<(), TableError> {
        if !is_host(address.cidr.address) {
            return Err(TableError::Invalid);
        }
        let room = self.list.len() < MAX;
        match self.list.iter_mut().find(|a| a.cidr.address == address.cidr.address) {
            Some(known) => *known = address,
            None if room => self.list.push(address),
            None => return Err(TableError::Full),
        }
        self.rebuild();
        Ok(())
    }

    pub(crate) fn remove(&mut self, address: IpAddr) -> Option<Address> {
        let at = self.list.iter().position(|a| a.cidr.address == address)?;
        let removed = self.list.remove(at);
        self.rebuild();
        Some(removed)
    }

    /// Changes an address; whether it is there.
    pub(crate) fn update(&mut self, address: IpAddr, change: impl FnOnce(&mut Address)) -> bool {
        let Some(known) = self.list.iter_mut().find(|a| a.cidr.address == address) else {
            return false;
        };
        change(known);
        self.rebuild();
        true
    }

    /// The next address whose life is over; and addresses become deprecated.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Address> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        for address in &mut self.list {
            if address.state == AddressState::Preferred && address.preferred_until <= now {
                address.state = AddressState::Deprecated;
            }
        }
        self.rebuild();
        self.list.iter().find(|a| a.valid_until <= now).copied()
    }

    /// When [`Addresses::expire`] has something to do.
    pub(crate) fn expire_at(&self) -> Option<Instant> {
        self.due
    }

    /// Names the table as it is.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether packets to `address` are for us alone.
    #[inline]
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => self.own4.contains(&a),
            IpAddr::V6(a) => self.own6.contains(&a),
        }
    }

    /// Whether `address` reaches all hosts of our network.
    #[inline]
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast() || self.broadcast4.contains(&address)
    }

    /// Whether `address` is of no single host: a group's, or a broadcast address.
    pub(crate) fn is_of_many(&self, address: IpAddr) -> bool {
        address.is_multicast() || matches!(address, IpAddr::V4(a) if self.is_broadcast(a))
    }

    /// Whether an IPv4 address of ours has `address` in its network.
    pub(crate) fn is_neighbor4(&self, address: Ipv4Addr) -> bool {
        self.list.iter().any(|a| a.is_assigned() && a.cidr.contains(address.into()))
    }

    /// The source for packets that go by the neighbour `hop`: one of its network, or any.
    pub(crate) fn source4(&self, hop: Ipv4Addr) -> Option<Ipv4Addr> {
        let usable = self.list.iter().filter(|a| a.cidr.address.is_ipv4() && a.is_assigned());
        let best = usable.clone().find(|a| a.cidr.contains(hop.into()));
        match best.or_else(|| usable.clone().next())?.cidr.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn rebuild(&mut self) {
        self.generation += 1;
        self.own4.clear();
        self.broadcast4.clear();
        self.own6.clear();
        let next = |a: &Address| match a.state {
            AddressState::Preferred => a.preferred_until.min(a.valid_until),
            _ => a.valid_until,
        };
        self.due = self.list.iter().map(next).min().filter(|at| *at < Instant::NEVER);
        for address in self.list.iter().filter(|a| a.is_assigned()) {
            self.broadcast4.extend(address.cidr.broadcast());
            match address.cidr.address {
                IpAddr::V4(a) => self.own4.push(a),
                IpAddr::V6(a) => self.own6.push(a),
            }
        }
    }
}

/// Whether a host can have `address`.
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified() && !a.is_loopback()
        }
        IpAddr::V6(a) => !a.is_multicast() && !a.is_unspecified() && !a.is_loopback(),
    }
}
