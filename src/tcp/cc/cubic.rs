//! CUBIC (RFC 9438) with HyStart++.

use super::{
    Ack, Control, Window,
    hystart::{HyStart, Step},
};
use crate::time::{Duration, Instant};

/// RFC 9438, section 5: multiplicative decrease, 0.7 as a fraction of 1024.
const BETA: u64 = 717;
/// C = 0.4 segments a second cubed, as a fraction of 1024.
const C: u64 = 410;
/// alpha_cubic = 3 (1 - beta) / (1 + beta), of 1024.
const ALPHA: u64 = 542;

pub(crate) struct Cubic {
    hystart: HyStart,
    /// The window at the last congestion event, in bytes.
    w_max: u32,
    prior_w_max: u32,
    /// Milliseconds from the epoch's start until the plateau is reached.
    k: u64,
    epoch: Option<Instant>,
    origin: u32,
    /// What Reno would have, in bytes.
    w_est: u32,
    est_credit: u64,
    credit: u64,
}

impl Default for Cubic {
    fn default() -> Cubic {
        Cubic {
            hystart: HyStart::new(),
            w_max: 0,
            prior_w_max: 0,
            k: 0,
            epoch: None,
            origin: 0,
            w_est: 0,
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
        self.epoch = Some(now);
        self.w_est = w.cwnd;
        self.est_credit = 0;
        self.credit = 0;
        if w.cwnd < self.w_max {
            // RFC 9438, equation 2, in milliseconds: K^3 = (W_max - cwnd) / C * 10^9.
            let segments_1024 = u64::from(self.w_max - w.cwnd) * 1024 / u64::from(w.mss);
            self.k = cube_root(segments_1024 * 1_000_000_000 / C);
            self.origin = self.w_max;
        } else {
            self.k = 0;
            self.origin = w.cwnd;
        }
    }

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

    fn avoid(&mut self, w: &mut Window, ack: &Ack) {
        if self.epoch.is_none() {
            self.start_epoch(w, ack.now);
        }
        let cwnd = u64::from(w.cwnd.max(1));
        let t = ack.now.saturating_since(self.epoch.unwrap_or(ack.now));
        // RFC 9438, 4.2: between cwnd and 1.5 cwnd.
        let target = self.w_cubic(t + ack.srtt, w.mss).clamp(cwnd, cwnd + cwnd / 2);
        // RFC 9438, 4.3: what Reno would have; alpha is 1 once W_max is reached again.
        let alpha = if self.w_est < self.w_max { ALPHA } else { 1024 };
        self.est_credit += u64::from(ack.newly) * u64::from(w.mss) * alpha;
        let step = self.est_credit / (cwnd * 1024);
        self.est_credit -= step * cwnd * 1024;
        self.w_est = self.w_est.saturating_add(step as u32).min(super::MAX_CWND);
        if self.w_cubic(t, w.mss) < u64::from(self.w_est) && self.w_est > w.cwnd {
            w.cwnd = self.w_est;
            return;
        }
        // RFC 9438, 4.4 and 4.5: (target - cwnd) / cwnd for each byte acknowledged.
        self.credit += u64::from(ack.newly) * (target - cwnd);
        let by = self.credit / cwnd;
        self.credit -= by * cwnd;
        w.grow(by as u32);
    }
}

impl Control for Cubic {
    #[inline]
    fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        if !ack.cwnd_limited {
            return;
        }
        if !w.in_slow_start() {
            self.avoid(w, ack);
            return;
        }
        match self.hystart.on_ack(ack) {
            Step::Grow(by) => w.grow(by.min(w.ssthresh - w.cwnd)),
            Step::Exit => w.ssthresh = w.cwnd,
        }
    }

    fn on_congestion(&mut self, w: &Window, in_flight: u32, _now: Instant) -> u32 {
        self.epoch = None;
        self.prior_w_max = self.w_max;
        // RFC 9438, 4.7: fast convergence.
        self.w_max = if w.cwnd < self.w_max {
            (u64::from(w.cwnd) * (1024 + BETA) / 2048) as u32
        } else {
            w.cwnd
        };
        // RFC 9438, 4.6: of the flight, which a paused application may have left smaller.
        let flight = u64::from(in_flight.clamp(w.cwnd / 2, w.cwnd));
        ((flight * BETA / 1024) as u32).max(2 * w.mss)
    }

    fn on_undo(&mut self) {
        self.w_max = self.prior_w_max;
        self.epoch = None;
    }

    fn on_idle(&mut self, _now: Instant) {
        // RFC 9438, 4.8: the idle time does not count.
        self.epoch = None;
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
        let mut cubic = Cubic { w_max: 1_000_000, ..Cubic::default() };
        let w = Window { cwnd: 700_000, ssthresh: 700_000, mss };
        cubic.start_epoch(&w, Instant::ZERO);
        assert!((9_070..9_100).contains(&cubic.k), "{}", cubic.k);
        let at = |ms| cubic.w_cubic(Duration::from_millis(ms), mss) / 1000;
        assert!((699..=702).contains(&at(0)), "{}", at(0));
        assert_eq!(at(cubic.k), 1000);
        // One K later the curve has risen by as much as it had fallen.
        assert!((1298..=1301).contains(&at(2 * cubic.k)));
    }
}
