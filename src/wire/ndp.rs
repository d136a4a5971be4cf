//! Neighbour discovery messages (RFC 4861), behind the four bytes that all ICMPv6 messages have.

mod options;

pub use options::{NdpOption, Options, PrefixInfo, RouteInfo, link_address};

use super::icmpv6::kind;
use crate::ip::Preference;
use core::net::Ipv6Addr;

/// Hop limit of all messages: a router would have lowered it (RFC 4861, section 3.1).
pub const HOP_LIMIT: u8 = 255;

/// Flags of an advertisement.
pub mod flag {
    /// The sender is a router.
    pub const ROUTER: u8 = 0x80;
    /// It answers a solicitation.
    pub const SOLICITED: u8 = 0x40;
    /// It replaces what was known.
    pub const OVERRIDE: u8 = 0x20;
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who is a router?
    RouterSolicitation,
    /// I am, and this is how the link is used.
    RouterAdvertisement(RouterAdvertisement),
    /// Who has the target address?
    NeighborSolicitation {
        /// The address in question.
        target: Ipv6Addr,
    },
    /// I have.
    NeighborAdvertisement {
        /// Flags; see [`flag`].
        flags: u8,
        /// The address in question.
        target: Ipv6Addr,
    },
    /// There is a better first hop.
    Redirect {
        /// The better one.
        target: Ipv6Addr,
        /// For packets to this address.
        destination: Ipv6Addr,
    },
}

/// What a router says about the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// Hop limit of packets, or 0.
    pub hop_limit: u8,
    /// As which default router it wants to be taken.
    pub preference: Preference,
    /// Seconds that it may be taken as a default router.
    pub lifetime: u16,
    /// Milliseconds that a neighbour is reachable after it answered, or 0.
    pub reachable: u32,
    /// Milliseconds between solicitations, or 0.
    pub retrans: u32,
}

impl Message {
    /// Reads a message that starts at its type, and the options behind it. Nothing is read of one
    /// with an option of length 0 (RFC 4861, section 4.6).
    pub fn parse(bytes: &[u8]) -> Option<(Message, Options<'_>)> {
        let (message, len) = match *bytes.first()? {
            kind::ROUTER_SOLICITATION => (Message::RouterSolicitation, 8),
            kind::ROUTER_ADVERTISEMENT => {
                let &[hop_limit, flags, a, b, r0, r1, r2, r3, t0, t1, t2, t3] = chunk(bytes, 4)?;
                let router = RouterAdvertisement {
                    hop_limit,
                    // RFC 4191, section 2.2: the reserved value means medium here.
                    preference: preference(flags >> 3).unwrap_or_default(),
                    lifetime: u16::from_be_bytes([a, b]),
                    reachable: u32::from_be_bytes([r0, r1, r2, r3]),
                    retrans: u32::from_be_bytes([t0, t1, t2, t3]),
                };
                (Message::RouterAdvertisement(router), 16)
            }
            kind::NEIGHBOR_SOLICITATION => {
                (Message::NeighborSolicitation { target: address(bytes, 8)? }, 24)
            }
            kind::NEIGHBOR_ADVERTISEMENT => {
                let flags = *bytes.get(4)?;
                (Message::NeighborAdvertisement { flags, target: address(bytes, 8)? }, 24)
            }
            kind::REDIRECT => {
                let (target, destination) = (address(bytes, 8)?, address(bytes, 24)?);
                (Message::Redirect { target, destination }, 40)
            }
            _ => return None,
        };
        Some((message, Options::check(bytes.get(len..)?)?))
    }
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    chunk::<16>(bytes, at).map(|octets| (*octets).into())
}

/// RFC 4191, section 2.1: two bits; `None` for the reserved value.
fn preference(bits: u8) -> Option<Preference> {
    match bits & 3 {
        0 => Some(Preference::Medium),
        1 => Some(Preference::High),
        3 => Some(Preference::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_an_option_of_no_length_is_none() {
        let mut bytes = [0; 32];
        bytes[0] = kind::NEIGHBOR_SOLICITATION;
        assert!(Message::parse(&bytes).is_none());
        (bytes[24], bytes[25]) = (1, 1);
        let (message, options) = Message::parse(&bytes).unwrap();
        assert_eq!(message, Message::NeighborSolicitation { target: Ipv6Addr::UNSPECIFIED });
        assert_eq!(options.count(), 1);
        bytes[25] = 2;
        assert!(Message::parse(&bytes).is_none(), "longer than the message");
        assert!(Message::parse(&bytes[..23]).is_none(), "shorter than its target");
    }
}
