//! User Datagram Protocol (RFC 768), sans I/O.
#![forbid(unsafe_code)]

use crate::{
    PacketBuf, Slice,
    frame::{Chain, Offloads, RxCsum},
    ip::{Ecn, Flow, Incoming, Network, Outgoing, SendError},
    wire::{
        checksum::Checksum,
        udp::{CHECKSUM_OFFSET, HEADER_LEN, Header, PROTOCOL},
    },
};
use alloc::{collections::VecDeque, vec::Vec};
use core::net::{IpAddr, SocketAddr};
use hashbrown::HashMap;
use zerocopy::{FromBytes, IntoBytes, network_endian::U16};

/// Most sockets of a stack.
const MAX_SOCKETS: usize = 1024;
/// Datagrams that wait in one socket; further ones are dropped and counted.
const QUEUE: usize = 64;
const EPHEMERAL: u16 = 49152;

/// A handle to a socket; stale ones are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpId(u32);

/// A received datagram.
#[derive(Debug)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// Our address that it was sent to.
    pub local: IpAddr,
    /// Its bytes; several slices when it came in fragments.
    pub data: Vec<Slice>,
}

/// Why a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The port is taken: choose another.
    AddressInUse,
    /// Too many sockets, or no buffer: try again later.
    Exhausted,
    /// The handle is stale.
    Closed,
    /// No route to the destination: check the gateway.
    Unreachable,
    /// The datagram is longer than can be sent.
    TooLong,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Error::AddressInUse => "the port is in use: choose another",
            Error::Exhausted => "too many sockets, or no free buffer: try again later",
            Error::Closed => "the socket is closed",
            Error::Unreachable => "no route to the destination: check the gateway",
            Error::TooLong => "the datagram is longer than can be sent",
        })
    }
}

impl core::error::Error for Error {}

struct Socket {
    local: SocketAddr,
    queue: VecDeque<Datagram>,
}

/// Counters.
#[derive(Debug, Default)]
pub struct Stats {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams dropped: a wrong length or checksum.
    pub malformed: u64,
    /// Datagrams dropped: the socket's queue was full.
    pub queue_full: u64,
    /// Datagrams to a port that nobody listens at.
    pub no_port: u64,
}

/// What became of a received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    NoPort,
}

/// All sockets of a stack.
#[derive(Default)]
pub struct Udp {
    sockets: HashMap<UdpId, Socket>,
    ports: HashMap<u16, Vec<UdpId>>,
    next: u32,
    next_port: u16,
    readable: Vec<UdpId>,
    /// Counters.
    pub stats: Stats,
}

impl Udp {
    pub(crate) fn new(first_port: u16) -> Udp {
        Udp { next_port: first_port, ..Udp::default() }
    }

    /// Opens a socket at `local`; an unspecified address takes all of ours, port 0 any free one.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] or [`Error::Exhausted`].
    pub fn bind(&mut self, mut local: SocketAddr) -> Result<UdpId, Error> {
        if self.sockets.len() >= MAX_SOCKETS {
            return Err(Error::Exhausted);
        }
        if local.port() == 0 {
            local.set_port(self.free_port().ok_or(Error::Exhausted)?);
        }
        let others = self.ports.get(&local.port()).into_iter().flatten();
        let clashes = |other: &Socket| {
            other.local.ip() == local.ip()
                || other.local.ip().is_unspecified()
                || local.ip().is_unspecified()
        };
        if others.filter_map(|id| self.sockets.get(id)).any(clashes) {
            return Err(Error::AddressInUse);
        }
        self.next = self.next.wrapping_add(1);
        let id = UdpId(self.next);
        self.sockets.insert(id, Socket { local, queue: VecDeque::new() });
        self.ports.entry(local.port()).or_default().push(id);
        Ok(id)
    }

    fn free_port(&mut self) -> Option<u16> {
        (0..=u16::MAX - EPHEMERAL).find_map(|_| {
            self.next_port = self.next_port.wrapping_add(1).max(EPHEMERAL);
            (!self.ports.contains_key(&self.next_port)).then_some(self.next_port)
        })
    }

