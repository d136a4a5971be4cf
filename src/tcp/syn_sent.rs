//! Active open: SYN-SENT (RFC 9293, section 3.10.7.3).

use super::{
    arrive::Reply,
    conn::Conn,
    core::{Core, Pending},
    error::Error,
    segment::Segment,
    state::State,
};
use crate::{Pool, frame::Chain, wire::tcp::Flags};

impl Conn {
    pub(crate) fn segment_arrives_in_syn_sent(
        &mut self,
        cx: &mut Core,
        seg: &mut Segment,
        payload: &mut Chain,
        pool: &Pool,
    ) -> Reply {
        // First, check the ACK bit.
        let acceptable = seg.has(Flags::ACK) && seg.ack > self.iss && seg.ack <= self.snd_nxt;
        if seg.has(Flags::ACK) && !acceptable {
            cx.stats.dropped_state += 1;
            return Reply::Reset;
        }
        // Second, check the RST bit. RFC 5961 leaves this as it is: it acknowledges our SYN.
        if seg.has(Flags::RST) {
            if acceptable {
                cx.stats.resets += 1;
                self.enter_closed(cx, Some(Error::Refused));
            } else {
                cx.stats.dropped_state += 1;
            }
            return Reply::Nothing;
        }
        // Fourth, check the SYN bit.
        if !seg.has(Flags::SYN) {
            cx.stats.dropped_state += 1;
            return Reply::Nothing;
        }
        self.timers.heard_at = cx.now;
        if !acceptable {
            // Simultaneous open (RFC 9293, 3.5, figure 8): SYN-ACK, with the same SYN.
            self.state = State::SynReceived;
            self.take_syn(cx, seg);
            self.board.mark_all_lost();
            self.want_output(cx);
            return Reply::Nothing;
        }
        self.take_syn(cx, seg);
        // Data may come right behind it: the window of our SYN counts.
        self.rcv_adv = self.rcv_nxt + self.rcv_buf.min(65_535);
        self.enter_established();
        // The window of a SYN-ACK is not scaled: it goes through as it is.
        let scale = ::core::mem::take(&mut self.snd_wscale);
        self.process_ack(cx, seg);
        self.snd_wscale = scale;
        self.end_handshake();
        self.start_life(cx);
        self.notify(cx, Pending::CONNECTED | Pending::WRITABLE);
        self.want_ack(cx);
        // Data or a FIN beside the SYN is taken too.
        seg.flags.remove(Flags::SYN);
        seg.seq += 1;
        if seg.seq_len() > 0 {
            self.take_text(cx, seg, payload, pool);
        }
        Reply::Nothing
    }
}
