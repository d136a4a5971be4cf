//! SEGMENT ARRIVES in SYN-RECEIVED and later states, in the order of RFC 9293, section 3.10.7.4.

use super::{
    ack::Verdict,
    conn::Conn,
    core::{Core, Pending},
    error::Error,
    segment::Segment,
    state::State,
    text::Text,
};
use crate::{Pool, frame::Chain, ip::Ecn, time::Duration, wire::tcp::Flags};

/// RFC 7323, 5.5: after 24 days a timestamp says nothing any more.
const TS_RECENT_LIFE: Duration = Duration::from_secs(24 * 24 * 3600);
/// How long empty segments that are unacceptable go unanswered after one that was answered.
const UNACCEPTABLE_PAUSE: Duration = Duration::from_millis(500);

/// What the caller has to send in answer to a segment, beside what the connection queues itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Nothing,
    /// A reset as if there were no connection (RFC 9293, 3.10.7.1).
    Reset,
}

impl Conn {
    pub(crate) fn segment_arrives(
        &mut self,
        cx: &mut Core,
        seg: &mut Segment,
        payload: &mut Chain,
        pool: &Pool,
    ) -> Reply {
        self.timers.heard_at = cx.now;
        self.timers.probes = 0;
        // RFC 9293, 3.5, figure 8: the SYN-ACK of a simultaneous open repeats a SYN that was
        // taken already; what follows it counts.
        let repeats = seg.flags & (Flags::SYN | Flags::RST) == Flags::SYN && seg.seq == self.irs;
        if self.state == State::SynReceived && repeats {
            if !seg.has(Flags::ACK) {
                // Our SYN-ACK was lost.
                self.board.mark_all_lost();
                self.want_output(cx);
                return Reply::Nothing;
            }
            seg.flags.remove(Flags::SYN | Flags::ECE | Flags::CWR);
            seg.seq += 1;
        }
        // RFC 7323, 3.2: once negotiated, every segment but a RST has timestamps; one that has
        // none is dropped in silence.
        if self.ts_ok && seg.options.timestamps.is_none() && !seg.has(Flags::RST) {
            cx.stats.dropped_paws += 1;
            return Reply::Nothing;
        }
        // First, check the sequence number; PAWS goes before (RFC 7323, 5.3, R1).
        if self.is_old_duplicate(cx, seg) {
            cx.stats.dropped_paws += 1;
            self.note_duplicate(seg);
            self.acknowledge_unacceptable(cx, seg);
            return Reply::Nothing;
        }
        if !self.is_acceptable(seg) {
            return self.unacceptable(cx, seg);
        }
        // Second, check the RST bit.
        if seg.has(Flags::RST) {
            return self.reset_arrives(cx, seg);
        }
        // Fourth, check the SYN bit. RFC 5961, 4.2: a challenge ACK, whatever the number.
        if seg.has(Flags::SYN) {
            cx.stats.dropped_state += 1;
            self.challenge(cx);
            return Reply::Nothing;
        }
        // Fifth, check the ACK field.
        if !seg.has(Flags::ACK) {
            cx.stats.dropped_state += 1;
            return Reply::Nothing;
        }
        let handshake = self.state == State::SynReceived;
        if handshake {
            if !(self.snd_una < seg.ack && seg.ack <= self.snd_nxt) {
                cx.stats.dropped_state += 1;
                return Reply::Reset;
            }
            self.establish(cx, seg);
        }
        self.take_timestamp(cx, seg);
        if self.process_ack(cx, seg) == Verdict::Drop {
            return Reply::Nothing;
        }
        if handshake {
            self.end_handshake();
        }
        self.our_fin_acknowledged(cx);
        if self.state == State::Closed {
            return Reply::Nothing;
        }
        self.take_congestion_marks(cx, seg);
        // Sixth, the URG bit: the urgent pointer is accepted, the data is delivered in line.
        // Seventh, process the segment text; eighth, check the FIN bit.
        match self.take_text(cx, seg, payload, pool) {
            Text::Taken => Reply::Nothing,
            Text::AfterClose => {
                // RFC 9293, 3.6.1 (RFC 1122, 4.2.2.13): data for nobody is answered with a reset.
                self.abort(cx, Error::Aborted);
                Reply::Nothing
            }
        }
    }

    /// RFC 9293, 3.4: the four cases of segment length and window.
    fn is_acceptable(&self, seg: &Segment) -> bool {
        // A FIN at the very edge may lie behind it.
        let window = self.announced();
        let offset = seg.seq - self.rcv_nxt;
        match (seg.seq_len(), window) {
            (0, 0) => offset == 0,
            (0, _) => offset < window || offset == 0,
            // RFC 9293, 3.10.7.4: with a zero window, valid ACKs and RSTs are still processed.
            (_, 0) => seg.seq <= self.rcv_nxt && seg.seq + seg.seq_len() > self.rcv_nxt,
            (len, _) => {
                let last = offset.wrapping_add(len - 1);
                offset < window || last < window
            }
        }
    }

