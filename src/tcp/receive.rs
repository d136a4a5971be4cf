//! SEGMENT ARRIVES (RFC 9293, section 3.10.7): finds what a packet is for. And the instance that
//! holds it all.

use super::{
    arrive::Reply,
    config::Config,
    conn::Conn,
    core::{self, Core, Source},
    demux::{Demux, Tuple},
    emit,
    listener::Listener,
    segment::{Invalid, Segment},
    slab::{Key, Slab},
    state::State,
    stats::Stats,
};
use crate::{
    frame::Chain,
    ip::{Incoming, Network},
    time::Instant,
    wire::tcp::{Flags, Header, Malformed, SeqNum},
};
use ::core::net::IpAddr;
use alloc::boxed::Box;
use siphasher::sip::SipHasher13;

/// All connections, listeners and timers of one stack.
pub struct Tcp {
    pub(crate) cx: Core,
    pub(crate) conns: Slab<Box<Conn>>,
    pub(crate) listeners: Slab<Listener>,
    pub(crate) demux: Demux,
    pub(crate) cookies: SipHasher13,
    /// The connection of the last segment: the next is likely for the same.
    pub(super) last: u32,
    /// The number after the last one of the connection in TIME-WAIT that a SYN has just ended.
    pub(crate) reopened: Option<SeqNum>,
}

