//! UDP headers (RFC 768).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// IP protocol number.
pub const PROTOCOL: u8 = 17;
/// Where the length lies in the header.
pub const LENGTH_OFFSET: usize = 4;
/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: u16 = 6;

/// The header as it lies in a packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Source port.
    pub src_port: U16,
    /// Destination port.
    pub dst_port: U16,
    /// Bytes of header and data.
    pub len: U16,
    /// Checksum; 0 when there is none (IPv4 only).
    pub checksum: U16,
}

/// Source and destination port of a header.
pub fn ports(header: &[u8]) -> Option<(u16, u16)> {
    let (header, _) = Header::ref_from_prefix(header).ok()?;
    Some((header.src_port.get(), header.dst_port.get()))
}
