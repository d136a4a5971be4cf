//! ARP for IPv4 over Ethernet (RFC 826).

use super::MacAddr;
use core::net::Ipv4Addr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

/// Bytes of a packet.
pub const LEN: usize = 28;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: [u8; 6],
    sender: [u8; 4],
    target_mac: [u8; 6],
    target: [u8; 4],
}

/// Question or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has.
    Reply,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Question or answer.
    pub operation: Operation,
    /// Hardware address of the sender.
    pub sender_mac: MacAddr,
    /// Address of the sender; unspecified in a probe (RFC 5227).
    pub sender: Ipv4Addr,
    /// Hardware address of the target; unknown in a request.
    pub target_mac: MacAddr,
    /// Address in question.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads a packet; `None` when it is none for IPv4 over Ethernet.
    pub fn parse(bytes: &[u8]) -> Option<Arp> {
        let (raw, _) = Raw::ref_from_prefix(bytes).ok()?;
        let fits = (raw.hardware.get(), raw.protocol.get(), raw.hardware_len, raw.protocol_len)
            == (1, 0x0800, 6, 4);
        let operation = match raw.operation.get() {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        fits.then_some(Arp {
            operation,
            sender_mac: MacAddr(raw.sender_mac),
            sender: raw.sender.into(),
            target_mac: MacAddr(raw.target_mac),
            target: raw.target.into(),
        })
    }

    /// The packet's bytes.
    pub fn encode(&self) -> [u8; LEN] {
        let raw = Raw {
            hardware: U16::new(1),
            protocol: U16::new(0x0800),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(if self.operation == Operation::Request { 1 } else { 2 }),
            sender_mac: self.sender_mac.0,
            sender: self.sender.octets(),
            target_mac: self.target_mac.0,
            target: self.target.octets(),
        };
        zerocopy::transmute!(raw)
    }
}
