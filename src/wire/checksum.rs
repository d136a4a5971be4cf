//! The internet checksum (RFC 1071).

use core::net::IpAddr;

/// A running one's complement sum. Pieces may be of any length and alignment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum {
    sum: u64,
    odd: bool,
}

impl Checksum {
    /// The empty sum.
    pub const fn new() -> Checksum {
        Checksum { sum: 0, odd: false }
    }

    /// The pseudo-header of TCP, UDP and ICMPv6 (RFC 9293, section 3.1; RFC 8200, section 8.1).
    /// Addresses of two families give a sum that verifies nothing.
    pub fn pseudo_header(local: IpAddr, remote: IpAddr, protocol: u8, len: usize) -> Checksum {
        let mut sum = Checksum::new();
        for address in [local, remote] {
            match address {
                IpAddr::V4(a) => sum.add(&a.octets()),
                IpAddr::V6(a) => sum.add(&a.octets()),
            }
        }
        sum.sum += u64::from(protocol) + len as u64;
        sum
    }

    /// Adds the bytes that follow.
    pub fn add(&mut self, bytes: &[u8]) {
        let mut sum = 0u64;
        let mut chunks = bytes.chunks_exact(4);
        for c in &mut chunks {
            sum += u64::from(u32::from_be_bytes([c[0], c[1], c[2], c[3]]));
        }
        let mut rest = [0; 4];
        rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        sum += u64::from(u32::from_be_bytes(rest));
        let folded = u64::from(fold(sum));
        self.sum += if self.odd { u64::from((folded as u16).swap_bytes()) } else { folded };
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// The sum folded to 16 bits, not complemented: what a device's checksum offload starts from.
    pub fn partial(self) -> u16 {
        fold(self.sum)
    }

    /// The value for a header's checksum field; over data that includes a right one, it is 0.
    pub fn finish(self) -> u16 {
        !fold(self.sum)
    }
}

fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
