//! IPv6 headers (RFC 8200).

pub mod extension;

use core::net::Ipv6Addr;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

/// Bytes of the header.
pub const HEADER_LEN: usize = 40;
/// Where the payload's length lies in the header.
pub const PAYLOAD_LEN: usize = 4;
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
    #[inline]
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

/// The group that all nodes of a link listen to.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The group that all routers of a link listen to.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The group that whoever has `address` listens to (RFC 4291, section 2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a & 0xff, b)
}

/// Whether `address` is for one link only (RFC 4291, section 2.5.6).
pub const fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}
