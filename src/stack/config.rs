//! What a stack is configured with.

use crate::{ip::Cidr, tcp};
use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses and limits of a stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our addresses with their networks.
    pub addresses: Vec<Cidr>,
    /// The router to all other IPv4 networks.
    pub gateway4: Option<Ipv4Addr>,
    /// The router to all other IPv6 networks, beside those that advertise themselves.
    pub gateway6: Option<Ipv6Addr>,
    /// Whether our IPv4 addresses are used only when nobody turned out to have them (RFC 5227),
    /// which takes some seconds; else at once, announced and defended.
    pub probe_ipv4: bool,
    /// How IPv6 configures itself.
    pub ipv6: Ipv6,
    /// Whether a DHCP server is asked for an IPv4 address; `addresses` and `gateway4` are then used
    /// for want of one.
    pub dhcp: bool,
    /// Name servers, asked before those that DHCP and routers tell of.
    pub dns: Vec<IpAddr>,
    /// Largest IP packet, if smaller than the device's.
    pub mtu: Option<u16>,
    /// Limits and defaults of TCP.
    pub tcp: tcp::Config,
}

/// How IPv6 configures itself.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    /// Whether there is IPv6: a link-local address, and all that follows from it.
    pub enabled: bool,
    /// Whether addresses, routes and more are taken from router advertisements (RFC 4862).
    pub autoconf: bool,
    /// What the addresses' second halves are made from.
    pub identifiers: Identifiers,
    /// Whether addresses that change are made too, and preferred (RFC 8981).
    pub temporary: bool,
    /// How often each address is probed (RFC 4862, section 5.1); 0 for not.
    pub dad_transmits: u8,
    /// Whether addresses are used while they are being probed (RFC 4429), and not only afterwards.
    pub optimistic: bool,
}

/// Interface identifiers (RFC 4291, section 2.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifiers {
    /// Opaque ones, stable in each network (RFC 7217), made with this secret; without one they
    /// are stable until the service starts again.
    Opaque(Option<[u8; 16]>),
    /// The hardware address (RFC 4291, appendix A).
    Eui64,
}

impl Default for Ipv6 {
    fn default() -> Ipv6 {
        Ipv6 {
            enabled: true,
            autoconf: true,
            identifiers: Identifiers::Opaque(None),
            temporary: false,
            dad_transmits: 1,
            optimistic: true,
        }
    }
}

impl Default for Config {
    /// 10.0.0.2/24 without a gateway, and IPv6 as routers advertise it.
    fn default() -> Config {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        Config {
            addresses: vec![Cidr { address, prefix: 24 }],
            gateway4: None,
            gateway6: None,
            probe_ipv4: false,
            ipv6: Ipv6::default(),
            dhcp: false,
            dns: Vec::new(),
            mtu: None,
            tcp: tcp::Config::default(),
        }
    }
}
