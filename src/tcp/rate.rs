//! Delivery rate samples: how much arrived, in what time (draft-cheng-iccrg-delivery-rate-estimation).

use super::scoreboard::{Mark, Sent};
use crate::time::{Duration, Instant};

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
    pub(crate) rate: u64,
}

/// What one ACK says about the path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateSample {
    /// Bytes a second; zero if there is no valid sample.
    pub(crate) rate: u64,
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
            rate: 0,
        }
    }

    /// Before a segment is sent while nothing is in flight: a new burst begins.
    #[inline]
    pub(crate) fn on_idle_send(&mut self, now: Instant) {
        self.first_sent_at = now;
        self.delivered_at = now;
    }

    /// Ends an ACK: counts what it delivered and makes the sample.
    #[inline]
    pub(crate) fn on_ack(
        &mut self,
        sampler: &Sampler,
        now: Instant,
        min_rtt: Duration,
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
        let interval = sent_at.saturating_since(first_sent_at).max(now.saturating_since(prior_at));
        let mut sample = RateSample { rate: 0, prior_delivered, app_limited };
        // A sample over less than the smallest RTT is an artefact of ACK compression.
        if interval >= min_rtt && !interval.is_zero() {
            let bytes = self.delivered - prior_delivered;
            let nanos = interval.as_nanos() as u64;
            sample.rate = (u128::from(bytes) * 1_000_000_000 / u128::from(nanos)) as u64;
            self.rate = sample.rate;
        }
        sample
    }
}
