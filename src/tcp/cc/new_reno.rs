//! Slow start and congestion avoidance with appropriate byte counting (RFC 5681, RFC 3465).

use super::{Ack, Control, Window};
use crate::time::Instant;

#[derive(Default)]
pub(crate) struct NewReno {
    acked: u32,
}

impl Control for NewReno {
    #[inline]
    fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        if w.in_slow_start() {
            // RFC 3465, 2.2 and RFC 5681, 3.1: by what was acknowledged. L is not limited to two
            // segments, because one ACK answers a whole batch here.
            w.grow(ack.newly.min(w.ssthresh - w.cwnd));
            return;
        }
        // RFC 3465, 2.1: one segment each time a window was acknowledged.
        self.acked = self.acked.saturating_add(ack.newly);
        while self.acked >= w.cwnd {
            self.acked -= w.cwnd;
            w.grow(w.mss);
        }
    }

    #[inline]
    fn on_ack_unlimited(&mut self, _now: Instant) -> bool {
        true
    }

    fn on_congestion(&mut self, w: &Window, in_flight: u32, _now: Instant) -> u32 {
        self.acked = 0;
        // RFC 5681, equation 4
        (in_flight.min(w.cwnd) / 2).max(2 * w.mss)
    }
}
