//! IPv4 headers (RFC 791).

use super::checksum::{Checksum, fold};
use core::net::Ipv4Addr;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, network_endian::U16};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Where the packet's length lies in the header.
pub const TOTAL_LEN: usize = 2;
/// Where the header's checksum lies.
pub const CHECKSUM: usize = 10;

/// The option that makes routers look at a packet (RFC 2113).
pub const ROUTER_ALERT: [u8; 4] = [0x94, 4, 0, 0];

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// What is set in the flags and offset of a fragment.
pub(crate) const FRAGMENT: u16 = MORE_FRAGMENTS | OFFSET;

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    version_ihl: u8,
    tos: u8,
    total_len: U16,
    ident: U16,
    fragment: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    src: [u8; 4],
    dst: [u8; 4],
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header with its options.
    pub header_len: usize,
    /// Bytes of the packet.
    pub total_len: usize,
    /// The type-of-service byte: DSCP and ECN.
    pub tos: u8,
    /// Identification.
    pub ident: u16,
    /// Whether routers must not fragment the packet.
    pub dont_fragment: bool,
    /// Whether further fragments follow.
    pub more_fragments: bool,
    /// Bytes of the datagram before this fragment.
    pub fragment_offset: usize,
    /// Time to live.
    pub ttl: u8,
    /// What the packet carries.
    pub protocol: u8,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its header or its total length says.
    Short,
    /// Not version 4, or a header length under 20.
    Header,
    /// The header's checksum is wrong.
    Checksum,
}

impl Header {
    /// Reads and checks the header of a packet of `len` bytes whose first ones are `bytes`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &[u8], len: usize) -> Result<Header, Malformed> {
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        let header_len = usize::from(raw.version_ihl & 0xf) * 4;
        if raw.version_ihl >> 4 != 4 || header_len < HEADER_LEN {
            return Err(Malformed::Header);
        }
        let total_len = usize::from(raw.total_len.get());
        let header = bytes.get(..header_len).ok_or(Malformed::Short)?;
        if total_len < header_len || total_len > len {
            return Err(Malformed::Short);
        }
        let sum = match header.first_chunk() {
            Some(plain) if header_len == HEADER_LEN => checksum(plain),
            _ => {
                let mut sum = Checksum::new();
                sum.add(header);
                sum.finish()
            }
        };
        if sum != 0 {
            return Err(Malformed::Checksum);
        }
        let fragment = raw.fragment.get();
        Ok(Header {
            header_len,
            total_len,
            tos: raw.tos,
            ident: raw.ident.get(),
            dont_fragment: fragment & DONT_FRAGMENT != 0,
            more_fragments: fragment & MORE_FRAGMENTS != 0,
            fragment_offset: usize::from(fragment & OFFSET) * 8,
            ttl: raw.ttl,
            protocol: raw.protocol,
            src: raw.src.into(),
            dst: raw.dst.into(),
        })
    }

    /// The header's bytes with the router alert as its only option.
    pub fn encode_with_router_alert(&self) -> [u8; HEADER_LEN + ROUTER_ALERT.len()] {
        let mut bytes = [0; HEADER_LEN + ROUTER_ALERT.len()];
        bytes[..HEADER_LEN].copy_from_slice(&self.encode());
        bytes[HEADER_LEN..].copy_from_slice(&ROUTER_ALERT);
        bytes[0] = 0x46;
        bytes[10..12].fill(0);
        let mut sum = Checksum::new();
        sum.add(&bytes);
        bytes[10..12].copy_from_slice(&sum.finish().to_be_bytes());
        bytes
    }

    /// The header's bytes, without options, with its checksum.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        self.bytes()
    }

    /// [`Header::encode`] for where most of it is known when it is compiled.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> [u8; HEADER_LEN] {
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let fragment = flag(self.dont_fragment, DONT_FRAGMENT)
            | flag(self.more_fragments, MORE_FRAGMENTS)
            | (self.fragment_offset / 8) as u16;
        let first = 0x45 << 56
            | u64::from(self.tos) << 48
            | u64::from(self.total_len as u16) << 32
            | u64::from(self.ident) << 16
            | u64::from(fragment);
        let second = u32::from(self.ttl) << 24 | u32::from(self.protocol) << 16;
        let addresses = u64::from(self.src.to_bits()) << 32 | u64::from(self.dst.to_bits());
        // Summed as numbers: bytes that were just stored would be slow to load in other sizes.
        let halves = |word: u64| (word >> 32) + (word & 0xffff_ffff);
        let sum = !fold(halves(first) + u64::from(second) + halves(addresses));
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&first.to_be_bytes());
        bytes[8..12].copy_from_slice(&(second | u32::from(sum)).to_be_bytes());
        bytes[12..].copy_from_slice(&addresses.to_be_bytes());
        bytes
    }
}

/// The checksum of a header without options; zero over one that includes a right one.
#[inline(always)]
pub(crate) fn checksum(header: &[u8; HEADER_LEN]) -> u16 {
    // Written out, since images are built for size and keep loops as they are.
    let [a, b, c, d, e]: [u32; HEADER_LEN / 4] = zerocopy::transmute!(*header);
    let sum = u64::from(a) + u64::from(b) + u64::from(c) + u64::from(d) + u64::from(e);
    !u16::from_be(fold(sum))
}
