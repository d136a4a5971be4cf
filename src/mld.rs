//! Multicast listener discovery, the listener's side (RFC 3810, sections 5 and 6), sans I/O.
#![forbid(unsafe_code)]

use crate::{
    ndp::part_of,
    time::{Duration, Instant},
    wire::{
        ipv6::ALL_NODES,
        mld::{Query, Record},
    },
};
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use rand_core::RngCore;

/// Changes and answers that are kept; of more, the oldest go unsaid.
const MAX: usize = 128;
/// How often a change is reported: the robustness variable (RFC 3810, section 9.1).
const ROBUSTNESS: u8 = 2;
/// Time between these reports (RFC 3810, section 9.11).
const UNSOLICITED: Duration = Duration::from_secs(1);
/// How long a querier of version 1 is remembered (RFC 3810, section 9.12).
const VERSION_1: Duration = Duration::from_secs(2 * 125 + 10);

struct Change {
    group: Ipv6Addr,
    joined: bool,
    left: u8,
    next: Instant,
}

/// What is to be reported.
#[derive(Default)]
pub(crate) struct Mld {
    changes: Vec<Change>,
    /// Answers to queries about one group, and about all.
    answers: Vec<(Ipv6Addr, Instant)>,
    general: Option<Instant>,
    /// Until when reports are of version 1.
    version1: Option<Instant>,
}

/// RFC 3810, section 6: never of all nodes, nor of a scope below the link's.
fn is_reported(group: Ipv6Addr) -> bool {
    group != ALL_NODES && group.octets()[1] & 0xf >= 2
}

impl Mld {
    /// A group was joined or left; reported from `at` on.
    pub(crate) fn changed(&mut self, group: Ipv6Addr, joined: bool, at: Instant) {
        if !is_reported(group) {
            return;
        }
        self.changes.retain(|change| change.group != group);
        if self.changes.len() >= MAX {
            self.changes.remove(0);
        }
        self.changes.push(Change { group, joined, left: ROBUSTNESS, next: at });
    }

    /// RFC 3810, section 6.2: a query is answered after a random part of its delay.
    pub(crate) fn query(&mut self, query: &Query, now: Instant, random: &mut impl RngCore) {
        if query.version1 {
            self.version1 = Some(now + VERSION_1);
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
            None if room && is_reported(query.group) => {
                self.answers.push((query.group, at));
            }
            None => {}
        }
    }

    /// Records that are due, of the groups of which `joined` are ours; and whether they have to be
    /// of version 1.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        joined: impl Iterator<Item = Ipv6Addr> + Clone,
        random: &mut impl RngCore,
    ) -> (Vec<(Record, Ipv6Addr)>, bool) {
        let mut records = Vec::new();
        if self.poll_at().is_none_or(|at| at > now) {
            return (records, false);
        }
        for change in self.changes.iter_mut().filter(|change| change.next <= now) {
            let record = if change.joined { Record::ToExclude } else { Record::ToInclude };
            records.push((record, change.group));
            change.left -= 1;
            change.next = now + part_of(UNSOLICITED, random);
        }
        self.changes.retain(|change| change.left > 0);
        if self.general.take_if(|at| *at <= now).is_some() {
            let groups = joined.filter(|group| is_reported(*group));
            records.extend(groups.map(|group| (Record::IsExclude, group)));
            self.answers.clear();
        } else {
            let due = self.answers.extract_if(.., |(_, at)| *at <= now);
            let asked = due.map(|(group, _)| group);
            let ours = asked.filter(|group| joined.clone().any(|joined| joined == *group));
            records.extend(ours.map(|group| (Record::IsExclude, group)));
        }
        let version1 = self.version1.take_if(|until| *until > now);
        self.version1 = version1;
        (records, version1.is_some())
    }

    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let changes = self.changes.iter().map(|change| change.next);
        let answers = self.answers.iter().map(|(_, at)| *at);
        changes.chain(answers).chain(self.general).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const NOW: Instant = Instant::from_millis(1000);

    fn group(n: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, n)
    }

    fn random() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([5; 32])
    }

    #[test]
    fn a_change_is_reported_twice() {
        let (mut mld, mut random) = (Mld::default(), random());
        mld.changed(group(1), true, NOW);
        let mut reports = 0;
        while let Some(at) = mld.poll_at() {
            let (records, version1) = mld.poll(at, [group(1)].into_iter(), &mut random);
            assert_eq!((records, version1), (alloc::vec![(Record::ToExclude, group(1))], false));
            assert!(at - NOW <= UNSOLICITED);
            reports += 1;
        }
        assert_eq!(reports, 2);
        mld.changed(ALL_NODES, true, NOW);
        mld.changed("ff01::5".parse().unwrap(), true, NOW);
        assert_eq!(mld.poll_at(), None, "these are never reported");
    }

    #[test]
    fn queries_are_answered_within_their_delay() {
        let (mut mld, mut random) = (Mld::default(), random());
        let delay = Duration::from_secs(10);
        let joined = [ALL_NODES, group(1), group(2)];
        let all = Query { group: Ipv6Addr::UNSPECIFIED, delay, version1: false };
        mld.query(&all, NOW, &mut random);
        let at = mld.poll_at().unwrap();
        assert!(at <= NOW + delay);
        let (records, _) = mld.poll(at, joined.into_iter(), &mut random);
        let expected = [group(1), group(2)].map(|group| (Record::IsExclude, group));
        assert_eq!(records, expected);
        mld.query(&Query { group: group(2), ..all }, NOW, &mut random);
        mld.query(&Query { group: group(9), ..all }, NOW, &mut random);
        let (records, _) = mld.poll(NOW + delay, joined.into_iter(), &mut random);
        assert_eq!(records, [(Record::IsExclude, group(2))]);
    }

    #[test]
    fn a_querier_of_version_1_is_answered_in_its_language_for_a_while() {
        let (mut mld, mut random) = (Mld::default(), random());
        let delay = Duration::from_secs(1);
        let query = Query { group: Ipv6Addr::UNSPECIFIED, delay, version1: true };
        mld.query(&query, NOW, &mut random);
        assert!(mld.poll(NOW + delay, [group(1)].into_iter(), &mut random).1);
        mld.changed(group(1), false, NOW + VERSION_1);
        assert!(!mld.poll(NOW + VERSION_1, [].into_iter(), &mut random).1);
    }

    #[test]
    fn a_flood_of_queries_keeps_memory_flat() {
        let (mut mld, mut random) = (Mld::default(), random());
        for n in 0..10_000 {
            let query = Query { group: group(n), delay: UNSOLICITED, version1: false };
            mld.query(&query, NOW, &mut random);
            mld.changed(group(n), true, NOW);
        }
        assert!(mld.answers.len() <= MAX && mld.changes.len() <= MAX);
    }
}
