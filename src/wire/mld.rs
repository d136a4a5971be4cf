//! Multicast listener discovery (RFC 3810; version 1: RFC 2710).

use super::icmpv6::kind;
pub use super::igmp::Record;
use core::{net::Ipv6Addr, time::Duration};

/// Where reports of version 2 go.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// Hop-by-hop options with a router alert (RFC 2711), and ICMPv6 behind them.
pub const ROUTER_ALERT: [u8; 8] = [super::icmpv6::PROTOCOL, 0, 5, 2, 0, 0, 1, 0];
/// Bytes of a record of a group without sources.
pub const RECORD_LEN: usize = 20;

/// The record of a group.
pub fn record(record: Record, group: Ipv6Addr) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[0] = record as u8;
    bytes[4..].copy_from_slice(&group.octets());
    bytes
}

/// A query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The group that is asked about; unspecified for all.
    pub group: Ipv6Addr,
    /// An answer is expected by then.
    pub delay: Duration,
    /// Whether the querier knows version 1 only.
    pub version1: bool,
}

impl Query {
    /// Reads a message that starts at its type.
    pub fn parse(bytes: &[u8]) -> Option<Query> {
        let group: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
        if bytes[0] != kind::LISTENER_QUERY || bytes[1] != 0 {
            return None;
        }
        // RFC 3810, section 8.1: told apart by their lengths; others are none.
        let version1 = bytes.len() == 24;
        if !version1 && bytes.len() < 28 {
            return None;
        }
        let code = u16::from_be_bytes([bytes[4], bytes[5]]);
        // RFC 3810, section 5.1.3.
        let millis = match (version1, code) {
            (true, code) | (false, code @ ..0x8000) => u32::from(code),
            (false, code) => (u32::from(code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3),
        };
        Some(Query { group: group.into(), delay: Duration::from_millis(millis.into()), version1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_both_versions_are_told_apart() {
        let mut bytes = [0; 28];
        (bytes[0], bytes[4], bytes[5]) = (kind::LISTENER_QUERY, 0x27, 0x10);
        let delay = Duration::from_secs(10);
        let group = Ipv6Addr::UNSPECIFIED;
        assert_eq!(Query::parse(&bytes), Some(Query { group, delay, version1: false }));
        assert_eq!(Query::parse(&bytes[..24]), Some(Query { group, delay, version1: true }));
        assert_eq!(Query::parse(&bytes[..26]), None);
        bytes[4] = 0x80;
        let delay = Duration::from_millis(0x1010 << 3);
        assert_eq!(Query::parse(&bytes), Some(Query { group, delay, version1: false }));
    }
}
