//! When which address of a name is tried (RFC 8305), sans I/O.

use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::IpAddr;

/// How long the IPv6 addresses are waited for when the others are there (section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// How long one attempt gets before the next is begun (section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Begin an attempt.
    Connect(IpAddr),
    /// Nothing until then, or until something happens.
    Wait(Option<Instant>),
    /// Every address has been tried.
    Exhausted,
}

/// The addresses of a name that were not tried yet.
pub(super) struct Schedule {
    /// Best first.
    waiting: Vec<IpAddr>,
    /// Lookups that are under way, of IPv6 and IPv4 addresses.
    pending: [bool; 2],
    /// When attempts may begin without the IPv6 addresses.
    hold: Option<Instant>,
    /// When the next attempt may begin.
    next: Instant,
    /// Whether the last attempt was by IPv6.
    last: Option<bool>,
}

impl Schedule {
    /// A schedule that is told addresses by lookups of these families.
    pub(super) fn new(ipv6: bool, ipv4: bool) -> Schedule {
        let (pending, next) = ([ipv6, ipv4], Instant::ZERO);
        Schedule { waiting: Vec::new(), pending, hold: None, next, last: None }
    }

    /// A lookup ended, maybe without an address. `sort` puts the best first (section 4).
    pub(super) fn resolved(
        &mut self,
        now: Instant,
        ipv6: bool,
        addresses: &[IpAddr],
        sort: impl FnOnce(&mut [IpAddr]),
    ) {
        self.pending[usize::from(!ipv6)] = false;
        self.waiting.extend_from_slice(addresses);
        sort(&mut self.waiting);
        if !ipv6 && self.pending[0] {
            self.hold = Some(now + RESOLUTION_DELAY);
        }
    }

    /// An attempt failed: the next need not wait.
    pub(super) fn failed(&mut self) {
        self.next = Instant::ZERO;
    }

    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.waiting.is_empty() {
            let over = self.pending == [false; 2];
            return if over { Next::Exhausted } else { Next::Wait(None) };
        }
        let hold = self.hold.filter(|_| self.pending[0]).unwrap_or(Instant::ZERO);
        let at = self.next.max(hold);
        if at > now {
            return Next::Wait(Some(at));
        }
        // Section 4: the families by turns.
        let other = |address: &IpAddr| self.last.is_some_and(|last| address.is_ipv6() != last);
        let address = self.waiting.remove(self.waiting.iter().position(other).unwrap_or(0));
        (self.last, self.next) = (Some(address.is_ipv6()), now + ATTEMPT_DELAY);
        Next::Connect(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000 + millis)
    }

    fn ipv6_first(addresses: &mut [IpAddr]) {
        addresses.sort_by_key(IpAddr::is_ipv4);
    }

    #[test]
    fn ipv6_addresses_that_come_first_are_tried_at_once() {
        let mut schedule = Schedule::new(true, true);
        assert_eq!(schedule.next(at(0)), Next::Wait(None));
        schedule.resolved(at(5), true, &[ip("2001:db8::1")], ipv6_first);
        assert_eq!(schedule.next(at(5)), Next::Connect(ip("2001:db8::1")));
        assert_eq!(schedule.next(at(5)), Next::Wait(None));
        schedule.resolved(at(6), false, &[ip("192.0.2.1")], ipv6_first);
        assert_eq!(schedule.next(at(6)), Next::Wait(Some(at(255))), "the first gets 250 ms");
        assert_eq!(schedule.next(at(255)), Next::Connect(ip("192.0.2.1")));
        assert_eq!(schedule.next(at(255)), Next::Exhausted);
    }

    #[test]
    fn ipv4_addresses_wait_50_ms_for_the_others() {
        let mut schedule = Schedule::new(true, true);
        schedule.resolved(at(0), false, &[ip("192.0.2.1")], ipv6_first);
        assert_eq!(schedule.next(at(0)), Next::Wait(Some(at(50))));
        assert_eq!(schedule.next(at(50)), Next::Connect(ip("192.0.2.1")));
        schedule.resolved(at(90), true, &[ip("2001:db8::1")], ipv6_first);
        assert_eq!(schedule.next(at(300)), Next::Connect(ip("2001:db8::1")), "late, but tried");
    }

    #[test]
    fn without_ipv6_addresses_nothing_is_waited_for() {
        let mut schedule = Schedule::new(true, true);
        schedule.resolved(at(0), false, &[ip("192.0.2.1")], ipv6_first);
        schedule.resolved(at(1), true, &[], ipv6_first);
        assert_eq!(schedule.next(at(1)), Next::Connect(ip("192.0.2.1")));
        let mut schedule = Schedule::new(false, true);
        schedule.resolved(at(0), false, &[ip("192.0.2.1")], ipv6_first);
        assert_eq!(schedule.next(at(0)), Next::Connect(ip("192.0.2.1")));
    }

    #[test]
    fn families_take_turns_and_a_failure_starts_the_next_at_once() {
        let mut schedule = Schedule::new(true, true);
        schedule.resolved(at(0), true, &[ip("2001:db8::1"), ip("2001:db8::2")], ipv6_first);
        schedule.resolved(at(0), false, &[ip("192.0.2.1"), ip("192.0.2.2")], ipv6_first);
        let mut order = Vec::new();
        while let Next::Connect(address) = schedule.next(at(0)) {
            order.push(address);
            schedule.failed();
        }
        let expected = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"].map(ip);
        assert_eq!(order, expected);
        assert_eq!(schedule.next(at(0)), Next::Exhausted);
    }

    #[test]
    fn no_address_at_all_is_the_end() {
        let mut schedule = Schedule::new(true, true);
        schedule.resolved(at(0), true, &[], ipv6_first);
        assert_eq!(schedule.next(at(0)), Next::Wait(None));
        schedule.resolved(at(0), false, &[], ipv6_first);
        assert_eq!(schedule.next(at(0)), Next::Exhausted);
    }
}
