//! What is sent when (RFC 9293, section 3.8), for one connection in one round.

use super::{
    cc::Control,
    conn::Conn,
    core::Core,
    emit::{self, Out},
    recovery::{Frto, Phase},
    scoreboard::{Mark, Sent},
    state::State,
    timers::NEVER,
};
use crate::{
    frame::Offloads,
    ip::{Ecn, Network, SendError},
    time::{Duration, Instant},
    wire::{
        checksum::Checksum,
        tcp::{Flags, Header, SeqNum, TcpOptions},
    },
};

/// Payload of a super-segment, at most: with its headers it is still an IP packet.
const MAX_SUPER: u32 = 65_535 - 120;
/// Frames that one connection sends before others have their turn.
const TURN: usize = 32;
/// Pacing sends what is due within this time at once.
const PACING_SLACK: Duration = Duration::from_micros(500);

/// How a turn of output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing is left that may be sent now.
    Done,
    /// The turn was used up.
    More,
    /// The network takes nothing more.
    Blocked,
}

/// Why sending stopped for now.
pub(super) enum Stop {
    Nothing,
    Failed(SendError),
}

impl From<SendError> for Stop {
    fn from(error: SendError) -> Stop {
        Stop::Failed(error)
    }
}

impl Conn {
    pub(crate) fn output<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Turn {
        self.turn_window = None;
        let turn = self.output_turn(cx, net);
        if core::mem::take(&mut self.probe_moves) {
            self.extend_rtx(cx);
        }
        turn
    }

    fn output_turn<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Turn {
        for _ in 0..TURN {
            if net.room() == 0 {
                return Turn::Blocked;
            }
            let step = match self.state {
                State::Closed => self.output_reset(cx, net),
                State::SynSent | State::SynReceived => self.output_syn(cx, net),
                _ => self.output_next(cx, net),
            };
            match step {
                Ok(()) if self.is_sated() => return Turn::Done,
                Ok(()) => {}
                Err(Stop::Nothing) => return Turn::Done,
                Err(Stop::Failed(SendError::Full)) => return Turn::Blocked,
                Err(Stop::Failed(SendError::TooBig(mtu))) => {
                    if !self.shrink_path_mtu(mtu) {
                        return Turn::Done;
                    }
                    self.path_narrowed(cx.now);
                }
                Err(Stop::Failed(SendError::Unreachable)) => {
                    self.on_unreachable(cx);
                    return Turn::Done;
                }
            }
        }
        Turn::More
    }

    /// Whether there is nothing more to send, as a look at the usual reasons tells.
    #[inline]
    fn is_sated(&self) -> bool {
        self.snd_nxt == self.send.end()
            && self.state == State::Established
            && !self.ack_now
            && self.board.is_clean()
            && !self.recovery.owes()
    }

    /// Takes a smaller path MTU; `false` if it is none.
    pub(crate) fn shrink_path_mtu(&mut self, mtu: u16) -> bool {
        if mtu >= self.path_mtu || mtu < 68 {
            return false;
        }
        self.path_mtu = mtu;
        self.update_mss();
        true
    }

    fn output_reset<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Result<(), Stop> {
        if !self.reset_queued {
            return Err(Stop::Nothing);
        }
        self.transmit(cx, net, self.snd_nxt, Flags::RST | Flags::ACK, None, None)?;
        cx.stats.resets_out += 1;
        self.reset_queued = false;
        Err(Stop::Nothing)
    }

    fn output_syn<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Result<(), Stop> {
        let options = self.syn_options(cx, net);
        if self.board.is_empty() {
            self.transmit(cx, net, self.iss, self.syn_flags(), Some(&options), None)?;
            self.snd_nxt = self.iss + 1;
            let sent = self.snapshot(self.iss, 1, Mark::SYN, cx.now);
            self.board.push(sent);
            self.restart_rtx(cx);
            return Ok(());
        }
        if let Some((index, _)) = self.board.next_lost() {
            self.transmit(cx, net, self.iss, self.syn_flags(), Some(&options), None)?;
            cx.stats.retransmits += 1;
            self.retransmits += 1;
            let sent = self.snapshot(self.iss, 1, Mark::SYN, cx.now);
            self.board.mark_resent(index, sent);
            return Ok(());
        }
        if self.ack_now && self.state == State::SynReceived {
            self.send_ack(cx, net, self.snd_nxt)?;
        }
        Err(Stop::Nothing)
    }

