//! The same with smoltcp.

use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer},
    time::Instant,
    wire::{EthernetAddress, IpAddress, IpCidr},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant as Clock},
};

/// Frames between the ends; buffers are used again.
#[derive(Default)]
struct Queue {
    rx: VecDeque<Vec<u8>>,
    tx: VecDeque<Vec<u8>>,
    free: Vec<Vec<u8>>,
    checksums: bool,
}

struct Rx<'a>(Vec<u8>, &'a mut Vec<Vec<u8>>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>, Option<Vec<u8>>);

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.0);
        self.1.push(self.0);
        result
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.1.unwrap_or_else(|| Vec::with_capacity(1514));
        frame.resize(len, 0);
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Queue {
    type RxToken<'a> = Rx<'a>;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        let frame = self.rx.pop_front()?;
        let spare = self.free.pop();
        Some((Rx(frame, &mut self.free), Tx(&mut self.tx, spare)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Tx<'_>> {
        let spare = self.free.pop();
        Some(Tx(&mut self.tx, spare))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        if !self.checksums {
            let mut none = ChecksumCapabilities::ignored();
            none.ipv4 = Checksum::Both;
            capabilities.checksum = none;
        }
        capabilities
    }
}

struct End {
    interface: Interface,
    device: Queue,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl End {
    fn new(host: u8, checksums: bool) -> End {
        let mut device = Queue { checksums, ..Queue::default() };
        let mac = EthernetAddress([2, 0, 0, 0, 0, host]);
        let mut config = Config::new(mac.into());
        config.random_seed = u64::from(host);
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, host), 24)).unwrap();
        });
        let buffer = || SocketBuffer::new(vec![0; 256 << 10]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        End { interface, device, sockets, socket }
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }
}

fn carry(from: &mut End, to: &mut End) {
    while let Some(frame) = from.device.tx.pop_front() {
        to.device.rx.push_back(frame);
        // The buffers go round.
        if let Some(spare) = to.device.free.pop() {
            from.device.free.push(spare);
        }
    }
}

pub struct Pair {
    a: End,
    b: End,
    now: Instant,
    chunk: Vec<u8>,
}

impl Pair {
    pub fn new(checksums: bool) -> Pair {
        let (mut a, mut b) = (End::new(1, checksums), End::new(2, checksums));
        b.socket().listen(80).unwrap();
        let End { interface, sockets, socket, .. } = &mut a;
        let remote = (IpAddress::v4(10, 0, 0, 2), 80);
        sockets.get_mut::<Socket>(*socket).connect(interface.context(), remote, 50_000).unwrap();
        let mut pair = Pair { a, b, now: Instant::from_millis(1000), chunk: vec![0x5a; 65_536] };
        while !pair.b.socket().may_send() || !pair.a.socket().may_send() {
            pair.now += smoltcp::time::Duration::from_millis(1);
            pair.round();
        }
        pair.transfer(10_000);
        for _ in 0..100 {
            pair.round_trip();
        }
        pair
    }

    fn round(&mut self) -> usize {
        self.now += smoltcp::time::Duration::from_micros(10);
        let now = self.now;
        self.a.poll(now);
        carry(&mut self.a, &mut self.b);
        self.b.poll(now);
        let mut bytes = 0;
        while let Ok(n) = self.b.socket().recv(|data| (data.len(), data.len())) {
            if n == 0 {
                break;
            }
            bytes += n;
        }
        self.b.poll(now);
        carry(&mut self.b, &mut self.a);
        bytes
    }

    pub fn transfer(&mut self, n: u64) -> Duration {
        let mut unwritten = n as usize * 1460;
        let mut unread = unwritten;
        let start = Clock::now();
        while unread > 0 {
            while unwritten > 0 {
                let len = unwritten.min(self.chunk.len());
                let taken =
                    self.a.sockets.get_mut::<Socket>(self.a.socket).send_slice(&self.chunk[..len]);
                let taken = taken.unwrap();
                unwritten -= taken;
                if taken == 0 {
                    break;
                }
            }
            unread -= self.round();
        }
        start.elapsed()
    }

    pub fn round_trip(&mut self) {
        self.now += smoltcp::time::Duration::from_micros(1);
        pass_byte(&mut self.a, &mut self.b, self.now);
        pass_byte(&mut self.b, &mut self.a, self.now);
    }
}

fn pass_byte(from: &mut End, to: &mut End, now: Instant) {
    from.socket().send_slice(b"x").unwrap();
    from.poll(now);
    carry(from, to);
    to.poll(now);
    let mut byte = [0; 1];
    assert_eq!(to.socket().recv_slice(&mut byte), Ok(1));
}
