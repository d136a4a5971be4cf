//! Routes: by which neighbour a destination is reached.

use super::{Cidr, Origin, TableError};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Most routes of a stack.
const MAX: usize = 64;
/// Time between questions to a router that does not answer (RFC 4191, section 3.5: once a minute).
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Which of several routes of one prefix is taken (RFC 4191, section 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    /// When there is no other.
    Low,
    /// The usual.
    #[default]
    Medium,
    /// Before all others.
    High,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations.
    pub prefix: Cidr,
    /// The router to them; `None` when they are neighbours themselves.
    pub via: Option<IpAddr>,
    /// Which of several of one prefix is taken.
    pub preference: Preference,
    /// Where it comes from.
    pub origin: Origin,
    /// When it goes.
    pub valid_until: Instant,
}

impl Route {
    /// A route that stays.
    pub const fn new(prefix: Cidr, via: Option<IpAddr>, origin: Origin) -> Route {
        let (preference, valid_until) = (Preference::Medium, Instant::NEVER);
        Route { prefix, via, preference, origin, valid_until }
    }

    /// The route to everything that has no other.
    pub const fn default_by(router: IpAddr, origin: Origin) -> Route {
        let any = match router {
            IpAddr::V4(_) => IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED),
        };
        Route::new(Cidr { address: any, prefix: 0 }, Some(router), origin)
    }

    pub(crate) fn is(&self, prefix: Cidr, via: Option<IpAddr>, origin: Origin) -> bool {
        (self.prefix, self.via, self.origin) == (prefix.network(), via, origin)
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    list: Vec<Route>,
    /// No life ends before.
    due: Option<Instant>,
    /// Routers that did not answer, and when they are asked again.
    silent: Vec<(IpAddr, Instant)>,
}

impl Routes {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> + Clone {
        self.list.iter()
    }

    /// Adds a route, or replaces the same of the same origin: what one tells, another does not end.
    pub(crate) fn add(&mut self, mut route: Route) -> Result<(), TableError> {
        let invalid = |via: IpAddr| {
            via.is_multicast() || via.is_unspecified() || via.is_ipv4() != is_ipv4(&route.prefix)
        };
        if route.via.is_some_and(invalid) {
            return Err(TableError::Invalid);
        }
        route.prefix = route.prefix.network();
        let room = self.list.len() < MAX;
        match self.list.iter_mut().find(|known| known.is(route.prefix, route.via, route.origin)) {
            Some(known) => *known = route,
            None if room => self.list.push(route),
            None => return Err(TableError::Full),
        }
        self.find_due();
        Ok(())
    }

    /// Removes a route; whether it was there.
    pub(crate) fn remove(&mut self, prefix: Cidr, via: Option<IpAddr>, origin: Origin) -> bool {
        self.retain(|route| !route.is(prefix, via, origin))
    }

    /// Keeps the routes that `keep` holds for; whether one went.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Route) -> bool) -> bool {
        let before = self.list.len();
        self.list.retain(keep);
        let Routes { list, silent, .. } = self;
        silent.retain(|(router, _)| list.iter().any(|route| route.via == Some(*router)));
        self.find_due();
        self.list.len() < before
    }

    fn find_due(&mut self) {
        let ends = self.list.iter().map(|route| route.valid_until);
        self.due = ends.min().filter(|at| *at < Instant::NEVER);
    }

    /// The neighbour by which `remote` is reached. RFC 4191, section 3.2: of those whose router
    /// answers, that of the longest prefix, then that of the highest preference. A router that was
    /// never asked is taken to answer (section 3.1).
    pub(crate) fn next_hop(
        &self,
        remote: IpAddr,
        answers: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let fits = self.list.iter().filter(|route| route.prefix.contains(remote));
        let works = |router| answers(router) || !self.silent.iter().any(|(r, _)| *r == router);
        let rank =
            |route: &Route| (route.via.is_none_or(works), route.prefix.prefix, route.preference);
        // Of equals the first.
        let best = fits.rev().max_by_key(|route| rank(route))?;
        Some(best.via.unwrap_or(remote))
    }

    /// RFC 4861, section 6.3.6: after a router that does not answer, the others have their turn;
    /// and who was redirected to it goes the old way again.
    pub(crate) fn router_lost(&mut self, router: IpAddr, now: Instant) {
        let lost = |route: &Route| route.via.unwrap_or(route.prefix.address) == router;
        self.retain(|route| route.origin != Origin::Redirect || !lost(route));
        let by_it = |route: &Route| route.via == Some(router);
        let last: Vec<Route> = self.list.iter().copied().filter(by_it).collect();
        self.list.retain(|route| !by_it(route));
        self.list.extend(last);
        self.router_heard(router);
        if self.list.iter().any(|route| route.via == Some(router)) {
            self.silent.push((router, now + ASK_AGAIN));
        }
    }

    /// A router that was lost answers again.
    pub(crate) fn router_heard(&mut self, router: IpAddr) {
        self.silent.retain(|(known, _)| *known != router);
    }

    /// The next router that did not answer and is to be asked again: with a question of its own,
    /// so that no packet waits for it.
    pub(crate) fn ask_again(&mut self, now: Instant) -> Option<IpAddr> {
        let (router, at) = self.silent.iter_mut().find(|(_, at)| *at <= now)?;
        *at = now + ASK_AGAIN;
        Some(*router)
    }

    /// Drops the routes whose life is over; whether there was one.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now) && self.retain(|route| route.valid_until > now)
    }

    /// When [`Routes::expire`] or [`Routes::ask_again`] has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.silent.iter().map(|(_, at)| *at).chain(self.due).min()
    }
}

