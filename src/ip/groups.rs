//! Multicast groups of both families that packets are received for.

use super::TableError;
use crate::wire::MacAddr;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Most groups of a stack.
const MAX: usize = 128;

/// The groups, each with how many have joined it.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    list: Vec<(IpAddr, u32)>,
}

impl Groups {
    /// Joins `group`; whether it is the first to do so.
    pub(crate) fn join(&mut self, group: IpAddr) -> Result<bool, TableError> {
        if !group.is_multicast() {
            return Err(TableError::Invalid);
        }
        let room = self.list.len() < MAX;
        match self.list.iter_mut().find(|(known, _)| *known == group) {
            Some((_, users)) => {
                *users = users.saturating_add(1);
                Ok(false)
            }
            None if room => {
                self.list.push((group, 1));
                Ok(true)
            }
            None => Err(TableError::Full),
        }
    }

    /// Leaves `group`; whether it was the last to do so.
    pub(crate) fn leave(&mut self, group: IpAddr) -> bool {
        let Some(at) = self.list.iter().position(|(known, _)| *known == group) else {
            return false;
        };
        self.list[at].1 -= 1;
        let last = self.list[at].1 == 0;
        if last {
            self.list.swap_remove(at);
        }
        last
    }

    pub(crate) fn contains(&self, group: IpAddr) -> bool {
        self.list.iter().any(|(known, _)| *known == group)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = IpAddr> + Clone + '_ {
        self.list.iter().map(|(group, _)| *group)
    }
}

/// Where frames to `group` go (RFC 1112, section 6.4; RFC 2464, section 7).
pub(crate) fn group_mac(group: IpAddr) -> MacAddr {
    match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            MacAddr([1, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            MacAddr([0x33, 0x33, a, b, c, d])
        }
    }
}
