//! Internet Group Management Protocol (RFC 3376; version 2: RFC 2236).

use super::icmpv4::fill_checksum;
use alloc::vec::Vec;
use core::{net::Ipv4Addr, time::Duration};

/// IP protocol number.
pub const PROTOCOL: u8 = 2;
/// All hosts of the link: queries about all groups.
pub const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers of the link: messages of version 2 about groups that are left.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Where reports of version 3 go.
pub const REPORTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE_V2: u8 = 0x17;
const REPORT_V3: u8 = 0x22;

/// What a record says of its group (RFC 3376, section 4.2.12; RFC 3810, section 5.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// It is listened to.
    IsExclude = 2,
    /// It is no longer.
    ToInclude = 3,
    /// It is from now on.
    ToExclude = 4,
}

/// A message that a host takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A router asks.
    Query {
        /// About this group; unspecified for all.
        group: Ipv4Addr,
        /// Answers are expected by then.
        delay: Duration,
        /// The router knows versions up to 2 only.
        version2: bool,
    },
    /// Another host has answered, in version 1 or 2.
    Report {
        /// The group that it listens to.
        group: Ipv4Addr,
    },
}

impl Message {
    /// Reads a message whose checksum is right; `None` when a host has nothing to do with it.
    pub fn parse(bytes: &[u8]) -> Option<Message> {
        let &[kind, code, _, _, a, b, c, d] = bytes.first_chunk::<8>()?;
        let group = Ipv4Addr::new(a, b, c, d);
        match kind {
            QUERY => {
                // RFC 3376, section 7.1: told apart by their lengths; others are ignored.
                let version2 = bytes.len() == 8;
                if !version2 && bytes.len() < 12 {
                    return None;
                }
                let tenths = match (version2, code) {
                    // RFC 3376, section 7.2.1: version 1 has no field, and 10 seconds.
                    (true, 0) => 100,
                    (true, code) | (false, code @ ..0x80) => u32::from(code),
                    // RFC 3376, section 4.1.1.
                    (false, code) => (u32::from(code & 0xf) | 0x10) << ((code >> 4 & 7) + 3),
                };
                let delay = Duration::from_millis(u64::from(tenths) * 100);
                Some(Message::Query { group, delay, version2 })
            }
            REPORT_V1 | REPORT_V2 => Some(Message::Report { group }),
            _ => None,
        }
    }
}

/// A report of version 3 about groups without sources.
pub fn report(records: &[(Record, Ipv4Addr)]) -> Vec<u8> {
    let mut bytes = alloc::vec![REPORT_V3, 0, 0, 0, 0, 0];
    bytes.extend((records.len() as u16).to_be_bytes());
    for (record, group) in records {
        bytes.extend([*record as u8, 0, 0, 0]);
        bytes.extend(group.octets());
    }
    fill_checksum(&mut bytes);
    bytes
}

/// The message of version 2 that says the same as a record, and where it goes.
pub fn version2(record: Record, group: Ipv4Addr) -> ([u8; 8], Ipv4Addr) {
    let (kind, to) = match record {
        Record::ToInclude => (LEAVE_V2, ALL_ROUTERS),
        Record::IsExclude | Record::ToExclude => (REPORT_V2, group),
    };
    let [a, b, c, d] = group.octets();
    let mut bytes = [kind, 0, 0, 0, a, b, c, d];
    fill_checksum(&mut bytes);
    (bytes, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_all_versions_are_told_apart() {
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let query = |bytes: &[u8]| match Message::parse(bytes) {
            Some(Message::Query { delay, version2, .. }) => Some((delay.as_millis(), version2)),
            _ => None,
        };
        assert_eq!(query(&[0x11, 0, 0, 0, 0, 0, 0, 0]), Some((10_000, true)));
        assert_eq!(query(&[0x11, 100, 0, 0, 0, 0, 0, 0]), Some((10_000, true)));
        assert_eq!(query(&[0x11, 100, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0]), Some((10_000, false)));
        // A floating-point code: 0x1f << 10 tenths.
        let long = [0x11, 0xff, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0];
        assert_eq!(query(&long), Some((3_174_400, false)));
        for len in [0, 7, 9, 11] {
            assert_eq!(query(&long[..len]), None);
        }
        let (bytes, to) = version2(Record::ToExclude, group);
        assert_eq!((Message::parse(&bytes), to), (Some(Message::Report { group }), group));
    }
}
