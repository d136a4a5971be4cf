//! ICMPv6 messages (RFC 4443).

use super::checksum::Checksum;
use core::net::Ipv6Addr;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// IP protocol number.
pub const PROTOCOL: u8 = 58;

/// Types of messages.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER: u8 = 4;
    /// Echo request.
    pub const ECHO: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query.
    pub const LISTENER_QUERY: u8 = 130;
    /// Multicast listener report of version 1.
    pub const LISTENER_REPORT_V1: u8 = 131;
    /// Multicast listener done of version 1.
    pub const LISTENER_DONE: u8 = 132;
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report of version 2 (RFC 3810).
    pub const LISTENER_REPORT: u8 = 143;
    /// The first type of messages that are no errors.
    pub const FIRST_INFORMATIONAL: u8 = 128;
}

/// Codes.
pub mod code {
    /// Unreachable: no route.
    pub const NO_ROUTE: u8 = 0;
    /// Unreachable: nobody listens at the port.
    pub const PORT: u8 = 4;
    /// Parameter problem: a header field.
    pub const FIELD: u8 = 0;
    /// Parameter problem: a next header.
    pub const NEXT_HEADER: u8 = 1;
    /// Time exceeded: fragments did not arrive.
    pub const REASSEMBLY: u8 = 1;
}

/// The header as it lies in a packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum over the message and a pseudo-header.
    pub checksum: U16,
    /// What the type makes of it: an MTU, a pointer, an identifier with a sequence number.
    pub rest: U32,
}

impl Header {
    /// A header whose checksum is still to come.
    pub fn new(kind: u8, code: u8, rest: u32) -> Header {
        Header { kind, code, checksum: U16::ZERO, rest: U32::new(rest) }
    }
}

/// Whether a message that starts with these bytes is one of neighbour discovery.
pub fn is_discovery(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(kind::ROUTER_SOLICITATION..=kind::REDIRECT))
}

/// The sum that a message starts from.
pub fn pseudo_header(src: Ipv6Addr, dst: Ipv6Addr, len: usize) -> Checksum {
    Checksum::pseudo_header(src.into(), dst.into(), PROTOCOL, len)
}
