//! Lifetimes of what routers advertise (RFC 4862, section 5.5.3).

use crate::time::{Duration, Instant};

/// A router cannot cut the life of an address shorter than this: or a forged advertisement could
/// end it.
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);
/// RFC 8981, section 3.8.
pub(crate) const TEMPORARY_PREFERRED: Duration = Duration::from_secs(24 * 60 * 60);
/// RFC 8981, section 3.8.
pub(crate) const TEMPORARY_VALID: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The end of an advertised lifetime; all ones are for ever (RFC 4861, section 4.6.2).
pub(crate) fn until(now: Instant, seconds: u32) -> Instant {
    match seconds {
        u32::MAX => Instant::NEVER,
        seconds => now + Duration::from_secs(seconds.into()),
    }
}

/// RFC 4862, section 5.5.3 (e): when an address is valid until `known`, and a router says `told`.
pub(crate) fn granted(known: Instant, told: Instant, now: Instant) -> Instant {
    if told > now + TWO_HOURS || told > known {
        told
    } else if known <= now + TWO_HOURS {
        known
    } else {
        now + TWO_HOURS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_cannot_cut_a_life_below_two_hours() {
        let now = Instant::from_millis(5000);
        let hours = |n: u32| until(now, n * 3600);
        assert_eq!(granted(hours(24), until(now, 0), now), hours(2));
        assert_eq!(granted(hours(1), until(now, 0), now), hours(1));
        assert_eq!(granted(hours(1), until(now, 60), now), hours(1));
        assert_eq!(granted(hours(24), hours(3), now), hours(3));
        assert_eq!(granted(hours(1), until(now, 5000), now), until(now, 5000));
        assert_eq!(granted(hours(1), until(now, u32::MAX), now), Instant::NEVER);
        assert_eq!(granted(Instant::NEVER, until(now, 1), now), hours(2));
        assert!(until(now, u32::MAX - 1) < Instant::NEVER);
    }
}
