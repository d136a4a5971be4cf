//! BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00): sends at the measured
//! bottleneck bandwidth with at most about two bandwidth-delay products in flight. Loss that is
//! no sign of congestion does not slow it down.

use super::{Ack, Control, MAX_CWND, Window};
use crate::time::{Duration, Instant};

/// Gains, of 256. 2/ln(2) doubles the rate each round trip.
const UNIT: u64 = 256;
const HIGH_GAIN: u64 = 739;
const DRAIN_GAIN: u64 = 88;
const CWND_GAIN: u64 = 2 * UNIT;
const CYCLE: [u64; 8] = [320, 192, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];

/// Round trips over which the bandwidth filter looks back.
const BW_ROUNDS: u64 = 10;
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Segments in flight while the RTT is probed.
const MIN_SEGMENTS: u32 = 4;
/// Round trips in which the bandwidth grows by less than a quarter: then the pipe is full.
const FULL_BW_ROUNDS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBandwidth,
    ProbeRtt,
}

pub(crate) struct Bbr {
    mode: Mode,
    /// The largest samples of the last rounds, with their rounds, best first.
    bw: [(u64, u64); 3],
    round: u64,
    min_rtt: Duration,
    min_rtt_at: Instant,
    probe_rtt_done: Option<Instant>,
    full_bw: u64,
    full_bw_rounds: u8,
    filled: bool,
    cycle: usize,
    cycle_at: Instant,
    pacing_gain: u64,
    cwnd_gain: u64,
    pacing_rate: u64,
    prior_cwnd: u32,
    in_recovery: bool,
    /// Nothing was in flight for longer than an RTO, and nothing was delivered since.
    idle_restart: bool,
    /// In the first round of recovery as many bytes go out as were delivered.
    conserve_until: Option<u64>,
}

impl Bbr {
    pub(crate) fn new(now: Instant) -> Bbr {
        Bbr {
            mode: Mode::Startup,
            bw: [(0, 0); 3],
            round: 0,
            min_rtt: Duration::MAX,
            min_rtt_at: now,
            probe_rtt_done: None,
            full_bw: 0,
            full_bw_rounds: 0,
            filled: false,
            cycle: 0,
            cycle_at: now,
            pacing_gain: HIGH_GAIN,
            cwnd_gain: HIGH_GAIN,
            pacing_rate: 0,
            prior_cwnd: 0,
            in_recovery: false,
            idle_restart: false,
            conserve_until: None,
        }
    }

    fn bandwidth(&self) -> u64 {
        self.bw[0].0
    }

    /// Kathleen Nichols' windowed maximum.
    fn update_bandwidth(&mut self, ack: &Ack) {
        if ack.round_start {
            self.round += 1;
        }
        let rate = ack.rate.rate.per_second();
        if rate == 0 || (ack.rate.app_limited && rate < self.bandwidth()) {
            return;
        }
        let new = (rate, self.round);
        if rate >= self.bw[0].0 || self.round - self.bw[2].1 > BW_ROUNDS {
            self.bw = [new; 3];
            return;
        }
        if rate >= self.bw[1].0 {
            self.bw[1] = new;
            self.bw[2] = new;
        } else if rate >= self.bw[2].0 {
            self.bw[2] = new;
        }
        if self.round - self.bw[0].1 > BW_ROUNDS {
            self.bw = [self.bw[1], self.bw[2], new];
        } else if self.bw[1].1 == self.bw[0].1 && self.round - self.bw[1].1 > BW_ROUNDS / 4 {
            self.bw[1] = new;
            self.bw[2] = new;
        } else if self.bw[2].1 == self.bw[1].1 && self.round - self.bw[2].1 > BW_ROUNDS / 2 {
            self.bw[2] = new;
        }
    }

