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

    /// A pseudo-header of length zero with `len` put in.
    pub fn with_len(mut self, len: usize) -> Checksum {
        self.sum += len as u64;
        self
    }

    /// Adds the bytes that follow.
    pub fn add(&mut self, bytes: &[u8]) {
        // In the machine's byte order, swapped at the end (RFC 1071, section 2 (B)); lanes of 32
        // bits in sums of 64 become vector instructions.
        let (long, short) = bytes.split_at(bytes.len() / 32 * 32);
        let mut sum = if long.len() < 64 { sum_words(long) } else { sum_lanes(long) };
        let mut words = short.chunks_exact(4);
        for word in &mut words {
            sum += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
        let mut rest = [0; 4];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        sum += u64::from(u32::from_ne_bytes(rest));
        let folded = u64::from(u16::from_be(fold(sum)));
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

fn sum_words(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    words.map(|w| u64::from(u32::from_ne_bytes([w[0], w[1], w[2], w[3]]))).sum()
}

fn sum_lanes(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; 8];
    for chunk in bytes.chunks_exact(32) {
        for (lane, word) in lanes.iter_mut().zip(chunk.chunks_exact(4)) {
            *lane += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
    }
    lanes.iter().sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
