//! The client's states (RFC 2131, section 4.4, figure 5).

use super::{
    lease::Lease,
    message::{Kind, Reply, Request},
};
use crate::{
    stack::Counters,
    time::{Duration, Instant},
    wire::MacAddr,
};
use alloc::{collections::VecDeque, vec::Vec};
use core::{hash::Hasher, net::Ipv4Addr};
use siphasher::sip::SipHasher13;
use zerocopy::{Immutable, IntoBytes};

/// Time to the first retransmission, doubled for each further one. RFC 2131, section 4.1, has 4 s
/// for a 10 Mbit/s Ethernet; a service that boots beside its server need not wait as long.
const RETRANS: Duration = Duration::from_secs(1);
/// RFC 2131, section 4.1: the longest time between two.
const MAX_RETRANS: Duration = Duration::from_secs(64);
/// Requests for an offer before the search begins anew.
const MAX_REQUESTS: u32 = 4;
/// RFC 2131, section 3.1, 5: after a DHCPDECLINE.
const DECLINED: Duration = Duration::from_secs(10);
/// After a DHCPNAK, so that a confused server is not asked in a loop.
const REFUSED: Duration = Duration::from_secs(1);
/// RFC 2131, section 4.4.5: the least time between requests to renew.
const RENEWAL: Duration = Duration::from_secs(60);

/// Where a message goes; ports are [`CLIENT_PORT`](super::CLIENT_PORT) and
/// [`SERVER_PORT`](super::SERVER_PORT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// From `from`, which may be unspecified, to all hosts on the link.
    Broadcast {
        /// Our address, or 0.0.0.0.
        from: Ipv4Addr,
    },
    /// From our leased address to the server.
    Unicast {
        /// Our address.
        from: Ipv4Addr,
        /// The server.
        to: Ipv4Addr,
    },
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a message.
    Send(Destination, Vec<u8>),
    /// Find out whether somebody uses this lease's address, and call [`Client::checked`].
    Check(Lease),
    /// Use this lease, instead of one before.
    Bind(Lease),
    /// Give the address up at once.
    Unbind(Ipv4Addr),
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, IntoBytes, Immutable)]
#[repr(C)]
pub struct Stats {
    /// Messages sent.
    pub sent: u64,
    /// Messages received and used.
    pub received: u64,
    /// Messages dropped: malformed, to another station, or of another transaction.
    pub dropped: u64,
    /// Leases obtained or extended.
    pub leases: u64,
    /// Addresses declined: another host used them.
    pub declined: u64,
    /// Leases that ended without being extended.
    pub expired: u64,
}

impl Stats {
    /// None of a client that is not there.
    pub(crate) const NONE: Stats =
        Stats { sent: 0, received: 0, dropped: 0, leases: 0, declined: 0, expired: 0 };

    /// Every counter by its name.
    pub(crate) fn named(&self) -> Counters<'_> {
        const NAMES: &[&str] = &[
            "dhcp_sent",
            "dhcp_received",
            "dhcp_dropped",
            "dhcp_leases",
            "dhcp_declined",
            "dhcp_expired",
        ];
        (NAMES, self.as_bytes())
    }
}

#[derive(Debug)]
enum State {
    /// Looks for servers: nothing sent yet, or waiting before it begins anew.
    Init,
    /// DHCPDISCOVER is out.
    Selecting,
    /// DHCPREQUEST for an offer is out.
    Requesting(Lease),
    /// The address was acknowledged; whether another host uses it is being found out.
    Checking(Lease),
    Bound(Lease),
    Renewing(Lease),
    Rebinding(Lease),
}

/// A client for one interface.
#[derive(Debug)]
pub struct Client {
    mac: MacAddr,
    key: [u64; 2],
    draws: u64,
    state: State,
    /// When the next message is due.
    next: Instant,
    /// Messages sent in this state.
    attempts: u32,
    xid: u32,
    /// When the search for an address began.
    began: Instant,
    /// RFC 2131, section 4.4.1: a lease counts from when it was asked for.
    asked: Instant,
    actions: VecDeque<Action>,
    stats: Stats,
}