fn is_ipv4(cidr: &Cidr) -> bool {
    cidr.address.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{
        format,
        string::{String, ToString},
    };

    fn route(prefix: &str, via: Option<&str>) -> Route {
        let via = via.map(|via| via.parse().unwrap());
        Route::new(prefix.parse().unwrap(), via, Origin::Static)
    }

    fn hop(routes: &Routes, remote: &str) -> Option<String> {
        routes.next_hop(remote.parse().unwrap(), |_| true).map(|hop| hop.to_string())
    }

    #[test]
    fn the_longest_prefix_goes_first_and_preference_decides_between_equals() {
        let mut routes = Routes::default();
        routes.add(route("0.0.0.0/0", Some("10.0.0.1"))).unwrap();
        routes.add(route("10.0.0.2/24", None)).unwrap();
        routes.add(route("10.9.0.0/16", Some("10.0.0.9"))).unwrap();
        let high = Preference::High;
        routes.add(Route { preference: high, ..route("0.0.0.0/0", Some("10.0.0.3")) }).unwrap();
        assert_eq!(hop(&routes, "10.0.0.7").unwrap(), "10.0.0.7");
        assert_eq!(hop(&routes, "10.9.1.1").unwrap(), "10.0.0.9");
        assert_eq!(hop(&routes, "8.8.8.8").unwrap(), "10.0.0.3");
        assert_eq!(hop(&routes, "2001:db8::1"), None);
        let third = Some("10.0.0.3".parse().unwrap());
        assert!(routes.remove("0.0.0.0/0".parse().unwrap(), third, Origin::Static));
        assert_eq!(hop(&routes, "8.8.8.8").unwrap(), "10.0.0.1");
    }

    #[test]
    fn a_router_that_does_not_answer_is_passed_over() {
        let mut routes = Routes::default();
        routes.add(route("::/0", Some("fe80::1"))).unwrap();
        routes.add(route("::/0", Some("fe80::2"))).unwrap();
        let remote = "2001:db8::1".parse().unwrap();
        let second: IpAddr = "fe80::2".parse().unwrap();
        assert_eq!(routes.next_hop(remote, |_| false), Some("fe80::1".parse().unwrap()));
        let now = Instant::from_millis(1000);
        routes.router_lost("fe80::1".parse().unwrap(), now);
        assert_eq!(routes.next_hop(remote, |_| false), Some(second));
        routes.router_lost(second, now);
        let first = "fe80::1".parse().unwrap();
        assert_eq!(routes.next_hop(remote, |router| router == first), Some(first));
    }

    #[test]
    fn a_router_that_was_never_asked_is_used_until_it_is_known_to_be_silent() {
        let mut routes = Routes::default();
        let (near, far): (IpAddr, IpAddr) =
            ("10.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap());
        routes.add(route("0.0.0.0/0", Some("10.0.0.1"))).unwrap();
        routes.add(route("10.9.0.0/16", Some("10.0.0.9"))).unwrap();
        let remote = "10.9.1.1".parse().unwrap();
        let known = |router| router == near;
        assert_eq!(routes.next_hop(remote, known), Some(far), "the longest prefix");
        let now = Instant::from_millis(1000);
        routes.router_lost(far, now);
        assert_eq!(routes.next_hop(remote, known), Some(near));
        assert_eq!((routes.poll_at(), routes.ask_again(now)), (Some(now + ASK_AGAIN), None));
        assert_eq!(routes.ask_again(now + ASK_AGAIN), Some(far));
        assert_eq!(routes.ask_again(now + ASK_AGAIN), None, "once a minute");
        assert_eq!(routes.next_hop(remote, known), Some(near), "no packet waits for the answer");
        routes.router_heard(far);
        assert_eq!(routes.next_hop(remote, known), Some(far));
        routes.router_lost(far, now);
        assert!(routes.remove("10.9.0.0/16".parse().unwrap(), Some(far), Origin::Static));
        assert_eq!(routes.poll_at(), None, "nobody is asked for without a route");
    }

    #[test]
    fn the_table_is_bounded_and_routes_end() {
        let mut routes = Routes::default();
        for n in 0..MAX {
            let ending = Instant::from_millis(n as u64 + 1);
            let route = route(&format!("10.{n}.0.0/16"), Some("10.0.0.1"));
            routes.add(Route { valid_until: ending, ..route }).unwrap();
        }
        assert_eq!(routes.add(route("1.0.0.0/8", Some("10.0.0.1"))), Err(TableError::Full));
        assert_eq!(routes.add(route("1.0.0.0/8", Some("fe80::1"))), Err(TableError::Invalid));
        assert_eq!(routes.poll_at(), Some(Instant::from_millis(1)));
        assert!(routes.expire(Instant::from_millis(MAX as u64)));
        assert_eq!(routes.iter().count(), 0);
    }
}
