//! What a transport asks of the layer below, and what that layer hands up.

use crate::{
    PacketBuf, Pool, Slice,
    frame::{Gso, Offloads, RxCsum},
    time::Instant,
};
use core::net::IpAddr;

/// The two ECN bits of an IP header (RFC 3168, section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Not ECN-capable.
    #[default]
    NotEct = 0,
    /// ECN-capable, ECT(1).
    Ect1 = 1,
    /// ECN-capable, ECT(0).
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Ecn {
    /// The two low bits of a type-of-service or traffic-class byte.
    pub const fn from_bits(byte: u8) -> Ecn {
        match byte & 3 {
            0 => Ecn::NotEct,
            1 => Ecn::Ect1,
            2 => Ecn::Ect0,
            _ => Ecn::Ce,
        }
    }
}

/// A packet for a transport: what the IP header said. The chain beside it starts at the transport
/// header.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// Our address, to which it was sent.
    pub local: IpAddr,
    /// The sender.
    pub remote: IpAddr,
    /// ECN bits.
    pub ecn: Ecn,
    /// State of the transport checksum.
    pub csum: RxCsum,
    /// Segmentation of a coalesced packet.
    pub gso: Option<Gso>,
}

/// A pair of addresses with the resolved way between them; transports keep one a connection, so
/// that a segment costs no route or neighbour look-up.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Our address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// Where the network keeps its resolution: an index and the generation it is valid in.
    pub(crate) cache: (u32, u32),
}

impl Flow {
    /// A flow that is resolved when first used.
    pub const fn new(local: IpAddr, remote: IpAddr) -> Flow {
        Flow { local, remote, cache: (0, 0) }
    }
}

/// How a packet is sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// IP protocol number.
    pub protocol: u8,
    /// ECN bits.
    pub ecn: Ecn,
    /// Whether it must not go in fragments: routers must not make them (IPv4), nor do we.
    pub dont_fragment: bool,
    /// Time to live or hop limit, if not the usual one.
    pub hop_limit: Option<u8>,
    /// The transport checksum lies this many bytes into the transport header and holds the
    /// pseudo-header's sum only: the device completes it. Only with [`Offloads::TX_CSUM`].
    pub csum_offset: Option<u16>,
    /// Segmentation left to the device. Only with its offload.
    pub gso: Option<Gso>,
}

impl Outgoing {
    /// As most packets of the network itself are: it may be cut, and is whole as it stands.
    pub const fn usual(protocol: u8) -> Outgoing {
        let (ecn, dont_fragment, hop_limit) = (Ecn::NotEct, false, None);
        Outgoing { protocol, ecn, dont_fragment, hop_limit, csum_offset: None, gso: None }
    }
}

/// The way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The source address to use.
    pub local: IpAddr,
    /// Largest IP packet in bytes on the path, as far as known.
    pub mtu: u16,
}

/// There is no way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPath {
    /// No route or source address fits.
    Unreachable,
    /// The source address that was asked for is not ours, or not yet, or not any more.
    NotOurs,
}

/// A packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The transmit queue is full: try again after the next poll.
    Full,
    /// No route, or the neighbour does not answer.
    Unreachable,
    /// It is longer than the path carries and must not be fragmented; the path's MTU.
    TooBig(u16),
}

/// What a transport asks of the layer below.
pub trait Network {
    /// The time of this round.
    fn now(&self) -> Instant;

    /// Work that the device takes over.
    fn offloads(&self) -> Offloads;

    /// The pool that headers are built in.
    fn pool(&self) -> &Pool;

    /// Frames that the transmit queue still takes in this round.
    fn room(&self) -> usize;

    /// Changes whenever addresses, routes or path MTUs do: a [`Path`] is good for one epoch.
    fn epoch(&self) -> u32 {
        0
    }

    /// The way to `remote`, from `local` if that is given; a group or a broadcast address there
    /// stands for any of ours.
    ///
    /// # Errors
    /// [`NoPath`]
    fn path(&self, local: Option<IpAddr>, remote: IpAddr) -> Result<Path, NoPath>;

    /// Sends one packet: `head` starts with the transport header (payload bytes may follow in it),
    /// `payload` of `len` bytes goes behind it by reference. The network prepends its headers in `head`'s
    /// headroom. A packet to a neighbour that is not resolved yet is kept and counts as sent.
    ///
    /// # Errors
    /// [`SendError`]; the packet is dropped then.
    fn transmit(
        &mut self,
        flow: &mut Flow,
        how: Outgoing,
        head: PacketBuf,
        len: usize,
        payload: impl IntoIterator<Item = Slice>,
    ) -> Result<(), SendError>;

    /// [`Network::transmit`] for a packet with one slice of payload at most: most of them.
    ///
    /// # Errors
    /// As there.
    fn transmit_lean(
        &mut self,
        flow: &mut Flow,
        how: Outgoing,
        head: PacketBuf,
        payload: Option<Slice>,
    ) -> Result<(), SendError> {
        let len = payload.as_ref().map_or(0, |slice| slice.len());
        self.transmit(flow, how, head, len, payload)
    }

    /// Lets a datagram of `data` leave with the packet that was sent last, if that was a datagram
    /// of the same flow and ports that the device may cut (see [`Offloads::USO`]); whether it does.
    fn join<'a>(
        &mut self,
        _flow: &Flow,
        _ports: (u16, u16),
        _data: impl Iterator<Item = &'a Slice> + Clone,
    ) -> bool {
        false
    }

    /// The peer of `flow` is known to receive what we send (RFC 4861, section 7.3.1).
    fn confirm(&mut self, flow: &Flow);
}
