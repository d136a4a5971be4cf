//! What is sent.

use super::{
    Error, Udp, UdpId,
    socket::{Socket, Way},
};
use crate::{
    PacketBuf, Slice,
    frame::Offloads,
    ip::{Ecn, Flow, Network, NoPath, Outgoing, SendError},
    wire::{
        checksum::Checksum,
        udp::{CHECKSUM_OFFSET, HEADER_LEN, Header, PROTOCOL},
    },
};
use core::net::{IpAddr, SocketAddr};
use zerocopy::{IntoBytes, network_endian::U16};

/// Data up to this length is copied behind the header: that costs less than a descriptor of its
/// own, here and at every stage behind.
const SHORT: usize = 128;

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target {
    /// The destination; the connected peer if there is none.
    pub to: Option<SocketAddr>,
    /// The source address, which must be one of ours; the network chooses if there is none, or if
    /// it is a group's or a broadcast address.
    pub from: Option<IpAddr>,
}

impl From<SocketAddr> for Target {
    fn from(to: SocketAddr) -> Target {
        Target { to: Some(to), from: None }
    }
}

impl Udp {
    /// Sends `data` by reference.
    ///
    /// # Errors
    /// [`Error`]; nothing was sent then.
    pub fn send<N: Network>(
        &mut self,
        net: &mut N,
        id: UdpId,
        target: Target,
        data: &[Slice],
    ) -> Result<(), Error> {
        let len = data.iter().map(|slice| slice.len()).sum::<usize>();
        let socket = self.sockets.get_mut(id.0).ok_or(Error::Closed)?;
        let port = socket.local.port();
        let way = socket.way(net, &target, len)?;
        let rest = data.iter().filter(|slice| !slice.is_empty());
        if !net.join(&way.flow, (port, way.to.port()), rest.clone()) {
            let mut head = net.pool().alloc_reserved().ok_or(Error::Exhausted)?;
            header(port, way, len, &mut head);
            if len <= SHORT.min(head.tailroom()) {
                rest.for_each(|slice| head.append(slice.len()).copy_from_slice(slice));
                transmit_lean(net, way, head, None)?;
                self.stats.payload_bytes_copied += len as u64;
            } else {
                transmit(net, way, head, HEADER_LEN + len, rest)?;
            }
        }
        self.stats.sent += 1;
        Ok(())
    }

