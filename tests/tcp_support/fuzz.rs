//! Drivers that take their decisions from bytes: for the fuzzer, and for seeded tests.

use super::{
    sim::{Link, Sim, pattern, transfer},
    trace::{Seg, Trace, byte_at},
};
use zerohop::{
    Slice,
    ip::{Ecn, IcmpError, IcmpErrorKind},
    tcp::{Config, Congestion, ConnId, ListenOptions, Options, Read, Shutdown},
    time::Duration,
    wire::tcp::{Flags, HEADER_LEN},
};

/// Bytes that decide; zeros when they are used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A number near `base`, seldom far.
    fn near(&mut self, base: u32) -> u32 {
        let how = self.byte();
        let by = match how & 3 {
            0 => 0,
            1 => u32::from(how >> 2),
            2 => u32::from(self.word()),
            _ => u32::from(self.word()) << 16 | u32::from(self.word()),
        };
        if how & 4 == 0 { base.wrapping_add(by) } else { base.wrapping_sub(by) }
    }
}

/// One end, and a peer that sends and does anything at any time. What is read must be the peer's
/// stream all the same.
pub fn segments(data: &[u8]) {
    let mut bytes = Bytes(data);
    let how = bytes.byte();
    let congestion = [Congestion::Cubic, Congestion::NewReno, Congestion::Bbr];
    let options = Options {
        congestion: congestion[usize::from(how % 3)],
        nodelay: how & 8 != 0,
        receive_buffer: (how & 16 != 0).then_some(5000),
        ..Options::default()
    };
    let backlog = if how & 32 != 0 { 1 } else { 8 };
    let listen = ListenOptions { backlog, socket: Some(options.clone()) };
    let config = Config { max_connections: 6, memory: 1 << 20, ..Config::default() };
    let mut peer = Peer {
        t: Trace::listening_with(config, listen),
        next: 0,
        acked: 0,
        read: None,
        conns: Vec::new(),
    };
    if how & 64 != 0 {
        peer.conns.push(peer.t.connect(&options));
    }
    while !bytes.0.is_empty() {
        peer.step(&mut bytes, &options);
        peer.look();
    }
    peer.t.pass_bounded(Duration::from_secs(7200), 100_000);
    assert!(peer.t.tcp.connections() <= 6);
}

struct Peer {
    t: Trace,
    /// The number after what the peer sent last, and what it has seen of ours.
    next: u32,
    acked: u32,
    /// What the first connection's reader expects next.
    read: Option<(ConnId, u32)>,
    conns: Vec<ConnId>,
}

impl Peer {
    fn step(&mut self, bytes: &mut Bytes<'_>, options: &Options) {
        let id = self.conns.last().copied();
        match (bytes.byte() % 16, id) {
            (0..=8, _) => self.segment(bytes),
            (9, Some(id)) => {
                let mut data = Slice::from(vec![7; usize::from(bytes.word() % 20_000)]);
                let _ = self.t.tcp.write(id, &mut data);
            }
            (10, _) => {
                let millis = u64::from(bytes.byte()).pow(2);
                self.t.pass_bounded(Duration::from_millis(millis), 100_000);
            }
            (11, Some(id)) => match bytes.byte() % 8 {
                0 => self.t.tcp.shutdown(id, Shutdown::Write),
                1 => self.t.tcp.shutdown(id, Shutdown::Read),
                2 => self.t.tcp.close(id),
                3 => self.t.tcp.abort(id),
                4 => self.t.tcp.set_congestion(id, Congestion::Bbr),
                5 => self.t.tcp.set_nodelay(id, bytes.byte() & 1 == 0),
                6 => self.t.tcp.set_user_timeout(id, Some(Duration::from_secs(3))),
                _ => self.t.tcp.set_keepalive(id, Some(Default::default())),
            },
            (12, _) => self.icmp(bytes),
            (13, _) => self.garbage(bytes),
            (14, _) => self.t.peer_port = 4000 + u16::from(bytes.byte() % 8),
            (15, _) if self.conns.len() < 4 => {
                let remote = std::net::SocketAddr::new(self.t.peer, 4000);
                self.conns.extend(self.t.tcp.connect(&mut self.t.net, remote, None, options));
            }
            _ => {}
        }
        self.t.poll();
    }