impl Tcp {
    /// An instance without sockets. `seed` must be unpredictable in production: sequence numbers,
    /// ports and cookies depend on it.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Tcp {
        Tcp {
            cx: Core::new(config, &seed, now),
            conns: Slab::new(),
            listeners: Slab::new(),
            demux: Demux::new(core::demux_key(&seed)),
            cookies: core::cookie_key(&seed),
            last: 0,
            reopened: None,
        }
    }

    /// The options of sockets that are opened without their own.
    pub fn defaults(&self) -> &super::Options {
        &self.cx.defaults
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.cx.stats
    }

    /// Processes one packet; `segment` starts at the TCP header. What has to be sent in answer is
    /// sent by the next [`Tcp::poll`], so that one ACK answers a whole batch.
    pub fn receive<N: Network>(&mut self, net: &mut N, packet: &Incoming, segment: &mut Chain) {
        self.cx.now = net.now();
        self.cx.stats.segments_in += 1;
        while !self.take_predicted(net, packet, segment) {
            if !self.turns_to_another(packet, segment) {
                self.receive_in_full(net, packet, segment);
                return;
            }
        }
    }

    /// Finds the connection of a segment that is not for that of the last one, if there is one that
    /// may expect it.
    #[inline(never)]
    fn turns_to_another(&mut self, packet: &Incoming, segment: &Chain) -> bool {
        let Ok(header) = Header::parse(segment.first()) else { return false };
        let (local, remote) = (packet.local, packet.remote);
        let (local_port, remote_port) = (header.dst_port, header.src_port);
        let tuple = Tuple { local, remote, local_port, remote_port };
        let last = self.last;
        header.flags & !Flags::PSH == Flags::ACK && self.find(&tuple).is_some_and(|i| i != last)
    }

    #[inline(never)]
    fn receive_in_full<N: Network>(&mut self, net: &mut N, packet: &Incoming, segment: &mut Chain) {
        let mut seg = match Segment::take(packet, segment) {
            Ok(seg) => seg,
            Err(invalid) => {
                self.count_invalid(invalid);
                return;
            }
        };
        let tuple = Tuple {
            local: packet.local,
            remote: packet.remote,
            local_port: seg.dst_port,
            remote_port: seg.src_port,
        };
        if let Some(index) = self.find(&tuple)
            && !self.is_reopened(index, &seg)
        {
            self.receive_for(net, index, packet, &mut seg, segment);
            return;
        }
        // RFC 9293, 3.9.2.3: a SYN from or to a broadcast or multicast address is ignored; so is
        // everything else, since no answer may go there.
        if !is_unicast(packet.remote) || !is_unicast(packet.local) {
            self.cx.stats.dropped_address += 1;
            return;
        }
        if let Some(listener) = self.find_listener(packet.local, seg.dst_port) {
            self.segment_arrives_in_listen(net, listener, packet, &mut seg, segment);
            return;
        }
        self.cx.stats.dropped_state += 1;
        self.reply_reset(net, packet, &seg);
    }

    fn count_invalid(&mut self, invalid: Invalid) {
        let stats = &mut self.cx.stats;
        match invalid {
            Invalid::Checksum => stats.dropped_checksum += 1,
            Invalid::Malformed(Malformed::Options) => stats.dropped_options += 1,
            Invalid::Malformed(_) => stats.dropped_header += 1,
        }
    }

    #[inline]
    pub(crate) fn find(&mut self, tuple: &Tuple) -> Option<u32> {
        if let Some(conn) = self.conns.at(self.last)
            && conn.in_demux
            && conn.is(tuple)
        {
            return Some(self.last);
        }
        let conns = &mut self.conns;
        let is_it = |index| {
            conns.peek(index).is_some_and(|conn| {
                conn.fetch_ahead();
                conn.is(tuple)
            })
        };
        let index = self.demux.find(tuple, is_it)?;
        self.last = index;
        Some(index)
    }

    /// RFC 6191 and RFC 9293, 3.6.1: a SYN that is newer than the connection in TIME-WAIT opens
    /// it again if somebody listens; the old one is forgotten.
    fn is_reopened(&mut self, index: u32, seg: &Segment) -> bool {
        self.reopened = None;
        let Some(conn) = self.conns.at(index) else {
            return true;
        };
        if conn.state != State::TimeWait
            || seg.flags & (Flags::SYN | Flags::ACK | Flags::RST) != Flags::SYN
        {
            return false;
        }
        let newer = match seg.options.timestamps {
            Some(ts) if conn.ts_ok && ts.val != conn.ts_recent => {
                ts.val.wrapping_sub(conn.ts_recent) as i32 > 0
            }
            _ => seg.seq > conn.rcv_nxt,
        };
        let (local, last) = (conn.flow.local, conn.snd_nxt);
        let listener = self.find_listener(local, seg.dst_port);
        let taken = newer
            && listener.and_then(|key| self.listeners.get(key)).is_some_and(Listener::has_room);
        if taken {
            if let Some(conn) = self.conns.at(index) {
                conn.enter_closed(&mut self.cx, None);
            }
            self.settle(index);
            self.reopened = Some(last);
        }
        taken
    }

    #[inline]
    pub(crate) fn receive_for<N: Network>(
        &mut self,
        net: &mut N,
        index: u32,
        packet: &Incoming,
        seg: &mut Segment,
        payload: &mut Chain,
    ) {
        let Some(conn) = self.conns.at(index) else {
            return;
        };
        if conn.half_open
            && let Some(listener) = conn.listener
            && self.listeners.get(listener).is_some_and(Listener::is_full)
            && seg.flags & (Flags::RST | Flags::SYN) == Flags::empty()
        {
            // The handshake's end has to wait until the application accepts some.
            self.cx.stats.dropped_backlog += 1;
            return;
        }
        let before = conn.snd_una;
        let reply = match conn.state {
            State::SynSent => {
                conn.segment_arrives_in_syn_sent(&mut self.cx, seg, payload, net.pool())
            }
            _ => conn.segment_arrives(&mut self.cx, seg, payload, net.pool()),
        };
        if conn.snd_una != before {
            net.confirm(&conn.flow);
        }
        conn.recharge(&mut self.cx);
        if conn.state == State::Closed || conn.half_open {
            self.settle(index);
        } else {
            conn.arm(&mut self.cx);
        }
        if reply == Reply::Reset {
            self.reply_reset(net, packet, seg);
        }
    }

    /// RFC 9293, 3.10.7.1: the answer to a segment for no connection.
    pub(crate) fn reply_reset<N: Network>(
        &mut self,
        net: &mut N,
        packet: &Incoming,
        seg: &Segment,
    ) {
        if seg.has(Flags::RST) {
            return;
        }
        self.cx.stats.resets_out += 1;
        emit::reset(net, packet, seg);
    }

    /// Draws the conclusions of a change: queues of the listener, timers, and the end.
    pub(crate) fn settle(&mut self, index: u32) {
        let Some(conn) = self.conns.at(index) else {
            return;
        };
        if conn.half_open && conn.state != State::SynReceived {
            conn.half_open = false;
            if let Some(key) = conn.listener
                && let Some(listener) = self.listeners.get_mut(key)
            {
                listener.half_open -= 1;
                if conn.state != State::Closed {
                    conn.orphan = false;
                    listener.ready.push_back(index);
                    self.cx.stats.passive_opens += 1;
                    if !listener.notified {
                        listener.notified = true;
                        self.cx.events.push_back(Source::Listener(key.index));
                    }
                }
            }
        }
        if conn.state != State::Closed {
            conn.arm(&mut self.cx);
            return;
        }
        conn.recharge(&mut self.cx);
        if conn.in_demux {
            conn.in_demux = false;
            self.demux.remove(&conn.tuple(), index);
            self.cx.wheel.cancel(index);
        }
        if conn.orphan && !conn.in_output && !conn.in_events {
            self.forget(index);
        }
    }

    fn forget(&mut self, index: u32) {
        if let Some(conn) = self.conns.remove(index) {
            self.cx.memory -= conn.charged;
            self.cx.borrowed -= conn.charged_borrowed;
        }
    }

    pub(crate) fn find_listener(&self, address: IpAddr, port: u16) -> Option<Key> {
        self.listeners
            .iter()
            .map(|l| (l.fit(address, port), l.key))
            .filter(|&(fit, _)| fit > 0)
            .max_by_key(|&(fit, _)| fit)
            .map(|(_, key)| key)
    }
}

pub(crate) fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified(),
        IpAddr::V6(a) => !a.is_multicast() && !a.is_unspecified(),
    }
}