    /// Sends `len` bytes that `fill` writes, in place: into the buffer that is sent.
    ///
    /// # Errors
    /// [`Error`]; nothing was sent then.
    pub fn send_with<N: Network, T>(
        &mut self,
        net: &mut N,
        id: UdpId,
        target: Target,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, Error> {
        let socket = self.sockets.get_mut(id.0).ok_or(Error::Closed)?;
        let port = socket.local.port();
        let way = socket.way(net, &target, len)?;
        let mut head = net.pool().alloc_reserved().ok_or(Error::Exhausted)?;
        header(port, way, len, &mut head);
        let (value, rest) = if len <= head.tailroom() {
            (fill(head.append(len)), None)
        } else {
            // More than a buffer holds.
            let mut bytes = alloc::vec![0; len];
            (fill(&mut bytes), Some(Slice::from(bytes)))
        };
        transmit_lean(net, way, head, rest)?;
        self.stats.sent += 1;
        Ok(value)
    }
}

impl Socket {
    /// The way to the destination: that of the datagram before, usually.
    fn way<N: Network>(
        &mut self,
        net: &mut N,
        target: &Target,
        len: usize,
    ) -> Result<&mut Way, Error> {
        let to = target.to.as_ref().or(self.peer.as_ref()).ok_or(Error::NotConnected)?;
        let ip = if to.is_ipv4() { 20 } else { 0 };
        if HEADER_LEN + len + ip > usize::from(u16::MAX) {
            return Err(Error::TooLong);
        }
        if self.error.is_some()
            && let Some(error) = self.error.take_if(|_| self.peer.as_ref() == Some(to))
        {
            return Err(error);
        }
        let bound = Some(self.local.ip()).filter(|ip| !ip.is_unspecified());
        let wanted = bound.or(target.from);
        let epoch = net.epoch();
        let known = |way: &Way| way.epoch == epoch && way.to == *to && way.wanted == wanted;
        if !self.way.as_ref().is_some_and(known) {
            let path = net.path(wanted, to.ip())?;
            let pseudo = Checksum::pseudo_header(path.local, to.ip(), PROTOCOL, 0);
            let flow = Flow::new(path.local, to.ip());
            self.way = Some(Way { to: *to, wanted, flow, pseudo, epoch });
        }
        self.way.as_mut().ok_or(Error::Unreachable)
    }
}

impl From<NoPath> for Error {
    fn from(error: NoPath) -> Error {
        match error {
            NoPath::Unreachable => Error::Unreachable,
            NoPath::NotOurs => Error::AddressNotAvailable,
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        match error {
            SendError::Full => Error::Exhausted,
            SendError::Unreachable => Error::Unreachable,
            SendError::TooBig(_) => Error::TooLong,
        }
    }
}

#[inline]
fn header(port: u16, way: &Way, len: usize, head: &mut PacketBuf) {
    let header = Header {
        src_port: U16::new(port),
        dst_port: U16::new(way.to.port()),
        len: U16::new((HEADER_LEN + len) as u16),
        checksum: U16::ZERO,
    };
    head.append(HEADER_LEN).copy_from_slice(header.as_bytes());
}

/// Puts the checksum in, or leaves it to the device, and sends.
fn transmit<'a, N: Network>(
    net: &mut N,
    way: &mut Way,
    mut head: PacketBuf,
    len: usize,
    rest: impl Iterator<Item = &'a Slice> + Clone,
) -> Result<(), SendError> {
    let offloaded = net.offloads().contains(Offloads::TX_CSUM);
    let mut sum = way.pseudo.with_len(len);
    if !offloaded {
        sum.add(&head);
        rest.clone().for_each(|slice| sum.add(slice));
    }
    put_checksum(&mut head, sum, offloaded);
    let payload = len - head.len();
    net.transmit(&mut way.flow, how(way.to, offloaded), head, payload, rest.cloned())
}

/// Likewise, with one slice at most.
#[inline]
fn transmit_lean<N: Network>(
    net: &mut N,
    way: &mut Way,
    mut head: PacketBuf,
    rest: Option<Slice>,
) -> Result<(), SendError> {
    let offloaded = net.offloads().contains(Offloads::TX_CSUM);
    let behind = rest.as_deref().unwrap_or_default();
    let mut sum = way.pseudo.with_len(head.len() + behind.len());
    if !offloaded {
        sum.add(&head);
        sum.add(behind);
    }
    put_checksum(&mut head, sum, offloaded);
    net.transmit_lean(&mut way.flow, how(way.to, offloaded), head, rest)
}

#[inline]
fn put_checksum(head: &mut PacketBuf, sum: Checksum, offloaded: bool) {
    let value = match (offloaded, sum.finish()) {
        (true, sum) => !sum,
        // RFC 768: a sum of zero is sent as all ones.
        (false, 0) => 0xffff,
        (false, sum) => sum,
    };
    let at = usize::from(CHECKSUM_OFFSET);
    head[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[inline]
fn how(to: SocketAddr, offloaded: bool) -> Outgoing {
    Outgoing {
        protocol: PROTOCOL,
        ecn: Ecn::NotEct,
        dont_fragment: false,
        // RFC 1112, section 6.1: a group's datagrams stay on the link.
        hop_limit: to.ip().is_multicast().then_some(1),
        csum_offset: offloaded.then_some(CHECKSUM_OFFSET),
        gso: None,
    }
}