    fn syn_options<N: Network>(&mut self, cx: &Core, net: &N) -> TcpOptions {
        let ip = if self.flow.remote.is_ipv4() { 20 } else { 40 };
        let own =
            net.path(Some(self.flow.local), self.flow.remote).map_or(self.path_mtu, |p| p.mtu);
        let mss = own.saturating_sub(ip + 20);
        let answer = self.state == State::SynReceived;
        let mut options = TcpOptions {
            // RFC 9293, 3.7.1 and RFC 6691: from the MTU, without counting options.
            mss: Some(self.options.max_segment.map_or(mss, |max| mss.min(max))),
            window_scale: Some(self.rcv_wscale),
            sack_permitted: true,
            ..TcpOptions::default()
        };
        if answer {
            options.sack_permitted = self.sack_ok;
            options.timestamps = self.timestamps(cx);
            if self.snd_wscale == 0 && self.rcv_wscale == 0 {
                options.window_scale = None;
            }
        } else {
            self.ts_ok = true;
            options.timestamps = self.timestamps(cx);
            self.ts_ok = false;
        }
        options
    }

    /// Sends the next thing that may be sent.
    #[inline]
    fn output_next<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Result<(), Stop> {
        if let Some(sent) = self.send_usual(cx, net) {
            sent?;
            // Nothing else is owed then.
            return if self.snd_nxt == self.send.end() { Err(Stop::Nothing) } else { Ok(()) };
        }
        self.output_other(cx, net)
    }

    #[inline(never)]
    fn output_other<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Result<(), Stop> {
        if self.ack_now && (self.dsack.is_some() || !self.recv.in_order()) {
            // SACK blocks travel in ACKs of their own: full segments have no room for them.
            return self.send_ack(cx, net, self.snd_nxt);
        }
        if self.recovery.window_probe {
            self.recovery.window_probe = false;
            return self.send_window_probe(cx, net);
        }
        if self.recovery.keepalive_probe {
            self.recovery.keepalive_probe = false;
            // RFC 9293, 3.8.4: SEG.SEQ = SND.NXT - 1 makes the peer answer.
            return self.send_ack(cx, net, self.snd_nxt - 1);
        }
        if self.recovery.tlp_due {
            self.recovery.tlp_due = false;
            return self.send_tail_probe(cx, net);
        }
        if self.state.may_have_data() {
            match self.send_lost(cx, net) {
                Err(Stop::Nothing) => {}
                other => return other,
            }
            match self.send_new(cx, net) {
                Err(Stop::Nothing) => {}
                other => return other,
            }
        }
        if self.ack_now {
            return self.send_ack(cx, net, self.snd_nxt);
        }
        if self.timers.rtx == NEVER && self.unsent() > 0 {
            // Nothing is in flight that would bring an ACK: the window is probed.
            self.restart_rtx(cx);
        }
        Err(Stop::Nothing)
    }

    /// An ACK without data, at `seq`.
    fn send_ack<N: Network>(
        &mut self,
        cx: &mut Core,
        net: &mut N,
        seq: SeqNum,
    ) -> Result<(), Stop> {
        if self.dsack.is_none() && self.recv.in_order() {
            return Ok(self.transmit(cx, net, seq, Flags::ACK, None, None)?);
        }
        let mut options = TcpOptions { timestamps: self.timestamps(cx), ..TcpOptions::default() };
        if self.sack_ok {
            // RFC 2883, section 4: a duplicate is reported first, and once.
            if let Some((start, end)) = self.dsack {
                options.sack.push(start, end);
            }
            for &(start, end) in self.recv.sack_blocks().as_slice() {
                options.sack.push(start, end);
            }
            if self.ts_ok {
                options.sack.truncate(3);
            }
        }
        self.transmit(cx, net, seq, Flags::ACK, Some(&options), None)?;
        self.dsack = None;
        Ok(())
    }

    /// Largest payload of the next segment.
    fn segment_limit<N: Network>(&self, net: &N) -> u32 {
        let tso = if self.flow.remote.is_ipv4() { Offloads::TSO4 } else { Offloads::TSO6 };
        if !net.offloads().contains(tso) {
            return self.mss;
        }
        let mut limit = MAX_SUPER;
        if let Some(rate) = self.controller.pacing_rate() {
            // No more than a millisecond's worth at once.
            limit = limit.min((rate / 1024).min(u64::from(MAX_SUPER)) as u32);
        }
        (limit / self.mss * self.mss).max(self.mss)
    }

    /// Whether pacing lets a segment go now; else the timer is set.
    fn paced(&mut self, now: Instant) -> bool {
        if self.controller.pacing_rate().is_none() || self.pace_at <= now + PACING_SLACK {
            return true;
        }
        self.timers.pace = self.pace_at - PACING_SLACK / 2;
        false
    }

