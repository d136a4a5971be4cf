//! ICMP messages (RFC 792).

use super::checksum::Checksum;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// IP protocol number.
pub const PROTOCOL: u8 = 1;

/// Types of messages.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Echo request.
    pub const ECHO: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER: u8 = 12;
}

/// Codes of destination unreachable and time exceeded.
pub mod code {
    /// Network unreachable.
    pub const NET: u8 = 0;
    /// Host unreachable.
    pub const HOST: u8 = 1;
    /// Protocol unreachable.
    pub const PROTOCOL: u8 = 2;
    /// Port unreachable.
    pub const PORT: u8 = 3;
    /// Fragmentation needed and DF set.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Of time exceeded: fragments did not arrive in time.
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
    /// Checksum over the message.
    pub checksum: U16,
    /// Identifier of an echo; unused in errors.
    pub ident: U16,
    /// Sequence number of an echo; the next hop's MTU of fragmentation needed (RFC 1191).
    pub sequence: U16,
}

/// Writes the checksum into a message that lies in one piece.
pub fn fill_checksum(message: &mut [u8]) {
    let mut sum = Checksum::new();
    sum.add(&message[..2]);
    sum.add(&message[4..]);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
}
