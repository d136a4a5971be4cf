//! Deadlines of a connection. The wheel holds only the earliest, lazily: a deadline that moves
//! later is found out when the timer fires.

use super::{conn::Conn, core::Core, error::Error, rtt::INITIAL_RTO, state::State};
use crate::{
    time::{Duration, Instant},
    wire::tcp::Flags,
};

/// RFC 9293, 3.8.3: R2 for data, at least 100 s.
pub(crate) const R2: Duration = Duration::from_secs(15 * 60);
/// RFC 9293, 3.8.3: R2 for a SYN, at least 3 minutes.
pub(crate) const R2_SYN: Duration = Duration::from_secs(180);
/// RFC 9293, 3.8.6.3: below the 500 ms that it allows, as Linux.
pub(crate) const DELAYED_ACK: Duration = Duration::from_millis(40);
/// How long FIN-WAIT-2 lasts when no application holds the connection.
const FIN_WAIT_2: Duration = Duration::from_secs(60);
/// How long a shut window may hold what an application left behind.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(120);
/// After this much idle time a connection gives back the memory of its queues.
const TIDY: Duration = Duration::from_secs(1);

/// No deadline.
pub(crate) const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// What the retransmission timer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rtx {
    /// RFC 6298.
    Rto,
    /// The probe timeout of RFC 8985, section 7.
    Probe,
    /// The reordering timeout of RFC 8985, section 6.2, step 5.
    Reorder,
    /// The zero-window probe of RFC 9293, section 3.8.6.1.
    Persist,
}

pub(crate) struct Timers {
    pub(crate) rtx: Instant,
    pub(crate) rtx_kind: Rtx,
    /// When the RTO is due that a tail loss probe may come before.
    pub(crate) rto: Instant,
    pub(crate) ack: Instant,
    /// The window is shut by buffers that the application holds: look again.
    pub(crate) window: Instant,
    /// Pacing allows more, or what could not be sent is tried again.
    pub(crate) pace: Instant,
    /// End of TIME-WAIT, FIN-WAIT-2 or lingering; keep-alive.
    pub(crate) life: Instant,
    pub(crate) tidy: Instant,
    /// The reordering timeout that loss detection asked for.
    pub(crate) reorder: Instant,
    /// The wheel fires then, or earlier.
    armed: Instant,
    /// When the peer was heard last.
    pub(crate) heard_at: Instant,
    /// When the oldest data in flight last made progress.
    pub(crate) progress_at: Instant,
    pub(crate) probes: u8,
    pub(crate) lingering: bool,
}

impl Timers {
    pub(crate) const fn new() -> Timers {
        Timers {
            rtx: NEVER,
            rtx_kind: Rtx::Rto,
            rto: NEVER,
            ack: NEVER,
            window: NEVER,
            pace: NEVER,
            life: NEVER,
            tidy: NEVER,
            reorder: NEVER,
            armed: NEVER,
            heard_at: Instant::ZERO,
            progress_at: Instant::ZERO,
            probes: 0,
            lingering: false,
        }
    }

    #[inline]
    fn next(&self) -> Instant {
        self.rtx.min(self.ack).min(self.window).min(self.pace).min(self.life).min(self.tidy)
    }
}

impl Conn {
    /// Makes the wheel fire no later than the earliest deadline.
    #[inline(always)]
    pub(crate) fn arm(&mut self, cx: &mut Core) {
        let next = self.timers.next();
        if next < self.timers.armed {
            self.timers.armed = next;
            cx.wheel.arm(self.key.index, next);
        }
    }

    /// Restarts the retransmission timer for what is in flight now (RFC 6298, section 5), or stops
    /// it when that is nothing and nothing waits.
    #[inline]
    pub(crate) fn stop_or_restart_rtx(&mut self, cx: &Core) {
        if self.board.is_empty() && self.unsent() == 0 {
            self.timers.rtx = NEVER;
        } else {
            self.restart_rtx(cx);
        }
    }

    /// Restarts the retransmission timer for what is in flight now (RFC 6298, section 5).
    pub(crate) fn restart_rtx(&mut self, cx: &Core) {
        let now = cx.now;
        if self.board.is_empty() {
            self.timers.rtx = NEVER;
            if self.state.may_have_data() && self.unsent() > 0 && self.window_is_shut() {
                self.timers.rtx_kind = Rtx::Persist;
                self.timers.rtx = now + self.rtt.rto();
            }
            return;
        }
        if self.snd_wnd == 0 && self.state.is_synchronized() {
            self.timers.rtx_kind = Rtx::Persist;
            self.timers.rtx = now + self.rtt.rto();
            return;
        }
        if self.timers.reorder != NEVER {
            self.timers.rtx_kind = Rtx::Reorder;
            self.timers.rtx = self.timers.reorder;
            return;
        }
        self.timers.rto = now.plus_nanos(self.rtt.rto_nanos());
        self.schedule_probe(now);
    }

