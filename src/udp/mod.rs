//! User Datagram Protocol (RFC 768; RFC 1122, section 4.1), sans I/O.
//!
//! A received datagram is the slices that the device filled, and waits in its socket's queue, which
//! is bounded in datagrams and in the buffers that they hold. The way to the last destination is
//! kept in the socket, so that the next datagram costs no look-up.
#![forbid(unsafe_code)]

mod datagram;
mod error;
mod receive;
mod send;
mod socket;
mod stats;

pub use datagram::{Datagram, Payload};
pub use error::Error;
pub(crate) use receive::Cast;
pub use send::Target;
pub use stats::Stats;

use crate::slab::{Key, Slab};
use alloc::{collections::VecDeque, vec::Vec};
use core::{
    hash::Hasher,
    net::{IpAddr, SocketAddr},
};
use hashbrown::HashMap;
use siphasher::sip::SipHasher13;
use socket::Socket;

/// Most sockets of a stack.
const MAX_SOCKETS: usize = 1024;
/// Most groups of a socket.
const MAX_GROUPS: usize = 20;
/// RFC 6335: the dynamic ports.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 49152..=65535;
/// Random choices of a port before all are tried in turn.
const CHOICES: u32 = 64;

/// A handle to a socket; stale ones are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpId(Key);

/// What became of a received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    NoPort,
}

/// All sockets of a stack.
pub struct Udp {
    sockets: Slab<Socket>,
    /// The first socket at each port.
    ports: HashMap<u16, u32>,
    /// What that says of the port that was looked up last.
    recent: (u16, Option<u32>),
    readable: VecDeque<UdpId>,
    /// Bytes of buffers that all queues hold, and may hold.
    held: usize,
    memory: usize,
    choice: SipHasher13,
    choices: u32,
    /// Counters.
    pub stats: Stats,
}

impl Udp {
    /// No sockets; their queues may hold `memory` bytes together. `seed` makes ports
    /// unpredictable.
    pub(crate) fn new(memory: usize, seed: &[u8; 32]) -> Udp {
        let mut choice = SipHasher13::new_with_key(seed.first_chunk().unwrap_or(&[0; 16]));
        choice.write(&seed[16..]);
        choice.write(b"UDP");
        Udp {
            sockets: Slab::new(),
            ports: HashMap::new(),
            recent: (0, None),
            readable: VecDeque::new(),
            held: 0,
            memory,
            choice,
            choices: 0,
            stats: Stats::default(),
        }
    }

    /// Opens a socket at `local`, connected to `peer` if there is one. An unspecified address
    /// takes all of ours, `[::]` those of both families; port 0 is a random free one.
    ///
    /// Several sockets may have one port: a datagram goes to the one that names most of its
    /// addresses.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] or [`Error::Exhausted`].
    pub fn open(
        &mut self,
        mut local: SocketAddr,
        peer: Option<SocketAddr>,
    ) -> Result<UdpId, Error> {
        if self.sockets.len() >= MAX_SOCKETS {
            return Err(Error::Exhausted);
        }
        if local.port() == 0 {
            local.set_port(self.free_port().ok_or(Error::Exhausted)?);
        }
        self.check_free(local, peer, None)?;
        let next = self.ports.get(&local.port()).copied();
        let key = self.sockets.insert_with(|_| Socket::new(local, peer, next));
        self.ports.insert(local.port(), key.index);
        self.recent = (0, None);
        Ok(UdpId(key))
    }

    /// Opens a socket that takes datagrams of everyone.
    ///
    /// # Errors
    /// As [`Udp::open`].
    pub fn bind(&mut self, local: SocketAddr) -> Result<UdpId, Error> {
        self.open(local, None)
    }

    /// Makes `peer` the only one that the socket sends to and receives from; what others sent and
    /// was not read is dropped. `None` ends that.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] or [`Error::Closed`].
    pub fn connect(&mut self, id: UdpId, peer: Option<SocketAddr>) -> Result<(), Error> {
        let local = self.local_addr(id)?;
        self.check_free(local, peer, Some(id))?;
        let socket = self.sockets.get_mut(id.0).ok_or(Error::Closed)?;
        (socket.peer, socket.error) = (peer, None);
        let mut kept = Vec::new();
        while let Some((datagram, pinned)) = socket.pop() {
            if peer.is_none_or(|peer| peer == datagram.from) {
                kept.push((datagram, pinned));
            } else {
                self.held -= pinned;
            }
        }
        for (datagram, pinned) in kept {
            if !socket.push(datagram, pinned) {
                self.held -= pinned;
            }
        }
        Ok(())
    }