    /// The bandwidth-delay product times a gain, in bytes.
    fn inflight(&self, gain: u64, mss: u32) -> u32 {
        if self.min_rtt == Duration::MAX || self.bandwidth() == 0 {
            return super::initial_window(mss);
        }
        let bdp = u128::from(self.bandwidth()) * self.min_rtt.as_nanos() * u128::from(gain)
            / u128::from(UNIT);
        ((bdp / 1_000_000_000) as u64).min(u64::from(MAX_CWND)) as u32
    }

    fn check_full_pipe(&mut self, ack: &Ack) {
        if self.filled || !ack.round_start || ack.rate.app_limited {
            return;
        }
        if self.bandwidth() >= self.full_bw + self.full_bw / 4 {
            self.full_bw = self.bandwidth();
            self.full_bw_rounds = 0;
            return;
        }
        self.full_bw_rounds += 1;
        self.filled = self.full_bw_rounds >= FULL_BW_ROUNDS;
    }

    fn enter_probe_bandwidth(&mut self, now: Instant) {
        self.mode = Mode::ProbeBandwidth;
        self.cwnd_gain = CWND_GAIN;
        // Any phase but the one that drains; which one depends on the clock alone.
        self.cycle = [0, 2, 3, 4, 5, 6, 7][(now.as_micros() % 7) as usize];
        self.cycle_at = now;
        self.pacing_gain = CYCLE[self.cycle];
    }

    fn update_mode(&mut self, w: &Window, ack: &Ack) {
        self.check_full_pipe(ack);
        if self.mode == Mode::Startup && self.filled {
            self.mode = Mode::Drain;
            self.pacing_gain = DRAIN_GAIN;
            self.cwnd_gain = HIGH_GAIN;
        }
        if self.mode == Mode::Drain && ack.in_flight <= self.inflight(UNIT, w.mss) {
            self.enter_probe_bandwidth(ack.now);
        }
        if self.mode == Mode::ProbeBandwidth {
            self.advance_cycle(w, ack);
        }
    }

    fn advance_cycle(&mut self, w: &Window, ack: &Ack) {
        let full_length = ack.now.saturating_since(self.cycle_at) > self.min_rtt;
        let next = match self.pacing_gain {
            UNIT => full_length,
            gain if gain > UNIT => {
                full_length && (ack.lost > 0 || ack.prior_in_flight >= self.inflight(gain, w.mss))
            }
            _ => full_length || ack.prior_in_flight <= self.inflight(UNIT, w.mss),
        };
        if next {
            self.cycle = (self.cycle + 1) % CYCLE.len();
            self.cycle_at = ack.now;
            self.pacing_gain = CYCLE[self.cycle];
        }
    }

    fn update_min_rtt(&mut self, w: &mut Window, ack: &Ack) {
        let expired = ack.now.saturating_since(self.min_rtt_at) > MIN_RTT_WINDOW;
        if let Some(rtt) = ack.rtt
            && (rtt <= self.min_rtt || expired)
        {
            self.min_rtt = rtt;
            self.min_rtt_at = ack.now;
        }
        // A pause has drained the queue as well as probing would.
        if expired && !self.idle_restart && self.mode != Mode::ProbeRtt {
            self.mode = Mode::ProbeRtt;
            self.pacing_gain = UNIT;
            self.cwnd_gain = UNIT;
            self.prior_cwnd = self.prior_cwnd.max(w.cwnd);
            self.probe_rtt_done = None;
        }
        self.idle_restart = false;
        if self.mode != Mode::ProbeRtt {
            return;
        }
        match self.probe_rtt_done {
            None if ack.in_flight <= MIN_SEGMENTS * w.mss => {
                self.probe_rtt_done = Some(ack.now + PROBE_RTT_TIME.max(self.min_rtt));
            }
            Some(done) if ack.now >= done => {
                self.min_rtt_at = ack.now;
                w.cwnd = w.cwnd.max(core::mem::take(&mut self.prior_cwnd));
                if self.filled {
                    self.enter_probe_bandwidth(ack.now);
                } else {
                    self.mode = Mode::Startup;
                    self.pacing_gain = HIGH_GAIN;
                    self.cwnd_gain = HIGH_GAIN;
                }
            }
            _ => {}
        }
    }

