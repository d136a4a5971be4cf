//! Interface identifiers: the second halves of addresses.

use crate::{stack::Identifiers, wire::MacAddr};
use core::{hash::Hasher, net::Ipv6Addr};
use rand_core::RngCore;
use siphasher::sip::SipHasher24;

/// Makes identifiers.
pub(crate) enum Maker {
    /// RFC 7217: a keyed hash of the prefix, the interface and the number of duplicates.
    Opaque(SipHasher24, MacAddr),
    /// RFC 4291, appendix A.
    Eui64(MacAddr),
}

impl Maker {
    pub(crate) fn new(kind: Identifiers, mac: MacAddr, random: &mut impl RngCore) -> Maker {
        let secret = match kind {
            Identifiers::Eui64 => return Maker::Eui64(mac),
            Identifiers::Opaque(Some(secret)) => secret,
            Identifiers::Opaque(None) => {
                let mut secret = [0; 16];
                random.fill_bytes(&mut secret);
                secret
            }
        };
        Maker::Opaque(SipHasher24::new_with_key(&secret), mac)
    }

    /// The address in the network `prefix` of 64 bits, when `failed` before it were duplicates;
    /// `None` when there is no other.
    pub(crate) fn stable(&self, prefix: Ipv6Addr, failed: u8) -> Option<Ipv6Addr> {
        match self {
            Maker::Eui64(mac) => {
                let [a, b, c, d, e, f] = mac.0;
                let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
                (failed == 0).then(|| join(prefix, identifier))
            }
            Maker::Opaque(hasher, mac) => {
                // RFC 7217, section 5: one that is reserved counts as a duplicate.
                (0..=u8::MAX).find_map(|reserved| {
                    let mut hasher = *hasher;
                    hasher.write(&prefix.octets()[..8]);
                    hasher.write(&mac.0);
                    hasher.write(&[failed, reserved]);
                    usable(hasher.finish()).map(|identifier| join(prefix, identifier))
                })
            }
        }
    }
}

/// An address with a random identifier (RFC 8981, section 3.3.1).
pub(crate) fn temporary(prefix: Ipv6Addr, random: &mut impl RngCore) -> Ipv6Addr {
    loop {
        if let Some(identifier) = usable(random.next_u64()) {
            return join(prefix, identifier);
        }
    }
}

fn join(prefix: Ipv6Addr, identifier: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix.to_bits() & !u128::from(u64::MAX) | u128::from(identifier))
}

/// RFC 5453: identifiers that are not a host's: the anycast address of routers, Ethernet's block
/// of the registry, and reserved anycast addresses.
fn usable(identifier: u64) -> Option<u64> {
    let reserved = identifier == 0
        || identifier >> 24 == 0x02_00_5e_ff_fe
        || (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&identifier);
    (!reserved).then_some(identifier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

    fn prefix(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn maker(kind: Identifiers) -> Maker {
        Maker::new(kind, MAC, &mut ChaCha20Rng::from_seed([1; 32]))
    }

    #[test]
    fn eui_64_is_made_from_the_hardware_address() {
        let maker = maker(Identifiers::Eui64);
        let expected = prefix("2001:db8::5054:ff:fe12:3456");
        assert_eq!(maker.stable(prefix("2001:db8::"), 0), Some(expected));
        assert_eq!(maker.stable(prefix("2001:db8::"), 1), None);
    }

    #[test]
    fn opaque_identifiers_are_stable_in_a_network_and_differ_between_networks() {
        let (a, b) = (prefix("2001:db8:0:1::"), prefix("2001:db8:0:2::"));
        let first = maker(Identifiers::Opaque(Some([7; 16])));
        let again = maker(Identifiers::Opaque(Some([7; 16])));
        let other = maker(Identifiers::Opaque(Some([8; 16])));
        assert_eq!(first.stable(a, 0), again.stable(a, 0));
        assert_ne!(first.stable(a, 0), first.stable(a, 1), "after a duplicate");
        assert_ne!(first.stable(a, 0), other.stable(a, 0), "another secret");
        let identifier = |address: Option<Ipv6Addr>| address.unwrap().to_bits() as u64;
        assert_ne!(identifier(first.stable(a, 0)), identifier(first.stable(b, 0)));
    }

    #[test]
    fn reserved_identifiers_are_not_used() {
        for reserved in [0, 0x0200_5eff_fe00_5213, 0xfdff_ffff_ffff_ff80, 0xfdff_ffff_ffff_ffff] {
            assert_eq!(usable(reserved), None);
        }
        assert!(usable(1).is_some());
    }
}
