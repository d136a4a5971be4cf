//! Two stacks whose queues are joined; frames pass by reference.

use std::net::{IpAddr, SocketAddr};
use zerohop::{
    Pool, PoolConfig, Slice,
    device::DeviceInfo,
    frame::{Offloads, RxCsum, RxMeta, RxQueue, TxQueue},
    stack::{Config, Stack},
    tcp::{ConnId, ListenOptions, Options, Read},
    time::{Duration, Instant},
    udp::UdpId,
    wire::MacAddr,
};

/// Payload of a full segment over IPv6, with timestamps.
pub const SEGMENT: usize = 1428;
const TICK: Duration = Duration::from_micros(10);
const DELAYED_ACK: Duration = Duration::from_millis(50);
const PORT: u16 = 80;

struct End {
    stack: Stack,
    rx: RxQueue,
    tx: TxQueue,
    datagrams: UdpId,
}

fn address(host: u8, v6: bool) -> IpAddr {
    match v6 {
        true => [0xfd00, 0, 0, 0, 0, 0, 0, host.into()].into(),
        false => [10, 0, 0, host].into(),
    }
}

impl End {
    fn new(host: u8, offloads: Offloads, now: Instant) -> End {
        let mac = MacAddr([2, 0, 0, 0, 0, host]);
        let info = DeviceInfo { mac, mtu: 1500, offloads, io_mode: "wire" };
        let pool = Pool::heap(PoolConfig { count: 4096, ..PoolConfig::default() });
        let addresses = [(false, 24), (true, 64)]
            .map(|(v6, prefix)| format!("{}/{prefix}", address(host, v6)).parse().unwrap());
        let config = Config { addresses: addresses.into(), ..Config::default() };
        let mut stack = Stack::new(&config, &info, pool, [host; 32], now);
        let datagrams = stack.udp.bind("[::]:7".parse().unwrap()).unwrap();
        End { stack, rx: RxQueue::default(), tx: TxQueue::default(), datagrams }
    }

    fn receive(&mut self, now: Instant) {
        self.stack.receive(now, &mut self.rx, &mut self.tx);
    }

    fn poll(&mut self, now: Instant) {
        self.stack.poll(now, &mut self.tx);
        while self.stack.tcp.take_event().is_some() {}
        while self.stack.udp.take_readable().is_some() {}
    }

    fn read(&mut self, from: ConnId) -> usize {
        let mut bytes = 0;
        while let Ok(Read::Data(slice)) = self.stack.tcp.read(from, usize::MAX) {
            bytes += slice.len();
        }
        bytes
    }
}

/// Both ends of a cable, and a connection over it.
pub struct Pair {
    a: End,
    b: End,
    client: ConnId,
    server: ConnId,
    v6: bool,
    now: Instant,
    chunk: Slice,
    /// One in so many frames with data of a's gets lost.
    pub lose_every: Option<usize>,
    /// One in so many changes places with the next.
    pub swap_every: Option<usize>,
    frames: usize,
    /// Frames that got lost.
    pub lost: usize,
}

impl Pair {
    pub fn new(offloads: Offloads, v6: bool) -> Pair {
        let mut now = Instant::from_millis(1000);
        let (mut a, mut b) = (End::new(1, offloads, now), End::new(2, offloads, now));
        let options = Options {
            nodelay: true,
            receive_buffer: Some(256 << 10),
            send_buffer: Some(256 << 10),
            ..Options::default()
        };
        let remote = SocketAddr::new(address(2, v6), PORT);
        let listen = ListenOptions { socket: Some(options.clone()), ..ListenOptions::default() };
        let listener = b.stack.tcp.listen(remote, listen).unwrap();
        let mut client = None;
        let mut server = None;
        // Until addresses are verified and routers have been asked for, too.
        for _ in 0..2000 {
            now += Duration::from_millis(10);
            a.poll(now);
            carry(&mut a.tx, &mut b.rx);
            b.receive(now);
            b.poll(now);
            carry(&mut b.tx, &mut a.rx);
            a.receive(now);
            client =
                client.or_else(|| a.stack.connect_tcp(now, &mut a.tx, remote, None, &options).ok());
            server = server.or_else(|| b.stack.tcp.accept(listener).unwrap());
        }
        let client = client.expect("a connection");
        let server = server.expect("a connection");
        let chunk = Slice::from(vec![0x5a; 64 * SEGMENT]);
        let (lose_every, swap_every) = (None, None);
        Pair { a, b, client, server, v6, now, chunk, lose_every, swap_every, frames: 0, lost: 0 }
    }