impl Client {
    /// A client for the station `mac` that begins at once; `seed` must be unpredictable.
    pub fn new(mac: MacAddr, seed: [u64; 2], now: Instant) -> Client {
        Client {
            mac,
            key: seed,
            draws: 0,
            state: State::Init,
            next: now,
            attempts: 0,
            xid: 0,
            began: now,
            asked: now,
            actions: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// The lease in use.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) => Some(lease),
            _ => None,
        }
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// When [`Client::poll`] has something to do.
    pub fn poll_at(&self) -> Option<Instant> {
        if !self.actions.is_empty() {
            return Some(Instant::ZERO);
        }
        match &self.state {
            State::Checking(_) => None,
            State::Bound(lease) => Some(lease.renew),
            State::Renewing(lease) => Some(self.next.min(lease.rebind)),
            State::Rebinding(lease) => Some(self.next.min(lease.expiry)),
            _ => Some(self.next),
        }
    }

    /// What is to be done now; to be called until it is nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            self.timers(now);
        }
        self.actions.pop_front()
    }

    fn timers(&mut self, now: Instant) {
        self.advance(now);
        let due = now >= self.next;
        match &self.state {
            State::Init if due => {
                (self.xid, self.began) = (self.random() as u32, now);
                self.enter(State::Selecting, now);
                self.discover(now);
            }
            State::Selecting if due => self.discover(now),
            State::Requesting(_) if due && self.attempts >= MAX_REQUESTS => {
                self.enter(State::Init, now);
            }
            State::Requesting(lease) if due => {
                let (server, requested) = (lease.server, lease.ip());
                self.request(now, requested, server);
                self.back_off(now);
            }
            State::Renewing(lease) if due => {
                let (from, to, until) = (lease.ip(), lease.server, lease.rebind);
                self.extend(now, from, Destination::Unicast { from, to }, until);
            }
            State::Rebinding(lease) if due => {
                let (from, until) = (lease.ip(), lease.expiry);
                self.extend(now, from, Destination::Broadcast { from }, until);
            }
            _ => {}
        }
    }

    /// T1, T2 and the end of the lease.
    fn advance(&mut self, now: Instant) {
        match core::mem::replace(&mut self.state, State::Init) {
            State::Bound(lease) if now >= lease.renew => {
                self.xid = self.random() as u32;
                self.began = now;
                self.enter(State::Renewing(lease), now);
                self.advance(now);
            }
            State::Renewing(lease) if now >= lease.rebind => {
                self.enter(State::Rebinding(lease), now);
                self.advance(now);
            }
            State::Rebinding(lease) if now >= lease.expiry => {
                self.stats.expired += 1;
                self.give_up(&lease, now);
            }
            state => self.state = state,
        }
    }

    /// A message that arrived at port 68.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        match Reply::parse(bytes, self.mac).filter(|reply| reply.xid == self.xid) {
            Some(reply) if self.reply(now, &reply) => self.stats.received += 1,
            _ => self.stats.dropped += 1,
        }
    }

    /// Takes a server's message; whether it was of use.
    fn reply(&mut self, now: Instant, reply: &Reply<'_>) -> bool {
        match (&self.state, reply.kind) {
            (State::Selecting, Kind::Offer) => {
                // RFC 2131, section 4.4.1: the first offer that is good enough.
                let Some(lease) = reply.lease(now) else { return false };
                let (server, requested) = (lease.server, lease.ip());
                self.enter(State::Requesting(lease), now);
                self.request(now, requested, server);
                self.back_off(now);
            }
            (State::Requesting(offer), Kind::Ack) => {
                let lease = reply.lease(self.asked).filter(|lease| lease.server == offer.server);
                let Some(lease) = lease else { return false };
                self.actions.push_back(Action::Check(lease.clone()));
                self.state = State::Checking(lease);
            }
            (State::Renewing(old) | State::Rebinding(old), Kind::Ack) => {
                // An address does not change while it is used.
                let lease = reply.lease(self.asked).filter(|lease| lease.ip() == old.ip());
                let Some(lease) = lease else { return false };
                self.bind(lease);
            }
            (State::Requesting(offer), Kind::Nak) if reply.server() == Some(offer.server) => {
                self.enter(State::Init, now + REFUSED);
            }
            (State::Renewing(lease), Kind::Nak) if reply.server() == Some(lease.server) => {
                let lease = lease.clone();
                self.give_up(&lease, now + REFUSED);
            }
            (State::Rebinding(lease), Kind::Nak) => {
                let lease = lease.clone();
                self.give_up(&lease, now + REFUSED);
            }
            _ => return false,
        }
        true
    }

    /// The answer to [`Action::Check`]: whether another host uses the address.
    pub fn checked(&mut self, now: Instant, taken: bool) {
        match core::mem::replace(&mut self.state, State::Init) {
            State::Checking(lease) if taken => self.decline(&lease, now),
            State::Checking(lease) => self.bind(lease),
            state => self.state = state,
        }
    }

    /// Another host was seen to use our address, and it has to be given up (RFC 5227, 2.4).
    pub fn conflict(&mut self, now: Instant) {
        if let Some(lease) = self.lease().cloned() {
            self.actions.push_back(Action::Unbind(lease.ip()));
            self.decline(&lease, now);
        }
    }

    /// RFC 2131, section 4.4.6: gives the lease back. The client has nothing to do from then on.
    pub fn release(&mut self, now: Instant) {
        let Some((from, to)) = self.lease().map(|lease| (lease.ip(), lease.server)) else { return };
        self.xid = self.random() as u32;
        self.began = now;
        let message = self.message(now, Kind::Release, from, None, Some(to));
        self.actions.push_back(Action::Send(Destination::Unicast { from, to }, message));
        self.enter(State::Init, Instant::NEVER);
    }

    fn bind(&mut self, lease: Lease) {
        self.stats.leases += 1;
        self.actions.push_back(Action::Bind(lease.clone()));
        self.state = State::Bound(lease);
    }

    /// RFC 2131, section 4.4.4: told to the server, and the search begins anew.
    fn decline(&mut self, lease: &Lease, now: Instant) {
        self.stats.declined += 1;
        self.xid = self.random() as u32;
        let from = Ipv4Addr::UNSPECIFIED;
        let (requested, server) = (Some(lease.ip()), Some(lease.server));
        self.send(now, Destination::Broadcast { from }, Kind::Decline, requested, server);
        self.enter(State::Init, now + DECLINED);
    }

    fn give_up(&mut self, lease: &Lease, next: Instant) {
        self.actions.push_back(Action::Unbind(lease.ip()));
        self.enter(State::Init, next);
    }

    /// Changes the state; its first message is due at `next`.
    fn enter(&mut self, state: State, next: Instant) {
        (self.state, self.next, self.attempts) = (state, next, 0);
    }

    fn discover(&mut self, now: Instant) {
        let from = Ipv4Addr::UNSPECIFIED;
        self.send(now, Destination::Broadcast { from }, Kind::Discover, None, None);
        self.back_off(now);
    }

    fn request(&mut self, now: Instant, requested: Ipv4Addr, server: Ipv4Addr) {
        let from = Ipv4Addr::UNSPECIFIED;
        self.asked = now;
        let how = Destination::Broadcast { from };
        self.send(now, how, Kind::Request, Some(requested), Some(server));
    }

    /// Asks for a lease to be extended. RFC 2131, section 4.4.5: the next time after half of what
    /// is left, at least a minute.
    fn extend(&mut self, now: Instant, ours: Ipv4Addr, how: Destination, until: Instant) {
        self.asked = now;
        let message = self.message(now, Kind::Request, ours, None, None);
        self.actions.push_back(Action::Send(how, message));
        self.next = now + ((until - now) / 2).max(RENEWAL);
    }

    /// Sends without an address.
    fn send(
        &mut self,
        now: Instant,
        how: Destination,
        kind: Kind,
        requested: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) {
        let message = self.message(now, kind, Ipv4Addr::UNSPECIFIED, requested, server);
        self.actions.push_back(Action::Send(how, message));
    }

    fn message(
        &mut self,
        now: Instant,
        kind: Kind,
        client: Ipv4Addr,
        requested: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Vec<u8> {
        self.stats.sent += 1;
        let secs = u16::try_from((now - self.began).as_secs()).unwrap_or(u16::MAX);
        let (xid, mac) = (self.xid, self.mac);
        Request { kind, xid, mac, secs, client, requested, server }.encode()
    }

    /// RFC 2131, section 4.1: exponential, and randomized by a quarter.
    fn back_off(&mut self, now: Instant) {
        let wait = (RETRANS * (1 << self.attempts.min(6))).min(MAX_RETRANS);
        let quarter = wait.as_millis() as u64 / 4;
        let jitter = Duration::from_millis(self.random() % (2 * quarter));
        self.next = now + wait - Duration::from_millis(quarter) + jitter;
        self.attempts += 1;
    }

    fn random(&mut self) -> u64 {
        self.draws += 1;
        let mut hasher = SipHasher13::new_with_keys(self.key[0], self.key[1]);
        hasher.write_u64(self.draws);
        hasher.finish()
    }
}
