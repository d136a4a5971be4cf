//! Our addresses and routes.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
}

impl Cidr {
    /// Whether `other` is in the same network.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let bits = a.to_bits() ^ b.to_bits();
                bits.checked_shr(32 - u32::from(self.prefix.min(32))).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let bits = a.to_bits() ^ b.to_bits();
                bits.checked_shr(128 - u32::from(self.prefix.min(128))).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// The address that all hosts of an IPv4 network listen to.
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(a) if self.prefix < 31 => {
                let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Some(Ipv4Addr::from_bits(a.to_bits() | host))
            }
            _ => None,
        }
    }
}

impl FromStr for Cidr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Cidr, Self::Err> {
        let expected = "expected an address and a prefix length, as in 10.0.0.2/24";
        let (address, prefix) = text.split_once('/').ok_or(expected)?;
        let address: IpAddr = address.parse().map_err(|_| expected)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|p| *p <= most).ok_or(expected)?;
        Ok(Cidr { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The addresses and gateways of a stack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) own: alloc::vec::Vec<Cidr>,
    pub(crate) gateway4: Option<Ipv4Addr>,
}

impl Addresses {
    /// Whether packets to `address` are for us alone.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.own.iter().any(|cidr| cidr.address == address)
    }

    /// Whether `address` reaches all hosts of our network.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast() || self.own.iter().any(|cidr| cidr.broadcast() == Some(address))
    }

    /// Source address and next hop for `remote`.
    pub(crate) fn route(&self, remote: IpAddr) -> Option<(IpAddr, IpAddr)> {
        if let Some(cidr) = self.own.iter().find(|cidr| cidr.contains(remote)) {
            return Some((cidr.address, remote));
        }
        let gateway = IpAddr::V4(self.gateway4.filter(|_| remote.is_ipv4())?);
        let cidr = self.own.iter().find(|cidr| cidr.contains(gateway))?;
        Some((cidr.address, gateway))
    }
}