    fn segment(&mut self, bytes: &mut Bytes<'_>) {
        let how = bytes.byte();
        let usual = [Flags::ACK, Flags::ACK | Flags::PSH, Flags::SYN, Flags::FIN | Flags::ACK];
        let flags = match how & 7 {
            which @ 0..=3 => usual[usize::from(which)],
            4 => Flags::RST,
            5 => Flags::SYN | Flags::ACK,
            _ => Flags::from_bits_retain(bytes.byte()),
        };
        let optional = bytes.byte();
        let seg = Seg {
            flags,
            seq: if flags == Flags::SYN { 0 } else { bytes.near(self.next) },
            ack: bytes.near(self.acked),
            len: if how & 16 != 0 { u32::from(bytes.word() % 3000) } else { 0 },
            win: bytes.word(),
            mss: (optional & 1 != 0).then(|| bytes.word()),
            ws: (optional & 2 != 0).then(|| bytes.byte() % 16),
            sack_ok: optional & 4 != 0,
            ts: (optional & 8 != 0).then(|| (bytes.near(1000), bytes.near(0))),
            sack: (0..optional >> 6)
                .map(|_| (bytes.near(self.acked), bytes.near(self.acked)))
                .collect(),
            ecn: if how & 32 != 0 { Ecn::Ce } else { Ecn::NotEct },
        };
        if seg.flags.contains(Flags::SYN) && self.next == 0 {
            self.next = 1;
        } else if seg.seq == self.next {
            self.next = self.next.wrapping_add(seg.len);
        }
        if self.t.encodes(&seg) {
            self.t.inject(&seg);
        }
    }

    fn icmp(&mut self, bytes: &mut Bytes<'_>) {
        let kinds = [
            IcmpErrorKind::PortUnreachable,
            IcmpErrorKind::ProtocolUnreachable,
            IcmpErrorKind::TooBig(bytes.word()),
        ];
        let kind = kinds[usize::from(bytes.byte() % 3)];
        let mut transport = [0; 8];
        transport[..2].copy_from_slice(&self.t.port.to_be_bytes());
        transport[2..4].copy_from_slice(&self.t.peer_port.to_be_bytes());
        let seq = self.t.iss.wrapping_add(bytes.near(self.acked));
        transport[4..].copy_from_slice(&seq.to_be_bytes());
        let (local, remote) = (self.t.net.address, self.t.peer);
        let error = IcmpError { kind, local, remote, transport };
        self.t.tcp.icmp_error(&mut self.t.net, &error);
    }

    /// Any bytes, now and then with a right checksum.
    fn garbage(&mut self, bytes: &mut Bytes<'_>) {
        let len = usize::from(bytes.byte()).min(bytes.0.len());
        let mut raw = bytes.0[..len].to_vec();
        bytes.0 = &bytes.0[len..];
        if raw.len() >= HEADER_LEN && raw[0] & 1 == 0 {
            // Not to a connection: its stream would not be the peer's any more.
            raw[2..4].copy_from_slice(&9u16.to_be_bytes());
            self.t.finish(&mut raw);
        }
        self.t.inject_bytes(raw, Ecn::NotEct);
    }

    /// Accepts, reads what is there, and follows what was sent.
    fn look(&mut self) {
        while let Some(seg) = self.t.take_sent() {
            self.acked = seg.seq.wrapping_add(seg.len);
        }
        if let Some(listener) = self.t.listener {
            while let Ok(Some(id)) = self.t.tcp.accept(listener) {
                self.conns.push(id);
                // The handshake's ISN decides where a stream begins.
                self.read = None;
            }
        }
        while self.t.tcp.take_event().is_some() {}
        let Some(&id) = self.conns.last() else { return };
        let Ok(Read::Data(slice)) = self.t.tcp.read(id, 4096) else { return };
        let from = match self.read {
            Some((reading, from)) if reading == id => from,
            // The first byte tells where in the pattern the stream begins.
            _ => (0..251).find(|at| byte_at(*at) == slice[0]).unwrap_or(0),
        };
        for (i, byte) in slice.iter().enumerate() {
            assert_eq!(*byte, byte_at((from + i as u32) % 251), "byte {i} of a slice");
        }
        self.read = Some((id, (from + slice.len() as u32) % 251));
    }
}

/// Two ends and a network that does to each packet what the bytes say; every byte arrives once,
/// in order.
pub fn pair(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (how, seed) = (bytes.byte(), bytes.word());
    let congestion = [Congestion::Cubic, Congestion::NewReno, Congestion::Bbr];
    let link = Link {
        delay: Duration::from_micros(u64::from(bytes.byte()) * 100),
        cut_ppm: if how & 4 != 0 { 500_000 } else { 0 },
        ..Link::default()
    };
    let options = Options {
        congestion: congestion[usize::from(how % 3)],
        nodelay: how & 8 != 0,
        receive_buffer: (how & 16 != 0).then_some(6000),
        ..Options::default()
    };
    let mut sim = Sim::new(u64::from(seed), Config::default(), link);
    if how & 32 != 0 {
        use zerohop::frame::Offloads;
        sim.hosts[0].net.offloads = Offloads::TX_CSUM | Offloads::TSO4;
    }
    sim.fates = bytes.0.iter().copied().collect();
    let (client, server) = sim.pair(&options);
    let data = pattern(usize::from(seed) % 40_000 + 1, u64::from(seed));
    transfer(&mut sim, (0, client), (1, server), &data);
    transfer(&mut sim, (1, server), (0, client), &data[..data.len() / 3]);
}
