//! Ethernet II headers.

use super::MacAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

/// Bytes of the header.
pub const HEADER_LEN: usize = 14;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EtherType {
    /// IPv4.
    Ipv4 = 0x0800,
    /// ARP.
    Arp = 0x0806,
    /// IPv6.
    Ipv6 = 0x86dd,
}

/// The header as it lies in a frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Destination.
    pub dst: [u8; 6],
    /// Source.
    pub src: [u8; 6],
    ethertype: U16,
}

/// A header's bytes, for where they are written at once.
#[inline(always)]
pub(crate) fn bytes(dst: &MacAddr, src: &MacAddr, ethertype: EtherType) -> [u8; HEADER_LEN] {
    let word = |mac: &MacAddr| {
        let [a, b, c, d, e, f] = mac.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    };
    let (dst, src) = (word(dst), word(src));
    let mut bytes = [0; HEADER_LEN];
    // In few stores.
    bytes[..8].copy_from_slice(&(dst | src << 48).to_le_bytes());
    bytes[8..12].copy_from_slice(&((src >> 16) as u32).to_le_bytes());
    bytes[12..].copy_from_slice(&(ethertype as u16).to_be_bytes());
    bytes
}

impl Header {
    /// A header to write in front of a packet.
    pub fn new(dst: MacAddr, src: MacAddr, ethertype: EtherType) -> Header {
        Header { dst: dst.0, src: src.0, ethertype: U16::new(ethertype as u16) }
    }

    /// What the frame carries, if it is known.
    pub fn ethertype(&self) -> Option<EtherType> {
        Some(match self.ethertype.get() {
            0x0800 => EtherType::Ipv4,
            0x0806 => EtherType::Arp,
            0x86dd => EtherType::Ipv6,
            _ => return None,
        })
    }
}
