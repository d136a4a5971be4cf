//! A received segment as its header and options said, beside its payload.

use crate::{
    frame::{Chain, RxCsum},
    ip::{Ecn, Incoming},
    wire::{
        checksum::Checksum,
        tcp::{Flags, HEADER_LEN, Header, MAX_HEADER_LEN, Malformed, PROTOCOL, SeqNum, TcpOptions},
    },
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: SeqNum,
    pub(crate) ack: SeqNum,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) options: TcpOptions,
    /// Payload bytes.
    pub(crate) len: u32,
    pub(crate) ecn: Ecn,
    /// Payload bytes of each wire segment, when the device coalesced several.
    pub(crate) gso_size: u16,
}

/// Why a packet is not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    Checksum,
    Malformed(Malformed),
}

impl Segment {
    /// Checks a packet and takes its header off; `chain` becomes the payload.
    #[inline]
    pub(crate) fn take(packet: &Incoming, chain: &mut Chain) -> Result<Segment, Invalid> {
        // RFC 9293, 3.1: the checksum MUST be verified.
        if packet.csum == RxCsum::Unknown && !checksum_is_right(packet, chain) {
            return Err(Invalid::Checksum);
        }
        let mut scratch = [0; MAX_HEADER_LEN];
        let first = chain.first();
        let bytes = if first.len() >= HEADER_LEN && first.len() >= usize::from(first[12] >> 4) * 4 {
            first
        } else {
            // The header lies in several slices.
            gather(chain, &mut scratch)
        };
        let header = Header::parse(bytes).map_err(Invalid::Malformed)?;
        let header_len = usize::from(header.header_len);
        let options =
            bytes.get(HEADER_LEN..header_len).ok_or(Invalid::Malformed(Malformed::Short))?;
        let options = TcpOptions::parse(options).map_err(Invalid::Malformed)?;
        chain.advance(header_len);
        Ok(Segment {
            src_port: header.src_port,
            dst_port: header.dst_port,
            seq: header.seq,
            ack: header.ack,
            flags: header.flags,
            window: header.window,
            options,
            len: chain.len() as u32,
            ecn: packet.ecn,
            gso_size: packet.gso.map_or(0, |g| g.size),
        })
    }

    /// Sequence numbers that the segment takes (SEG.LEN).
    #[inline]
    pub(crate) fn seq_len(&self) -> u32 {
        self.len
            + u32::from(self.flags.contains(Flags::SYN))
            + u32::from(self.flags.contains(Flags::FIN))
    }

    #[inline]
    pub(crate) fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }
}

fn gather<'a>(chain: &Chain, scratch: &'a mut [u8; MAX_HEADER_LEN]) -> &'a [u8] {
    let mut at = 0;
    for slice in chain.iter() {
        let n = slice.len().min(MAX_HEADER_LEN - at);
        scratch[at..at + n].copy_from_slice(&slice[..n]);
        at += n;
    }
    &scratch[..at]
}

pub(crate) fn checksum_is_right(packet: &Incoming, chain: &Chain) -> bool {
    let mut sum = Checksum::pseudo_header(packet.local, packet.remote, PROTOCOL, chain.len());
    for slice in chain.iter() {
        sum.add(slice);
    }
    sum.finish() == 0
}
