//! Path MTUs that ICMP errors told of (RFC 1191, RFC 8201).
//!
//! Only an error about a packet that we sent gets here. It can lower the MTU of a path, never below
//! what every path must carry, and never raise it: what is known ages, and larger packets are
//! tried again.

use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Paths that are remembered.
const MAX: usize = 256;
/// RFC 1191, section 6.3 and RFC 8201, section 5.3: at least 5 minutes, 10 recommended.
const AGE: Duration = Duration::from_secs(600);
/// RFC 8200, section 5: every link carries this.
pub(crate) const MIN_V6: u16 = 1280;
/// Below this, packets are not made smaller but fragmented on the way: a forged message cannot make
/// a peer send crumbs.
pub(crate) const MIN_V4: u16 = 552;
/// RFC 791: every link carries this; RFC 1191, section 3: an MTU below is none.
const LEAST_V4: u16 = 68;

struct Entry {
    remote: IpAddr,
    mtu: u16,
    /// Routers may fragment what is still too big.
    crumbs: bool,
    until: Instant,
}

/// The paths whose MTU is smaller than the link's.
#[derive(Default)]
pub(crate) struct PathMtus {
    /// In the order of their addresses.
    paths: Vec<Entry>,
}

impl PathMtus {
    /// Whether no path is known to be narrower than the link; the usual case.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The MTU of the path to `remote`, at most the link's.
    pub(crate) fn get(&self, remote: IpAddr, link: u16, now: Instant) -> u16 {
        self.entry(remote, now).map_or(link, |entry| entry.mtu.min(link))
    }

    /// Whether packets to `remote` must be sent without DF, because a router carries less than what
    /// we make packets smaller for.
    pub(crate) fn may_fragment(&self, remote: IpAddr, now: Instant) -> bool {
        self.entry(remote, now).is_some_and(|entry| entry.crumbs)
    }

    fn entry(&self, remote: IpAddr, now: Instant) -> Option<&Entry> {
        let at = self.position(remote).ok()?;
        self.paths.get(at).filter(|entry| now < entry.until)
    }

    fn position(&self, remote: IpAddr) -> Result<usize, usize> {
        self.paths.binary_search_by_key(&remote, |entry| entry.remote)
    }

    /// A router could not forward a packet of `sent` bytes and named `mtu`, or 0; whether that
    /// changed anything.
    pub(crate) fn learn(
        &mut self,
        remote: IpAddr,
        mtu: u16,
        sent: usize,
        link: u16,
        now: Instant,
    ) -> bool {
        let known = self.get(remote, link, now);
        let mtu = match (remote, mtu) {
            // RFC 8201, section 4: less than the minimum is discarded.
            (IpAddr::V6(_), ..MIN_V6) => return false,
            // RFC 1191, section 5: a router that names no MTU.
            (IpAddr::V4(_), 0) => lower_plateau(sent.min(known.into())),
            (IpAddr::V4(_), ..LEAST_V4) => return false,
            (_, mtu) => mtu,
        };
        let least = if remote.is_ipv4() { MIN_V4 } else { MIN_V6 };
        let crumbs = mtu < least;
        if mtu >= known || (crumbs && known <= least && self.may_fragment(remote, now)) {
            return false;
        }
        let entry = Entry { remote, mtu: mtu.max(least).min(known), crumbs, until: now + AGE };
        if self.paths.len() >= MAX && self.position(remote).is_err() {
            self.evict();
        }
        match self.position(remote) {
            Ok(at) => self.paths[at] = entry,
            Err(at) => self.paths.insert(at, entry),
        }
        true
    }

    /// Forgets the path that ends first.
    fn evict(&mut self) {
        let oldest = (0..self.paths.len()).min_by_key(|at| self.paths[*at].until);
        if let Some(at) = oldest {
            self.paths.remove(at);
        }
    }

    /// Forgets what is old; whether anything was.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let before = self.paths.len();
        self.paths.retain(|entry| now < entry.until);
        self.paths.len() < before
    }

    /// When [`PathMtus::poll`] has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.paths.iter().map(|entry| entry.until).min()
    }
}

/// RFC 1191, section 7.1: the largest common MTU below `len`.
pub(crate) fn lower_plateau(len: usize) -> u16 {
    let plateaus = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296];
    plateaus.into_iter().find(|&p| usize::from(p) < len).unwrap_or(LEAST_V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: u16 = 1500;
    const NOW: Instant = Instant::from_millis(1000);

    fn v4() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    fn v6() -> IpAddr {
        "2001:db8::1".parse().unwrap()
    }

    #[test]
    fn path_is_lowered_never_raised_and_ages() {
        let mut paths = PathMtus::default();
        assert!(paths.learn(v4(), 1400, 1500, LINK, NOW));
        assert!(!paths.learn(v4(), 1450, 1500, LINK, NOW));
        assert!(!paths.learn(v4(), 9000, 1500, LINK, NOW));
        assert_eq!(paths.get(v4(), LINK, NOW), 1400);
        assert!(paths.learn(v4(), 1000, 1400, LINK, NOW));
        let later = NOW + AGE;
        assert_eq!(paths.poll_at(), Some(later));
        assert_eq!(paths.get(v4(), LINK, later), LINK);
        assert!(paths.poll(later) && paths.is_empty());
    }

    #[test]
    fn forged_message_cannot_go_below_the_minimum() {
        let mut paths = PathMtus::default();
        for mtu in [0, 1, 68, 1279] {
            assert!(!paths.learn(v6(), mtu, 1500, LINK, NOW), "{mtu}");
        }
        assert!(paths.learn(v6(), 1280, 1500, LINK, NOW));
        assert!(!paths.learn(v4(), 67, 1500, LINK, NOW));
        assert!(paths.learn(v4(), 68, 1500, LINK, NOW));
        assert_eq!(paths.get(v4(), LINK, NOW), MIN_V4);
        assert!(paths.may_fragment(v4(), NOW));
        assert!(!paths.learn(v4(), 68, 552, LINK, NOW));
    }

    #[test]
    fn router_that_names_no_mtu_means_the_next_plateau() {
        let mut paths = PathMtus::default();
        assert!(paths.learn(v4(), 0, 1500, LINK, NOW));
        assert_eq!(paths.get(v4(), LINK, NOW), 1492);
        assert!(paths.learn(v4(), 0, 1492, LINK, NOW));
        assert_eq!(paths.get(v4(), LINK, NOW), 1006);
    }

    #[test]
    fn paths_are_bounded() {
        let mut paths = PathMtus::default();
        for i in 0..10_000_u32 {
            let remote = IpAddr::V4(core::net::Ipv4Addr::from_bits(0x0a00_0000 + i));
            paths.learn(remote, 1000, 1500, LINK, NOW);
        }
        assert_eq!(paths.paths.len(), MAX);
    }
}
