//! Options of neighbour discovery messages.

use super::{address, chunk, preference};
use crate::{ip::Preference, wire::MacAddr};
use core::net::Ipv6Addr;

/// An option that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpOption<'a> {
    /// The sender's hardware address.
    Source(MacAddr),
    /// The target's hardware address.
    Target(MacAddr),
    /// A prefix of the link.
    Prefix(PrefixInfo),
    /// The link's MTU.
    Mtu(u32),
    /// A route (RFC 4191, section 2.3).
    Route(RouteInfo),
    /// Recursive DNS servers (RFC 8106, section 5.1): seconds of life, and addresses.
    Servers(u32, &'a [[u8; 16]]),
}

/// A prefix of the link (RFC 4861, section 4.6.2). Lifetimes are in seconds; all ones are for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInfo {
    /// The prefix.
    pub prefix: Ipv6Addr,
    /// Its bits.
    pub len: u8,
    /// Who has it is on the link.
    pub on_link: bool,
    /// Addresses may be made with it.
    pub autonomous: bool,
    /// How long it is valid.
    pub valid: u32,
    /// How long addresses made with it are preferred.
    pub preferred: u32,
}

/// A route that a router offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The destinations' prefix.
    pub prefix: Ipv6Addr,
    /// Its bits.
    pub len: u8,
    /// Before or after other routers.
    pub preference: Preference,
    /// Seconds that it is valid; all ones are for ever.
    pub lifetime: u32,
}

/// The options of a message whose lengths were checked; those that are not known are left out.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// Checks all lengths.
    pub(super) fn check(bytes: &'a [u8]) -> Option<Options<'a>> {
        let mut rest = bytes;
        while let [_, len, ..] = *rest {
            rest = rest.get(usize::from(len) * 8..).filter(|_| len > 0)?;
        }
        rest.is_empty().then_some(Options(bytes))
    }

    /// The sender's hardware address.
    pub fn source(self) -> Option<MacAddr> {
        self.into_iter().find_map(|option| match option {
            NdpOption::Source(mac) => Some(mac),
            _ => None,
        })
    }

    /// The target's hardware address.
    pub fn target(self) -> Option<MacAddr> {
        self.into_iter().find_map(|option| match option {
            NdpOption::Target(mac) => Some(mac),
            _ => None,
        })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = NdpOption<'a>;

    fn next(&mut self) -> Option<NdpOption<'a>> {
        while let [_, len, ..] = *self.0 {
            let (option, rest) = self.0.split_at_checked(usize::from(len) * 8)?;
            self.0 = rest;
            if let Some(known) = read(option) {
                return Some(known);
            }
        }
        None
    }
}

fn read(option: &[u8]) -> Option<NdpOption<'_>> {
    let word = |at| chunk(option, at).map(|bytes| u32::from_be_bytes(*bytes));
    // A hardware address that is a group's is none.
    let mac = || chunk(option, 2).map(|mac| MacAddr(*mac)).filter(|mac| mac.is_unicast());
    Some(match *option.first()? {
        1 => NdpOption::Source(mac()?),
        2 => NdpOption::Target(mac()?),
        3 => NdpOption::Prefix(PrefixInfo {
            prefix: address(option, 16)?,
            len: option[2],
            on_link: option[3] & 0x80 != 0,
            autonomous: option[3] & 0x40 != 0,
            valid: word(4)?,
            preferred: word(8)?,
        }),
        5 => NdpOption::Mtu(word(4)?),
        24 => {
            // RFC 4191, section 2.3: as much of the prefix as its length needs.
            let mut prefix = [0; 16];
            let given = option.get(8..)?;
            prefix.get_mut(..given.len())?.copy_from_slice(given);
            let len = option[2];
            if usize::from(len) > given.len() * 8 {
                return None;
            }
            let preference = preference(option[3] >> 3)?;
            NdpOption::Route(RouteInfo {
                prefix: prefix.into(),
                len,
                preference,
                lifetime: word(4)?,
            })
        }
        25 => {
            let (servers, []) = option.get(8..)?.as_chunks::<16>() else { return None };
            NdpOption::Servers(word(4)?, servers)
        }
        _ => return None,
    })
}

/// A source or target hardware address option: types 1 and 2.
pub fn link_address(kind: u8, mac: MacAddr) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac.0;
    [kind, 1, a, b, c, d, e, f]
}
