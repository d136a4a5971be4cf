//! Builds segments in fresh header buffers and hands them to the network.

use super::{
    segment::Segment,
    send_queue::{Range, SendQueue},
};
use crate::{
    PacketBuf, Slice,
    frame::{Gso, GsoKind, Offloads},
    ip::{Ecn, Flow, Incoming, Network, Outgoing, SendError},
    wire::{
        checksum::Checksum,
        tcp::{
            CHECKSUM_OFFSET, Flags, HEADER_LEN, Header, PROTOCOL, SeqNum, TIMESTAMPS_LEN,
            TcpOptions, Timestamps,
        },
    },
};

/// Slices of payload in one segment, at most: a frame is a header and 33 of them.
pub(crate) const MAX_PIECES: usize = 32;
/// Pieces shorter than this are put together in the header's buffer.
const SMALL: usize = 256;
/// A piece that is all there is goes there up to this length: copying it costs less than a
/// descriptor of its own, here and at every stage behind.
const LONE: usize = 128;

/// A segment to send.
pub(crate) struct Out {
    pub(crate) header: Header,
    pub(crate) ecn: Ecn,
    /// Cut into segments of this payload by the device.
    pub(crate) gso_size: Option<u16>,
    /// Sum of the pseudo-header without the length.
    pub(crate) pseudo: Checksum,
}

/// Sends a segment; returns how many payload bytes were copied for it.
pub(crate) fn transmit<N: Network>(
    net: &mut N,
    flow: &mut Flow,
    out: &Out,
    options: &TcpOptions,
    payload: Range<'_>,
) -> Result<usize, SendError> {
    let mut head = buffer(net)?;
    let header_len = HEADER_LEN + options.encoded_len();
    let bytes = head.append(header_len);
    Header { header_len: header_len as u8, ..out.header }.write(bytes);
    if header_len > HEADER_LEN {
        options.write(&mut bytes[HEADER_LEN..]);
    }
    finish(net, flow, out, head, payload)
}

/// Likewise, for a segment whose only option is the timestamp, if any.
#[inline]
pub(crate) fn transmit_plain<N: Network>(
    net: &mut N,
    flow: &mut Flow,
    out: &Out,
    timestamps: Option<Timestamps>,
    payload: Range<'_>,
) -> Result<usize, SendError> {
    let mut head = buffer(net)?;
    plain_header(&mut head, &out.header, timestamps);
    finish(net, flow, out, head, payload)
}

/// Sends a segment of at most one piece of data, `behind`, that is not to be cut.
#[inline]
pub(super) fn transmit_lean<N: Network>(
    net: &mut N,
    flow: &mut Flow,
    out: &Out,
    timestamps: Option<Timestamps>,
    payload: (&Slice, core::ops::Range<usize>),
) -> Result<usize, SendError> {
    let mut head = buffer(net)?;
    plain_header(&mut head, &out.header, timestamps);
    let (slice, part) = payload;
    let len = part.len();
    let copied = if len <= LONE && len <= head.tailroom() { len } else { 0 };
    let behind = if copied > 0 {
        head.append(len).copy_from_slice(&slice[part]);
        None
    } else {
        Some(whole_or_part(slice, part))
    };
    let sum = out.pseudo.with_len(head.len() + len - copied);
    let offloaded = net.offloads().contains(Offloads::TX_CSUM);
    let checksum = if offloaded { sum.partial() } else { checksum(sum, &head, behind.as_deref()) };
    put_checksum(&mut head, checksum);
    net.transmit_lean(flow, how(out, offloaded, None), head, behind)?;
    Ok(copied)
}

#[inline(never)]
fn checksum(mut sum: Checksum, head: &[u8], behind: Option<&[u8]>) -> u16 {
    sum.add(head);
    sum.add(behind.unwrap_or_default());
    sum.finish()
}