    fn set_pacing_rate(&mut self, w: &Window, ack: &Ack) {
        // Below the estimate by 1 %, so that no queue builds up.
        let rate = if self.bandwidth() == 0 {
            let rtt = ack.srtt.max(Duration::from_millis(1));
            (u128::from(w.cwnd) * 1_000_000_000 / rtt.as_nanos()) as u64 * HIGH_GAIN / UNIT
        } else {
            self.bandwidth() / 100 * 99 * self.pacing_gain / UNIT
        };
        if self.filled || rate > self.pacing_rate {
            self.pacing_rate = rate.max(1000);
        }
    }

    fn set_cwnd(&mut self, w: &mut Window, ack: &Ack) {
        self.follow_recovery(w, ack);
        // What one super-segment and delayed ACKs add on top.
        let quanta = (3 * w.mss).max((self.pacing_rate / 1024).min(65_536) as u32 * 3);
        let target = self.inflight(self.cwnd_gain, w.mss).saturating_add(quanta);
        if self.conserve_until.is_some() {
            w.cwnd = w.cwnd.max(ack.in_flight + ack.newly);
        } else if self.filled {
            w.cwnd = (w.cwnd + ack.newly).min(target);
        } else if w.cwnd < target || ack.delivered < u64::from(super::initial_window(w.mss)) {
            w.grow(ack.newly);
        }
        w.cwnd = w.cwnd.max(MIN_SEGMENTS * w.mss);
        if self.mode == Mode::ProbeRtt {
            w.cwnd = w.cwnd.min(MIN_SEGMENTS * w.mss);
        }
    }

    /// Entering recovery conserves packets for one round; leaving it restores the window.
    fn follow_recovery(&mut self, w: &mut Window, ack: &Ack) {
        w.cwnd = w.cwnd.saturating_sub(ack.lost).max(w.mss);
        if ack.in_recovery && !self.in_recovery {
            self.in_recovery = true;
            self.conserve_until = Some(self.round + 1);
            w.cwnd = ack.in_flight + ack.newly;
        } else if !ack.in_recovery && self.in_recovery {
            self.in_recovery = false;
            self.conserve_until = None;
            w.cwnd = w.cwnd.max(core::mem::take(&mut self.prior_cwnd));
        }
        if self.conserve_until.is_some_and(|round| self.round >= round) {
            self.conserve_until = None;
        }
    }
}

impl Control for Bbr {
    fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        self.update_bandwidth(ack);
        self.update_mode(w, ack);
        self.update_min_rtt(w, ack);
        self.set_pacing_rate(w, ack);
        self.set_cwnd(w, ack);
    }

    fn on_congestion(&mut self, w: &Window, _in_flight: u32, _now: Instant) -> u32 {
        if !self.in_recovery && self.mode != Mode::ProbeRtt {
            self.prior_cwnd = w.cwnd;
        } else {
            self.prior_cwnd = self.prior_cwnd.max(w.cwnd);
        }
        // The threshold plays no part here.
        w.ssthresh
    }

    fn on_undo(&mut self) {
        self.full_bw = 0;
        self.full_bw_rounds = 0;
    }

    /// The first data after a pause goes out at the bandwidth, without a probe for more.
    fn on_idle(&mut self, _now: Instant) {
        self.idle_restart = true;
        if self.mode == Mode::ProbeBandwidth {
            self.pacing_rate = (self.bandwidth() / 100 * 99).max(1000);
        }
    }

    fn pacing_rate(&self) -> Option<u64> {
        (self.pacing_rate > 0).then_some(self.pacing_rate)
    }

    fn owns_recovery(&self) -> bool {
        true
    }
}
