//! Received ARP packets (RFC 826), and our own addresses on the link (RFC 5227).

use super::Stack;
use crate::{
    frame::{Chain, TxQueue},
    ip::{Action, AddressState, Heard, Ip, Origin},
    time::Instant,
    wire::{
        MacAddr,
        arp::{Arp, LEN, Operation},
    },
};
use core::net::{IpAddr, Ipv4Addr};

impl Stack {
    pub(super) fn arp(&mut self, now: Instant, packet: &mut Chain, tx: &mut TxQueue) {
        self.stir();
        let contiguous = packet.pull_up(LEN, &self.ip.pool);
        let Some(arp) = Some(packet.first()).filter(|_| contiguous).and_then(Arp::parse) else {
            self.stats.dropped_arp += 1;
            return;
        };
        if !arp.sender_mac.is_unicast() {
            self.stats.dropped_arp += 1;
            return;
        }
        match self.ip.conflicts.hear(&arp, self.ip.mac, now) {
            Heard::Unrelated => {}
            Heard::Taken(address) => {
                self.stats.arp_conflicts += 1;
                self.address_taken(now, address, arp.sender_mac);
                return;
            }
            Heard::Defend(address) => {
                self.stats.arp_conflicts += 1;
                log::warn!("{} claims our address {address}; it is defended", arp.sender_mac);
                self.ip.announce(address, tx);
                return;
            }
            Heard::Contested(address) => {
                self.stats.arp_conflicts += 1;
                self.address_contested(now, address, arp.sender_mac);
                return;
            }
        }
        let ours = |address: Ipv4Addr| self.ip.addresses.is_own(address.into());
        let wanted = ours(arp.target);
        let somebody = !arp.sender.is_unspecified() && !self.ip.addresses.is_broadcast(arp.sender);
        if somebody && !ours(arp.sender) && self.ip.addresses.is_neighbor4(arp.sender) {
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

    /// An address that was being verified belongs to another host: it is not used.
    fn address_taken(&mut self, now: Instant, address: Ipv4Addr, by: MacAddr) {
        log::error!("{address} is used by {by}: choose another address for one of the two");
        self.give_up_address(now, address);
    }

    /// RFC 5227, section 2.4: a leased address is given up, a configured one is kept (c).
    fn address_contested(&mut self, now: Instant, address: Ipv4Addr, by: MacAddr) {
        let known = self.ip.addresses.iter().find(|a| a.cidr.address == IpAddr::V4(address));
        if known.is_some_and(|known| known.origin == Origin::Dhcp) {
            log::error!("{by} goes on to claim {address}; it is given up");
            self.give_up_address(now, address);
        }
    }

    fn give_up_address(&mut self, now: Instant, address: Ipv4Addr) {
        self.remove_address(address.into());
        self.dhcp_conflict(now, address);
    }

    /// Probes and announcements that are due.
    pub(super) fn poll_conflicts(&mut self, now: Instant, tx: &mut TxQueue) {
        while let Some(action) = self.ip.conflicts.poll(now, &mut self.random) {
            match action {
                Action::Probe(address) => self.ip.probe(address, tx),
                Action::Announce(address) => self.ip.announce(address, tx),
                Action::Verified(address) => {
                    let verified = AddressState::Preferred;
                    self.ip.addresses.update(address.into(), |known| known.state = verified);
                    self.ip.changed();
                    self.dhcp_verified(now, address);
                }
            }
        }
    }
}

impl Ip {
    /// Asks who has `address`, without a claim of our own (RFC 5227, section 1.1).
    fn probe(&mut self, address: Ipv4Addr, tx: &mut TxQueue) {
        self.ask(Ipv4Addr::UNSPECIFIED, address, tx);
    }

    /// Says that `address` is ours (RFC 5227, section 2.3).
    fn announce(&mut self, address: Ipv4Addr, tx: &mut TxQueue) {
        self.ask(address, address, tx);
    }

    fn ask(&mut self, sender: Ipv4Addr, target: Ipv4Addr, tx: &mut TxQueue) {
        let arp = Arp {
            operation: Operation::Request,
            sender_mac: self.mac,
            sender,
            target_mac: MacAddr::default(),
            target,
        };
        self.send_arp(MacAddr::BROADCAST, &arp, tx);
    }
}