    /// Retransmits what is deemed lost, as far as the window allows (RFC 6675, section 5).
    fn send_lost<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Result<(), Stop> {
        if self.recovery.frto == Frto::Probing {
            return Err(Stop::Nothing);
        }
        let Some((index, sent)) = self.board.next_lost() else {
            return Err(Stop::Nothing);
        };
        let pipe = self.pipe();
        let room = self.window.cwnd.saturating_sub(pipe);
        let wnd_end = self.snd_una + self.snd_wnd;
        if (room < self.mss.min(sent.len) && pipe > 0) || sent.seq >= wnd_end {
            return Err(Stop::Nothing);
        }
        if !self.paced(cx.now) {
            return Err(Stop::Nothing);
        }
        let limit = self.segment_limit(net).min(room.max(self.mss));
        let limit = limit / self.mss * self.mss;
        let limit = limit.max(1).min(wnd_end - sent.seq);
        self.resend(cx, net, index, sent, limit)
    }

    /// Sends the segment at `index` again, up to `limit` bytes of it.
    fn resend<N: Network>(
        &mut self,
        cx: &mut Core,
        net: &mut N,
        index: usize,
        mut sent: Sent,
        limit: u32,
    ) -> Result<(), Stop> {
        let data = sent.len - u32::from(sent.mark.contains(Mark::FIN));
        let mut len = data.min(limit);
        if len > 0 {
            len = emit::fitting(self.send.range(sent.seq, len as usize)) as u32;
        }
        if len < data {
            self.board.split(index, len);
            sent.len = len;
            sent.mark.remove(Mark::FIN);
        }
        let mut flags = Flags::ACK;
        if sent.mark.contains(Mark::FIN) {
            flags |= Flags::FIN;
        }
        if sent.seq + len == self.send.end() && len > 0 {
            flags |= Flags::PSH;
        }
        self.transmit_data(cx, net, sent.seq, flags, len, Ecn::NotEct)?;
        cx.stats.retransmits += 1;
        self.retransmits += 1;
        let snapshot = self.snapshot(sent.seq, sent.len, sent.mark, cx.now);
        self.board.mark_resent(index, snapshot);
        self.recovery.prr_out = self.recovery.prr_out.saturating_add(sent.len);
        self.recovery.undo_resent = self.recovery.undo_resent.saturating_add(sent.len);
        let ts = cx.millis().wrapping_add(self.ts_offset);
        self.recovery.resent_ts.get_or_insert(ts);
        if self.timers.rtx == NEVER {
            self.restart_rtx(cx);
        }
        Ok(())
    }

    /// Sends new data, as far as both windows and the Nagle algorithm allow.
    fn send_new<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Result<(), Stop> {
        let unsent = self.unsent();
        if unsent == 0 {
            return Err(Stop::Nothing);
        }
        self.restart_after_idle(cx);
        let fin = self.fin_queued;
        let data = unsent - u32::from(fin);
        let wnd_end = self.snd_una + self.snd_wnd;
        let window = if wnd_end > self.snd_nxt { wnd_end - self.snd_nxt } else { 0 };
        let mut len = data.min(window).min(self.segment_limit(net));
        let pipe = self.pipe();
        let mut room = self.window.cwnd.saturating_sub(pipe);
        if self.recovery.frto == Frto::Probing {
            // RFC 5682, 2.1, step 2b: up to two new segments.
            room = room.max(2 * self.mss);
            if self.snd_nxt - self.recovery.point >= 2 * self.mss {
                return Err(Stop::Nothing);
            }
        }
        if self.may_probe_mtu(cx.now)
            && let Some(len) = self.probe_len(net, data, window, room, cx.now)
        {
            return self.send_mtu_probe(cx, net, len);
        }
        if len > room {
            len = room / self.mss * self.mss;
            if len == 0 {
                return Err(Stop::Nothing);
            }
        }
        len = self.whole_segments(len, data, fin);
        let with_fin = fin && len == data && window > len;
        if len == 0 && !with_fin {
            return Err(Stop::Nothing);
        }
        if !self.paced(cx.now) {
            return Err(Stop::Nothing);
        }
        self.send_new_segment(cx, net, len, with_fin)
    }