    /// Closes a socket and drops what waits in it.
    pub fn close(&mut self, id: UdpId) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        if let Some(ids) = self.ports.get_mut(&socket.local.port()) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.ports.remove(&socket.local.port());
            }
        }
    }

    /// Where a socket is bound.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn local_addr(&self, id: UdpId) -> Result<SocketAddr, Error> {
        self.sockets.get(&id).map(|socket| socket.local).ok_or(Error::Closed)
    }

    /// Takes the next datagram.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn recv(&mut self, id: UdpId) -> Result<Option<Datagram>, Error> {
        Ok(self.sockets.get_mut(&id).ok_or(Error::Closed)?.queue.pop_front())
    }

    /// Sockets that became readable since the last call.
    pub fn take_readable(&mut self) -> Option<UdpId> {
        self.readable.pop()
    }

    pub(crate) fn receive(&mut self, packet: &Incoming, datagram: &mut Chain) -> Verdict {
        let Ok((header, _)) = Header::ref_from_prefix(datagram.first()) else {
            self.stats.malformed += 1;
            return Verdict::Taken;
        };
        let header = *header;
        let len = usize::from(header.len.get());
        if len < HEADER_LEN || len > datagram.len() {
            self.stats.malformed += 1;
            return Verdict::Taken;
        }
        datagram.truncate(len);
        // RFC 768: no checksum over IPv4 is legal; RFC 8200, section 8.1: not over IPv6.
        let absent = header.checksum.get() == 0 && packet.local.is_ipv4();
        if !absent && packet.csum == RxCsum::Unknown {
            let mut sum = Checksum::pseudo_header(packet.local, packet.remote, PROTOCOL, len);
            datagram.iter().for_each(|slice| sum.add(slice));
            if sum.finish() != 0 {
                self.stats.malformed += 1;
                return Verdict::Taken;
            }
        }
        let ids = self.ports.get(&header.dst_port.get()).into_iter().flatten();
        let accepts = |id: &&UdpId| {
            self.sockets.get(*id).is_some_and(|s| match s.local.ip() {
                // The IPv6 wildcard takes both families.
                any if any.is_unspecified() => any.is_ipv6() || packet.local.is_ipv4(),
                own => own == packet.local,
            })
        };
        let Some(id) = ids.copied().find(|id| accepts(&id)) else {
            self.stats.no_port += 1;
            return Verdict::NoPort;
        };
        let Some(socket) = self.sockets.get_mut(&id) else { return Verdict::NoPort };
        if socket.queue.len() >= QUEUE {
            self.stats.queue_full += 1;
            return Verdict::Taken;
        }
        datagram.advance(HEADER_LEN);
        let data = core::iter::from_fn(|| datagram.pop()).collect();
        let from = SocketAddr::new(packet.remote, header.src_port.get());
        if socket.queue.is_empty() {
            self.readable.push(id);
        }
        socket.queue.push_back(Datagram { from, local: packet.local, data });
        self.stats.received += 1;
        Verdict::Taken
    }

    /// Sends `data` by reference.
    ///
    /// # Errors
    /// [`Error`]; nothing was sent then.
    pub fn send<N: Network>(
        &mut self,
        net: &mut N,
        id: UdpId,
        to: SocketAddr,
        data: &[Slice],
    ) -> Result<(), Error> {
        let socket = self.sockets.get(&id).ok_or(Error::Closed)?;
        let len = HEADER_LEN + data.iter().map(|slice| slice.len()).sum::<usize>();
        if len > usize::from(u16::MAX) - 20 {
            return Err(Error::TooLong);
        }
        let wanted = Some(socket.local.ip()).filter(|ip| !ip.is_unspecified());
        let path = net.path(wanted, to.ip()).map_err(|_| Error::Unreachable)?;
        let mut head = net.pool().alloc_reserved().ok_or(Error::Exhausted)?;
        let header = Header {
            src_port: U16::new(socket.local.port()),
            dst_port: U16::new(to.port()),
            len: U16::new(len as u16),
            checksum: U16::ZERO,
        };
        head.append(HEADER_LEN).copy_from_slice(header.as_bytes());
        let csum_offset = checksum(net, &mut head, (path.local, to.ip()), data, len);
        let how = Outgoing {
            protocol: PROTOCOL,
            ecn: Ecn::NotEct,
            dont_fragment: false,
            hop_limit: None,
            csum_offset,
            gso: None,
        };
        let mut flow = Flow::new(path.local, to.ip());
        let rest = data.iter().filter(|slice| !slice.is_empty()).cloned();
        net.transmit(&mut flow, how, head, rest).map_err(|e| match e {
            SendError::Full => Error::Exhausted,
            SendError::Unreachable => Error::Unreachable,
            SendError::TooBig(_) => Error::TooLong,
        })?;
        self.stats.sent += 1;
        Ok(())
    }
}

/// Fills the checksum in, or leaves it to the device; where it lies then.
fn checksum<N: Network>(
    net: &N,
    head: &mut PacketBuf,
    (local, remote): (IpAddr, IpAddr),
    data: &[Slice],
    len: usize,
) -> Option<u16> {
    let mut sum = Checksum::pseudo_header(local, remote, PROTOCOL, len);
    let at = usize::from(CHECKSUM_OFFSET);
    if net.offloads().contains(Offloads::TX_CSUM) {
        head[at..at + 2].copy_from_slice(&sum.partial().to_be_bytes());
        return Some(CHECKSUM_OFFSET);
    }
    sum.add(head);
    data.iter().for_each(|slice| sum.add(slice));
    // RFC 768: a sum of zero is sent as all ones.
    let value = match sum.finish() {
        0 => 0xffff,
        value => value,
    };
    head[at..at + 2].copy_from_slice(&value.to_be_bytes());
    None
}