    /// Whether no socket but `but` has the same addresses.
    fn check_free(
        &self,
        local: SocketAddr,
        peer: Option<SocketAddr>,
        but: Option<UdpId>,
    ) -> Result<(), Error> {
        let wild = local.ip().is_unspecified();
        let clashes = self.at_port(local.port()).any(|(index, other)| {
            let same = other.local.ip() == local.ip();
            let both_wild = wild && other.local.ip().is_unspecified();
            but.is_none_or(|id| id.0.index != index) && (same || both_wild) && other.peer == peer
        });
        if clashes { Err(Error::AddressInUse) } else { Ok(()) }
    }

    /// RFC 6056, 3.3.1: a random port, so that nobody off the path can guess it.
    fn free_port(&mut self) -> Option<u16> {
        let (first, count) = (*EPHEMERAL.start(), EPHEMERAL.end() - EPHEMERAL.start() + 1);
        let mut port = first;
        for _ in 0..CHOICES {
            self.choices = self.choices.wrapping_add(1);
            let mut hasher = self.choice;
            hasher.write_u32(self.choices);
            port = first + (hasher.finish() % u64::from(count)) as u16;
            if !self.ports.contains_key(&port) {
                return Some(port);
            }
        }
        let all = (0..count).map(|i| first + (port - first + i) % count);
        all.into_iter().find(|port| !self.ports.contains_key(port))
    }

    fn at_port(&self, port: u16) -> impl Iterator<Item = (u32, &Socket)> {
        let mut next = match self.recent {
            (recent, first) if recent == port => first,
            _ => self.ports.get(&port).copied(),
        };
        core::iter::from_fn(move || {
            let index = next?;
            let socket = self.sockets.peek(index)?;
            next = socket.next;
            Some((index, socket))
        })
    }

    /// Closes a socket and drops what waits in it; the groups that it had joined.
    pub fn close(&mut self, id: UdpId) -> Vec<IpAddr> {
        if self.sockets.get(id.0).is_none() {
            return Vec::new();
        }
        let Some(socket) = self.sockets.remove(id.0.index) else { return Vec::new() };
        self.held -= socket.held();
        self.recent = (0, None);
        let before = self.at_port_before(socket.local.port(), id.0.index);
        match (before.and_then(|index| self.sockets.at(index)), socket.next) {
            (Some(before), next) => before.next = next,
            (None, Some(next)) => drop(self.ports.insert(socket.local.port(), next)),
            (None, None) => drop(self.ports.remove(&socket.local.port())),
        }
        socket.groups
    }

    /// The socket whose next one at `port` is `index`.
    fn at_port_before(&self, port: u16, index: u32) -> Option<u32> {
        self.at_port(port).find(|(_, socket)| socket.next == Some(index)).map(|(i, _)| i)
    }

    /// Where a socket is bound.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn local_addr(&self, id: UdpId) -> Result<SocketAddr, Error> {
        self.sockets.get(id.0).map(|socket| socket.local).ok_or(Error::Closed)
    }

    /// Whom a socket is connected to.
    pub fn peer_addr(&self, id: UdpId) -> Option<SocketAddr> {
        self.sockets.get(id.0)?.peer
    }

    /// How many datagrams, and bytes of buffers that hold them, may wait in a socket.
    pub fn set_queue(&mut self, id: UdpId, datagrams: usize, bytes: usize) {
        if let Some(socket) = self.sockets.get_mut(id.0) {
            socket.limit(datagrams, bytes);
        }
    }

    /// Takes the next datagram.
    ///
    /// # Errors
    /// Once, what ICMP told of the connected peer; [`Error::Closed`].
    pub fn recv(&mut self, id: UdpId) -> Result<Option<Datagram>, Error> {
        let socket = self.sockets.get_mut(id.0).ok_or(Error::Closed)?;
        if let Some((datagram, pinned)) = socket.pop() {
            self.held -= pinned;
            return Ok(Some(datagram));
        }
        socket.error.take().map_or(Ok(None), Err)
    }

    /// Notes that a socket wants what is sent to `group`; whether it did not before.
    pub(crate) fn join(&mut self, id: UdpId, group: IpAddr) -> Result<bool, Error> {
        let socket = self.sockets.get_mut(id.0).ok_or(Error::Closed)?;
        if socket.groups.contains(&group) {
            return Ok(false);
        }
        if !group.is_multicast() || socket.groups.len() >= MAX_GROUPS {
            return Err(Error::BadGroup);
        }
        socket.groups.push(group);
        Ok(true)
    }

    /// Takes that back; whether it had been so.
    pub(crate) fn leave(&mut self, id: UdpId, group: IpAddr) -> bool {
        let Some(socket) = self.sockets.get_mut(id.0) else { return false };
        let before = socket.groups.len();
        socket.groups.retain(|other| *other != group);
        socket.groups.len() < before
    }

    /// Sockets that became readable since the last call.
    #[inline]
    pub fn take_readable(&mut self) -> Option<UdpId> {
        self.readable.pop_front()
    }
}