    /// Sends one segment that is larger than what is known to work.
    fn send_mtu_probe<N: Network>(
        &mut self,
        cx: &mut Core,
        net: &mut N,
        len: u32,
    ) -> Result<(), Stop> {
        let whole = emit::fitting(self.send.range(self.snd_nxt, len as usize)) as u32 == len;
        let mss = core::mem::replace(&mut self.mss, len);
        let sent =
            if whole { self.send_new_segment(cx, net, len, false) } else { Err(Stop::Nothing) };
        self.mss = mss;
        match sent {
            Err(Stop::Failed(SendError::TooBig(_)) | Stop::Nothing) => {
                // The link does not carry it: nothing was lost, and the search is over.
                self.probe_refused(cx.now);
                Ok(())
            }
            Err(Stop::Failed(error)) => {
                self.probe_unsent();
                Err(Stop::Failed(error))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Sender's silly window avoidance and Nagle (RFC 9293, 3.8.6.2.1 and 3.7.4): how much of
    /// `len` bytes goes now; zero to wait.
    #[inline]
    fn whole_segments(&self, len: u32, data: u32, fin: bool) -> u32 {
        if len == self.mss {
            return len;
        }
        let whole = if len < self.mss { 0 } else { len / self.mss * self.mss };
        if len == whole {
            return len;
        }
        let tail = len == data;
        let send_tail = if tail {
            self.nodelay || fin || self.flight() == 0
        } else {
            // Cut by the peer's window: worth it from half the largest window on.
            len >= self.max_snd_wnd / 2
        };
        if send_tail { len } else { whole }
    }

    #[inline(never)]
    fn send_new_segment<N: Network>(
        &mut self,
        cx: &mut Core,
        net: &mut N,
        mut len: u32,
        mut with_fin: bool,
    ) -> Result<(), Stop> {
        let seq = self.snd_nxt;
        if len > 0 && !self.send.is_lone() {
            let fits = emit::fitting(self.send.range(seq, len as usize)) as u32;
            if fits < len {
                with_fin = false;
                len = if fits > self.mss { fits / self.mss * self.mss } else { fits };
            }
        }
        let mut flags = Flags::ACK;
        let mut mark = Mark::empty();
        if with_fin {
            flags |= Flags::FIN;
            mark |= Mark::FIN;
        }
        if len > 0 && seq + len == self.send.end() {
            flags |= Flags::PSH;
        }
        // RFC 3168, 6.1.6: never on a window probe.
        let probe = seq - self.snd_una >= self.snd_wnd;
        let ecn = if self.ecn_ok && len > 0 && !probe { Ecn::Ect0 } else { Ecn::NotEct };
        if self.ecn_cwr && self.ecn_ok && len > 0 {
            flags |= Flags::CWR;
        }
        self.transmit_data(cx, net, seq, flags, len, ecn)?;
        if flags.contains(Flags::CWR) {
            self.ecn_cwr = false;
        }
        let total = len + u32::from(with_fin);
        self.recovery.prr_out = self.recovery.prr_out.saturating_add(total);
        self.note_sent(cx, seq, len, total, mark);
        Ok(())
    }

    /// Notes that a segment of `len` bytes, which takes `total` sequence numbers, went out.
    #[inline]
    pub(super) fn note_sent(
        &mut self,
        cx: &mut Core,
        seq: SeqNum,
        len: u32,
        total: u32,
        mut mark: Mark,
    ) {
        if self.board.is_empty() {
            self.delivery.on_idle_send(cx.now);
            self.timers.progress_at = cx.now;
        }
        if self.delivery.app_limited != 0 {
            mark |= Mark::APP_LIMITED;
        }
        let sent = self.snapshot(seq, total, mark, cx.now);
        if self.is_probing_mtu() {
            // The probe's own fate is asked for.
            self.board.push(sent);
        } else {
            self.board.append(sent, self.mss);
        }
        self.snd_nxt += total;
        self.delivery.last_sent_at = cx.now;
        cx.stats.bytes_out += u64::from(len);
        let pipe = self.pipe();
        self.round_flight[0] = self.round_flight[0].max(pipe);
        if self.unsent() == 0 && pipe < self.window.cwnd && self.board.lost() == 0 {
            self.delivery.app_limited = self.delivery.delivered + u64::from(pipe);
        }
        if self.timers.rtx == NEVER {
            self.restart_rtx(cx);
        } else {
            self.probe_moves = true;
        }
    }

    /// RFC 9293, 3.8.6.1: at least one byte beyond the window.
    fn send_window_probe<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Result<(), Stop> {
        if let Some(mut front) = self.board.front().copied() {
            if front.len > self.mss {
                // The other segments stay what the peer may report as received.
                self.board.split(0, self.mss);
                front.len = self.mss;
                front.mark.remove(Mark::FIN);
            }
            return self.resend(cx, net, 0, front, 1);
        }
        let data = self.unsent().saturating_sub(u32::from(self.fin_queued));
        if self.unsent() == 0 {
            return Err(Stop::Nothing);
        }
        let len = data.min(self.snd_wnd.clamp(1, self.mss));
        self.send_new_segment(cx, net, len, data == 0)
    }

    /// RFC 8985, 7.3.
    fn send_tail_probe<N: Network>(&mut self, cx: &mut Core, net: &mut N) -> Result<(), Stop> {
        if self.recovery.phase != Phase::Open {
            return Err(Stop::Nothing);
        }
        let data = self.unsent().saturating_sub(u32::from(self.fin_queued));
        let len = data.min(self.mss);
        if len > 0 && self.flight() + len <= self.snd_wnd {
            let sent = self.send_new_segment(cx, net, len, false);
            self.recovery.tlp_end = Some(self.snd_nxt);
            return sent;
        }
        let Some(last) = self.board.back().copied() else {
            return Err(Stop::Nothing);
        };
        let mut index = self.board.len() - 1;
        let mut probe = last;
        if last.len > self.mss {
            let keep = (last.len - 1) / self.mss * self.mss;
            self.board.split(index, keep);
            index += 1;
            probe.seq += keep;
            probe.len -= keep;
        }
        self.recovery.tlp_resent = true;
        self.resend(cx, net, index, probe, self.mss)
    }

    #[inline]
    fn snapshot(&self, seq: SeqNum, len: u32, mark: Mark, now: Instant) -> Sent {
        Sent {
            seq,
            len,
            mark,
            sent_at: now,
            delivered: self.delivery.delivered,
            delivered_at: self.delivery.delivered_at,
            first_sent_at: self.delivery.first_sent_at,
        }
    }

    /// Builds and sends a segment with `len` bytes of the send queue from `seq` on.
    fn transmit_data<N: Network>(
        &mut self,
        cx: &mut Core,
        net: &mut N,
        seq: SeqNum,
        flags: Flags,
        len: u32,
        ecn: Ecn,
    ) -> Result<(), SendError> {
        self.transmit(cx, net, seq, flags, None, Some((len, ecn)))?;
        if let Some(rate) = self.controller.pacing_rate() {
            let nanos = u64::from(len) * 1_000_000_000 / rate.max(1);
            self.pace_at = self.pace_at.max(cx.now) + Duration::from_nanos(nanos);
        }
        Ok(())
    }

    /// Sends a segment; with timestamps only, if no options are given.
    #[inline(never)]
    fn transmit<N: Network>(
        &mut self,
        cx: &mut Core,
        net: &mut N,
        seq: SeqNum,
        mut flags: Flags,
        options: Option<&TcpOptions>,
        data: Option<(u32, Ecn)>,
    ) -> Result<(), SendError> {
        let is_syn = flags.contains(Flags::SYN);
        if self.ecn_echo && !is_syn && !flags.contains(Flags::RST) {
            flags |= Flags::ECE;
        }
        let acks = flags.contains(Flags::ACK);
        // Within a turn nothing arrives and nothing is read.
        let window = match self.turn_window {
            _ if is_syn => self.syn_window(),
            Some(window) => window,
            None => self.select_window(cx),
        };
        self.turn_window = Some(window).filter(|_| !is_syn);
        let header = Header {
            src_port: self.local_port,
            dst_port: self.remote_port,
            seq,
            ack: if acks { self.rcv_nxt } else { SeqNum(0) },
            header_len: 0,
            flags,
            window,
        };
        let (len, ecn) = data.unwrap_or((0, Ecn::NotEct));
        let out = Out {
            header,
            ecn,
            gso_size: (len > self.mss).then_some(self.mss as u16),
            pseudo: Checksum::resumed(self.pseudo),
        };
        let timestamps = self.timestamps(cx);
        let payload = match len {
            0 => self.send.nothing(),
            _ => self.send.range(seq, len as usize),
        };
        let copied = match options {
            None => emit::transmit_plain(net, &mut self.flow, &out, timestamps, payload)?,
            Some(options) => emit::transmit(net, &mut self.flow, &out, options, payload)?,
        };
        cx.stats.segments_out += 1;
        cx.stats.payload_bytes_copied += copied as u64;
        if acks {
            self.note_acked();
        }
        Ok(())
    }

    /// Notes that an ACK of all that arrived went out.
    #[inline]
    pub(super) fn note_acked(&mut self) {
        self.ack_now = false;
        self.unacked_segments = 0;
        self.timers.ack = NEVER;
        self.last_ack_sent = self.rcv_nxt;
    }
}
