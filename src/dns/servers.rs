//! Which name servers there are, and which of them answer.

use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Most servers, over all sources.
const MAX: usize = 8;
/// How long a server that did not answer is asked last, doubled each time up to the second.
const BACK_OFF: Duration = Duration::from_secs(4);
const MAX_DOUBLINGS: u32 = 6;

/// Who told of a server. Those of the first are asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The service's arguments.
    Configured,
    /// A DHCP lease.
    Dhcp,
    /// A router's advertisement (RFC 8106).
    Advertised,
}

#[derive(Debug)]
struct Server {
    address: IpAddr,
    source: Source,
    expiry: Option<Instant>,
    silences: u32,
    /// Asked last until then.
    shunned: Instant,
}

/// The servers of a stack.
#[derive(Debug, Default)]
pub(crate) struct Servers(Vec<Server>);

impl Servers {
    /// Replaces all that `source` has told of.
    pub(crate) fn set(&mut self, source: Source, addresses: impl IntoIterator<Item = IpAddr>) {
        self.0.retain(|server| server.source != source);
        addresses.into_iter().for_each(|address| self.add(source, address, None));
    }

    /// Learns a server for a time (RFC 8106, section 5.1); no time at all forgets it.
    pub(crate) fn advertised(&mut self, address: IpAddr, expiry: Option<Instant>, now: Instant) {
        let source = Source::Advertised;
        self.0.retain(|server| {
            let is_old = server.expiry.is_some_and(|expiry| expiry <= now);
            !is_old && (server.source, server.address) != (source, address)
        });
        if expiry.is_none_or(|expiry| expiry > now) {
            self.add(source, address, expiry);
        }
    }

    fn add(&mut self, source: Source, address: IpAddr, expiry: Option<Instant>) {
        if self.0.len() < MAX && !self.0.iter().any(|server| server.address == address) {
            let at = self.0.partition_point(|server| server.source <= source);
            let (silences, shunned) = (0, Instant::ZERO);
            self.0.insert(at, Server { address, source, expiry, silences, shunned });
        }
    }

    /// The servers in the order in which they are to be asked.
    pub(crate) fn list(&self, now: Instant) -> Vec<IpAddr> {
        let alive = |server: &&Server| server.expiry.is_none_or(|expiry| expiry > now);
        let (shunned, well): (Vec<_>, Vec<_>) =
            self.0.iter().filter(alive).partition(|server| server.shunned > now);
        well.into_iter().chain(shunned).map(|server| server.address).collect()
    }

    /// A server answered, or did not in time.
    pub(crate) fn report(&mut self, address: IpAddr, answered: bool, now: Instant) {
        let Some(server) = self.0.iter_mut().find(|server| server.address == address) else {
            return;
        };
        if answered {
            (server.silences, server.shunned) = (0, Instant::ZERO);
        } else {
            server.shunned = now + BACK_OFF * (1 << server.silences);
            server.silences = (server.silences + 1).min(MAX_DOUBLINGS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    const NOW: Instant = Instant::from_millis(5_000);

    #[test]
    fn configured_servers_come_before_leased_and_advertised_ones() {
        let mut servers = Servers::default();
        servers.advertised(ip(3), None, NOW);
        servers.set(Source::Dhcp, [ip(2), ip(1)]);
        servers.set(Source::Configured, [ip(1)]);
        assert_eq!(servers.list(NOW), [ip(2), ip(1), ip(3)], "each is known once");
        servers.set(Source::Dhcp, [ip(4)]);
        servers.set(Source::Configured, [ip(1)]);
        assert_eq!(servers.list(NOW), [ip(1), ip(4), ip(3)]);
    }

    #[test]
    fn a_silent_server_is_asked_last_for_longer_and_longer() {
        let mut servers = Servers::default();
        servers.set(Source::Configured, [ip(1), ip(2)]);
        let mut now = NOW;
        for seconds in [4, 8, 16, 32, 64, 128, 256, 256] {
            servers.report(ip(1), false, now);
            assert_eq!(servers.list(now), [ip(2), ip(1)]);
            now += Duration::from_secs(seconds);
            assert_eq!(servers.list(now), [ip(1), ip(2)], "after {seconds} s");
        }
        servers.report(ip(1), false, now);
        servers.report(ip(1), true, now);
        assert_eq!(servers.list(now), [ip(1), ip(2)]);
    }

    #[test]
    fn an_advertised_server_goes_with_its_lifetime_or_when_it_is_withdrawn() {
        let mut servers = Servers::default();
        let later = NOW + Duration::from_secs(10);
        servers.advertised(ip(1), Some(later), NOW);
        servers.advertised(ip(2), None, NOW);
        assert_eq!(servers.list(NOW), [ip(1), ip(2)]);
        assert_eq!(servers.list(later), [ip(2)]);
        servers.advertised(ip(2), Some(NOW), NOW);
        assert_eq!(servers.list(NOW), [ip(1)]);
    }

    #[test]
    fn servers_are_bounded() {
        let mut servers = Servers::default();
        (0..=255).for_each(|n| servers.advertised(ip(n), None, NOW));
        assert_eq!(servers.list(NOW).len(), MAX);
    }
}