#[inline(always)]
fn put_checksum(head: &mut PacketBuf, checksum: u16) {
    let at = usize::from(CHECKSUM_OFFSET);
    head[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

#[inline]
fn how(out: &Out, offloaded: bool, gso: Option<Gso>) -> Outgoing {
    Outgoing {
        protocol: PROTOCOL,
        ecn: out.ecn,
        dont_fragment: true,
        hop_limit: None,
        csum_offset: offloaded.then_some(CHECKSUM_OFFSET),
        gso,
    }
}

/// A header whose only option is the timestamp, if any.
#[inline(always)]
fn plain_header(head: &mut PacketBuf, header: &Header, timestamps: Option<Timestamps>) {
    match timestamps {
        Some(timestamps) => {
            const LEN: usize = HEADER_LEN + TIMESTAMPS_LEN;
            let mut bytes = [0; LEN];
            Header { header_len: LEN as u8, ..*header }.write(&mut bytes);
            bytes[HEADER_LEN..].copy_from_slice(&timestamps.encode());
            head.append(LEN).copy_from_slice(&bytes);
        }
        None => {
            let header = Header { header_len: HEADER_LEN as u8, ..*header };
            header.write(head.append(HEADER_LEN));
        }
    }
}

/// Whatever goes out now keeps a connection alive: it may use the reserve.
#[inline(always)]
fn buffer<N: Network>(net: &N) -> Result<PacketBuf, SendError> {
    let buffer = net.pool().alloc();
    buffer.or_else(|| net.pool().alloc_reserved()).ok_or(SendError::Full)
}

/// Adds the payload and the checksum behind a header that is written, and sends.
#[inline]
fn finish<N: Network>(
    net: &mut N,
    flow: &mut Flow,
    out: &Out,
    mut head: PacketBuf,
    mut rest: Range<'_>,
) -> Result<usize, SendError> {
    let lone = rest.first_bytes() == rest.bytes();
    let copied = match rest.bytes() {
        n @ 1..=LONE if lone && n <= head.tailroom() => take_lone(&mut head, &mut rest),
        _ if lone => 0,
        _ => coalesce(&mut head, &mut rest),
    };
    let behind = rest.bytes();
    let mut sum = out.pseudo.with_len(head.len() + behind);
    let offloaded = net.offloads().contains(Offloads::TX_CSUM);
    let checksum = if offloaded {
        sum.partial()
    } else {
        sum.add(&head);
        for (slice, part) in rest.clone() {
            sum.add(&slice[part]);
        }
        sum.finish()
    };
    put_checksum(&mut head, checksum);
    let gso = out.gso_size.map(|size| Gso {
        kind: if flow.remote.is_ipv4() { GsoKind::Tcp4 } else { GsoKind::Tcp6 },
        size,
        ecn: out.header.flags.contains(Flags::CWR),
    });
    let slices = rest.map(|(slice, part)| whole_or_part(slice, part));
    net.transmit(flow, how(out, offloaded, gso), head, behind, slices)?;
    Ok(copied)
}

#[inline(always)]
fn whole_or_part(slice: &Slice, part: core::ops::Range<usize>) -> Slice {
    if part.len() == slice.len() { slice.clone() } else { slice.slice(part) }
}

/// Copies the only piece behind the header.
#[inline]
fn take_lone(head: &mut PacketBuf, rest: &mut Range<'_>) -> usize {
    let Some((slice, part)) = rest.next() else { return 0 };
    let bytes = &slice[part];
    head.append(bytes.len()).copy_from_slice(bytes);
    bytes.len()
}

/// Copies a run of small pieces behind the header, if it begins with two or more: a descriptor
/// each would cost more.
#[inline(never)]
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
#[inline]
pub(crate) fn fitting(range: Range<'_>) -> usize {
    if range.first_bytes() == range.bytes() { range.bytes() } else { fitting_pieces(range) }
}

#[inline(never)]
fn fitting_pieces(range: Range<'_>) -> usize {
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
    let out = Out { header, ecn: Ecn::NotEct, gso_size: None, pseudo };
    let mut flow = Flow::new(packet.local, packet.remote);
    // One that finds no room is lost like any other packet.
    let _ = transmit(net, &mut flow, &out, options, SendQueue::new(SeqNum(0)).nothing());
}
