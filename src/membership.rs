//! Telling routers which groups are ours: IGMP (RFC 3376; RFC 2236 for routers that know no more)
//! and multicast listener discovery (RFC 3810, sections 5 and 6), whose host's side is the same for
//! both, sans I/O.
#![forbid(unsafe_code)]

use crate::{
    ndp::part_of,
    time::{Duration, Instant},
    wire::{
        igmp::{ALL_HOSTS, Record},
        ipv6::ALL_NODES,
    },
};
use alloc::vec::Vec;
use core::net::IpAddr;
use rand_core::RngCore;

/// Changes and answers that are kept; of more, the oldest go unsaid.
const MAX: usize = 128;
/// How often a change is reported: the robustness variable (RFC 3376, section 8.1; RFC 3810,
/// section 9.1).
const ROBUSTNESS: u8 = 2;
/// Time between these reports (RFC 3376, section 8.11; RFC 3810, section 9.11).
const UNSOLICITED: Duration = Duration::from_secs(1);
/// How long a querier of the version before is remembered (RFC 3376, section 8.12; RFC 3810,
/// section 9.12).
const OLD_QUERIER: Duration = Duration::from_secs(2 * 125 + 10);

struct Change {
    group: IpAddr,
    joined: bool,
    left: u8,
    next: Instant,
}

/// A router's question.
#[derive(Clone, Copy)]
pub(crate) struct Query {
    /// The group that is asked about; unspecified for all.
    pub(crate) group: IpAddr,
    /// An answer is expected by then.
    pub(crate) delay: Duration,
    /// Whether the router knows the version before only: IGMPv2, MLDv1.
    pub(crate) old: bool,
}

/// What is to be reported of one family's groups.
#[derive(Default)]
pub(crate) struct Membership {
    changes: Vec<Change>,
    /// Answers to queries about one group, and about all.
    answers: Vec<(IpAddr, Instant)>,
    general: Option<Instant>,
    /// Until when reports are of the version before.
    old: Option<Instant>,
}

/// RFC 3376, section 6: never of all hosts. RFC 3810, section 6: never of all nodes, nor of a scope
/// below the link's.
fn is_reported(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group != ALL_HOSTS,
        IpAddr::V6(group) => group != ALL_NODES && group.octets()[1] & 0xf >= 2,
    }
}

impl Membership {
    /// A group was joined or left; reported from `at` on.
    pub(crate) fn changed(&mut self, group: IpAddr, joined: bool, at: Instant) {
        if !is_reported(group) {
            return;
        }
        self.changes.retain(|change| change.group != group);
        if self.changes.len() >= MAX {
            self.changes.remove(0);
        }
        self.changes.push(Change { group, joined, left: ROBUSTNESS, next: at });
    }

    /// RFC 3376, section 5.2, and RFC 3810, section 6.2: a query is answered after a random part of
    /// its delay.
    pub(crate) fn query(&mut self, query: &Query, now: Instant, random: &mut impl RngCore) {
        if query.old {
            self.old = Some(now + OLD_QUERIER);
        }
        let at = now + part_of(query.delay, random);
        if self.general.is_some_and(|general| general <= at) {
            return;
        }
        if query.group.is_unspecified() {
            self.general = Some(at);
            return;
        }
        let room = self.answers.len() < MAX;
        match self.answers.iter_mut().find(|(group, _)| *group == query.group) {
            Some((_, known)) => *known = at.min(*known),
            None if room && is_reported(query.group) => self.answers.push((query.group, at)),
            None => {}
        }
    }

    /// Another host reported `group` in version 2 of IGMP: its answer is enough where that is
    /// spoken (RFC 2236, section 3).
    pub(crate) fn reported(&mut self, group: IpAddr, now: Instant) {
        if self.is_old(now) {
            self.answers.retain(|(asked, _)| *asked != group);
        }
    }

    fn is_old(&self, now: Instant) -> bool {
        self.old.is_some_and(|until| now < until)
    }

