//! Passive open: LISTEN (RFC 9293, section 3.10.7.2).

use super::{
    conn::{Conn, INITIAL_RECEIVE_BUFFER, window_scale},
    demux::Tuple,
    emit,
    receive::Tcp,
    scoreboard::{Mark, Sent},
    segment::Segment,
    slab::Key,
    state::State,
    syn_cookie,
};
use crate::{
    frame::Chain,
    ip::{Flow, Incoming, Network},
    wire::tcp::{Flags, Header, SeqNum, TcpOptions, Timestamps},
};
use alloc::boxed::Box;

/// How far a reopened connection's numbers begin after those of the connection before it.
const REOPEN_GAP: u32 = 1 << 16;

impl Tcp {
    pub(crate) fn segment_arrives_in_listen<N: Network>(
        &mut self,
        net: &mut N,
        listener: Key,
        packet: &Incoming,
        seg: &mut Segment,
        payload: &mut Chain,
    ) {
        // First, check for a RST.
        if seg.has(Flags::RST) {
            self.cx.stats.dropped_state += 1;
            return;
        }
        // Second, check for an ACK: a reset, unless it brings back a cookie of ours.
        if seg.has(Flags::ACK) {
            if let Some(index) = self.take_cookie(net, listener, packet, seg) {
                self.receive_for(net, index, packet, seg, payload);
                return;
            }
            self.cx.stats.dropped_state += 1;
            self.reply_reset(net, packet, seg);
            return;
        }
        // Third, check for a SYN.
        if !seg.has(Flags::SYN) {
            self.cx.stats.dropped_state += 1;
            return;
        }
        let Some(entry) = self.listeners.get(listener) else {
            return;
        };
        if entry.is_full() {
            self.cx.stats.dropped_backlog += 1;
        } else if entry.half_open >= entry.backlog || !self.make_slot() {
            self.send_cookie(net, listener, packet, seg);
        } else {
            self.enter_syn_received(net, listener, packet, seg);
        }
    }

    fn enter_syn_received<N: Network>(
        &mut self,
        net: &mut N,
        listener: Key,
        packet: &Incoming,
        syn: &Segment,
    ) -> Option<u32> {
        let path = net.path(Some(packet.local), packet.remote).ok()?;
        let reopened = self.reopened.take();
        let entry = self.listeners.get_mut(listener)?;
        let flow = Flow::new(packet.local, packet.remote);
        let ports = (syn.dst_port, syn.src_port);
        let (options, cx) = (entry.options.clone(), &mut self.cx);
        let key = self.conns.insert_with(|key| Box::new(Conn::new(key, flow, ports, options, cx)));
        entry.half_open += 1;
        let conn = self.conns.get_mut(key)?;
        // RFC 9293, 3.6.1: larger than the largest number of the connection before it.
        if let Some(last) = reopened
            && conn.iss <= last
        {
            conn.set_iss(last + REOPEN_GAP);
        }
        conn.listener = Some(listener);
        conn.half_open = true;
        conn.orphan = true;
        conn.state = State::SynReceived;
        conn.path_mtu = path.mtu;
        conn.take_syn(cx, syn);
        conn.start_handshake(cx);
        conn.in_demux = true;
        self.demux.insert(&conn.tuple(), key.index);
        conn.arm(cx);
        Some(key.index)
    }

    /// RFC 4987, 3.6: answers a SYN without keeping anything about it.
    fn send_cookie<N: Network>(
        &mut self,
        net: &mut N,
        listener: Key,
        packet: &Incoming,
        syn: &Segment,
    ) {
        let tuple = tuple_of(packet, syn);
        let Ok(path) = net.path(Some(packet.local), packet.remote) else {
            return;
        };
        let Some(entry) = self.listeners.get_mut(listener) else {
            return;
        };
        entry.cookies_until = self.cx.now + syn_cookie::LIFETIME;
        let both = Flags::ECE | Flags::CWR;
        let ecn = entry.options.ecn && syn.flags & both == both && syn.options.timestamps.is_some();
        let offset = self.cx.clock_offset(packet.local, packet.remote);
        let stamp = syn_cookie::timestamp(syn, self.cx.millis(), ecn).wrapping_add(offset);
        let headers = if packet.remote.is_ipv4() { 40 } else { 60 };
        let largest = entry.options.receive_buffer;
        let largest = largest.unwrap_or(self.cx.config.max_receive_buffer).max(2048);
        // Without timestamps neither scale nor SACK can be remembered.
        let remembers = syn.options.timestamps;
        let scale = remembers.and(syn.options.window_scale).map(|_| window_scale(largest));
        let options = TcpOptions {
            mss: Some(path.mtu.saturating_sub(headers)),
            window_scale: scale,
            sack_permitted: remembers.is_some() && syn.options.sack_permitted,
            timestamps: remembers.map(|ts| Timestamps { val: stamp, ecr: ts.val }),
            ..TcpOptions::default()
        };
        let mut flags = Flags::SYN | Flags::ACK;
        flags.set(Flags::ECE, ecn);
        let header = Header {
            src_port: syn.dst_port,
            dst_port: syn.src_port,
            seq: syn_cookie::make(&self.cookies, &tuple, syn, self.cx.now),
            ack: syn.seq + 1,
            header_len: 0,
            flags,
            window: largest.min(INITIAL_RECEIVE_BUFFER).min(0xffff) as u16,
        };
        self.cx.stats.syn_cookies_sent += 1;
        emit::stateless(net, packet, header, &options);
    }

