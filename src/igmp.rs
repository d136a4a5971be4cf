//! Internet Group Management Protocol, the host's side (RFC 3376; RFC 2236 for routers that know
//! no more), sans I/O.
#![forbid(unsafe_code)]

use crate::{
    ndp::part_of,
    time::{Duration, Instant},
    wire::igmp::{ALL_HOSTS, Message, Record},
};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use rand_core::RngCore;

/// Changes and answers that are kept; of more, the oldest go unsaid.
const MAX: usize = 128;
/// How often a change is reported: the robustness variable (RFC 3376, section 8.1).
const ROBUSTNESS: u8 = 2;
/// Time between these reports (RFC 3376, section 8.11).
const UNSOLICITED: Duration = Duration::from_secs(1);
/// How long a router of version 2 is remembered (RFC 3376, section 8.12).
const VERSION_2: Duration = Duration::from_secs(2 * 125 + 10);

struct Change {
    group: Ipv4Addr,
    joined: bool,
    left: u8,
    next: Instant,
}

/// What is to be reported.
#[derive(Default)]
pub(crate) struct Igmp {
    changes: Vec<Change>,
    /// Answers to queries about one group.
    answers: Vec<(Ipv4Addr, Instant)>,
    /// The answer to a query about all.
    general: Option<Instant>,
    /// Until when messages are of version 2.
    version2: Option<Instant>,
}

impl Igmp {
    /// A group was joined or left.
    pub(crate) fn changed(&mut self, group: Ipv4Addr, joined: bool, now: Instant) {
        // RFC 3376, section 6: never of all hosts.
        if group == ALL_HOSTS {
            return;
        }
        self.changes.retain(|change| change.group != group);
        if self.changes.len() >= MAX {
            self.changes.remove(0);
        }
        self.changes.push(Change { group, joined, left: ROBUSTNESS, next: now });
    }

    /// Takes a router's query or another host's report.
    pub(crate) fn receive(&mut self, message: &Message, now: Instant, random: &mut impl RngCore) {
        match *message {
            Message::Query { group, delay, version2 } => {
                if version2 {
                    self.version2 = Some(now + VERSION_2);
                }
                self.query(group, now + part_of(delay, random));
            }
            // RFC 2236, section 3: one host's answer is enough.
            Message::Report { group } if self.version2.is_some_and(|until| now < until) => {
                self.answers.retain(|(asked, _)| *asked != group);
            }
            Message::Report { .. } => {}
        }
    }

    /// RFC 3376, section 5.2.
    fn query(&mut self, group: Ipv4Addr, at: Instant) {
        if self.general.is_some_and(|general| general <= at) {
            return;
        }
        if group.is_unspecified() {
            self.general = Some(at);
            return;
        }
        let room = group != ALL_HOSTS && self.answers.len() < MAX;
        match self.answers.iter_mut().find(|(asked, _)| *asked == group) {
            Some((_, known)) => *known = at.min(*known),
            None if room => self.answers.push((group, at)),
            None => {}
        }
    }

    /// Records that are due, of the groups of which `joined` are ours; and whether they have to be
    /// said in version 2.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        joined: impl Iterator<Item = Ipv4Addr> + Clone,
        random: &mut impl RngCore,
    ) -> (Vec<(Record, Ipv4Addr)>, bool) {
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
            let groups = joined.filter(|group| *group != ALL_HOSTS);
            records.extend(groups.map(|group| (Record::IsExclude, group)));
            self.answers.clear();
        } else {
            let due = self.answers.extract_if(.., |(_, at)| *at <= now);
            let ours = due.filter(|(asked, _)| joined.clone().any(|group| group == *asked));
            records.extend(ours.map(|(group, _)| (Record::IsExclude, group)));
        }
        (records, self.version2.is_some_and(|until| now < until))
    }

    /// When [`Igmp::poll`] has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        let changes = self.changes.iter().map(|change| change.next);
        let answers = self.answers.iter().map(|(_, at)| *at);
        changes.chain(answers).chain(self.general).min()
    }
}