    /// Records that are due, of the groups of which `joined` are ours; and whether they have to be
    /// said in the version before.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        joined: &[IpAddr],
        random: &mut impl RngCore,
    ) -> (Vec<(Record, IpAddr)>, bool) {
        let mut records = Vec::new();
        for change in self.changes.iter_mut().filter(|change| change.next <= now) {
            let record = if change.joined { Record::ToExclude } else { Record::ToInclude };
            records.push((record, change.group));
            change.left -= 1;
            change.next = now + part_of(UNSOLICITED, random);
        }
        self.changes.retain(|change| change.left > 0);
        let all = self.general.take_if(|at| *at <= now).is_some();
        let mut asked = |group: IpAddr| records.push((Record::IsExclude, group));
        if all {
            joined.iter().copied().filter(|group| is_reported(*group)).for_each(&mut asked);
            self.answers.clear();
        }
        self.answers.retain(|(group, at)| {
            let due = *at <= now;
            if due && joined.contains(group) {
                asked(*group);
            }
            !due
        });
        (records, self.is_old(now))
    }

    /// When [`Membership::poll`] has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let changes = self.changes.iter().map(|change| change.next);
        let answers = self.answers.iter().map(|(_, at)| *at);
        changes.chain(answers).chain(self.general).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv6Addr;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const NOW: Instant = Instant::from_millis(1000);

    fn group(n: u16) -> IpAddr {
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, n).into()
    }

    fn random() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([5; 32])
    }

    #[test]
    fn a_change_is_reported_twice() {
        let (mut groups, mut random) = (Membership::default(), random());
        groups.changed(group(1), true, NOW);
        let mut reports = 0;
        while let Some(at) = groups.poll_at() {
            let (records, old) = groups.poll(at, &[group(1)], &mut random);
            assert_eq!((records, old), (alloc::vec![(Record::ToExclude, group(1))], false));
            assert!(at - NOW <= UNSOLICITED);
            reports += 1;
        }
        assert_eq!(reports, 2);
        groups.changed(ALL_NODES.into(), true, NOW);
        groups.changed("ff01::5".parse().unwrap(), true, NOW);
        assert_eq!(groups.poll_at(), None, "these are never reported");
    }

    #[test]
    fn queries_are_answered_within_their_delay() {
        let (mut groups, mut random) = (Membership::default(), random());
        let delay = Duration::from_secs(10);
        let joined = [ALL_NODES.into(), group(1), group(2)];
        let all = Query { group: Ipv6Addr::UNSPECIFIED.into(), delay, old: false };
        groups.query(&all, NOW, &mut random);
        let at = groups.poll_at().unwrap();
        assert!(at <= NOW + delay);
        let (records, _) = groups.poll(at, &joined, &mut random);
        let expected = [group(1), group(2)].map(|group| (Record::IsExclude, group));
        assert_eq!(records, expected);
        groups.query(&Query { group: group(2), ..all }, NOW, &mut random);
        groups.query(&Query { group: group(9), ..all }, NOW, &mut random);
        let (records, _) = groups.poll(NOW + delay, &joined, &mut random);
        assert_eq!(records, [(Record::IsExclude, group(2))]);
    }

    #[test]
    fn a_querier_of_version_1_is_answered_in_its_language_for_a_while() {
        let (mut groups, mut random) = (Membership::default(), random());
        let delay = Duration::from_secs(1);
        let query = Query { group: Ipv6Addr::UNSPECIFIED.into(), delay, old: true };
        groups.query(&query, NOW, &mut random);
        assert!(groups.poll(NOW + delay, &[group(1)], &mut random).1);
        groups.changed(group(1), false, NOW + OLD_QUERIER);
        assert!(!groups.poll(NOW + OLD_QUERIER, &[], &mut random).1);
    }

    #[test]
    fn a_flood_of_queries_keeps_memory_flat() {
        let (mut groups, mut random) = (Membership::default(), random());
        for n in 0..10_000 {
            let query = Query { group: group(n), delay: UNSOLICITED, old: false };
            groups.query(&query, NOW, &mut random);
            groups.changed(group(n), true, NOW);
        }
        assert!(groups.answers.len() <= MAX && groups.changes.len() <= MAX);
    }
}
