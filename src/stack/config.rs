//! What a stack is configured with.

use crate::{ip::Cidr, tcp};
use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr};

/// Addresses and limits of a stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our addresses with their networks.
    pub addresses: Vec<Cidr>,
    /// The router to all other IPv4 networks.
    pub gateway4: Option<Ipv4Addr>,
    /// Largest IP packet, if smaller than the device's.
    pub mtu: Option<u16>,
    /// Limits and defaults of TCP.
    pub tcp: tcp::Config,
}

impl Default for Config {
    /// 10.0.0.2/24 without a gateway.
    fn default() -> Config {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        Config {
            addresses: vec![Cidr { address, prefix: 24 }],
            gateway4: None,
            mtu: None,
            tcp: tcp::Config::default(),
        }
    }
}
