//! Choice of a source address (RFC 6724, section 5).

use super::{Address, AddressState, Origin};
use core::net::{IpAddr, Ipv6Addr};

/// The scopes of RFC 4291, section 2.7, and their like for unicast.
const LINK_LOCAL: u8 = 2;
const SITE_LOCAL: u8 = 5;
const GLOBAL: u8 = 14;

/// RFC 6724, section 3.1.
pub(crate) fn scope(address: Ipv6Addr) -> u8 {
    let [first, second, ..] = address.octets();
    match first {
        0xff => second & 0xf,
        0xfe if second & 0xc0 == 0x80 => LINK_LOCAL,
        0xfe if second & 0xc0 == 0xc0 => SITE_LOCAL,
        _ if address.is_loopback() => LINK_LOCAL,
        _ => GLOBAL,
    }
}

/// RFC 6724, section 2.1: prefix, its length, precedence and label.
const POLICY: [(u128, u32, u8, u8); 9] = [
    (1, 128, 50, 0),
    (0xffff << 32, 96, 35, 4),
    (0, 96, 1, 3),
    (0x2001 << 112, 32, 5, 5),
    (0x2002 << 112, 16, 30, 2),
    (0x3ffe << 112, 16, 1, 12),
    (0xfec0 << 112, 10, 1, 11),
    (0xfc00 << 112, 7, 3, 13),
    (0, 0, 40, 1),
];

/// Precedence and label of an address.
pub(crate) fn policy(address: Ipv6Addr) -> (u8, u8) {
    let fits = |prefix: u128, len: u32| {
        (address.to_bits() ^ prefix).checked_shr(128 - len).unwrap_or(0) == 0
    };
    let best = POLICY.into_iter().filter(|&(prefix, len, ..)| fits(prefix, len));
    best.max_by_key(|&(_, len, ..)| len)
        .map_or((40, 1), |(.., precedence, label)| (precedence, label))
}

/// Bits that two addresses have in common at their front.
fn common(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (a.to_bits() ^ b.to_bits()).leading_zeros()
}

/// The source for packets to `remote`, of those that are not tentative.
pub(crate) fn source6<'a>(
    addresses: impl Iterator<Item = &'a Address>,
    remote: Ipv6Addr,
) -> Option<Ipv6Addr> {
    let candidates = addresses.filter(|a| a.state != AddressState::Tentative);
    let candidates = candidates.filter_map(|a| match a.cidr.address {
        IpAddr::V6(address) => Some((a, address)),
        IpAddr::V4(_) => None,
    });
    let (wanted, label) = (scope(remote), policy(remote).1);
    let rank = |a: &Address, source: Ipv6Addr| {
        let own = scope(source);
        (
            // Rule 1: the same address.
            source == remote,
            // Rule 2: the smallest scope that reaches, or else the largest.
            if own >= wanted { (1, u8::MAX - own) } else { (0, own) },
            // Rule 3: no deprecated one.
            a.state == AddressState::Preferred,
            // Rule 6: the same label.
            policy(source).1 == label,
            // Rule 7: temporary ones.
            a.origin == Origin::Temporary,
            // Rule 8: the longest common prefix, within the source's own.
            common(source, remote).min(a.cidr.prefix.into()),
        )
    };
    let mut best = None;
    for (address, source) in candidates {
        let rank = rank(address, source);
        if best.is_none_or(|(best, _)| rank > best) {
            best = Some((rank, source));
        }
    }
    best.map(|(_, source)| source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::Origin;

    fn address(cidr: &str) -> Address {
        Address::new(cidr.parse().unwrap(), Origin::Static)
    }

    fn source(own: &[Address], remote: &str) -> Ipv6Addr {
        source6(own.iter(), remote.parse().unwrap()).unwrap()
    }

    fn is(found: Ipv6Addr, expected: &str) {
        assert_eq!(found, expected.parse::<Ipv6Addr>().unwrap());
    }

    /// The examples of RFC 6724, section 10.1.
    #[test]
    fn the_rules_of_rfc_6724_hold_in_their_order() {
        let both = [address("2001:db8:1::1/64"), address("fe80::1/64")];
        is(source(&both, "2001:db8:3::1"), "2001:db8:1::1");
        is(source(&both, "ff05::1"), "2001:db8:1::1");
        is(source(&both, "fe80::2"), "fe80::1");
        let old = AddressState::Deprecated;
        let deprecated = [Address { state: old, ..both[0] }, address("fe80::1/64")];
        is(source(&deprecated, "2001:db8:3::1"), "2001:db8:1::1");
        let same = [address("2001:db8:1::1/64"), address("2001:db8:1::2/64")];
        is(source(&same, "2001:db8:1::2"), "2001:db8:1::2");
        let prefixes = [address("2001:db8:1::2/64"), address("2001:db8:3::2/64")];
        is(source(&prefixes, "2001:db8:3::1"), "2001:db8:3::2");
        let label = [address("2002:c633:6401::2/64"), address("2001:db8:1::2/64")];
        is(source(&label, "2002:c633:6401::1"), "2002:c633:6401::2");
        let temporary = Address { origin: Origin::Temporary, ..address("2001:db8:1::d5e3/64") };
        is(source(&[address("2001:db8:1::2/64"), temporary], "2001:db8:3::1"), "2001:db8:1::d5e3");
    }

    #[test]
    fn a_tentative_address_is_no_source() {
        let new = Address { state: AddressState::Tentative, ..address("fe80::1/64") };
        assert_eq!(source6([new].iter(), "fe80::2".parse().unwrap()), None);
    }
}
