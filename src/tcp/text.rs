//! Seventh, process the segment text, and eighth, check the FIN bit (RFC 9293, section 3.10.7.4).

use super::{
    conn::Conn,
    core::{Core, Pending},
    out_of_order::Inserted,
    segment::Segment,
    state::State,
    timers::{DELAYED_ACK, NEVER},
};
use crate::{Pool, frame::Chain, wire::tcp::Flags};

/// Whether so few buffers are free that no more may be held: a device takes up to 36 for a frame.
#[inline]
pub(crate) fn is_short(pool: &Pool) -> bool {
    pool.available() < (pool.config().count / 16).max(40)
}

/// What became of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Taken,
    /// There is new data and nobody left to read it.
    AfterClose,
}

impl Conn {
    /// The fast path: the text follows on what is there, and fits.
    #[inline]
    pub(crate) fn take_in_order(
        &mut self,
        cx: &mut Core,
        len: u32,
        gso_size: u16,
        payload: &mut Chain,
        pool: &Pool,
    ) {
        let recv = &mut self.recv;
        let mut copied = 0;
        match payload.take_lone() {
            Some(slice) => copied = recv.push(slice, pool),
            None => payload.drain(|slice| copied += recv.push(slice, pool)),
        }
        cx.stats.payload_bytes_copied += copied as u64;
        self.rcv_nxt += len;
        cx.stats.bytes_in += u64::from(len);
        self.notify(cx, Pending::READABLE);
        self.schedule_ack(cx, len, gso_size);
    }

    /// RFC 9293, 3.8.6.3: an ACK for every second full segment, else within the delay.
    #[inline(always)]
    fn schedule_ack(&mut self, cx: &mut Core, len: u32, gso_size: u16) {
        let full = match u32::from(gso_size) {
            0 => u32::from(len >= self.mss.min(536)),
            size => len.div_ceil(size),
        };
        self.unacked_segments = self.unacked_segments.saturating_add(full.min(255) as u8);
        if self.unacked_segments >= 2 {
            self.want_ack(cx);
        } else if self.timers.ack == NEVER {
            self.timers.ack = cx.now.plus_nanos(DELAYED_ACK.as_nanos() as u64);
        }
    }

    pub(crate) fn take_text(
        &mut self,
        cx: &mut Core,
        seg: &mut Segment,
        payload: &mut Chain,
        pool: &Pool,
    ) -> Text {
        if !self.state.can_receive() {
            // RFC 9293: "This should not occur since a FIN has been received from the remote
            // side. Ignore the segment text."
            if seg.seq_len() > 0 {
                self.want_ack(cx);
            }
            if self.state == State::TimeWait && seg.has(Flags::FIN) {
                self.start_life(cx);
            }
            return Text::Taken;
        }
        if seg.len > 0 && is_short(pool) {
            // The device needs buffers to receive the ACKs that free some. The peer sends this
            // again; it has its ACK, but no faster than delayed ones.
            cx.stats.dropped_memory += 1;
            payload.clear();
            if self.timers.ack == NEVER {
                self.timers.ack = cx.now.plus_nanos(DELAYED_ACK.as_nanos() as u64);
            }
            return Text::Taken;
        }
        if self.trim(seg, payload) {
            // What does not fit has to be told the window.
            self.want_ack(cx);
        }
        let end = seg.seq + seg.len;
        if seg.has(Flags::FIN) {
            self.fin_at = Some(end);
        }
        if seg.len > 0 && self.orphan && !self.half_open && end > self.rcv_nxt {
            return Text::AfterClose;
        }
        if self.read_closed {
            payload.clear();
            if seg.seq == self.rcv_nxt && seg.len > 0 {
                self.rcv_nxt = end;
                self.schedule_ack(cx, seg.len, seg.gso_size);
            } else if seg.len > 0 {
                self.want_ack(cx);
            }
        } else if seg.seq == self.rcv_nxt {
            self.take_next(cx, seg, payload, pool);
        } else if seg.len > 0 {
            self.take_out_of_order(cx, seg, payload);
        }
        if self.fin_at == Some(self.rcv_nxt) {
            self.fin_arrives(cx);
        } else if seg.has(Flags::FIN) {
            self.want_ack(cx);
        }
        Text::Taken
    }

    /// Cuts a segment down to the window; whether something lay behind it.
    fn trim(&mut self, seg: &mut Segment, payload: &mut Chain) -> bool {
        if seg.seq < self.rcv_nxt {
            self.note_duplicate(seg);
            let old = (self.rcv_nxt - seg.seq).min(seg.len);
            payload.advance(old as usize);
            seg.len -= old;
            seg.seq += old;
        }
        let room = if seg.seq < self.rcv_adv { self.rcv_adv - seg.seq } else { 0 };
        let beyond = seg.len > room;
        if beyond {
            payload.truncate(room as usize);
            seg.len = room;
            // What lies behind the window, the FIN with it, has to come again.
            seg.flags.remove(Flags::FIN);
        }
        beyond
    }

    fn take_next(&mut self, cx: &mut Core, seg: &Segment, payload: &mut Chain, pool: &Pool) {
        if seg.len == 0 {
            return;
        }
        let in_order = self.recv.in_order();
        self.take_in_order(cx, seg.len, seg.gso_size, payload, pool);
        if !in_order {
            // RFC 5681, 4.2: an immediate ACK when a hole is filled, wholly or in part.
            cx.stats.out_of_order += 1;
            let (next, copied) = self.recv.advance(self.rcv_nxt, pool);
            cx.stats.bytes_in += u64::from(next - self.rcv_nxt);
            cx.stats.payload_bytes_copied += copied as u64;
            self.rcv_nxt = next;
            self.want_ack(cx);
        }
    }

    fn take_out_of_order(&mut self, cx: &mut Core, seg: &Segment, payload: &mut Chain) {
        cx.stats.out_of_order += 1;
        let mut seq = seg.seq;
        let mut kept = false;
        while let Some(slice) = payload.pop() {
            let len = slice.len() as u32;
            if cx.room() > 0 {
                match self.recv.insert(seq, slice, self.rcv_buf) {
                    Inserted::Kept => kept = true,
                    Inserted::Duplicate => {}
                    Inserted::Dropped => cx.stats.dropped_memory += 1,
                }
            } else {
                cx.stats.dropped_memory += 1;
            }
            seq += len;
        }
        self.start_tidy(cx);
        if !kept && self.sack_ok {
            // RFC 2883, 4.2: a duplicate above the cumulative ACK.
            cx.stats.duplicates += 1;
            self.dsack = Some((seg.seq, seg.seq + seg.len));
        }
        // RFC 5681, 4.2: an immediate duplicate ACK.
        self.want_ack(cx);
    }

    fn fin_arrives(&mut self, cx: &mut Core) {
        self.fin_at = None;
        self.rcv_nxt += 1;
        self.want_ack(cx);
        self.notify(cx, Pending::READABLE);
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 if self.fin_is_acknowledged() => self.enter_time_wait(cx),
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.enter_time_wait(cx),
            _ => {}
        }
        if self.state == State::TimeWait {
            self.notify(cx, Pending::CLOSED);
        }
    }
}