    /// Chooses anew what the retransmission timer stands for, without putting off the RTO or the
    /// window probe that is due.
    pub(crate) fn choose_rtx(&mut self, cx: &Core) {
        let (rtx, kind, rto) = (self.timers.rtx, self.timers.rtx_kind, self.timers.rto);
        self.restart_rtx(cx);
        match (kind, self.timers.rtx_kind) {
            _ if rtx == NEVER || self.timers.rtx == NEVER => {}
            (Rtx::Persist, Rtx::Persist) => self.timers.rtx = rtx,
            (Rtx::Persist, _) => {}
            (_, Rtx::Rto | Rtx::Probe) if rto != NEVER => {
                self.timers.rto = rto;
                self.timers.rtx = self.timers.rtx.min(rto);
            }
            _ => {}
        }
    }

    /// RFC 8985, 7.2: the probe timeout starts again with every new segment, the RTO does not.
    #[inline(always)]
    fn schedule_probe(&mut self, now: Instant) {
        let pto = self.probe_timeout().map_or(NEVER, |pto| now.plus_nanos(pto));
        (self.timers.rtx_kind, self.timers.rtx) =
            if pto < self.timers.rto { (Rtx::Probe, pto) } else { (Rtx::Rto, self.timers.rto) };
    }

    /// New data was sent.
    #[inline]
    pub(crate) fn extend_rtx(&mut self, cx: &Core) {
        match self.timers.rtx_kind {
            _ if self.timers.rtx == NEVER => self.restart_rtx(cx),
            Rtx::Persist => self.restart_rtx(cx),
            Rtx::Rto | Rtx::Probe => self.schedule_probe(cx.now),
            Rtx::Reorder => {}
        }
    }

    /// Bytes that were written and never sent, a FIN included.
    #[inline]
    pub(crate) fn unsent(&self) -> u32 {
        let end = self.send.end() + u32::from(self.fin_queued);
        if end > self.snd_nxt { end - self.snd_nxt } else { 0 }
    }

    /// Whether the peer's window takes nothing more and nothing in flight will change that.
    pub(crate) fn window_is_shut(&self) -> bool {
        self.flight() >= self.snd_wnd || self.snd_wnd < self.mss.min(self.max_snd_wnd / 2)
    }

    /// The timer fired: does what is due.
    pub(crate) fn on_timer(&mut self, cx: &mut Core) {
        let now = cx.now;
        self.timers.armed = NEVER;
        if self.timers.ack <= now {
            self.timers.ack = NEVER;
            self.want_ack(cx);
        }
        if self.timers.window <= now {
            self.timers.window = NEVER;
            self.on_window_check(cx);
        }
        if self.timers.pace <= now {
            self.timers.pace = NEVER;
            self.want_output(cx);
        }
        if self.timers.rtx <= now {
            self.timers.rtx = NEVER;
            match self.timers.rtx_kind {
                Rtx::Rto => self.on_timeout(cx),
                Rtx::Probe => self.on_probe_timeout(cx),
                Rtx::Reorder => self.on_reorder_timeout(cx),
                Rtx::Persist => self.on_persist(cx),
            }
        }
        if self.timers.life <= now {
            self.timers.life = NEVER;
            self.on_life(cx);
        }
        if self.timers.tidy <= now {
            self.tidy(cx);
        }
    }

    /// How long data may stay unacknowledged.
    fn patience(&self) -> Duration {
        let default = if self.state.is_synchronized() { R2 } else { R2_SYN };
        self.options.user_timeout.unwrap_or(default)
    }

    fn on_timeout(&mut self, cx: &mut Core) {
        if cx.now.saturating_since(self.timers.progress_at) >= self.patience() {
            self.give_up(cx);
            return;
        }
        cx.stats.timeouts += 1;
        if !self.state.is_synchronized() {
            // RFC 3168, 6.1.1.1: a SYN that gets no answer is sent again without ECN.
            self.ecn_requested = false;
        }
        self.suspect_black_hole(cx.now);
        self.enter_loss(cx);
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
        self.restart_rtx(cx);
        if self.timers.rtx_kind == Rtx::Rto {
            // The user's timeout is kept to the moment (RFC 9293, 3.8.3).
            self.timers.rtx = self.timers.rtx.min(self.timers.progress_at + self.patience());
        }
        self.want_output(cx);
    }

    /// What waits could not be sent, and nothing in flight has a timer for it.
    pub(crate) fn try_again_later(&mut self, cx: &mut Core) {
        if self.rtt.backoff == 0 {
            self.timers.progress_at = cx.now;
        } else if cx.now.saturating_since(self.timers.progress_at) >= self.patience() {
            self.give_up(cx);
            return;
        }
        self.timers.pace = cx.now + self.rtt.rto();
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
    }

    fn give_up(&mut self, cx: &mut Core) {
        let error = self.soft_error.unwrap_or(Error::TimedOut);
        self.abort(cx, error);
    }

