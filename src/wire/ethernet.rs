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