    /// An ACK that brings back a cookie makes the connection that the SYN asked for.
    fn take_cookie<N: Network>(
        &mut self,
        net: &mut N,
        listener: Key,
        packet: &Incoming,
        seg: &Segment,
    ) -> Option<u32> {
        let entry = self.listeners.get(listener)?;
        if seg.has(Flags::SYN) || entry.cookies_until <= self.cx.now {
            return None;
        }
        let full = entry.is_full();
        let tuple = tuple_of(packet, seg);
        let offset = self.cx.clock_offset(packet.local, packet.remote);
        let recalled = syn_cookie::check(&self.cookies, &tuple, seg, self.cx.now, offset);
        let Some(recalled) = recalled else {
            self.cx.stats.syn_cookies_invalid += 1;
            return None;
        };
        if full || !self.make_slot() {
            self.cx.stats.dropped_backlog += 1;
            return None;
        }
        self.cx.stats.syn_cookies_valid += 1;
        let mut flags = Flags::SYN;
        flags.set(Flags::ECE | Flags::CWR, recalled.ecn);
        let syn = Segment { seq: seg.seq - 1, flags, options: recalled.options, len: 0, ..*seg };
        let index = self.enter_syn_received(net, listener, packet, &syn)?;
        self.conns.at(index)?.recall(seg.ack - 1);
        Some(index)
    }

    /// Whether a connection may be added; the one that has been in TIME-WAIT for longest gives
    /// way to it.
    pub(crate) fn make_slot(&mut self) -> bool {
        if self.conns.len() < self.cx.config.max_connections {
            return true;
        }
        while let Some(index) = self.cx.time_wait.pop_front() {
            if let Some(conn) = self.conns.at(index)
                && conn.state == State::TimeWait
                && conn.orphan
            {
                conn.enter_closed(&mut self.cx, None);
                self.settle(index);
                return self.conns.len() < self.cx.config.max_connections;
            }
        }
        false
    }
}

fn tuple_of(packet: &Incoming, seg: &Segment) -> Tuple {
    Tuple {
        local: packet.local,
        remote: packet.remote,
        local_port: seg.dst_port,
        remote_port: seg.src_port,
    }
}

impl Conn {
    /// The SYN-ACK with this number was sent without a connection, by a cookie.
    fn recall(&mut self, iss: SeqNum) {
        self.set_iss(iss);
        self.snd_nxt = iss + 1;
        self.rcv_adv = self.rcv_nxt + self.rcv_buf.min(0xffff);
        self.board.push(Sent {
            seq: iss,
            len: 1,
            mark: Mark::SYN | Mark::EVER_RESENT,
            sent_at: self.timers.heard_at,
            delivered: 0,
            delivered_at: self.timers.heard_at,
            first_sent_at: self.timers.heard_at,
        });
    }

    /// Takes the peer's numbers and options from its SYN or SYN-ACK.
    pub(crate) fn take_syn(&mut self, cx: &super::core::Core, seg: &Segment) {
        self.irs = seg.seq;
        self.rcv_nxt = seg.seq + 1;
        self.rcv_adv = self.rcv_nxt;
        self.last_ack_sent = self.rcv_nxt;
        self.peer_mss = seg.options.mss.unwrap_or(0);
        self.sack_ok = seg.options.sack_permitted;
        // RFC 7323, 3.2: both have to send the option in their SYN.
        self.ts_ok = seg.options.timestamps.is_some();
        if let Some(ts) = seg.options.timestamps {
            self.ts_recent = ts.val;
            self.ts_recent_at = cx.now;
        }
        match seg.options.window_scale {
            Some(scale) => self.snd_wscale = scale,
            // RFC 7323, 2.2: no scaling in either direction.
            None => self.rcv_wscale = 0,
        }
        // RFC 7323, 2.2: the window of a SYN is never scaled.
        self.snd_wnd = u32::from(seg.window);
        self.max_snd_wnd = self.snd_wnd;
        self.snd_wl1 = seg.seq;
        self.snd_wl2 = seg.ack;
        let ecn = seg.flags & (Flags::ECE | Flags::CWR);
        self.ecn_ok = self.options.ecn
            && match self.state {
                // RFC 3168, 6.1.1: an ECN-setup SYN has both bits, a SYN-ACK only ECE.
                State::SynReceived => ecn == Flags::ECE | Flags::CWR,
                _ => ecn == Flags::ECE && self.ecn_requested,
            };
        self.update_mss();
        self.window = super::cc::Window::initial(self.mss);
    }
}