    fn unacceptable(&mut self, cx: &mut Core, seg: &Segment) -> Reply {
        // RST: dropped in silence; else an ACK.
        if seg.has(Flags::RST) {
            cx.stats.dropped_window += 1;
            return Reply::Nothing;
        }
        if seg.has(Flags::SYN) {
            cx.stats.dropped_window += 1;
            self.challenge(cx);
            return Reply::Nothing;
        }
        if self.state == State::TimeWait && seg.has(Flags::FIN) {
            // The peer's FIN again: our ACK of it was lost. 2 MSL start again.
            self.start_life(cx);
        }
        if seg.len > 0 && seg.seq < self.rcv_nxt {
            cx.stats.duplicates += 1;
            self.note_duplicate(seg);
        } else {
            cx.stats.dropped_window += 1;
        }
        self.acknowledge_unacceptable(cx, seg);
        Reply::Nothing
    }

    /// RFC 9293, 3.10.7.4: an ACK answers an unacceptable segment. Two ends that find each other's
    /// ACKs unacceptable must not answer for ever: empty segments are answered now and then.
    fn acknowledge_unacceptable(&mut self, cx: &mut Core, seg: &Segment) {
        if seg.seq_len() == 0 {
            if cx.now < self.unacceptable_until {
                return;
            }
            self.unacceptable_until = cx.now + UNACCEPTABLE_PAUSE;
        }
        self.want_ack(cx);
    }

    /// RFC 2883, section 4: what to report about a segment that was there already.
    pub(crate) fn note_duplicate(&mut self, seg: &Segment) {
        if self.sack_ok && seg.len > 0 && seg.seq < self.rcv_nxt {
            self.dsack = Some((seg.seq, (seg.seq + seg.len).min(self.rcv_nxt)));
        }
    }

    /// RFC 7323, section 5: an old timestamp, unless it is a reset or the clock stood still.
    fn is_old_duplicate(&self, cx: &Core, seg: &Segment) -> bool {
        let Some(ts) = seg.options.timestamps else {
            return false;
        };
        self.ts_ok
            && !seg.has(Flags::RST)
            && (ts.val.wrapping_sub(self.ts_recent) as i32) < 0
            && cx.now.saturating_since(self.ts_recent_at) < TS_RECENT_LIFE
    }

    /// RFC 7323, 4.3 (2): of segments that cover the last ACK sent.
    #[inline]
    fn take_timestamp(&mut self, cx: &Core, seg: &Segment) {
        if let Some(ts) = seg.options.timestamps
            && self.ts_ok
            && seg.seq <= self.last_ack_sent
        {
            self.ts_recent = ts.val;
            self.ts_recent_at = cx.now;
        }
    }

    /// RFC 9293, 3.10.7.4, second, with RFC 5961, 3.2.
    fn reset_arrives(&mut self, cx: &mut Core, seg: &Segment) -> Reply {
        if seg.seq != self.rcv_nxt {
            cx.stats.dropped_window += 1;
            self.challenge(cx);
            return Reply::Nothing;
        }
        cx.stats.resets += 1;
        let error = match self.state {
            State::SynReceived if self.active => Some(Error::Refused),
            State::TimeWait => None,
            _ => Some(Error::Reset),
        };
        self.enter_closed(cx, error);
        Reply::Nothing
    }

    /// ESTABLISHED, or what follows it when the application closed before.
    pub(crate) fn enter_established(&mut self) {
        self.state = if self.fin_queued { State::FinWait1 } else { State::Established };
    }

    /// SYN-RECEIVED to ESTABLISHED.
    pub(crate) fn establish(&mut self, cx: &mut Core, seg: &Segment) {
        self.enter_established();
        // RFC 9293, 3.10.7.4: the window of this segment.
        self.snd_wnd = u32::from(seg.window) << self.snd_wscale;
        self.max_snd_wnd = self.snd_wnd;
        self.snd_wl1 = seg.seq;
        self.snd_wl2 = seg.ack;
        self.start_life(cx);
        self.timers.progress_at = cx.now;
        if self.active {
            self.notify(cx, Pending::CONNECTED | Pending::WRITABLE);
        }
        self.want_output(cx);
    }

    /// RFC 6298, 5.7: a handshake that needed retransmissions and gave no RTT starts with a
    /// longer RTO.
    pub(crate) fn end_handshake(&mut self) {
        if self.retransmits > 0 {
            self.rtt.syn_was_retransmitted();
        }
    }

    /// What an ACK of our FIN does in the closing states.
    fn our_fin_acknowledged(&mut self, cx: &mut Core) {
        if !self.fin_is_acknowledged() {
            return;
        }
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                self.start_life(cx);
            }
            State::Closing => self.enter_time_wait(cx),
            State::LastAck => self.enter_closed(cx, None),
            _ => {}
        }
    }

    /// Whether our FIN was sent and acknowledged.
    pub(crate) fn fin_is_acknowledged(&self) -> bool {
        self.fin_queued && self.snd_una == self.send.end() + 1
    }

    /// RFC 3168, 6.1.3: echo CE until CWR comes.
    fn take_congestion_marks(&mut self, cx: &mut Core, seg: &Segment) {
        if !self.ecn_ok {
            return;
        }
        if seg.has(Flags::CWR) && seg.len > 0 {
            self.ecn_echo = false;
        }
        if seg.ecn == Ecn::Ce {
            cx.stats.ce_in += 1;
            self.ecn_echo = true;
            self.want_ack(cx);
        }
    }
}
