//! What a response says about a question (RFC 1034, section 4.3; RFC 2308).

use super::{
    Name, Type,
    message::{HEADER_LEN, Header, IN, Question},
};
use crate::time::Duration;
use alloc::vec::Vec;
use core::net::IpAddr;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

/// Records of a section that are looked at, aliases that are followed in one response, and values
/// that are kept.
const MAX_RECORDS: usize = 64;
const MAX_ALIASES: usize = 8;
const MAX_VALUES: usize = 16;
const CNAME: u16 = 5;
const SOA: u16 = 6;

/// A value of the type that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An address, for [`Type::A`] and [`Type::Aaaa`].
    Address(IpAddr),
    /// A name, for [`Type::Ptr`].
    Name(Name),
}

/// A response's verdict, and how long it may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The values.
    Records(Vec<Record>, Duration),
    /// The name is another one's alias, and the response tells no more: ask for that.
    Alias(Name, Duration),
    /// The name exists, but has nothing of this type.
    NoData(Duration),
    /// The name does not exist.
    NoName(Duration),
}

/// What a message is that came in return for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// No response to this question: not ours, or a forger's. To be ignored.
    Foreign,
    /// As it should be, but for the case of the name.
    WrongCase,
    /// Cut off: to be asked again by TCP.
    Truncated,
    /// The server cannot tell: to be asked elsewhere.
    Failed,
    /// The server does not know EDNS: to be asked again without it (RFC 6891, section 7).
    NotExtended,
    /// An answer.
    Answer(Answer),
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Fields {
    kind: U16,
    class: U16,
    ttl: U32,
    len: U16,
}

/// A record of a message.
struct Raw {
    owner: usize,
    kind: u16,
    class: u16,
    ttl: Duration,
    /// Where its value lies.
    at: usize,
    len: usize,
}

/// The records of a section from `*at` on; ends early at a malformed one.
fn records<'a>(message: &'a [u8], at: &'a mut usize, count: u16) -> impl Iterator<Item = Raw> + 'a {
    (0..count).map_while(move |_| {
        let owner = *at;
        let fields = Name::skip(message, owner)?;
        let (raw, _) = Fields::ref_from_prefix(message.get(fields..)?).ok()?;
        let (start, len) = (fields + size_of::<Fields>(), usize::from(raw.len.get()));
        message.get(start..start + len)?;
        *at = start + len;
        // RFC 2181, section 8: a lifetime with the highest bit set is none.
        let ttl = i32::try_from(raw.ttl.get()).unwrap_or(0);
        let ttl = Duration::from_secs(ttl.unsigned_abs().into());
        Some(Raw { owner, kind: raw.kind.get(), class: raw.class.get(), ttl, at: start, len })
    })
}

impl Raw {
    fn is(&self, message: &[u8], owner: &Name, kind: u16) -> bool {
        (self.class, self.kind) == (IN, kind)
            && Name::read(message, self.owner).is_some_and(|(name, _)| name == *owner)
    }

    fn name(&self, message: &[u8]) -> Option<Name> {
        let (name, end) = Name::read(message, self.at)?;
        (end == self.at + self.len).then_some(name)
    }

    fn value(&self, message: &[u8], kind: Type) -> Option<Record> {
        let bytes = &message[self.at..self.at + self.len];
        Some(match kind {
            Type::A => Record::Address(<[u8; 4]>::try_from(bytes).ok()?.into()),
            Type::Aaaa => Record::Address(<[u8; 16]>::try_from(bytes).ok()?.into()),
            Type::Ptr => Record::Name(self.name(message)?),
        })
    }
}

impl Response {
    /// Reads what came in return for `question`, which asked for `kind` of `name`.
    pub(super) fn read(message: &[u8], question: &Question, name: &Name, kind: Type) -> Response {
        let Ok((header, rest)) = Header::ref_from_prefix(message) else {
            return Response::Foreign;
        };
        let flags = header.flags.get();
        // RFC 5452, section 9.1: everything that can be compared.
        if flags & (Header::RESPONSE | Header::OPCODE) != Header::RESPONSE
            || header.id.as_bytes() != question.id()
        {
            return Response::Foreign;
        }
        let rcode = flags & Header::RCODE;
        if header.questions.get() == 0 && rcode == 1 {
            // A server of old that does not even repeat what it cannot read.
            return Response::NotExtended;
        }
        let asked = question.section();
        match rest.get(..asked.len()).filter(|_| header.questions.get() == 1) {
            Some(repeated) if repeated == asked => {}
            Some(repeated) if repeated.eq_ignore_ascii_case(asked) => return Response::WrongCase,
            _ => return Response::Foreign,
        }
        if flags & Header::TRUNCATED != 0 {
            return Response::Truncated;
        }
        let exists = match rcode {
            0 => true,
            3 => false,
            1 => return Response::NotExtended,
            _ => return Response::Failed,
        };
        let mut at = HEADER_LEN + asked.len();
        let (answers, authorities) = (header.answers.get(), header.authorities.get());
        let list: Vec<Raw> = records(message, &mut at, answers).take(MAX_RECORDS).collect();
        if let Some(answer) = follow(message, &list, name, kind, exists) {
            return Response::Answer(answer);
        }
        // A response whose answers cannot all be read may tell less than the server knows.
        if list.len() < usize::from(answers).min(MAX_RECORDS) {
            return Response::Failed;
        }
        let ttl = negative_ttl(message, &mut at, authorities);
        Response::Answer(if exists { Answer::NoData(ttl) } else { Answer::NoName(ttl) })
    }
}

/// Goes from alias to alias to the values (RFC 1034, section 3.6.2), in whatever order they stand.
fn follow(message: &[u8], list: &[Raw], name: &Name, kind: Type, exists: bool) -> Option<Answer> {
    let (mut owner, mut ttl, mut aliases) = (name.clone(), Duration::MAX, 0);
    loop {
        let mut values = Vec::new();
        let mut least = ttl;
        for raw in list.iter().filter(|raw| raw.is(message, &owner, kind as u16)) {
            if let Some(value) = raw.value(message, kind).filter(|_| values.len() < MAX_VALUES) {
                least = least.min(raw.ttl);
                values.push(value);
            }
        }
        if !values.is_empty() {
            return Some(Answer::Records(values, least));
        }
        let alias = list.iter().find(|raw| raw.is(message, &owner, CNAME));
        let target = alias.and_then(|raw| Some((raw.name(message)?, raw.ttl)));
        match target.filter(|_| aliases < MAX_ALIASES) {
            Some((next, alias_ttl)) => {
                (owner, ttl, aliases) = (next, ttl.min(alias_ttl), aliases + 1);
            }
            // RFC 2308, section 2.1: with NXDOMAIN it is the last alias that does not exist.
            None if aliases == 0 || !exists => return None,
            None => return Some(Answer::Alias(owner, ttl)),
        }
    }
}

/// How long it may be remembered that something does not exist (RFC 2308, section 5): the SOA's
/// own lifetime or its last field, whichever is less; not at all without one.
fn negative_ttl(message: &[u8], at: &mut usize, authorities: u16) -> Duration {
    let soa = records(message, at, authorities).take(MAX_RECORDS).find(|raw| raw.kind == SOA);
    let ttl = soa.and_then(|raw| {
        let minimum = message[raw.at..raw.at + raw.len].last_chunk()?;
        Some(raw.ttl.min(Duration::from_secs(u32::from_be_bytes(*minimum).into())))
    });
    ttl.unwrap_or_default()
}
