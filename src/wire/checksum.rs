//! The internet checksum (RFC 1071).

use core::net::IpAddr;

/// A running one's complement sum. Pieces may be of any length and alignment.
///
/// It is kept as 64 bits in the machine's byte order, folded and swapped at the end (RFC 1071,
/// section 2 (A), (B) and (C)).
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
                IpAddr::V4(a) => sum.word(u32::from_ne_bytes(a.octets()).into()),
                IpAddr::V6(a) => {
                    let octets = a.octets();
                    let (words, _) = octets.as_chunks::<8>();
                    words.iter().for_each(|word| sum.word(u64::from_ne_bytes(*word)));
                }
            }
        }
        sum.word(u32::from(protocol).to_be().into());
        sum.with_len(len)
    }

    /// A pseudo-header of length zero with `len` put in.
    pub fn with_len(mut self, len: usize) -> Checksum {
        self.word((len as u32).to_be().into());
        self
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.sum = plus(self.sum, word);
    }

    /// Adds the bytes that follow.
    pub fn add(&mut self, bytes: &[u8]) {
        let (blocks, short) = bytes.as_chunks::<BLOCK>();
        let mut sum = sum_blocks(blocks);
        let (words, mut rest) = short.as_chunks::<8>();
        for word in words {
            sum = plus(sum, u64::from_ne_bytes(*word));
        }
        if let Some((word, after)) = rest.split_first_chunk::<4>() {
            sum = plus(sum, u32::from_ne_bytes(*word).into());
            rest = after;
        }
        if let Some((word, after)) = rest.split_first_chunk::<2>() {
            sum = plus(sum, u16::from_ne_bytes(*word).into());
            rest = after;
        }
        if let [last] = rest {
            sum = plus(sum, u16::from_ne_bytes([*last, 0]).into());
        }
        self.word(if self.odd { sum.rotate_left(8) } else { sum });
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// The sum folded to 16 bits, not complemented: what a device's checksum offload starts from.
    pub fn partial(self) -> u16 {
        u16::from_be(fold(self.sum))
    }

    /// The sum so far in few bytes, of an even number of them.
    pub(crate) fn folded(self) -> u16 {
        fold(self.sum)
    }

    /// What [`Checksum::folded`] was made of.
    pub(crate) const fn resumed(folded: u16) -> Checksum {
        Checksum { sum: folded as u64, odd: false }
    }

    /// The value for a header's checksum field; over data that includes a right one, it is 0.
    pub fn finish(self) -> u16 {
        !self.partial()
    }
}

/// Brings the sum that `field` starts with up to date after a word of what it is over was changed
/// (RFC 1624, equation 3): a checksum, which is complemented, or a device's partial sum, which is
/// not.
pub fn replace(field: &mut [u8], old: u16, new: u16, complemented: bool) {
    let mask = if complemented { 0xffff } else { 0 };
    let sum = u32::from(u16::from_be_bytes([field[0], field[1]]) ^ mask);
    let sum = sum + u32::from(!old) + u32::from(new);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
    field[..2].copy_from_slice(&(sum ^ mask).to_be_bytes());
}

/// Bytes that the loop takes at once.
const BLOCK: usize = 64;

/// Adds with an end-around carry.
#[inline]
fn plus(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u64::from(carry)
}

/// Two sums, of every other block, so that neither waits for the other's carries.
fn sum_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    let (pairs, last) = blocks.as_chunks::<2>();
    let (mut even, mut odd, mut carries) = (0, 0, 0);
    for [first, second] in pairs {
        let (sum, carry) = add_block(even, first);
        let (other, another) = add_block(odd, second);
        (even, odd) = (sum, other);
        carries += u64::from(carry) + u64::from(another);
    }
    for block in last {
        let (sum, carry) = add_block(even, block);
        even = sum;
        carries += u64::from(carry);
    }
    plus(plus(even, odd), carries)
}

/// One `adc` a word. Written out, since images are built for size and keep loops as they are.
#[inline(always)]
fn add_block(sum: u64, block: &[u8; BLOCK]) -> (u64, bool) {
    let [a, b, c, d, e, f, g, h]: [u64; BLOCK / 8] = zerocopy::transmute!(*block);
    let half = adc(adc(adc(adc((sum, false), a), b), c), d);
    adc(adc(adc(adc(half, e), f), g), h)
}

#[inline(always)]
fn adc((sum, carry): (u64, bool), word: u64) -> (u64, bool) {
    let (partial, first) = sum.overflowing_add(word);
    let (sum, second) = partial.overflowing_add(carry.into());
    (sum, first | second)
}

/// A sum in the machine's byte order, folded.
#[inline(always)]
pub(super) fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071, section 4.1.
    fn plain(bytes: &[u8]) -> u16 {
        let pairs = bytes.chunks(2);
        let sum: u64 =
            pairs.map(|p| u64::from(p[0]) << 8 | p.get(1).map_or(0, |b| (*b).into())).sum();
        !fold(sum)
    }

    fn sum(bytes: &[u8]) -> u16 {
        let mut sum = Checksum::new();
        sum.add(bytes);
        sum.finish()
    }

    #[test]
    fn extreme_words_at_every_length_sum_as_in_the_plain_loop() {
        for byte in [0, 0x7f, 0x80, 0xff] {
            let bytes = vec![byte; 300];
            for len in 0..bytes.len() {
                assert_eq!(sum(&bytes[..len]), plain(&bytes[..len]), "{len} times {byte:#x}");
            }
        }
    }

    #[test]
    fn carries_of_a_long_piece_are_all_counted() {
        for byte in [0, 0xff] {
            let bytes = vec![byte; 5 << 20];
            assert_eq!(sum(&bytes), plain(&bytes), "{byte:#x}");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_and_alignment_sum_like_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            cuts in proptest::collection::vec(0_usize..2000, 0..4),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut pieces = Checksum::new();
            for pair in cuts.windows(2) {
                pieces.add(&bytes[pair[0]..pair[1]]);
            }
            prop_assert_eq!(pieces.finish(), plain(&bytes));
        }
    }
}
