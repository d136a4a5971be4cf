//! Counters of the stack itself: one for each reason that a frame is dropped.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Names, and the bytes of counters of 64 bits, of which the last may have no name: a table takes
/// far less room in an image than the code that pairs each with its field.
pub(crate) type Counters<'a> = (&'static [&'static str], &'a [u8]);

/// Every counter by its name.
pub(crate) fn named(
    (names, counters): Counters<'_>,
) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
    let values = <[u64]>::ref_from_bytes(counters).unwrap_or(&[]);
    names.iter().copied().zip(values.iter().copied())
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What the stack counts beside its transports.
        #[derive(Clone, Copy, Debug, Default, IntoBytes, Immutable)]
        #[repr(C)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Payload bytes copied outside the transports.
            pub payload_bytes_copied: u64,
        }

        impl Stats {
            pub(crate) fn named(&self) -> Counters<'_> {
                (&[$(stringify!($name)),*], self.as_bytes())
            }
        }
    };
}

counters! {
    /// Frames received.
    frames,
    /// Shorter than an Ethernet header.
    dropped_ethernet,
    /// For another station, or from a group address.
    dropped_foreign,
    /// Neither IP nor ARP.
    dropped_ethertype,
    /// A malformed ARP packet.
    dropped_arp,
    /// An ARP packet that claims one of our addresses.
    arp_conflicts,
    /// Shorter than it says.
    dropped_ip_short,
    /// A wrong version or header length.
    dropped_ip_header,
    /// A wrong header checksum.
    dropped_ip_checksum,
    /// From an address that nobody can have.
    dropped_ip_source,
    /// For another host: this is no router.
    dropped_ip_foreign,
    /// For a multicast group that nobody has joined.
    dropped_ip_group,
    /// An extension header that is malformed, refused or one too many.
    dropped_ip_extension,
    /// A protocol that is not known.
    dropped_ip_protocol,
    /// A malformed ICMP message.
    dropped_icmp,
    /// An ICMP message that is nothing to a host, or that nobody could be answered.
    dropped_icmp_unused,
    /// A malformed IGMP message.
    dropped_igmp,
    /// A neighbour discovery message that may come from beyond the link.
    dropped_ndp_hop_limit,
    /// A neighbour discovery message that is malformed or against the rules.
    dropped_ndp,
    /// A multicast listener query that is malformed or against the rules.
    dropped_mld,
    /// Addresses not used: another host has them.
    dad_duplicates,
    /// Advertisements by others of IPv6 addresses in use here.
    address_conflicts,
    /// Router advertisements taken.
    router_advertisements,
    /// Redirects taken.
    redirects,
    /// Echo requests answered.
    icmp_echoes,
    /// ICMP errors received about our packets.
    icmp_errors_in,
    /// ICMP errors sent.
    icmp_errors_out,
    /// ICMP errors not sent: the rate limit.
    icmp_limited,
}
