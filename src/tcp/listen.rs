//! Passive open: LISTEN (RFC 9293, section 3.10.7.2).

use super::{conn::Conn, receive::Tcp, segment::Segment, slab::Key, state::State};
use crate::{
    frame::Chain,
    ip::{Flow, Incoming, Network},
    wire::tcp::Flags,
};
use alloc::boxed::Box;

impl Tcp {
    pub(crate) fn segment_arrives_in_listen<N: Network>(
        &mut self,
        net: &mut N,
        listener: Key,
        packet: &Incoming,
        seg: &Segment,
        _payload: &mut Chain,
    ) {
        // First, check for a RST.
        if seg.has(Flags::RST) {
            self.cx.stats.dropped_state += 1;
            return;
        }
        // Second, check for an ACK.
        if seg.has(Flags::ACK) {
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
        if entry.is_full() || entry.half_open >= entry.backlog || !self.make_slot() {
            self.cx.stats.dropped_backlog += 1;
            return;
        }
        self.enter_syn_received(net, listener, packet, seg);
    }

    fn enter_syn_received<N: Network>(
        &mut self,
        net: &mut N,
        listener: Key,
        packet: &Incoming,
        seg: &Segment,
    ) -> Option<u32> {
        let path = net.path(Some(packet.local), packet.remote).ok()?;
        let entry = self.listeners.get_mut(listener)?;
        let flow = Flow::new(packet.local, packet.remote);
        let ports = (seg.dst_port, seg.src_port);
        let (options, cx) = (entry.options.clone(), &mut self.cx);
        let key = self.conns.insert_with(|key| Box::new(Conn::new(key, flow, ports, options, cx)));
        entry.half_open += 1;
        let conn = self.conns.get_mut(key)?;
        conn.listener = Some(listener);
        conn.half_open = true;
        conn.orphan = true;
        conn.state = State::SynReceived;
        conn.path_mtu = path.mtu;
        conn.take_syn(cx, seg);
        conn.start_handshake(cx);
        conn.in_demux = true;
        self.demux.insert(&conn.tuple(), key.index);
        conn.arm(cx);
        Some(key.index)
    }

    /// Whether a connection may be added; the oldest in TIME-WAIT gives way to it.
    pub(crate) fn make_slot(&mut self) -> bool {
        self.conns.len() < self.cx.config.max_connections
    }
}

impl Conn {
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
