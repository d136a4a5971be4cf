//! Extension headers (RFC 8200, section 4).

use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned, network_endian::U16, network_endian::U32,
};

/// Next header values.
pub mod next {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub const ROUTING: u8 = 43;
    /// Fragment.
    pub const FRAGMENT: u8 = 44;
    /// Nothing follows.
    pub const NONE: u8 = 59;
    /// Destination options.
    pub const DESTINATION: u8 = 60;
}

/// Most extension headers of a packet; more are an attack on whoever walks them.
pub const MAX_HEADERS: usize = 8;
/// Bytes that they may have together: what routers are expected to look into.
pub const MAX_LEN: usize = 512;
/// Bytes of a fragment header.
pub const FRAGMENT_LEN: usize = 8;

/// Options that are not known are refused by the two highest bits of their type.
mod action {
    pub(super) const SKIP: u8 = 0;
    pub(super) const DISCARD: u8 = 1;
    pub(super) const REPORT: u8 = 2;
}

const PAD1: u8 = 0;
const PADN: u8 = 1;
const ROUTER_ALERT: u8 = 5;

/// What a packet's sender is told (RFC 4443, section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The code of a parameter problem.
    pub code: u8,
    /// Where in the header it is.
    pub pointer: usize,
    /// Told also when the packet was sent to a group.
    pub to_groups: bool,
}

/// Why a packet with extension headers is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A header is longer than the packet.
    Short,
    /// An option that asks for it.
    Silently,
    /// The sender is told.
    Told(Problem),
}

/// Bytes of the extension header that starts with these, and what follows it.
pub fn length(bytes: &[u8]) -> Option<(usize, u8)> {
    let [next, len, ..] = *bytes else { return None };
    Some(((usize::from(len) + 1) * 8, next))
}

/// Walks the options of a hop-by-hop or destination options header.
///
/// # Errors
/// What the first option says that is not known and must not be skipped.
pub fn check_options(header: &[u8]) -> Result<(), Refused> {
    let mut at = 2;
    while at < header.len() {
        let kind = header[at];
        if kind == PAD1 {
            at += 1;
            continue;
        }
        let len = usize::from(*header.get(at + 1).ok_or(Refused::Short)?);
        if at + 2 + len > header.len() {
            return Err(Refused::Short);
        }
        let told = |to_groups| Refused::Told(Problem { code: 2, pointer: at, to_groups });
        match (kind, kind >> 6) {
            (PADN | ROUTER_ALERT, _) | (_, action::SKIP) => {}
            (_, action::DISCARD) => return Err(Refused::Silently),
            (_, action::REPORT) => return Err(told(true)),
            _ => return Err(told(false)),
        }
        at += 2 + len;
    }
    Ok(())
}

/// RFC 8200, section 4.4, and RFC 5095: no routing type is known, type 0 must not be; only one
/// whose way is at its end is passed over.
///
/// # Errors
/// A parameter problem that points at the type.
pub fn check_routing(header: &[u8]) -> Result<(), Refused> {
    match header.get(3) {
        Some(0) => Ok(()),
        Some(_) => Err(Refused::Told(Problem { code: 0, pointer: 2, to_groups: false })),
        None => Err(Refused::Short),
    }
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawFragment {
    next: u8,
    reserved: u8,
    offset: U16,
    ident: U32,
}

/// A fragment header (RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What the whole packet carries.
    pub next: u8,
    /// Bytes of the whole before this fragment.
    pub offset: usize,
    /// Whether further ones follow.
    pub more: bool,
    /// Identification.
    pub ident: u32,
}

impl Fragment {
    /// Reads a header.
    pub fn parse(bytes: &[u8]) -> Option<Fragment> {
        let (raw, _) = RawFragment::ref_from_prefix(bytes).ok()?;
        let offset = raw.offset.get();
        Some(Fragment {
            next: raw.next,
            offset: usize::from(offset & !7),
            more: offset & 1 != 0,
            ident: raw.ident.get(),
        })
    }

    /// Whether it is all of its packet (RFC 6946).
    pub fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// Finds the transport header in the start of a packet behind its IPv6 header, as an ICMP error
/// quotes it: the protocol and where it starts.
pub fn transport(mut next: u8, bytes: &[u8]) -> Option<(u8, usize)> {
    let mut at = 0;
    for _ in 0..=MAX_HEADERS {
        let len = match next {
            next::HOP_BY_HOP | next::ROUTING | next::DESTINATION => length(bytes.get(at..)?)?.0,
            next::FRAGMENT => {
                let fragment = Fragment::parse(bytes.get(at..)?)?;
                if fragment.offset > 0 {
                    return None;
                }
                FRAGMENT_LEN
            }
            protocol => return Some((protocol, at)),
        };
        next = *bytes.get(at)?;
        at += len;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_options_are_treated_by_their_action_bits() {
        let header = |kind| [59, 0, 1, 0, kind, 2, 0, 0];
        let told = |to_groups| Refused::Told(Problem { code: 2, pointer: 4, to_groups });
        assert_eq!(check_options(&header(0x1e)), Ok(()));
        assert_eq!(check_options(&header(0x5e)), Err(Refused::Silently));
        assert_eq!(check_options(&header(0x9e)), Err(told(true)));
        assert_eq!(check_options(&header(0xde)), Err(told(false)));
        assert_eq!(check_options(&[59, 0, 0, 0, 5, 2, 0, 0]), Ok(()));
        assert_eq!(check_options(&[59, 0, 1, 9, 0, 0, 0, 0]), Err(Refused::Short));
        assert_eq!(check_options(&[59, 0, 0, 0, 0, 0, 0, 1]), Err(Refused::Short));
    }

    #[test]
    fn routing_headers_with_segments_left_are_refused() {
        assert_eq!(check_routing(&[59, 0, 0, 0, 0, 0, 0, 0]), Ok(()));
        let told = Problem { code: 0, pointer: 2, to_groups: false };
        assert_eq!(check_routing(&[59, 0, 0, 1, 0, 0, 0, 0]), Err(Refused::Told(told)));
        assert_eq!(check_routing(&[59, 0, 4, 1, 0, 0, 0, 0]), Err(Refused::Told(told)));
    }

    #[test]
    fn the_transport_of_a_quote_is_found_behind_its_headers() {
        let quote = [60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0, 1, 2];
        assert_eq!(transport(0, &quote), Some((6, 16)));
        assert_eq!(transport(6, &quote), Some((6, 0)));
        assert_eq!(transport(44, &[17, 0, 0, 9, 0, 0, 0, 0]), None);
        assert_eq!(transport(0, &[0, 0]), None);
        assert_eq!(transport(0, &[0; 200]), None);
    }
}
