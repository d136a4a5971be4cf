//! Which of several addresses of a peer to try first (RFC 6724, section 6).

use super::select::{policy, scope};
use core::net::{IpAddr, Ipv6Addr};

/// Precedence, label and scope of an address of either family (section 3.1 and 3.2).
fn rank(address: IpAddr) -> (u8, u8, u8) {
    let mapped = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let scope = match address {
        IpAddr::V4(a) if a.is_link_local() || a.is_loopback() => scope(Ipv6Addr::LOCALHOST),
        // Global, private ones as well.
        IpAddr::V4(_) => scope(Ipv6Addr::UNSPECIFIED),
        IpAddr::V6(a) => scope(a),
    };
    let (precedence, label) = policy(mapped);
    (precedence, label, scope)
}

/// Sorts `addresses`, those to be tried first to the front; `source` tells which of ours would be
/// used. What the rules do not tell apart stays in its order.
pub(crate) fn sort(addresses: &mut [IpAddr], source: impl Fn(IpAddr) -> Option<IpAddr>) {
    addresses.sort_by_cached_key(|destination| {
        let (precedence, label, scope) = rank(*destination);
        // Rule 1: no unusable ones.
        let Some((_, source_label, source_scope)) = source(*destination).map(rank) else {
            return (true, true, true, u8::MAX - precedence, scope);
        };
        // Rule 2: the same scope; rule 5: the same label; rule 6: precedence; rule 8: a smaller
        // scope.
        let (far, other) = (scope != source_scope, label != source_label);
        (false, far, other, u8::MAX - precedence, scope)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn sorted(own: &[&str], addresses: &[&str]) -> Vec<IpAddr> {
        let parse = |text: &&str| text.parse::<IpAddr>().unwrap();
        let own: Vec<IpAddr> = own.iter().map(parse).collect();
        let mut addresses: Vec<IpAddr> = addresses.iter().map(parse).collect();
        sort(&mut addresses, |to| {
            let same = own.iter().filter(|own| own.is_ipv4() == to.is_ipv4());
            same.copied().max_by_key(|own| rank(*own).2 == rank(to).2)
        });
        addresses
    }

    fn is(found: &[IpAddr], expected: &[&str]) {
        let expected: Vec<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(found, expected);
    }

    /// The examples of RFC 6724, section 10.2.
    #[test]
    fn the_rules_of_rfc_6724_hold_in_their_order() {
        let both = ["2001:db8:1::2", "fe80::1", "169.254.13.78"];
        is(
            &sorted(&both, &["198.51.100.121", "2001:db8:1::1"]),
            &["2001:db8:1::1", "198.51.100.121"],
        );
        let link = ["fe80::1", "198.51.100.117"];
        is(
            &sorted(&link, &["2001:db8:1::1", "198.51.100.121"]),
            &["198.51.100.121", "2001:db8:1::1"],
        );
        let usual = ["2001:db8:1::2", "fe80::1", "10.1.2.4"];
        is(&sorted(&usual, &["10.1.2.3", "2001:db8:1::1"]), &["2001:db8:1::1", "10.1.2.3"]);
        is(&sorted(&usual, &["2001:db8:1::1", "fe80::2"]), &["fe80::2", "2001:db8:1::1"]);
    }

    #[test]
    fn an_address_that_cannot_be_reached_comes_last() {
        is(&sorted(&["10.0.0.2"], &["2001:db8::1", "10.0.0.9"]), &["10.0.0.9", "2001:db8::1"]);
    }
}
