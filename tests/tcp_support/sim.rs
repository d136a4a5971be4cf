//! Two hosts and what can go wrong between them.

use super::{Packet, Random, TestNet};
use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
    net::SocketAddr,
};
use zerohop::{
    Slice,
    ip::{Ecn, Network},
    tcp::{Config, ConnId, Event, ListenOptions, ListenerId, Options, Read, Shutdown, Tcp},
    time::{Duration, Instant},
};

/// What a direction of the link does to packets.
#[derive(Clone, Debug)]
pub struct Link {
    pub delay: Duration,
    /// Bytes a second; zero is unlimited.
    pub rate: u64,
    /// Bytes that wait for the line, at most.
    pub queue: u64,
    pub loss_ppm: u32,
    pub duplicate_ppm: u32,
    pub corrupt_ppm: u32,
    pub reorder_ppm: u32,
    /// How much later a reordered packet comes.
    pub reorder_by: Duration,
    /// Mark CE instead of dropping when the queue is half full.
    pub mark: bool,
    /// Cut a packet into slices of random sizes.
    pub cut_ppm: u32,
}

impl Default for Link {
    fn default() -> Link {
        Link {
            delay: Duration::from_millis(5),
            rate: 0,
            queue: u64::MAX,
            loss_ppm: 0,
            duplicate_ppm: 0,
            corrupt_ppm: 0,
            reorder_ppm: 0,
            reorder_by: Duration::from_millis(3),
            mark: false,
            cut_ppm: 0,
        }
    }
}

struct InFlight {
    at: Instant,
    order: u64,
    to: usize,
    packet: Packet,
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for InFlight {}
impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Turns one bit over; the checksum has to find it.
fn corrupt(packet: &mut Packet, bit: usize) {
    let mut bytes = packet.bytes();
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    packet.slices = vec![Slice::from(bytes)];
    packet.csum = zerohop::frame::RxCsum::Unknown;
}

pub struct Host {
    pub tcp: Tcp,
    pub net: TestNet,
}

pub struct Sim {
    pub hosts: [Host; 2],
    pub links: [Link; 2],
    busy_until: [Instant; 2],
    in_flight: BinaryHeap<InFlight>,
    order: u64,
    pub random: Random,
    pub now: Instant,
    pub delivered: u64,
    /// How long hosts sleep on: what arrives meanwhile is processed as one batch.
    pub nap: Duration,
    /// What happens to the next packets, one byte each, beside what the links do.
    pub fates: VecDeque<u8>,
}

pub fn address(host: usize) -> std::net::IpAddr {
    format!("10.0.0.{}", host + 1).parse().unwrap()
}

impl Sim {
    pub fn new(seed: u64, config: Config, link: Link) -> Sim {
        let host = |i: usize| {
            let net = TestNet::new(address(i));
            Host {
                tcp: Tcp::new(config.clone(), [(i as u8).wrapping_add(seed as u8); 32], net.now),
                net,
            }
        };
        let hosts = [host(0), host(1)];
        let now = hosts[0].net.now;
        Sim {
            hosts,
            links: [link.clone(), link],
            busy_until: [now; 2],
            in_flight: BinaryHeap::new(),
            order: 0,
            random: Random(seed),
            now,
            delivered: 0,
            nap: Duration::ZERO,
            fates: VecDeque::new(),
        }
    }

    /// Sends everything that is due at this moment and puts it on the links.
    pub fn flush(&mut self) {
        for from in 0..2 {
            let host = &mut self.hosts[from];
            host.net.now = self.now;
            host.net.room = usize::MAX;
            host.tcp.poll(&mut host.net);
            while let Some(packet) = self.hosts[from].net.sent.pop_front() {
                packet.segments().into_iter().for_each(|packet| self.carry(from, packet));
            }
        }
    }

    fn carry(&mut self, from: usize, mut packet: Packet) {
        let link = self.links[from].clone();
        if self.random.ppm(link.loss_ppm) {
            return;
        }
        let mut at = self.now;
        if link.rate > 0 {
            let size = packet.len() as u64 + 34;
            let start = self.busy_until[from].max(self.now);
            let backlog = start.saturating_since(self.now).as_nanos() as u64;
            let queued = (u128::from(backlog) * u128::from(link.rate) / 1_000_000_000) as u64;
            if queued + size > link.queue {
                return;
            }
            if link.mark && queued > link.queue / 2 && packet.ecn != Ecn::NotEct {
                packet.ecn = Ecn::Ce;
            }
            at = start + Duration::from_nanos(size * 1_000_000_000 / link.rate);
            self.busy_until[from] = at;
        }
        at += link.delay;
        match self.fates.pop_front().unwrap_or(0) {
            0..160 => {}
            160..192 => return,
            192..208 => {
                let copy = Packet { slices: packet.slices.clone(), ..packet };
                self.put(at, 1 - from, copy);
            }
            fate @ 208..240 => at += Duration::from_micros(u64::from(fate - 207) * 700),
            fate => corrupt(&mut packet, usize::from(fate) * 97),
        }
        if self.random.ppm(link.cut_ppm) {
            self.cut(&mut packet);
        }
        if self.random.ppm(link.reorder_ppm) {
            at += link.reorder_by;
        }
        if self.random.ppm(link.duplicate_ppm) {
            let copy = Packet { slices: packet.slices.clone(), ..packet };
            let later = Duration::from_micros(self.random.below(2000));
            self.put(at + later, 1 - from, copy);
        }
        if self.random.ppm(link.corrupt_ppm) {
            let bit = self.random.next() as usize;
            corrupt(&mut packet, bit);
        }
        self.put(at, 1 - from, packet);
    }

