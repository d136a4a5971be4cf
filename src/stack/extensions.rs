//! Extension headers of received IPv6 packets (RFC 8200, section 4).

use super::{Stack, ipv6::Packet};
use crate::{
    frame::{Chain, RxCsum},
    ip::reassembly,
    time::Instant,
    wire::{
        icmpv6::code,
        ipv6::{
            HEADER_LEN,
            extension::{self, Fragment, MAX_HEADERS, MAX_LEN, Problem, Refused, next},
        },
    },
};

/// How far a packet's headers were walked.
pub(super) struct Walk {
    /// What follows.
    pub(super) next: u8,
    /// Where that was said: for a parameter problem.
    pointer: usize,
    /// Where it starts.
    at: usize,
}

impl Walk {
    /// Section 4: what follows is not known.
    pub(super) fn unknown(&self) -> Problem {
        Problem { code: code::NEXT_HEADER, pointer: self.pointer, to_groups: false }
    }
}

impl Stack {
    /// Walks the extension headers, which are cut off; `None` when nothing is left to be taken.
    pub(super) fn walk(
        &mut self,
        now: Instant,
        about: &mut Packet<'_>,
        packet: &mut Chain,
    ) -> Result<Option<Walk>, Problem> {
        let mut walk = Walk { next: about.header.next_header, pointer: 6, at: HEADER_LEN };
        for count in 0..=MAX_HEADERS {
            let passed = match walk.next {
                // Section 4.1: first, or nowhere.
                next::HOP_BY_HOP if count > 0 => Err(Refused::Told(walk.unknown())),
                next::HOP_BY_HOP | next::DESTINATION | next::ROUTING => self.options(&walk, packet),
                next::FRAGMENT => match self.fragment6(now, &walk, about, packet) {
                    Ok(None) => return Ok(None),
                    Ok(Some(next)) => Ok((extension::FRAGMENT_LEN, next)),
                    Err(refused) => Err(refused),
                },
                // Section 4.7.
                next::NONE => return Ok(None),
                _ => return Ok(Some(walk)),
            };
            match passed {
                Ok((len, next)) if walk.at + len <= HEADER_LEN + MAX_LEN => {
                    walk = Walk { next, pointer: walk.at, at: walk.at + len };
                }
                Err(Refused::Told(problem)) => {
                    self.stats.dropped_ip_extension += 1;
                    return Err(problem);
                }
                _ => break,
            }
        }
        self.stats.dropped_ip_extension += 1;
        Ok(None)
    }

    /// A header of options, or of routing: its length and what follows it.
    fn options(&self, walk: &Walk, packet: &mut Chain) -> Result<(usize, u8), Refused> {
        packet.pull_up(2, &self.ip.pool);
        let (len, next) = extension::length(packet.first()).ok_or(Refused::Short)?;
        if len > MAX_LEN || !packet.pull_up(len, &self.ip.pool) {
            return Err(Refused::Short);
        }
        let bytes = &packet.first()[..len];
        let checked = match walk.next {
            next::ROUTING => extension::check_routing(bytes),
            _ => extension::check_options(bytes),
        };
        checked.map_err(|refused| match refused {
            Refused::Told(problem) => {
                Refused::Told(Problem { pointer: walk.at + problem.pointer, ..problem })
            }
            refused => refused,
        })?;
        packet.advance(len);
        Ok((len, next))
    }

    /// Section 4.5: what the whole packet carries, when this fragment completes it.
    fn fragment6(
        &mut self,
        now: Instant,
        walk: &Walk,
        about: &mut Packet<'_>,
        packet: &mut Chain,
    ) -> Result<Option<u8>, Refused> {
        self.stir();
        packet.pull_up(extension::FRAGMENT_LEN, &self.ip.pool);
        let header = Fragment::parse(packet.first()).ok_or(Refused::Short)?;
        packet.advance(extension::FRAGMENT_LEN);
        about.fragmented = true;
        // RFC 6946: on its own, whatever fragments of the same identification do.
        if header.is_atomic() {
            return Ok(Some(header.next));
        }
        // RFC 7112, section 5: the first fragment has all headers.
        let bytes = packet.first();
        let found = extension::transport(header.next, bytes);
        if header.offset == 0 && found.is_none_or(|(_, at)| at >= bytes.len()) {
            return Err(Refused::Silently);
        }
        let (local, remote) = (about.incoming.local, about.incoming.remote);
        let fragment = reassembly::Fragment {
            key: reassembly::Key { local, remote, ident: header.ident, protocol: 0 },
            protocol: header.next,
            offset: header.offset,
            more: header.more,
            most: usize::from(u16::MAX) - (walk.at - HEADER_LEN),
            ecn: about.incoming.ecn,
        };
        let start = about.quote.clone();
        match self.reassembly.add(now, &fragment, start, packet, &self.ip.pool) {
            reassembly::Verdict::Done => Ok(None),
            reassembly::Verdict::Complete(whole) => {
                about.incoming.ecn = whole.ecn;
                (about.incoming.csum, about.incoming.gso) = (RxCsum::Unknown, None);
                about.quote = whole.start;
                Ok(Some(whole.protocol))
            }
            // At the payload length.
            reassembly::Verdict::BadLength => Err(field(4)),
            // At the fragment's offset.
            reassembly::Verdict::TooLong => Err(field(walk.at + 2)),
        }
    }
}

fn field(pointer: usize) -> Refused {
    Refused::Told(Problem { code: code::FIELD, pointer, to_groups: false })
}