    /// Time passes, and both ends do what is due.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.a.poll(self.now);
        self.carry_to_b();
        self.b.receive(self.now);
        self.b.poll(self.now);
        carry(&mut self.b.tx, &mut self.a.rx);
        self.a.receive(self.now);
    }

    /// Carries a's frames, as well as the wire is.
    fn carry_to_b(&mut self) {
        let is_due = |every: Option<usize>, n: usize| every.is_some_and(|e| n.is_multiple_of(e));
        let mut late = None;
        while let Some((meta, mut slices)) = self.a.tx.pop() {
            let csum = if meta.csum.is_some() { RxCsum::Valid } else { RxCsum::Unknown };
            let meta = RxMeta { csum, gso: meta.gso };
            let (Some(head), behind) = (slices.next(), slices.next()) else { continue };
            let third = slices.next();
            let is_lone = third.is_none();
            self.frames += 1;
            if is_due(self.lose_every, self.frames) {
                self.lost += 1;
                continue;
            }
            // A frame of one slice of payload may wait for the next to pass it.
            let waits = is_due(self.swap_every, self.frames) && is_lone;
            if waits && late.is_none() {
                late = Some((meta, head, behind));
                continue;
            }
            self.b.rx.push(meta, head, behind.into_iter().chain(third).chain(slices));
            if let Some((meta, head, behind)) = late.take() {
                self.b.rx.push(meta, head, behind);
            }
        }
        if let Some((meta, head, behind)) = late {
            self.b.rx.push(meta, head, behind);
        }
    }

    /// Sends as many full segments to b, which reads them.
    pub fn transfer(&mut self, segments: usize) {
        let (mut unwritten, mut unread) = (segments * SEGMENT, segments * SEGMENT);
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
            self.pass(TICK);
            unread -= self.b.read(self.server);
        }
    }

    /// Sends as many pieces in segments of their own, of which b reads none before the last.
    pub fn burst(&mut self, data: &Slice, pieces: usize) {
        for _ in 0..pieces {
            self.a.stack.tcp.write(self.client, &mut data.clone()).unwrap();
            self.pass(TICK);
        }
        assert_eq!(self.b.read(self.server), pieces * data.len());
        // Short segments have their ACK when its timer fires.
        self.pass(DELAYED_ACK);
    }

    /// Sends data to b, which sends it back.
    pub fn round_trip(&mut self, data: &Slice) {
        self.a.stack.tcp.write(self.client, &mut data.clone()).unwrap();
        self.pass(TICK);
        let Ok(Read::Data(mut data)) = self.b.stack.tcp.read(self.server, usize::MAX) else {
            panic!("nothing arrived")
        };
        let len = data.len();
        self.b.stack.tcp.write(self.server, &mut data).unwrap();
        self.pass(TICK);
        assert_eq!(self.a.read(self.client), len);
    }

    /// Sends datagrams to b, which sends them back by reference, or copied into the frames.
    pub fn datagrams(&mut self, data: &Slice, count: usize, in_place: bool) {
        let (now, to) = (self.now, SocketAddr::new(address(2, self.v6), 7));
        let End { stack, tx, datagrams, .. } = &mut self.a;
        for _ in 0..count {
            stack.send_udp(now, tx, *datagrams, to, core::slice::from_ref(data)).unwrap();
        }
        self.pass(TICK);
        let End { stack, tx, datagrams: socket, .. } = &mut self.b;
        while let Some(datagram) = stack.udp.recv(*socket).unwrap() {
            let (to, bytes) = (datagram.from, &datagram.data[0]);
            let fill = |frame: &mut [u8]| frame.copy_from_slice(bytes);
            match in_place {
                true => stack.send_udp_with(now, tx, *socket, to, bytes.len(), fill),
                false => stack.send_udp(now, tx, *socket, to, &datagram.data),
            }
            .unwrap();
        }
        self.pass(TICK);
        let End { stack, datagrams: socket, .. } = &mut self.a;
        let came = std::iter::from_fn(|| stack.udp.recv(*socket).unwrap());
        assert_eq!(came.map(|datagram| datagram.data.bytes()).sum::<usize>(), count * data.len());
    }
}

fn carry(tx: &mut TxQueue, rx: &mut RxQueue) {
    while let Some((meta, mut slices)) = tx.pop() {
        let csum = if meta.csum.is_some() { RxCsum::Valid } else { RxCsum::Unknown };
        let Some(head) = slices.next() else { continue };
        rx.push(RxMeta { csum, gso: meta.gso }, head, slices);
    }
}