    fn cut(&mut self, packet: &mut Packet) {
        let bytes = packet.bytes();
        let mut left = &bytes[..];
        packet.slices.clear();
        while !left.is_empty() {
            let n = (self.random.below(700) as usize + 1).min(left.len());
            packet.slices.push(Slice::from(left[..n].to_vec()));
            left = &left[n..];
        }
    }

    fn put(&mut self, at: Instant, to: usize, packet: Packet) {
        self.order += 1;
        self.in_flight.push(InFlight { at, order: self.order, to, packet });
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<Instant> {
        let timers = self.hosts.iter().filter_map(|h| h.tcp.poll_at());
        timers.chain(self.in_flight.peek().map(|p| p.at)).min()
    }

    /// Advances to the next moment at which something happens, at most to `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        self.flush();
        let Some(at) = self.next_at() else {
            self.now = end;
            return false;
        };
        if at > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(at) + self.nap;
        while self.in_flight.peek().is_some_and(|p| p.at <= self.now) {
            let InFlight { to, packet, .. } = self.in_flight.pop().unwrap();
            self.delivered += 1;
            let host = &mut self.hosts[to];
            host.net.now = self.now;
            host.net.room = usize::MAX;
            let (incoming, mut chain) = packet.into_parts();
            host.tcp.receive(&mut host.net, &incoming, &mut chain);
        }
        true
    }

    /// Runs for some time.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    pub fn listen(&mut self, host: usize, port: u16, options: ListenOptions) -> ListenerId {
        let local = SocketAddr::new(address(host), port);
        self.hosts[host].tcp.listen(local, options).unwrap()
    }

    pub fn connect(&mut self, host: usize, port: u16, options: &Options) -> ConnId {
        let remote = SocketAddr::new(address(1 - host), port);
        let now = self.now;
        let h = &mut self.hosts[host];
        h.net.now = now;
        let _ = h.net.now();
        h.tcp.connect(&mut h.net, remote, None, options).unwrap()
    }

    /// A pair of established connections: of host 0, which connects, and of host 1.
    pub fn pair(&mut self, options: &Options) -> (ConnId, ConnId) {
        let listen = ListenOptions { socket: Some(options.clone()), ..ListenOptions::default() };
        let listener = self.listen(1, 80, listen);
        let client = self.connect(0, 80, options);
        for _ in 0..1000 {
            self.run_for(Duration::from_millis(100));
            if let Some(server) = self.hosts[1].tcp.accept(listener).unwrap() {
                return (client, server);
            }
        }
        panic!("no connection");
    }

    /// Events of a host, all that are pending.
    pub fn events(&mut self, host: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.hosts[host].tcp.take_event()).collect()
    }

    /// Reads all there is; `true` at the end of the stream.
    pub fn read(&mut self, host: usize, id: ConnId, into: &mut Vec<u8>) -> bool {
        loop {
            match self.hosts[host].tcp.read(id, usize::MAX).unwrap() {
                Read::Data(slice) => into.extend_from_slice(&slice),
                Read::End => return true,
                Read::Empty => return false,
            }
        }
    }
}

/// `n` bytes that depend on `seed`.
pub fn pattern(n: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..n.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(n).collect()
}

/// Writes `data` in pieces of random sizes while the network runs, and reads at the other end.
pub fn transfer(sim: &mut Sim, from: (usize, ConnId), to: (usize, ConnId), data: &[u8]) {
    let mut left = Slice::from(data.to_vec());
    let mut got = Vec::new();
    let end = sim.now + Duration::from_secs(7200);
    let mut closed = false;
    loop {
        while !left.is_empty() {
            let n = (sim.random.below(20_000) as usize + 1).min(left.len());
            let mut piece = left.split_to(n);
            let taken = sim.hosts[from.0].tcp.write(from.1, &mut piece).unwrap();
            if taken < n {
                let consumed = data.len() - left.len() - (n - taken);
                left = Slice::from(data[consumed..].to_vec());
                break;
            }
        }
        if left.is_empty() && !closed {
            closed = true;
            sim.hosts[from.0].tcp.shutdown(from.1, Shutdown::Write);
        }
        if sim.read(to.0, to.1, &mut got) {
            break;
        }
        assert!(
            sim.step(end),
            "stalled: {:?} {:?}",
            sim.hosts[from.0].tcp.info(from.1),
            sim.hosts[from.0].tcp.stats()
        );
    }
    assert_eq!(got.len(), data.len());
    assert!(got == data, "bytes differ");
}
