//! Two stacks whose queues are joined; frames pass by reference.

use super::SEGMENT;
use std::{
    net::SocketAddr,
    time::{Duration, Instant as Clock},
};
use zerohop::{
    Pool, PoolConfig, Slice,
    device::DeviceInfo,
    frame::{Offloads, RxCsum, RxMeta, RxQueue, TxQueue},
    stack::{Config, Stack},
    tcp::{self, ConnId, ListenOptions, Options, Read},
    time::Instant,
    wire::MacAddr,
};

/// Connections to one port of the server: as many as the client may have ports for.
const PORTS: usize = 15_000;
/// Connections that are busy at once.
const BATCH: usize = 32;

struct End {
    stack: Stack,
    rx: RxQueue,
    tx: TxQueue,
}

impl End {
    fn new(host: u8, offloads: Offloads, buffers: usize) -> End {
        let info = DeviceInfo {
            mac: MacAddr([2, 0, 0, 0, 0, host]),
            mtu: 1500,
            offloads,
            io_mode: "wire",
        };
        let pool = PoolConfig { count: buffers, ..PoolConfig::default() };
        // SAFETY: a bench has one thread, as a unikernel has, whose pool is this one.
        let pool = unsafe { Pool::heap_confined(pool) };
        let mut config = Config {
            addresses: vec![format!("10.0.0.{host}/24").parse().unwrap()],
            ..Config::default()
        };
        // Half of the pool then, however large it is.
        config.tcp.memory = usize::MAX;
        let stack = Stack::new(&config, &info, pool, [host; 32], Instant::ZERO);
        End { stack, rx: RxQueue::default(), tx: TxQueue::default() }
    }

    fn receive(&mut self, now: Instant) {
        self.stack.receive(now, &mut self.rx, &mut self.tx);
    }

    fn poll(&mut self, now: Instant) {
        self.stack.poll(now, &mut self.tx);
    }
}

/// The wire: what one end sent is what the other receives.
fn carry(from: &mut End, to: &mut End) {
    while let Some((meta, mut slices)) = from.tx.pop() {
        let csum = if meta.csum.is_some() { RxCsum::Valid } else { RxCsum::Unknown };
        let Some(head) = slices.next() else { continue };
        to.rx.push(RxMeta { csum, gso: meta.gso }, head, slices);
    }
}

pub struct Pair {
    a: End,
    b: End,
    client: ConnId,
    server: ConnId,
    now: Instant,
    chunk: Slice,
    /// Both ends of other connections, and whose turn it is.
    others: Vec<(ConnId, ConnId)>,
    turn: usize,
}

impl Pair {
    pub fn new(checksums: bool, super_segments: bool) -> Pair {
        Pair::with_buffers(checksums, super_segments, 8192)
    }

    /// With `idle` other connections established.
    pub fn beside(idle: usize) -> Pair {
        // Each of them is promised a small window, and there is memory for a large one besides.
        let mut pair = Pair::with_buffers(false, false, 5 << 16);
        let options = Options { receive_buffer: Some(2048), ..Options::default() };
        let listen = ListenOptions { socket: Some(options.clone()), backlog: 1000 };
        for first in (0..idle).step_by(PORTS) {
            let server = SocketAddr::from(([10, 0, 0, 2], 81 + (first / PORTS) as u16));
            let listener = pair.b.stack.tcp.listen(server, listen.clone()).unwrap();
            for batch in (first..idle.min(first + PORTS)).step_by(100) {
                let clients: Vec<ConnId> = (batch..idle.min(first + PORTS).min(batch + 100))
                    .map(|_| {
                        let End { stack, tx, .. } = &mut pair.a;
                        stack.connect_tcp(pair.now, tx, server, None, &options).unwrap()
                    })
                    .collect();
                for _ in 0..3 {
                    pair.round();
                }
                for client in clients {
                    let server = pair.b.stack.tcp.accept(listener).unwrap();
                    pair.others.push((client, server.expect("a connection")));
                }
                pair.drop_events();
            }
        }
        assert_eq!(pair.b.stack.tcp.connections(), idle + 1);
        pair.transfer(10_000);
        pair
    }

