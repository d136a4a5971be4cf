//! TCP segments (RFC 9293, section 3.1): the fixed header as a validated value, and its builder.
#![forbid(unsafe_code)]

mod options;
mod seq;

pub use options::{SackBlocks, TIMESTAMPS_LEN, TcpOptions, Timestamps};
pub use seq::SeqNum;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: u16 = 16;
/// IP protocol number.
pub const PROTOCOL: u8 = 6;

bitflags::bitflags! {
    /// Control bits.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u8 {
        /// No more data from the sender.
        const FIN = 1;
        /// Synchronize sequence numbers.
        const SYN = 1 << 1;
        /// Reset the connection.
        const RST = 1 << 2;
        /// Push.
        const PSH = 1 << 3;
        /// The acknowledgement number is significant.
        const ACK = 1 << 4;
        /// The urgent pointer is significant.
        const URG = 1 << 5;
        /// ECN echo (RFC 3168).
        const ECE = 1 << 6;
        /// Congestion window reduced (RFC 3168).
        const CWR = 1 << 7;
    }
}

/// Why bytes are no TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its header.
    Short,
    /// The data offset is under 5 words.
    DataOffset,
    /// An option's length is wrong.
    Options,
}

/// The fixed part of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first byte, or of the SYN.
    pub seq: SeqNum,
    /// The next sequence number that the sender expects.
    pub ack: SeqNum,
    /// Bytes of the header with its options.
    pub header_len: u8,
    /// Control bits.
    pub flags: Flags,
    /// The window field, not scaled.
    pub window: u16,
}

impl Header {
    /// Reads the fixed header. Whether `header_len` bytes are there is the caller's to check.
    ///
    /// # Errors
    /// [`Malformed::Short`] or [`Malformed::DataOffset`].
    #[inline(always)]
    pub fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
        let Some(b) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(Malformed::Short);
        };
        let header_len = (b[12] >> 4) * 4;
        if usize::from(header_len) < HEADER_LEN {
            return Err(Malformed::DataOffset);
        }
        Ok(Header {
            src_port: u16::from_be_bytes([b[0], b[1]]),
            dst_port: u16::from_be_bytes([b[2], b[3]]),
            seq: SeqNum(u32::from_be_bytes([b[4], b[5], b[6], b[7]])),
            ack: SeqNum(u32::from_be_bytes([b[8], b[9], b[10], b[11]])),
            header_len,
            flags: Flags::from_bits_retain(b[13]),
            window: u16::from_be_bytes([b[14], b[15]]),
        })
    }

    /// Writes the fixed header with a zero checksum and urgent pointer; `header_len` must be a
    /// multiple of four.
    ///
    /// # Panics
    /// When `bytes` is shorter than the fixed header.
    #[inline(always)]
    pub fn write(&self, bytes: &mut [u8]) {
        let mut b = [0; HEADER_LEN];
        b[0..2].copy_from_slice(&self.src_port.to_be_bytes());
        b[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        b[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        b[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        b[12] = (self.header_len / 4) << 4;
        b[13] = self.flags.bits();
        b[14..16].copy_from_slice(&self.window.to_be_bytes());
        bytes[..HEADER_LEN].copy_from_slice(&b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_a_round_trip() {
        let header = Header {
            src_port: 1,
            dst_port: 65535,
            seq: SeqNum(0xdead_beef),
            ack: SeqNum(7),
            header_len: 32,
            flags: Flags::SYN | Flags::ECE,
            window: 4096,
        };
        let mut bytes = [0; 32];
        header.write(&mut bytes);
        assert_eq!(Header::parse(&bytes), Ok(header));
    }

    #[test]
    fn short_or_bad_offset_is_malformed() {
        assert_eq!(Header::parse(&[0; 19]), Err(Malformed::Short));
        assert_eq!(Header::parse(&[0; 20]), Err(Malformed::DataOffset));
    }
}
