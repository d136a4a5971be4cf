//! Addresses with the prefixes of their networks.

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
    /// An address and a prefix length; one longer than the address is taken as the whole address.
    pub const fn new(address: IpAddr, prefix: u8) -> Cidr {
        let most = if address.is_ipv4() { 32 } else { 128 };
        Cidr { address, prefix: if prefix > most { most } else { prefix } }
    }

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

    /// The network: the address with all bits behind the prefix cleared.
    pub fn network(&self) -> Cidr {
        let address = match self.address {
            IpAddr::V4(a) => {
                let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                Ipv4Addr::from_bits(a.to_bits() & !host).into()
            }
            IpAddr::V6(a) => {
                let host = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                core::net::Ipv6Addr::from_bits(a.to_bits() & !host).into()
            }
        };
        Cidr { address, prefix: self.prefix }
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
