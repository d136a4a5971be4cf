//! TCP options: MSS (RFC 9293), window scale and timestamps (RFC 7323), SACK (RFC 2018).

use super::{Malformed, SeqNum};

/// TSval and TSecr (RFC 7323, section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// The sender's clock.
    pub val: u32,
    /// The receiver's clock as the sender last saw it.
    pub ecr: u32,
}

/// Bytes of the option with its padding.
pub const TIMESTAMPS_LEN: usize = 12;

impl Timestamps {
    /// The option as the only one of a segment (RFC 7323, appendix A).
    #[inline]
    pub fn encode(&self) -> [u8; TIMESTAMPS_LEN] {
        let [a, b, c, d] = self.val.to_be_bytes();
        let [e, f, g, h] = self.ecr.to_be_bytes();
        [NOP, NOP, TIMESTAMPS, 10, a, b, c, d, e, f, g, h]
    }

    /// Reads it back: the options of nearly every segment.
    #[inline]
    pub fn parse_only(options: &[u8; TIMESTAMPS_LEN]) -> Option<Timestamps> {
        let [NOP, NOP, TIMESTAMPS, 10, value @ ..] = options else { return None };
        Some(Timestamps { val: u32_at(value, 0), ecr: u32_at(value, 4) })
    }
}

/// Up to four blocks `[start, end)` (RFC 2018, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(SeqNum, SeqNum); 4],
    len: u8,
}

impl SackBlocks {
    /// Adds a block; a fifth is ignored.
    pub fn push(&mut self, start: SeqNum, end: SeqNum) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.len)) {
            *slot = (start, end);
            self.len += 1;
        }
    }

    /// The blocks in the order of the option.
    pub fn as_slice(&self) -> &[(SeqNum, SeqNum)] {
        &self.blocks[..usize::from(self.len)]
    }

    /// Sorts the blocks by their start; they must lie in one window.
    pub(crate) fn sort(&mut self) {
        // Four at most: the sorts of the library would be the larger part of an image's TCP.
        for end in (1..usize::from(self.len)).rev() {
            for i in 0..end {
                if self.blocks[i + 1].0 < self.blocks[i].0 {
                    self.blocks.swap(i, i + 1);
                }
            }
        }
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps the first `n` blocks.
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n as u8);
    }
}

/// The options of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale, as sent.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks.
    pub sack: SackBlocks,
}

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl TcpOptions {
    /// Reads the option bytes of a header.
    ///
    /// # Errors
    /// [`Malformed::Options`] when an option runs over the end or has a length that its kind
    /// does not allow.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<TcpOptions, Malformed> {
        let mut options = TcpOptions::default();
        if bytes.is_empty() {
            return Ok(options);
        }
        if let Ok(bytes) = bytes.try_into()
            && let Some(timestamps) = Timestamps::parse_only(bytes)
        {
            options.timestamps = Some(timestamps);
            return Ok(options);
        }
        options.parse_each(bytes)?;
        Ok(options)
    }

    fn parse_each(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while let [kind, rest @ ..] = bytes {
            match *kind {
                END => return Ok(()),
                NOP => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            // RFC 9293, 3.1: every other option has a length; it covers kind and length.
            let len = usize::from(*rest.first().ok_or(Malformed::Options)?);
            if len < 2 || len > bytes.len() {
                return Err(Malformed::Options);
            }
            self.parse_one(*kind, &bytes[2..len])?;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    fn parse_one(&mut self, kind: u8, value: &[u8]) -> Result<(), Malformed> {
        match (kind, value.len()) {
            (MSS, 2) => self.mss = Some(u16::from_be_bytes([value[0], value[1]])),
            // RFC 7323, 2.3: a scale over 14 is used as 14.
            (WINDOW_SCALE, 1) => self.window_scale = Some(value[0].min(14)),
            (SACK_PERMITTED, 0) => self.sack_permitted = true,
            (TIMESTAMPS, 8) => {
                self.timestamps = Some(Timestamps { val: u32_at(value, 0), ecr: u32_at(value, 4) });
            }
            (SACK, 8 | 16 | 24 | 32) => {
                for block in value.chunks_exact(8) {
                    self.sack.push(SeqNum(u32_at(block, 0)), SeqNum(u32_at(block, 4)));
                }
            }
            (MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS | SACK, _) => {
                return Err(Malformed::Options);
            }
            // RFC 9293, 3.1: unknown options are skipped.
            _ => {}
        }
        Ok(())
    }

    /// Bytes that [`TcpOptions::write`] writes: a multiple of four.
    pub fn encoded_len(&self) -> usize {
        let mut len = 0;
        if self.mss.is_some() {
            len += 4;
        }
        if self.timestamps.is_some() {
            len += 12;
        } else if self.sack_permitted {
            len += 4;
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        if !self.sack.is_empty() {
            len += 4 + 8 * self.sack.as_slice().len();
        }
        len
    }

    /// Writes the options into `out`, which has [`TcpOptions::encoded_len`] bytes.
    pub fn write(&self, out: &mut [u8]) {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            put(&[MSS, 4, a, b]);
        }
        if let Some(ts) = self.timestamps {
            let mut option = ts.encode();
            if self.sack_permitted {
                option[..2].copy_from_slice(&[SACK_PERMITTED, 2]);
            }
            put(&option);
        } else if self.sack_permitted {
            put(&[NOP, NOP, SACK_PERMITTED, 2]);
        }
        if let Some(scale) = self.window_scale {
            put(&[NOP, WINDOW_SCALE, 3, scale]);
        }
        if !self.sack.is_empty() {
            let blocks = self.sack.as_slice();
            put(&[NOP, NOP, SACK, 2 + 8 * blocks.len() as u8]);
            for (start, end) in blocks {
                put(&start.0.to_be_bytes());
                put(&end.0.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_a_round_trip() {
        let mut options = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { val: 1, ecr: 2 }),
            sack: SackBlocks::default(),
        };
        let mut bytes = [0; 40];
        let n = options.encoded_len();
        assert_eq!(n, 20);
        options.write(&mut bytes[..n]);
        assert_eq!(TcpOptions::parse(&bytes[..n]), Ok(options));
        options = TcpOptions { timestamps: options.timestamps, ..Default::default() };
        options.sack.push(SeqNum(5), SeqNum(9));
        options.sack.push(SeqNum(15), SeqNum(19));
        let n = options.encoded_len();
        options.write(&mut bytes[..n]);
        assert_eq!(TcpOptions::parse(&bytes[..n]), Ok(options));
    }

    #[test]
    fn bad_option_lengths_are_malformed() {
        for bytes in [
            &[MSS, 3, 0][..],
            &[MSS, 0],
            &[TIMESTAMPS],
            &[99, 1],
            &[99, 5, 0],
            &[SACK, 9, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(TcpOptions::parse(bytes), Err(Malformed::Options));
        }
    }

    #[test]
    fn unknown_options_are_skipped_and_scale_is_capped() {
        let parsed = TcpOptions::parse(&[99, 3, 1, NOP, WINDOW_SCALE, 3, 200, END, MSS]).unwrap();
        assert_eq!(parsed.window_scale, Some(14));
        assert_eq!(parsed.mss, None);
    }
}
