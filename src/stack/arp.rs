//! Received ARP packets (RFC 826, RFC 5227).

use super::Stack;
use crate::{
    frame::{Chain, TxQueue},
    time::Instant,
    wire::arp::{Arp, LEN, Operation},
};
use core::net::IpAddr;

impl Stack {
    pub(super) fn arp(&mut self, now: Instant, packet: &mut Chain, tx: &mut TxQueue) {
        let contiguous = packet.pull_up(LEN, &self.ip.pool);
        let Some(arp) = Some(packet.first()).filter(|_| contiguous).and_then(Arp::parse) else {
            self.stats.dropped_arp += 1;
            return;
        };
        if !arp.sender_mac.is_unicast() {
            self.stats.dropped_arp += 1;
            return;
        }
        let ours = |address: IpAddr| self.ip.addresses.is_own(address);
        if ours(arp.sender.into()) {
            // RFC 5227, 2.4 (a): keep the address. Our own announcement never comes back here:
            // its source is us.
            self.stats.arp_conflicts += 1;
            return;
        }
        let wanted = ours(arp.target.into());
        let somebody = !arp.sender.is_unspecified() && !self.ip.addresses.is_broadcast(arp.sender);
        if somebody && self.ip.addresses.is_neighbor4(arp.sender) {
            let sender = arp.sender.into();
            let waiting = self.ip.neighbors.learn(sender, arp.sender_mac, wanted, now);
            self.ip.release(arp.sender_mac, waiting, tx);
        }
        if wanted && arp.operation == Operation::Request {
            let reply = Arp {
                operation: Operation::Reply,
                sender_mac: self.ip.mac,
                sender: arp.target,
                target_mac: arp.sender_mac,
                target: arp.sender,
            };
            self.ip.send_arp(arp.sender_mac, &reply, tx);
        }
    }
}
