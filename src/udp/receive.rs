//! What arrives: datagrams, and ICMP errors about ours.

use super::{Datagram, Error, Payload, Udp, UdpId, Verdict};
use crate::{
    Pool,
    frame::{Chain, GsoKind, RxCsum},
    ip::{IcmpError, IcmpErrorKind, Incoming},
    wire::{
        checksum::Checksum,
        udp::{HEADER_LEN, Header, PROTOCOL},
    },
};
use core::net::{IpAddr, SocketAddr};
use zerocopy::FromBytes;

/// How many a datagram was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    /// One host: this one.
    One,
    /// All hosts of a network, or a group.
    Many,
}

struct To {
    cast: Cast,
    local: IpAddr,
    port: u16,
    /// The pool has few buffers left.
    short: bool,
}

/// Buffers that are left to the device when it has few: two of the largest frames.
const SPARE: usize = 80;

impl Udp {
    /// Takes a datagram, whose header lies in the chain's first slice.
    pub(crate) fn receive(
        &mut self,
        packet: &Incoming,
        cast: Cast,
        datagram: &mut Chain,
        pool: &Pool,
    ) -> Verdict {
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
        if !verify(packet, &header, datagram, len) {
            self.stats.checksum += 1;
            return Verdict::Taken;
        }
        datagram.advance(HEADER_LEN);
        let from = SocketAddr::new(packet.remote, header.src_port.get());
        let port = header.dst_port.get();
        let short = pool.available() < SPARE.min(pool.config().count / 8);
        let to = To { cast, local: packet.local, port, short };
        let coalesced = packet.gso.filter(|gso| gso.kind == GsoKind::Udp && gso.size > 0);
        let Some(gso) = coalesced else {
            return self.deliver(&to, from, datagram);
        };
        let mut verdict = Verdict::NoPort;
        while !datagram.is_empty() {
            let mut one = datagram.split_to(gso.size.into());
            if self.deliver(&to, from, &mut one) == Verdict::Taken {
                verdict = Verdict::Taken;
            }
        }
        verdict
    }

    fn deliver(&mut self, to: &To, from: SocketAddr, data: &mut Chain) -> Verdict {
        if to.cast == Cast::Many {
            self.deliver_to_all(to, from, &Payload::take(data));
            return Verdict::Taken;
        }
        if self.recent.0 != to.port {
            self.recent = (to.port, self.ports.get(&to.port).copied());
        }
        let mut best = None;
        for (index, socket) in self.at_port(to.port) {
            let fit = socket.fits(to.local, from);
            if fit > best.map(|(_, fit)| fit) {
                best = fit.map(|fit| (index, fit));
            }
        }
        let Some((index, _)) = best else {
            self.stats.no_port += 1;
            return Verdict::NoPort;
        };
        let datagram = Datagram { from, local: to.local, data: Payload::take(data) };
        self.queue(index, datagram, to.short);
        Verdict::Taken
    }

    /// RFC 1122, 4.1.3.3 and RFC 1112, 7: a broadcast or a group's datagram is for each socket that
    /// wants it.
    fn deliver_to_all(&mut self, to: &To, from: SocketAddr, data: &Payload) {
        let local = to.local;
        let mut next = self.ports.get(&to.port).copied();
        let mut taken = false;
        while let Some(index) = next {
            let Some(socket) = self.sockets.at(index) else { break };
            next = socket.next;
            let wanted = if local.is_multicast() {
                socket.groups.contains(&local) && socket.peer.is_none_or(|peer| peer == from)
            } else {
                // A socket at one address of ours gets what is sent to that only.
                socket.fits(local, from).is_some()
            };
            if wanted {
                taken = true;
                self.queue(index, Datagram { from, local, data: data.clone() }, to.short);
            }
        }
        if !taken {
            self.stats.no_port += 1;
        }
    }

    #[inline]
    fn queue(&mut self, index: u32, datagram: Datagram, short: bool) {
        let Some(socket) = self.sockets.at(index) else { return };
        let pinned = datagram.data.pinned();
        if short || self.held + pinned > self.memory {
            self.stats.no_memory += 1;
            return;
        }
        let first = socket.is_empty() && socket.error.is_none();
        if !socket.push(datagram, pinned) {
            self.stats.queue_full += 1;
            return;
        }
        self.held += pinned;
        self.stats.received += 1;
        if first {
            self.notify(index);
        }
    }

    /// Takes an ICMP error about a datagram of ours; whether a socket sent it.
    ///
    /// RFC 1122, 4.1.3.3: it is told to the socket that is connected to this peer. A socket that
    /// sends to many could not tell which one is meant.
    pub fn icmp_error(&mut self, error: &IcmpError) -> bool {
        let t = &error.transport;
        let port = u16::from_be_bytes([t[0], t[1]]);
        let remote = SocketAddr::new(error.remote, u16::from_be_bytes([t[2], t[3]]));
        let fits = |socket: &super::socket::Socket| socket.fits(error.local, remote);
        let best = self.at_port(port).filter_map(|(i, s)| Some((i, fits(s)?)));
        let Some((index, _)) = best.max_by_key(|(_, fit)| *fit) else {
            self.stats.icmp_ignored += 1;
            return false;
        };
        let told = match error.kind {
            IcmpErrorKind::PortUnreachable | IcmpErrorKind::ProtocolUnreachable => Error::Refused,
            // The path's MTU is the network's business: the next datagram goes in fragments.
            IcmpErrorKind::TooBig(_) => return true,
            _ => Error::Unreachable,
        };
        if let Some(socket) = self.sockets.at(index)
            && socket.peer.is_some()
        {
            self.stats.icmp_errors += 1;
            let first = socket.is_empty() && socket.error.is_none();
            socket.error = Some(told);
            if first {
                self.notify(index);
            }
        }
        true
    }

    fn notify(&mut self, index: u32) {
        if let Some(key) = self.sockets.key(index) {
            self.readable.push_back(UdpId(key));
        }
    }
}

/// Whether the checksum is right.
fn verify(packet: &Incoming, header: &Header, datagram: &Chain, len: usize) -> bool {
    if header.checksum.get() == 0 {
        // RFC 768: none over IPv4 is legal; RFC 8200, section 8.1: not over IPv6.
        return packet.remote.is_ipv4();
    }
    if packet.csum == RxCsum::Valid {
        return true;
    }
    let mut sum = Checksum::pseudo_header(packet.local, packet.remote, PROTOCOL, len);
    datagram.iter().for_each(|slice| sum.add(slice));
    sum.finish() == 0
}
