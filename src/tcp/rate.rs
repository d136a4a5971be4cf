//! Delivery rate samples: how much arrived, in what time (draft-cheng-iccrg-delivery-rate-estimation).

use super::scoreboard::{Mark, Sent};
use crate::time::Instant;

/// Delivery as it stands, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Bytes acknowledged or sacked so far.
    pub(crate) delivered: u64,
    pub(crate) delivered_at: Instant,
    pub(crate) first_sent_at: Instant,
    /// `delivered` at which the application's pause is over; zero if it does not pause.
    pub(crate) app_limited: u64,
    pub(crate) last_sent_at: Instant,
    /// The latest sample, in bytes a second.
    pub(crate) rate: Rate,
}

/// Bytes in a time; divided only when it is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    bytes: u64,
    nanos: u64,
}

impl Rate {
    /// Bytes a second; zero if nothing was measured.
    pub(crate) fn per_second(self) -> u64 {
        self.bytes.min(1 << 34).saturating_mul(1_000_000_000).checked_div(self.nanos).unwrap_or(0)
    }
}

/// What one ACK says about the path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateSample {
    /// Nothing if there is no valid sample.
    pub(crate) rate: Rate,
    /// `delivered` when the newest acknowledged segment was sent.
    pub(crate) prior_delivered: u64,
    pub(crate) app_limited: bool,
}

/// Gathers the segments that one ACK delivers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampler {
    newest: Option<(u64, Instant, Instant, Instant, bool)>,
    pub(crate) newly: u32,
}

impl Sampler {
    #[inline]
    pub(crate) fn segment(&mut self, sent: &Sent, len: u32) {
        self.newly += len;
        let newer = self
            .newest
            .is_none_or(|(delivered, .., at, _)| (sent.delivered, sent.sent_at) >= (delivered, at));
        if newer {
            self.newest = Some((
                sent.delivered,
                sent.delivered_at,
                sent.first_sent_at,
                sent.sent_at,
                sent.mark.contains(Mark::APP_LIMITED),
            ));
        }
    }
}

impl Delivery {
    pub(crate) const fn new(now: Instant) -> Delivery {
        Delivery {
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            last_sent_at: now,
            app_limited: 0,
            rate: Rate { bytes: 0, nanos: 0 },
        }
    }

    /// Before a segment is sent while nothing is in flight: a new burst begins.
    #[inline]
    pub(crate) fn on_idle_send(&mut self, now: Instant) {
        self.first_sent_at = now;
        self.delivered_at = now;
    }

    /// Ends an ACK: counts what it delivered and makes the sample.
    #[inline(always)]
    pub(crate) fn on_ack(
        &mut self,
        sampler: &Sampler,
        now: Instant,
        min_rtt_nanos: u64,
    ) -> RateSample {
        self.delivered += u64::from(sampler.newly);
        let Some((prior_delivered, prior_at, first_sent_at, sent_at, app_limited)) = sampler.newest
        else {
            return RateSample::default();
        };
        self.delivered_at = now;
        self.first_sent_at = sent_at;
        if self.app_limited != 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let span = |from: Instant, to: Instant| to.as_nanos().saturating_sub(from.as_nanos());
        let nanos = span(first_sent_at, sent_at).max(span(prior_at, now));
        let mut sample = RateSample { rate: Rate::default(), prior_delivered, app_limited };
        // A sample over less than the smallest RTT is an artefact of ACK compression.
        if nanos >= min_rtt_nanos && nanos > 0 {
            sample.rate = Rate { bytes: self.delivered - prior_delivered, nanos };
            self.rate = sample.rate;
        }
        sample
    }
}
