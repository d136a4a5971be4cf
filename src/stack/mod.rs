//! The stack: wires the layers. Frames and time go in, frames and events come out.
#![forbid(unsafe_code)]

mod arp;
mod config;
mod dhcp;
mod extensions;
mod familiar;
mod icmpv4;
mod icmpv6;
mod igmp;
mod ipv4;
mod ipv6;
mod manage;
mod mld;
mod ndp;
mod router;
mod slaac;
mod stats;

pub use config::{Config, Identifiers, Ipv6};
pub use stats::Stats;
pub(crate) use stats::{Counters, named};

use crate::{
    Pool, Slice,
    device::{DeviceInfo, DeviceStats},
    dns::Servers,
    frame::{Chain, RxMeta, RxQueue, TxQueue},
    ip::{Ip, Output, reassembly::Reassembly},
    membership::Membership,
    ndp::Ndp,
    tcp::{self, Tcp},
    time::Instant,
    udp::{self, Target, Udp, UdpId},
    wire::{MacAddr, ethernet, ethernet::EtherType},
};
use alloc::boxed::Box;
use core::{
    hash::Hasher,
    net::{IpAddr, SocketAddr},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use siphasher::sip128::{Hasher128, SipHasher13};
use zerocopy::FromBytes;

/// A host on one link.
pub struct Stack {
    /// All TCP sockets.
    pub tcp: Tcp,
    /// All UDP sockets.
    pub udp: Udp,
    ip: Ip,
    /// Of the frame that is looked at; kept for its capacity.
    chain: Option<Box<Chain>>,
    familiar: familiar::Familiar,
    reassembly: Reassembly,
    groups4: Membership,
    random: ChaCha20Rng,
    stats: Stats,
    icmp_budget: icmpv4::Budget,
    icmpv6_budget: icmpv4::Budget,
    ndp: Ndp,
    groups6: Membership,
    device: DeviceStats,
    /// Name servers, for whoever resolves names.
    pub(crate) dns: Servers,
    dhcp: Option<Box<dhcp::Dhcp>>,
}

impl Stack {
    /// A stack for a device. `seed` must be unpredictable in production.
    pub fn new(
        config: &Config,
        info: &DeviceInfo,
        pool: Pool,
        seed: [u8; 32],
        now: Instant,
    ) -> Stack {
        let mtu = config.mtu.map_or(info.mtu, |mtu| mtu.min(info.mtu));
        let mut delays = [0; 32];
        delays[..16].copy_from_slice(&key(&seed, b"delays"));
        let mut random = ChaCha20Rng::from_seed(delays);
        let mut stack = Stack {
            tcp: Tcp::new(config.tcp.bounded_by(&pool), seed, now),
            // What waits for applications the device cannot receive into.
            udp: Udp::new(pool.config().bytes() / 4, &seed),
            ip: Ip::new(info.mac, mtu, info.offloads, pool, key(&seed, b"identification")),
            chain: None,
            familiar: familiar::Familiar::default(),
            reassembly: Reassembly::default(),
            groups4: Membership::default(),
            stats: Stats::default(),
            icmp_budget: icmpv4::Budget::new(now),
            icmpv6_budget: icmpv4::Budget::new(now),
            ndp: Ndp::new(&config.ipv6, info.mac, &mut random, now),
            random,
            groups6: Membership::default(),
            device: DeviceStats::default(),
            dns: Servers::default(),
            dhcp: None,
        };
        stack.configure(config, now);
        stack
    }

    /// Processes a batch of received frames to completion; answers go to `tx`.
    pub fn receive(&mut self, now: Instant, rx: &mut RxQueue, tx: &mut TxQueue) {
        let mut chain = self.chain.take().unwrap_or_default();
        while let Some(meta) = rx.pop_into(&mut chain) {
            self.stats.frames += 1;
            match self.familiar.takes(&self.ip.addresses, &chain) {
                Some(headers) => self.familiar(now, &headers, &meta, &mut chain, tx),
                None => self.frame(now, &meta, &mut chain, tx),
            }
        }
        chain.clear();
        self.chain = Some(chain);
    }

    // Apart, or what it needs would be looked up for frames that take the shorter way.
    #[inline(never)]
    fn frame(&mut self, now: Instant, meta: &RxMeta, frame: &mut Chain, tx: &mut TxQueue) {
        let Ok((header, _)) = ethernet::Header::ref_from_prefix(frame.first()) else {
            self.stats.dropped_ethernet += 1;
            return;
        };
        let (dst, src) = (MacAddr(header.dst), MacAddr(header.src));
        let ethertype = header.ethertype();
        if (dst.is_unicast() && dst != self.ip.mac) || !src.is_unicast() {
            self.stats.dropped_foreign += 1;
            return;
        }
        frame.advance(ethernet::HEADER_LEN);
        match ethertype {
            Some(EtherType::Ipv4) => self.ipv4(now, (dst, src), meta, frame, tx),
            Some(EtherType::Arp) => self.arp(now, frame, tx),
            Some(EtherType::Ipv6) if self.ndp.config.enabled => {
                self.ipv6(now, (dst, src), meta, frame, tx)
            }
            Some(EtherType::Ipv6) | None => self.stats.dropped_ethertype += 1,
        }
    }

    /// Runs the timers that are due and sends what may be sent.
    pub fn poll(&mut self, now: Instant, tx: &mut TxQueue) {
        if now >= self.ip.calm_until {
            self.poll_slowly(now, tx);
        }
        self.tcp.poll(&mut Output { ip: &mut self.ip, tx, now });
    }

    /// Serves everything but TCP. What may set a timer there calls [`Stack::stir`].
    #[inline(never)]
    fn poll_slowly(&mut self, now: Instant, tx: &mut TxQueue) {
        self.expire(now);
        self.poll_dhcp(now, tx);
        self.mld_poll(now, tx);
        self.ndp_poll(now, tx);
        self.ip.poll(now, tx);
        self.expire_fragments(now, tx);
        self.poll_conflicts(now, tx);
        self.poll_igmp(now, tx);
        self.ip.calm_until = self.slow_due().unwrap_or(Instant::NEVER);
    }

    /// A timer of the slow ones may have been set: they are looked at again.
    pub(crate) fn stir(&mut self) {
        self.ip.calm_until = Instant::ZERO;
    }

    /// When [`Stack::poll`] has something to do; in the past when it has already.
    pub fn poll_at(&self) -> Option<Instant> {
        let slow = match self.ip.calm_until {
            Instant::ZERO => self.slow_due(),
            Instant::NEVER => None,
            at => Some(at),
        };
        [slow, self.tcp.poll_at()].into_iter().flatten().min()
    }

    #[inline(never)]
    fn slow_due(&self) -> Option<Instant> {
        let ip = &self.ip;
        let due = [
            ip.neighbors.poll_at(),
            ip.addresses.expire_at(),
            ip.routes.poll_at(),
            ip.path_mtus.poll_at(),
            ip.conflicts.poll_at(),
            self.reassembly.poll_at(),
            self.groups4.poll_at(),
            self.ndp.poll_at(),
            self.groups6.poll_at(),
            self.dhcp_poll_at(),
        ];
        due.into_iter().flatten().min()
    }

    /// Begins a TCP connection, from `local` if that is given; [`tcp::Event::Connected`] tells when
    /// it stands.
    ///
    /// # Errors
    /// [`tcp::Error`] when it cannot even begin.
    pub fn connect_tcp(
        &mut self,
        now: Instant,
        tx: &mut TxQueue,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &tcp::Options,
    ) -> Result<tcp::ConnId, tcp::Error> {
        let mut net = Output { ip: &mut self.ip, tx, now };
        self.tcp.connect(&mut net, remote, local, options)
    }

    /// Sends a datagram by reference.
    ///
    /// # Errors
    /// [`udp::Error`]; nothing was sent then.
    pub fn send_udp(
        &mut self,
        now: Instant,
        tx: &mut TxQueue,
        id: UdpId,
        target: impl Into<Target>,
        data: &[Slice],
    ) -> Result<(), udp::Error> {
        self.udp.send(&mut Output { ip: &mut self.ip, tx, now }, id, target.into(), data)
    }

    /// Sends a datagram of `len` bytes that `fill` writes in place.
    ///
    /// # Errors
    /// [`udp::Error`]; nothing was sent then.
    pub fn send_udp_with<T>(
        &mut self,
        now: Instant,
        tx: &mut TxQueue,
        id: UdpId,
        target: impl Into<Target>,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, udp::Error> {
        self.udp.send_with(&mut Output { ip: &mut self.ip, tx, now }, id, target.into(), len, fill)
    }

    /// Makes a socket receive what is sent to a multicast group.
    ///
    /// # Errors
    /// [`udp::Error::BadGroup`] or [`udp::Error::Closed`].
    pub fn join_udp(&mut self, now: Instant, id: UdpId, group: IpAddr) -> Result<(), udp::Error> {
        if self.udp.join(id, group)?
            && let Err(error) = self.join_group(now, group)
        {
            log::debug!("{group}: {error}");
            self.udp.leave(id, group);
            return Err(udp::Error::BadGroup);
        }
        Ok(())
    }

    /// Takes [`Stack::join_udp`] back.
    pub fn leave_udp(&mut self, now: Instant, id: UdpId, group: IpAddr) {
        if self.udp.leave(id, group) {
            self.leave_group(now, group);
        }
    }

    /// Closes a UDP socket.
    pub fn close_udp(&mut self, now: Instant, id: UdpId) {
        for group in self.udp.close(id) {
            self.leave_group(now, group);
        }
    }

    /// The pool that frames are built in.
    pub fn pool(&self) -> &Pool {
        &self.ip.pool
    }

    /// Every counter by its name.
    pub fn stats(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let (ip, udp, tcp) = (&self.ip.stats, &self.udp.stats, self.tcp.stats());
        let copied = self.stats.payload_bytes_copied
            + tcp.payload_bytes_copied
            + udp.payload_bytes_copied
            + ip.payload_bytes_copied
            + self.reassembly.stats.payload_bytes_copied
            + self.device.payload_bytes_copied;
        let own = [
            ("payload_bytes_copied", copied),
            ("device_dropped", self.device.dropped),
            ("device_restarts", self.device.restarts),
        ];
        let tables = [
            ip.named(),
            self.dhcp_stats().named(),
            udp.named(),
            self.reassembly.stats.named(),
            tcp.named(),
            self.stats.named(),
        ];
        // What TCP copied is in the sum.
        let others = tables.into_iter().flat_map(named);
        own.into_iter().chain(others.filter(|(name, _)| *name != "tcp_payload_bytes_copied"))
    }

    /// Takes the device's counters over, to be shown beside the stack's.
    pub(crate) fn set_device_stats(&mut self, stats: DeviceStats) {
        self.device = stats;
    }

    pub(crate) fn count_copied(&mut self, bytes: usize) {
        self.stats.payload_bytes_copied += bytes as u64;
    }
}

/// A key for one purpose.
fn key(seed: &[u8; 32], purpose: &[u8]) -> [u8; 16] {
    let mut hasher = SipHasher13::new_with_key(seed.first_chunk().unwrap_or(&[0; 16]));
    hasher.write(&seed[16..]);
    hasher.write(purpose);
    hasher.finish128().as_bytes()
}
