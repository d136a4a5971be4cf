//! Builds segments in fresh header buffers and hands them to the network.

use super::{segment::Segment, send_queue::Range};
use crate::{
    PacketBuf, Slice,
    frame::{Gso, GsoKind, Offloads},
    ip::{Ecn, Flow, Incoming, Network, Outgoing, SendError},
    wire::{
        checksum::Checksum,
        tcp::{CHECKSUM_OFFSET, Flags, HEADER_LEN, Header, PROTOCOL, SeqNum, TcpOptions},
    },
};

/// Slices of payload in one segment, at most: a frame is a header and 33 of them.
pub(crate) const MAX_PIECES: usize = 32;
/// Pieces shorter than this are put together in the header's buffer.
const SMALL: usize = 256;

/// A segment to send.
pub(crate) struct Out<'a> {
    pub(crate) header: Header,
    pub(crate) options: &'a TcpOptions,
    pub(crate) ecn: Ecn,
    /// Cut into segments of this payload by the device.
    pub(crate) gso_size: Option<u16>,
    /// Sum of the pseudo-header without the length.
    pub(crate) pseudo: Checksum,
}

/// Sends a segment; returns how many payload bytes were copied for it.
#[inline]
pub(crate) fn transmit<N: Network>(
    net: &mut N,
    flow: &mut Flow,
    out: Out<'_>,
    payload: Option<Range<'_>>,
) -> Result<usize, SendError> {
    let mut header = out.header;
    let header_len = HEADER_LEN + out.options.encoded_len();
    header.header_len = header_len as u8;
    // Whatever goes out now keeps a connection alive: it may use the reserve.
    let Some(mut head) = net.pool().alloc().or_else(|| net.pool().alloc_reserved()) else {
        return Err(SendError::Full);
    };
    let bytes = head.append(header_len);
    header.write(bytes);
    if header_len > HEADER_LEN {
        out.options.write(&mut bytes[HEADER_LEN..]);
    }
    let mut rest = payload;
    let copied = rest.as_mut().map_or(0, |rest| coalesce(&mut head, rest));
    let len = head.len() + rest.as_ref().map_or(0, Range::bytes);
    let mut sum = out.pseudo.with_len(len);
    let offloaded = net.offloads().contains(Offloads::TX_CSUM);
    let checksum = if offloaded {
        sum.partial()
    } else {
        sum.add(&head);
        for (slice, part) in rest.clone().into_iter().flatten() {
            sum.add(&slice[part]);
        }
        sum.finish()
    };
    let at = usize::from(CHECKSUM_OFFSET);
    head[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    let gso = out.gso_size.map(|size| Gso {
        kind: if flow.remote.is_ipv4() { GsoKind::Tcp4 } else { GsoKind::Tcp6 },
        size,
        ecn: header.flags.contains(Flags::CWR),
    });
    let how = Outgoing {
        protocol: PROTOCOL,
        ecn: out.ecn,
        dont_fragment: true,
        hop_limit: None,
        csum_offset: offloaded.then_some(CHECKSUM_OFFSET),
        gso,
    };
    let slices = rest.into_iter().flatten().map(|(slice, part)| whole_or_part(slice, part));
    net.transmit(flow, how, head, slices)?;
    Ok(copied)
}

#[inline]
fn whole_or_part(slice: &Slice, part: core::ops::Range<usize>) -> Slice {
    if part.len() == slice.len() { slice.clone() } else { slice.slice(part) }
}

/// Copies a run of small pieces behind the header, if it begins with two or more: a descriptor
/// each would cost more.
#[inline]
fn coalesce(head: &mut PacketBuf, rest: &mut Range<'_>) -> usize {
    let mut ahead = rest.clone();
    let small = |piece: Option<(&Slice, core::ops::Range<usize>)>| {
        piece.is_some_and(|(_, part)| part.len() < SMALL)
    };
    if !(small(ahead.next()) && small(ahead.next())) {
        return 0;
    }
    let mut copied = 0;
    let mut ahead = rest.clone();
    while let Some((slice, part)) = ahead.next() {
        if part.len() >= SMALL || part.len() > head.tailroom() {
            break;
        }
        copied += part.len();
        head.append(part.len()).copy_from_slice(&slice[part]);
        *rest = ahead.clone();
    }
    copied
}

/// How many of the range's bytes fit into one segment's pieces.
pub(crate) fn fitting(range: Range<'_>) -> usize {
    let mut bytes = 0;
    let mut pieces = 0;
    let mut small_run = true;
    let mut copied = 0;
    for (_, part) in range {
        // Small pieces at the front are copied together and take no slice.
        small_run &= part.len() < SMALL && copied + part.len() <= 1024;
        if small_run {
            copied += part.len();
        } else {
            pieces += 1;
            if pieces > MAX_PIECES {
                break;
            }
        }
        bytes += part.len();
    }
    bytes
}

/// RFC 9293, 3.10.7.1: a reset for a segment that no connection takes.
pub(crate) fn reset<N: Network>(net: &mut N, packet: &Incoming, seg: &Segment) {
    let (seq, ack, flags) = if seg.has(Flags::ACK) {
        (seg.ack, SeqNum(0), Flags::RST)
    } else {
        (SeqNum(0), seg.seq + seg.seq_len(), Flags::RST | Flags::ACK)
    };
    let header = Header {
        src_port: seg.dst_port,
        dst_port: seg.src_port,
        seq,
        ack,
        header_len: 0,
        flags,
        window: 0,
    };
    stateless(net, packet, header, &TcpOptions::default());
}

/// Answers a packet with a segment of no connection.
pub(crate) fn stateless<N: Network>(
    net: &mut N,
    packet: &Incoming,
    header: Header,
    options: &TcpOptions,
) {
    let pseudo = Checksum::pseudo_header(packet.local, packet.remote, PROTOCOL, 0);
    let out = Out { header, options, ecn: Ecn::NotEct, gso_size: None, pseudo };
    // One that finds no room is lost like any other packet.
    let _ = transmit(net, &mut Flow::new(packet.local, packet.remote), out, None);
}
