//! HyStart++ (RFC 9406): leaves slow start when the RTT grows, before losses.

use super::Ack;
use crate::time::Duration;

const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

const NONE: u64 = u64::MAX;

pub(super) struct HyStart {
    last_round_min: u64,
    current_round_min: u64,
    samples: u8,
    /// Rounds of conservative slow start so far, when in it.
    css_rounds: Option<u8>,
    css_baseline: u64,
}

/// What slow start does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Grow by this many bytes.
    Grow(u32),
    /// Go over to congestion avoidance.
    Exit,
}

impl HyStart {
    pub(super) const fn new() -> HyStart {
        HyStart {
            last_round_min: NONE,
            current_round_min: NONE,
            samples: 0,
            css_rounds: None,
            css_baseline: NONE,
        }
    }

    /// RFC 9406, section 4.2.
    #[inline]
    pub(super) fn on_ack(&mut self, ack: &Ack) -> Step {
        if ack.round_start {
            self.last_round_min = self.current_round_min;
            self.current_round_min = NONE;
            self.samples = 0;
            if let Some(rounds) = &mut self.css_rounds {
                *rounds += 1;
                if *rounds >= CSS_ROUNDS {
                    return Step::Exit;
                }
            }
        }
        if let Some(rtt) = ack.rtt {
            self.current_round_min = self.current_round_min.min(rtt.as_nanos() as u64);
            self.samples = self.samples.saturating_add(1);
        }
        if self.samples >= N_RTT_SAMPLE && self.current_round_min != NONE {
            self.judge();
        }
        match self.css_rounds {
            None => Step::Grow(ack.newly),
            Some(_) => Step::Grow(ack.newly / CSS_GROWTH_DIVISOR),
        }
    }

    fn judge(&mut self) {
        if self.css_rounds.is_none() {
            if self.last_round_min == NONE {
                return;
            }
            let thresh = (self.last_round_min / u64::from(MIN_RTT_DIVISOR))
                .clamp(MIN_RTT_THRESH.as_nanos() as u64, MAX_RTT_THRESH.as_nanos() as u64);
            if self.current_round_min >= self.last_round_min + thresh {
                self.css_baseline = self.current_round_min;
                self.css_rounds = Some(0);
            }
        } else if self.current_round_min < self.css_baseline {
            // The growth was spurious: slow start again.
            self.css_baseline = NONE;
            self.css_rounds = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round trip of eight ACKs of `n` bytes at an RTT; what it grows by.
    fn round(h: &mut HyStart, ms: u64) -> Option<u32> {
        let mut grown = 0;
        for i in 0..8 {
            let rtt = Some(Duration::from_millis(ms));
            let ack = Ack { newly: 1000, rtt, round_start: i == 0, ..Ack::limited() };
            match h.on_ack(&ack) {
                Step::Grow(by) => grown += by,
                Step::Exit => return None,
            }
        }
        Some(grown)
    }

    #[test]
    fn growing_rtt_slows_down_and_then_leaves_slow_start() {
        let mut h = HyStart::new();
        assert_eq!(round(&mut h, 40), Some(8000));
        // An eighth of 40 ms is the threshold.
        assert_eq!(round(&mut h, 44), Some(8000));
        // The eighth sample tells: seven ACKs in full, the last by a quarter.
        assert_eq!(round(&mut h, 50), Some(7250));
        for _ in 0..4 {
            assert_eq!(round(&mut h, 50), Some(2000));
        }
        assert_eq!(round(&mut h, 50), None);
    }

    #[test]
    fn slow_start_goes_on_if_the_rtt_falls_again() {
        let mut h = HyStart::new();
        round(&mut h, 40);
        assert_eq!(round(&mut h, 60), Some(7250));
        assert_eq!(round(&mut h, 50), Some(2750));
        assert_eq!(round(&mut h, 50), Some(8000));
    }
}
