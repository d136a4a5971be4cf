//! An address of ours goes away.

use super::{error::Error, receive::Tcp};
use core::net::IpAddr;

impl Tcp {
    /// Ends all connections of `address`, which is not ours any more. Their peers are not told:
    /// RFC 2131, section 4.4.5, has a host stop at once.
    pub(crate) fn address_removed(&mut self, address: IpAddr) {
        let indices: alloc::vec::Vec<u32> = self.conns.indices().collect();
        for index in indices {
            if let Some(conn) = self.conns.at(index).filter(|conn| conn.flow.local == address) {
                conn.enter_closed(&mut self.cx, Some(Error::AddressRemoved));
                self.settle(index);
            }
        }
    }
}