    fn with_buffers(checksums: bool, super_segments: bool, buffers: usize) -> Pair {
        let mut offloads = Offloads::empty();
        if !checksums {
            offloads |= Offloads::TX_CSUM | Offloads::RX_CSUM;
        }
        if super_segments {
            offloads |= Offloads::TSO4 | Offloads::RX_GSO;
        }
        let (mut a, mut b) = (End::new(1, offloads, buffers), End::new(2, offloads, buffers));
        let options = Options {
            nodelay: true,
            receive_buffer: Some(256 << 10),
            send_buffer: Some(256 << 10),
            ..Options::default()
        };
        let listen = ListenOptions { socket: Some(options.clone()), ..ListenOptions::default() };
        let listener = b.stack.tcp.listen("10.0.0.2:80".parse().unwrap(), listen).unwrap();
        let mut now = Instant::from_millis(1000);
        let remote = "10.0.0.2:80".parse().unwrap();
        let client = a.stack.connect_tcp(now, &mut a.tx, remote, None, &options).unwrap();
        let mut server = None;
        for _ in 0..10_000 {
            now += Duration::from_millis(1);
            a.poll(now);
            carry(&mut a, &mut b);
            b.receive(now);
            b.poll(now);
            carry(&mut b, &mut a);
            a.receive(now);
            server = b.stack.tcp.accept(listener).unwrap();
            if server.is_some() {
                break;
            }
        }
        let server = server.expect("a connection");
        let chunk = Slice::from(vec![0x5a; 64 * SEGMENT]);
        let (others, turn) = (Vec::new(), 0);
        let mut pair = Pair { a, b, client, server, now, chunk, others, turn };
        pair.transfer(10_000);
        for _ in 0..100 {
            pair.round_trip();
        }
        pair
    }

    /// One round: what a sends, b's answers, and what b's application reads.
    fn round(&mut self) -> usize {
        self.now += Duration::from_micros(10);
        self.a.poll(self.now);
        carry(&mut self.a, &mut self.b);
        self.b.receive(self.now);
        let mut bytes = 0;
        while let Ok(Read::Data(slice)) = self.b.stack.tcp.read(self.server, usize::MAX) {
            bytes += slice.len();
        }
        self.b.poll(self.now);
        carry(&mut self.b, &mut self.a);
        self.a.receive(self.now);
        bytes
    }

    /// Sends `n` full segments and reads them.
    pub fn transfer(&mut self, n: u64) -> Duration {
        let mut unwritten = n as usize * SEGMENT;
        let mut unread = unwritten;
        let start = Clock::now();
        while unread > 0 {
            while unwritten > 0 {
                let mut piece = self.chunk.clone();
                piece.truncate(unwritten);
                let taken = self.a.stack.tcp.write(self.client, &mut piece).unwrap();
                unwritten -= taken;
                if taken == 0 {
                    break;
                }
            }
            unread -= self.round();
            self.drop_events();
        }
        start.elapsed()
    }

    /// One byte there and back, `n` times, on other connections in turn.
    pub fn active_round_trips(&mut self, n: u64) -> Duration {
        let start = Clock::now();
        let mut done = 0;
        while done < n {
            done += self.round_trips_of_others() as u64;
        }
        start.elapsed().mul_f64(n as f64 / done as f64)
    }

    /// One byte there and back on each of a few of the other connections, who take turns.
    fn round_trips_of_others(&mut self) -> usize {
        let batch = BATCH.min(self.others.len());
        self.turn = if self.turn + batch > self.others.len() { 0 } else { self.turn };
        let busy = self.turn..self.turn + batch;
        self.turn += batch;
        self.now += Duration::from_nanos(500 * batch as u64);
        for &(client, _) in &self.others[busy.clone()] {
            self.a.stack.tcp.write(client, &mut Slice::from_static(b"x")).unwrap();
        }
        self.a.poll(self.now);
        carry(&mut self.a, &mut self.b);
        self.b.receive(self.now);
        for &(_, server) in &self.others[busy.clone()] {
            let Ok(Read::Data(_)) = self.b.stack.tcp.read(server, 1) else { panic!("no byte") };
            self.b.stack.tcp.write(server, &mut Slice::from_static(b"x")).unwrap();
        }
        self.b.poll(self.now);
        carry(&mut self.b, &mut self.a);
        self.a.receive(self.now);
        for &(client, _) in &self.others[busy] {
            let Ok(Read::Data(_)) = self.a.stack.tcp.read(client, 1) else { panic!("no answer") };
        }
        self.drop_events();
        batch
    }

    fn drop_events(&mut self) {
        while self.a.stack.tcp.take_event().is_some() {}
        while self.b.stack.tcp.take_event().is_some() {}
    }

    /// One byte there and one back.
    pub fn round_trip(&mut self) {
        self.now += Duration::from_nanos(500);
        pass_byte((&mut self.a, self.client), (&mut self.b, self.server), self.now);
        pass_byte((&mut self.b, self.server), (&mut self.a, self.client), self.now);
    }
}

fn pass_byte((from, out): (&mut End, ConnId), (to, into): (&mut End, ConnId), now: Instant) {
    let mut byte = Slice::from_static(b"x");
    from.stack.tcp.write(out, &mut byte).unwrap();
    from.poll(now);
    carry(from, to);
    to.receive(now);
    match to.stack.tcp.read(into, 1) {
        Ok(Read::Data(_)) => {}
        other => panic!("no byte: {other:?}"),
    }
    while let Some(event) = to.stack.tcp.take_event() {
        std::hint::black_box::<tcp::Event>(event);
    }
}
