//! What the network reports about a path (RFC 5927; RFC 9293, section 3.9.2.2).

use super::{
    conn::Conn, core::Core, demux::Tuple, error::Error, receive::Tcp, state::State, timers::Rtx,
};
use crate::{
    ip::{IcmpError, IcmpErrorKind, MIN_V4, Network, lower_plateau},
    wire::tcp::SeqNum,
};

impl Tcp {
    /// Takes an ICMP error about one of our segments; whether it is about one that is in flight.
    pub fn icmp_error<N: Network>(&mut self, net: &mut N, error: &IcmpError) -> bool {
        self.cx.now = net.now();
        let t = &error.transport;
        let tuple = Tuple {
            local: error.local,
            remote: error.remote,
            local_port: u16::from_be_bytes([t[0], t[1]]),
            remote_port: u16::from_be_bytes([t[2], t[3]]),
        };
        let seq = SeqNum(u32::from_be_bytes([t[4], t[5], t[6], t[7]]));
        let found = self.find(&tuple);
        let Some(conn) = found.and_then(|index| self.conns.at(index)) else {
            self.cx.stats.icmp_ignored += 1;
            return false;
        };
        // RFC 5927, section 4: SND.UNA =< SEG.SEQ < SND.NXT, or it is not about us.
        if !(conn.snd_una <= seq && seq < conn.snd_nxt) {
            self.cx.stats.icmp_ignored += 1;
            return false;
        }
        conn.on_icmp(&mut self.cx, error.kind);
        let index = conn.key.index;
        self.settle(index);
        true
    }
}

impl Conn {
    fn on_icmp(&mut self, cx: &mut Core, kind: IcmpErrorKind) {
        match kind {
            IcmpErrorKind::TooBig(mtu) => {
                // RFC 1191, section 5: a router that names no MTU; the next lower plateau.
                let mtu = if mtu == 0 { lower_plateau(self.path_mtu.into()) } else { mtu };
                let least = if self.flow.remote.is_ipv4() { 68 } else { 1280 };
                // RFC 8201, section 4 and RFC 1191, section 3: less is none. Below MIN_V4 the
                // network lets routers cut packets instead.
                let floor = if self.flow.remote.is_ipv4() { MIN_V4 } else { 1280 };
                if mtu >= least && self.shrink_path_mtu(mtu.max(floor)) {
                    self.path_narrowed(cx.now);
                    self.repacketise(cx);
                }
            }
            // RFC 9293, 3.9.2.2: hard errors SHOULD abort; RFC 5927, 5: not once synchronized.
            IcmpErrorKind::PortUnreachable | IcmpErrorKind::ProtocolUnreachable
                if matches!(self.state, State::SynSent | State::SynReceived) =>
            {
                self.enter_closed(cx, Some(Error::Unreachable));
            }
            // RFC 9293, 3.9.2.2: soft errors MUST NOT abort; they are told at the timeout.
            _ => self.soft_error = Some(Error::Unreachable),
        }
    }

    /// What is in flight in segments that are too big now is sent again, without a reduction of
    /// the window: it was not congestion.
    fn repacketise(&mut self, cx: &mut Core) {
        for index in 0..self.board.len() {
            if self.board.get(index).is_some_and(|s| s.len > self.mss) {
                self.board.mark_lost(index);
            }
        }
        self.timers.rtx_kind = Rtx::Rto;
        self.timers.rtx = cx.now + self.rtt.rto();
        self.want_output(cx);
    }

    /// The network has no way to the peer: final for an attempt to connect, else a soft error.
    /// What could not be sent is lost, as it would be further on.
    pub(crate) fn on_unreachable(&mut self, cx: &mut Core) {
        if self.state == State::SynSent {
            self.enter_closed(cx, Some(Error::Unreachable));
            return;
        }
        self.soft_error = Some(Error::Unreachable);
        self.ack_now = false;
        if self.state != State::Closed && self.board.is_empty() && self.unsent() > 0 {
            self.try_again_later(cx);
        }
    }
}