    /// RFC 9293, 3.8.6.1: probes go on for as long as the peer acknowledges them.
    fn on_persist(&mut self, cx: &mut Core) {
        let silent = cx.now.saturating_since(self.timers.heard_at);
        let dead = silent >= self.patience() && self.rtt.backoff > 3;
        // RFC 6429, section 3: what no application holds may be given up for its memory.
        let stuck = cx.now.saturating_since(self.timers.progress_at) >= ORPHAN_PATIENCE;
        if dead || (self.orphan && stuck) {
            self.give_up(cx);
            return;
        }
        if self.snd_wnd != 0 && !self.window_is_shut() {
            self.restart_rtx(cx);
            return;
        }
        cx.stats.window_probes += 1;
        self.recovery.window_probe = true;
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
        self.timers.rtx_kind = Rtx::Persist;
        self.timers.rtx = cx.now + self.rtt.rto();
        self.want_output(cx);
    }

    /// Sets the deadline that belongs to the state.
    pub(crate) fn start_life(&mut self, cx: &Core) {
        self.timers.life = match self.state {
            State::TimeWait => cx.now + cx.config.time_wait,
            State::FinWait2 if self.orphan => cx.now + FIN_WAIT_2,
            State::Established | State::CloseWait => match &self.options.keepalive {
                Some(keepalive) => cx.now + keepalive.idle,
                None => NEVER,
            },
            _ => self.timers.life,
        };
    }

    fn on_life(&mut self, cx: &mut Core) {
        if self.timers.lingering {
            self.abort(cx, Error::Aborted);
            return;
        }
        match self.state {
            State::TimeWait => self.enter_closed(cx, None),
            State::FinWait2 if self.orphan => self.enter_closed(cx, None),
            State::Established | State::CloseWait => self.on_keepalive(cx),
            _ => {}
        }
    }

    /// RFC 9293, 3.8.4
    fn on_keepalive(&mut self, cx: &mut Core) {
        let Some(keepalive) = self.options.keepalive else {
            return;
        };
        let due = self.timers.heard_at + keepalive.idle;
        if cx.now < due || !self.board.is_empty() {
            // It was heard since; or data is in flight, whose own timer finds a dead peer.
            self.timers.probes = 0;
            self.timers.life = due.max(cx.now + keepalive.interval);
            return;
        }
        if self.timers.probes >= keepalive.probes {
            self.give_up(cx);
            return;
        }
        self.timers.probes += 1;
        cx.stats.keepalive_probes += 1;
        self.recovery.keepalive_probe = true;
        self.timers.life = cx.now + keepalive.interval;
        self.want_output(cx);
    }

    /// Gives back the memory of empty queues once nothing happened for a while.
    fn tidy(&mut self, cx: &Core) {
        let due = self.timers.heard_at + TIDY;
        if cx.now < due {
            self.timers.tidy = due;
            return;
        }
        self.timers.tidy = NEVER;
        self.send.shrink();
        self.recv.shrink();
        self.board.shrink();
    }

    /// Something was queued: the queues are looked at again later.
    #[inline]
    pub(crate) fn start_tidy(&mut self, cx: &Core) {
        if self.timers.tidy == NEVER {
            self.timers.tidy = cx.now + TIDY;
        }
    }

    /// Enters TIME-WAIT, or restarts its 2 MSL (RFC 9293, 3.10.7.4).
    pub(crate) fn enter_time_wait(&mut self, cx: &mut Core) {
        self.state = State::TimeWait;
        if cx.time_wait.len() >= cx.config.max_connections {
            cx.time_wait.pop_front();
        }
        cx.time_wait.push_back(self.key.index);
        let Timers { armed, heard_at, .. } = self.timers;
        self.timers = Timers { armed, heard_at, ..Timers::new() };
        self.send.clear();
        self.board.clear();
        self.start_life(cx);
    }

    /// The SYN of a new connection is about to be sent.
    pub(crate) fn start_handshake(&mut self, cx: &mut Core) {
        self.timers.progress_at = cx.now;
        self.timers.heard_at = cx.now;
        self.timers.rtx = cx.now + INITIAL_RTO;
        self.want_output(cx);
    }

    /// Whether the first segment is our SYN and not acknowledged.
    pub(crate) fn syn_in_flight(&self) -> bool {
        self.snd_una == self.iss
    }

    /// The control bits that belong to the SYN of this state.
    pub(crate) fn syn_flags(&self) -> Flags {
        match (self.state, self.ecn_requested, self.ecn_ok) {
            // RFC 3168, 6.1.1: an ECN-setup SYN.
            (State::SynSent, true, _) => Flags::SYN | Flags::ECE | Flags::CWR,
            (State::SynSent, false, _) => Flags::SYN,
            // RFC 3168, 6.1.1: an ECN-setup SYN-ACK.
            (_, _, true) => Flags::SYN | Flags::ACK | Flags::ECE,
            _ => Flags::SYN | Flags::ACK,
        }
    }
}
