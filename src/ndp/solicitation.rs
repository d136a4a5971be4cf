//! When to ask for routers (RFC 4861, section 6.3.7; RFC 7559: until one has answered, ever more
//! rarely).

use super::part_of;
use crate::time::{Duration, Instant};
use rand_core::RngCore;

/// RFC 7559, section 2: IRT and MRT.
const FIRST: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(3600);

/// The state of asking.
#[derive(Debug, Default)]
pub(crate) struct Solicitation {
    next: Option<Instant>,
    wait: Duration,
}

impl Solicitation {
    /// Asks from `at` on.
    pub(crate) fn start(&mut self, at: Instant) {
        (self.next, self.wait) = (Some(at), Duration::ZERO);
    }

    /// A router has answered.
    pub(crate) fn stop(&mut self) {
        self.next = None;
    }

    /// Whether to ask now.
    pub(crate) fn poll(&mut self, now: Instant, random: &mut impl RngCore) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        let base = match self.wait {
            Duration::ZERO => FIRST,
            wait => (wait * 2).min(LONGEST),
        };
        // RFC 8415, section 15: a tenth more or less.
        self.wait = base - base / 10 + part_of(base / 5, random);
        self.next = Some(now + self.wait);
        true
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn routers_are_asked_for_ever_but_ever_more_rarely() {
        let mut random = ChaCha20Rng::from_seed([3; 32]);
        let mut asking = Solicitation::default();
        asking.start(Instant::ZERO);
        let mut last = Instant::ZERO;
        for n in 0..20 {
            let at = asking.poll_at().unwrap();
            assert!(asking.poll(at, &mut random) && !asking.poll(at, &mut random));
            assert!(n == 0 || at - last >= FIRST - FIRST / 10);
            assert!(at - last <= LONGEST + LONGEST / 10);
            last = at;
        }
        assert!(last > Instant::from_millis(3_600_000));
        asking.stop();
        assert_eq!(asking.poll_at(), None);
    }
}
