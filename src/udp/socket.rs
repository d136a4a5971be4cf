//! One socket.

use super::{Datagram, Error};
use crate::{ip::Flow, wire::checksum::Checksum};
use alloc::{collections::VecDeque, vec::Vec};
use core::net::{IpAddr, SocketAddr};

/// Datagrams that wait in a socket, unless it is set otherwise.
const QUEUE: usize = 256;
/// Bytes of buffers that they may hold.
const QUEUE_BYTES: usize = 512 << 10;

pub(super) struct Socket {
    pub(super) local: SocketAddr,
    /// The only one to send to and to receive from, if it is connected.
    pub(super) peer: Option<SocketAddr>,
    /// The socket after this one at the same port.
    pub(super) next: Option<u32>,
    /// The way to the last destination.
    pub(super) way: Option<Way>,
    pub(super) groups: Vec<IpAddr>,
    /// What ICMP told and the application was not told yet.
    pub(super) error: Option<Error>,
    queue: VecDeque<(Datagram, usize)>,
    bytes: usize,
    limit: (usize, usize),
}

/// A destination that was found: what each datagram to it has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) to: SocketAddr,
    /// The source that was asked for.
    pub(super) wanted: Option<IpAddr>,
    pub(super) flow: Flow,
    /// Sum of the pseudo-header without the length.
    pub(super) pseudo: Checksum,
    /// The network's epoch that it was found in.
    pub(super) epoch: u32,
}

impl Socket {
    pub(super) fn new(local: SocketAddr, peer: Option<SocketAddr>, next: Option<u32>) -> Socket {
        Socket {
            local,
            peer,
            next,
            way: None,
            groups: Vec::new(),
            error: None,
            queue: VecDeque::new(),
            bytes: 0,
            limit: (QUEUE, QUEUE_BYTES),
        }
    }

    pub(super) fn limit(&mut self, datagrams: usize, bytes: usize) {
        self.limit = (datagrams.max(1), bytes);
    }

    /// How well the socket fits a datagram; the best one gets it.
    #[inline]
    pub(super) fn fits(&self, local: IpAddr, remote: SocketAddr) -> Option<u8> {
        let own = match self.local.ip() {
            // The IPv6 wildcard takes both families.
            any if any.is_unspecified() => (any.is_ipv6() || local.is_ipv4()).then_some(0),
            own => (own == local).then_some(1),
        };
        let peer = match self.peer {
            None => Some(0),
            Some(peer) => (peer == remote).then_some(2),
        };
        Some(own? + peer?)
    }

    /// Keeps a datagram of `pinned` bytes of buffers; false when there is no room for it. One is
    /// always taken.
    #[inline]
    pub(super) fn push(&mut self, datagram: Datagram, pinned: usize) -> bool {
        let (most, most_bytes) = self.limit;
        let full = self.queue.len() >= most || self.bytes + pinned > most_bytes;
        if full && !self.queue.is_empty() {
            return false;
        }
        self.bytes += pinned;
        self.queue.push_back((datagram, pinned));
        true
    }

    /// The next datagram, and how much it held.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Datagram, usize)> {
        let (datagram, pinned) = self.queue.pop_front()?;
        self.bytes -= pinned;
        Some((datagram, pinned))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of buffers that the queue holds.
    pub(super) fn held(&self) -> usize {
        self.bytes
    }
}
