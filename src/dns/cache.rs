//! What was found out before (RFC 1035, section 7.4; RFC 2308, section 5).

use super::{Answer, Name, Type};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Most answers; the one that ends first makes room.
const MAX: usize = 128;
/// RFC 8767, section 4: the longest time for an answer.
const MAX_TTL: Duration = Duration::from_secs(7 * 86400);
/// RFC 2308, section 5: for one that says that there is nothing, one to three hours.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(3600);

/// Answers until they end.
#[derive(Debug, Default)]
pub struct Cache(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    name: Name,
    kind: Type,
    answer: Answer,
    until: Instant,
}

impl Cache {
    /// What is known about `kind` of `name`.
    pub fn get(&self, name: &Name, kind: Type, now: Instant) -> Option<&Answer> {
        let entry = &self.0[self.position(name, kind)?];
        (entry.until > now).then_some(&entry.answer)
    }

    /// Keeps an answer as long as it says.
    pub fn put(&mut self, name: Name, kind: Type, answer: Answer, now: Instant) {
        let ttl = match &answer {
            Answer::Records(_, ttl) | Answer::Alias(_, ttl) => (*ttl).min(MAX_TTL),
            Answer::NoData(ttl) | Answer::NoName(ttl) => (*ttl).min(MAX_NEGATIVE_TTL),
        };
        // RFC 1035, section 3.2.1: zero is for the transaction in progress alone.
        if ttl.is_zero() {
            return;
        }
        let known = self.position(&name, kind);
        let entry = Entry { name, kind, answer, until: now + ttl };
        let ends_first = || (0..self.0.len()).min_by_key(|at| self.0[*at].until);
        match known.or_else(|| ends_first().filter(|_| self.0.len() >= MAX)) {
            Some(at) => self.0[at] = entry,
            None => self.0.push(entry),
        }
    }

    fn position(&self, name: &Name, kind: Type) -> Option<usize> {
        self.0.iter().position(|entry| entry.kind == kind && entry.name == *name)
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
