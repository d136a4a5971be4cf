//! CUBIC (RFC 9438) with HyStart++.

use super::{
    Ack, Control, Window,
    hystart::{HyStart, Step},
};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;

/// RFC 9438, section 5: multiplicative decrease, 0.7 as a fraction of 1024.
const BETA: u64 = 717;
/// C = 0.4 segments a second cubed, as a fraction of 1024.
const C: u64 = 410;
/// alpha_cubic = 3 (1 - beta) / (1 + beta), of 1024.
const ALPHA: u64 = 542;

/// The curve of a congestion avoidance stage.
#[derive(Clone, Copy, Default)]
struct Curve {
    /// The window at the last congestion event after fast convergence, in bytes.
    w_max: u32,
    /// The window at the last congestion event as it was.
    cwnd_prior: u32,
    /// Milliseconds from the epoch's start until the plateau is reached.
    k: u64,
    epoch: Option<Instant>,
    origin: u32,
    /// What Reno would have, in bytes.
    w_est: u32,
}

pub(crate) struct Cubic {
    hystart: HyStart,
    curve: Curve,
    /// The curve before the last congestion event, if there was one.
    before: Option<Box<Curve>>,
    acked_at: Instant,
    est_credit: u64,
    credit: u64,
}

impl Default for Cubic {
    fn default() -> Cubic {
        Cubic {
            hystart: HyStart::new(),
            curve: Curve::default(),
            before: None,
            acked_at: Instant::ZERO,
            est_credit: 0,
            credit: 0,
        }
    }
}

/// The integer cube root, rounded down.
fn cube_root(n: u64) -> u64 {
    let mut root = 0u64;
    for shift in (0..22).rev() {
        let candidate = root | 1 << shift;
        if candidate.pow(3) <= n {
            root = candidate;
        }
    }
    root
}

impl Cubic {
    fn start_epoch(&mut self, w: &Window, now: Instant) {
        let curve = &mut self.curve;
        curve.epoch = Some(now);
        curve.w_est = w.cwnd;
        if w.cwnd < curve.w_max {
            // RFC 9438, equation 2, in milliseconds: K^3 = (W_max - cwnd) / C * 10^9.
            let segments_1024 = u64::from(curve.w_max - w.cwnd) * 1024 / u64::from(w.mss);
            curve.k = cube_root(segments_1024 * 1_000_000_000 / C);
            curve.origin = curve.w_max;
        } else {
            curve.k = 0;
            curve.origin = w.cwnd;
        }
        self.est_credit = 0;
        self.credit = 0;
    }

    fn avoid(&mut self, w: &mut Window, ack: &Ack) {
        if self.curve.epoch.is_none() {
            self.start_epoch(w, ack.now);
        }
        let cwnd = u64::from(w.cwnd.max(1));
        let t = ack.now.saturating_since(self.curve.epoch.unwrap_or(ack.now));
        // RFC 9438, 4.2: between cwnd and 1.5 cwnd.
        let target = self.curve.w_cubic(t + ack.srtt, w.mss).clamp(cwnd, cwnd + cwnd / 2);
        self.estimate_reno(cwnd, w.mss, ack.newly);
        let w_est = self.curve.w_est;
        if self.curve.w_cubic(t, w.mss) < u64::from(w_est) && w_est > w.cwnd {
            w.cwnd = w_est;
            return;
        }
        // RFC 9438, 4.4 and 4.5: (target - cwnd) / cwnd for each byte acknowledged.
        self.credit += u64::from(ack.newly) * (target - cwnd);
        let by = self.credit / cwnd;
        self.credit -= by * cwnd;
        w.grow(by as u32);
    }

    /// RFC 9438, 4.3: what Reno would have; alpha is 1 once the window before the last congestion
    /// event is reached again.
    fn estimate_reno(&mut self, cwnd: u64, mss: u32, newly: u32) {
        let curve = &mut self.curve;
        let alpha = if curve.w_est < curve.cwnd_prior { ALPHA } else { 1024 };
        self.est_credit += u64::from(newly) * u64::from(mss) * alpha;
        let step = self.est_credit / (cwnd * 1024);
        self.est_credit -= step * cwnd * 1024;
        curve.w_est = curve.w_est.saturating_add(step as u32).min(super::MAX_CWND);
    }
}

impl Curve {
    /// RFC 9438, equation 1: the window `t` after the epoch's start, in bytes.
    fn w_cubic(&self, t: Duration, mss: u32) -> u64 {
        let t = t.as_millis() as u64;
        let offset = t.abs_diff(self.k).min(2_000_000);
        // C * offset^3 in segments of 1024, offset in ms; then bytes.
        let cubed = u128::from(offset).pow(3) * u128::from(C) * u128::from(mss);
        let delta = (cubed / (1024 * 1_000_000_000)) as u64;
        if t < self.k {
            u64::from(self.origin).saturating_sub(delta)
        } else {
            u64::from(self.origin) + delta
        }
    }
}

