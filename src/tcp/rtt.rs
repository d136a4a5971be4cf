//! Round-trip time and retransmission timeout (RFC 6298).

use crate::time::{Duration, Instant};

/// The smallest RTO: below RFC 6298's one second, as RFC 8961 allows where the ACK delay is
/// bounded; the same as Linux's.
pub const MIN_RTO: Duration = Duration::from_millis(200);
/// RFC 6298, 2.5: an upper bound of at least 60 seconds.
pub const MAX_RTO: Duration = Duration::from_secs(120);
/// RFC 6298, 2.1: the RTO before the first sample.
pub const INITIAL_RTO: Duration = Duration::from_secs(1);

/// How long a minimum RTT sample is kept.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(300);

/// Estimates, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    srtt: u64,
    rttvar: u64,
    rto: u64,
    min: u64,
    min_at: Instant,
    /// Doublings of the RTO since the last progress.
    pub(crate) backoff: u8,
}

impl Rtt {
    pub(crate) const fn new() -> Rtt {
        Rtt {
            srtt: 0,
            rttvar: 0,
            rto: INITIAL_RTO.as_nanos() as u64,
            min: u64::MAX,
            min_at: Instant::ZERO,
            backoff: 0,
        }
    }

    /// Notes the RTT of a segment, in nanoseconds, for the minimum.
    #[inline]
    pub(crate) fn observe(&mut self, nanos: u64, now: Instant) {
        let r = nanos.max(1);
        if r <= self.min || now.nanos_since(self.min_at) > MIN_RTT_WINDOW.as_nanos() as u64 {
            self.min = r;
            self.min_at = now;
        }
    }

    /// Takes a measurement of a segment that was sent once (Karn: RFC 6298, section 3).
    #[inline(always)]
    pub(crate) fn sample(&mut self, nanos: u64, now: Instant) {
        let r = nanos.max(1);
        self.observe(nanos, now);
        if self.srtt == 0 {
            // RFC 6298, 2.2
            self.srtt = r;
            self.rttvar = r / 2;
        } else {
            // RFC 6298, 2.3
            self.rttvar = self.rttvar - self.rttvar / 4 + self.srtt.abs_diff(r) / 4;
            self.srtt = self.srtt - self.srtt / 8 + r / 8;
        }
        // The granularity is that of the timer wheel, under 0.1 ms.
        let rto = self.srtt + (4 * self.rttvar).max(100_000);
        self.rto = rto.clamp(MIN_RTO.as_nanos() as u64, MAX_RTO.as_nanos() as u64);
    }

    /// The timeout with its back-off (RFC 6298, 5.5).
    #[inline]
    pub(crate) fn rto(&self) -> Duration {
        Duration::from_nanos(self.rto_nanos())
    }

    /// [`Rtt::rto`] in nanoseconds.
    #[inline]
    pub(crate) fn rto_nanos(&self) -> u64 {
        let doubled = self.rto.saturating_mul(1 << self.backoff.min(20));
        doubled.min(MAX_RTO.as_nanos() as u64)
    }

    /// RFC 6298, 5.7: after a SYN had to be sent again the first RTO for data is 3 seconds.
    pub(crate) fn syn_was_retransmitted(&mut self) {
        if self.srtt == 0 {
            self.rto = Duration::from_secs(3).as_nanos() as u64;
        }
    }

    /// The smoothed RTT; `None` before the first sample.
    #[inline]
    pub(crate) fn srtt(&self) -> Option<Duration> {
        (self.srtt != 0).then(|| Duration::from_nanos(self.srtt))
    }

    /// The smoothed RTT in nanoseconds; zero before the first sample.
    #[inline]
    pub(crate) fn srtt_nanos(&self) -> u64 {
        self.srtt
    }

    /// [`Rtt::min`] in nanoseconds.
    #[inline]
    pub(crate) fn min_nanos(&self) -> u64 {
        if self.srtt == 0 { 0 } else { self.min }
    }

    pub(crate) fn rttvar(&self) -> Duration {
        Duration::from_nanos(self.rttvar)
    }

    /// The smallest RTT of the last minutes; zero before the first sample.
    #[inline]
    pub(crate) fn min(&self) -> Duration {
        Duration::from_nanos(if self.srtt == 0 { 0 } else { self.min })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rto_follows_rfc_6298() {
        let mut rtt = Rtt::new();
        assert_eq!(rtt.rto(), Duration::from_secs(1));
        rtt.sample(100_000_000, Instant::ZERO);
        assert_eq!(rtt.rto(), Duration::from_millis(300));
        rtt.sample(200_000_000, Instant::ZERO);
        // RTTVAR = 3/4 * 50 + 1/4 * 100 = 62.5; SRTT = 7/8 * 100 + 1/8 * 200 = 112.5
        assert_eq!(rtt.rto(), Duration::from_micros(362_500));
        rtt.backoff = 1;
        assert_eq!(rtt.rto(), Duration::from_millis(725));
        rtt.backoff = 30;
        assert_eq!(rtt.rto(), MAX_RTO);
    }

    #[test]
    fn rto_has_a_floor() {
        let mut rtt = Rtt::new();
        for _ in 0..100 {
            rtt.sample(50_000, Instant::ZERO);
        }
        assert_eq!(rtt.rto(), MIN_RTO);
        assert_eq!(rtt.min(), Duration::from_micros(50));
    }
}
