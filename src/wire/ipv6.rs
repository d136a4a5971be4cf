//! IPv6 headers (RFC 8200).

use core::net::Ipv6Addr;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

/// Bytes of the header.
pub const HEADER_LEN: usize = 40;
/// The MTU that every link carries (RFC 8200, section 5).
pub const MIN_MTU: u16 = 1280;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    version_class_flow: U32,
    payload_len: U16,
    next_header: u8,
    hop_limit: u8,
    src: [u8; 16],
    dst: [u8; 16],
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Bytes behind the header.
    pub payload_len: usize,
    /// What follows the header.
    pub next_header: u8,
    /// Hops that are left.
    pub hop_limit: u8,
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its header or its payload length says.
    Short,
    /// Not version 6.
    Version,
}

impl Header {
    /// Reads and checks the header of a packet of `len` bytes whose first ones are `bytes`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &[u8], len: usize) -> Result<Header, Malformed> {
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        let first = raw.version_class_flow.get();
        if first >> 28 != 6 {
            return Err(Malformed::Version);
        }
        let payload_len = usize::from(raw.payload_len.get());
        if payload_len + HEADER_LEN > len {
            return Err(Malformed::Short);
        }
        Ok(Header {
            traffic_class: (first >> 20) as u8,
            payload_len,
            next_header: raw.next_header,
            hop_limit: raw.hop_limit,
            src: raw.src.into(),
            dst: raw.dst.into(),
        })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let raw = Raw {
            version_class_flow: U32::new(6 << 28 | u32::from(self.traffic_class) << 20),
            payload_len: U16::new(self.payload_len as u16),
            next_header: self.next_header,
            hop_limit: self.hop_limit,
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        zerocopy::transmute!(raw)
    }
}