impl Control for Cubic {
    #[inline]
    fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        self.acked_at = ack.now;
        if !w.in_slow_start() {
            self.avoid(w, ack);
            return;
        }
        // RFC 9406, section 4.3: HyStart++ is for the initial slow start.
        let step = match w.ssthresh {
            super::MAX_CWND => self.hystart.on_ack(ack),
            _ => Step::Grow(ack.newly),
        };
        match step {
            Step::Grow(by) => w.grow(by.min(w.ssthresh - w.cwnd)),
            Step::Exit => w.ssthresh = w.cwnd,
        }
    }

    #[inline]
    fn on_ack_unlimited(&mut self, now: Instant) -> bool {
        let since = now.nanos_since(core::mem::replace(&mut self.acked_at, now));
        // RFC 9438, 4.2: t leaves out the time in which the application was the limit.
        if let Some(epoch) = &mut self.curve.epoch {
            *epoch = epoch.plus_nanos(since);
        }
        true
    }

    fn on_congestion(&mut self, w: &Window, in_flight: u32, _now: Instant) -> u32 {
        let before = self.before.get_or_insert_with(|| Box::new(self.curve));
        **before = self.curve;
        let curve = &mut self.curve;
        curve.epoch = None;
        curve.cwnd_prior = w.cwnd;
        // RFC 9438, 4.7: fast convergence.
        curve.w_max = if w.cwnd < curve.w_max {
            (u64::from(w.cwnd) * (1024 + BETA) / 2048) as u32
        } else {
            w.cwnd
        };
        // RFC 9438, 4.6: of the flight, which a paused application may have left smaller.
        let flight = u64::from(in_flight.clamp(w.cwnd / 2, w.cwnd));
        ((flight * BETA / 1024) as u32).max(2 * w.mss)
    }

    fn on_undo(&mut self) {
        // RFC 9438, 4.9.1: as if nothing had been.
        if let Some(before) = self.before.take() {
            self.curve = *before;
        }
    }

    fn on_idle(&mut self, _now: Instant) {
        // RFC 9438, 4.2: the idle time does not count.
        self.curve.epoch = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cube_roots_are_exact() {
        for n in [0u64, 1, 7, 8, 26, 27, 999, 1000, 1_000_000_000] {
            let root = cube_root(n);
            assert!(root.pow(3) <= n && (root + 1).pow(3) > n, "{n}: {root}");
        }
    }

    #[test]
    fn the_window_returns_to_w_max_after_k() {
        // RFC 9438: W_max = 1000 segments, reduced to 700: K = cbrt(300 / 0.4) = 9.086 s.
        let mss = 1000;
        let curve = Curve { w_max: 1_000_000, ..Curve::default() };
        let mut cubic = Cubic { curve, ..Cubic::default() };
        let w = Window { cwnd: 700_000, ssthresh: 700_000, mss };
        cubic.start_epoch(&w, Instant::ZERO);
        let curve = cubic.curve;
        assert!((9_070..9_100).contains(&curve.k), "{}", curve.k);
        let at = |ms| curve.w_cubic(Duration::from_millis(ms), mss) / 1000;
        assert!((699..=702).contains(&at(0)), "{}", at(0));
        assert_eq!(at(curve.k), 1000);
        // One K later the curve has risen by as much as it had fallen.
        assert!((1298..=1301).contains(&at(2 * curve.k)));
    }

    #[test]
    fn congestion_reduces_by_three_tenths_and_converges_fast() {
        let mut cubic = Cubic::default();
        let w = |cwnd| Window { cwnd, ssthresh: cwnd, mss: 1000 };
        assert_eq!(cubic.on_congestion(&w(100_000), 100_000, Instant::ZERO), 70_019);
        assert_eq!(cubic.curve.w_max, 100_000);
        // Below the last W_max: RFC 9438, 4.7, W_max = cwnd (1 + beta) / 2.
        cubic.on_congestion(&w(80_000), 80_000, Instant::ZERO);
        assert_eq!(cubic.curve.w_max / 100, 680);
        assert_eq!(cubic.curve.cwnd_prior, 80_000);
        cubic.on_undo();
        assert_eq!(cubic.curve.w_max, 100_000);
    }

    #[test]
    fn a_short_path_is_reno_friendly() {
        // RFC 9438, 4.3: at an RTT of 10 ms and 20 segments Reno's window grows faster: by
        // alpha = 0.53 segments a round trip until the old window is reached, then by one.
        let mut cubic = Cubic::default();
        let mut w = Window { cwnd: 20_000, ssthresh: 0, mss: 1000 };
        w.ssthresh = cubic.on_congestion(&w, 20_000, Instant::ZERO);
        w.cwnd = w.ssthresh;
        let rtt = Duration::from_millis(10);
        let mut now = Instant::ZERO;
        let mut rounds = 0;
        while w.cwnd < 20_000 {
            now += rtt;
            rounds += 1;
            let ack = Ack { newly: w.cwnd, srtt: rtt, now, ..Ack::limited() };
            cubic.on_ack(&mut w, &ack);
        }
        // 6 segments at 0.53 a round.
        assert!((11..=13).contains(&rounds), "{rounds}");
    }
}
