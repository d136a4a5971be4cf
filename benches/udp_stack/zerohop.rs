//! A stack that is handed the same frame again and again.

use super::{BATCH, DATA};
use std::net::Ipv4Addr;
use zerohop::{
    Pool, PoolConfig, Slice,
    device::DeviceInfo,
    frame::{Offloads, RxCsum, RxMeta, RxQueue, TxQueue},
    stack::{Config, Stack},
    time::{Duration, Instant},
    udp::UdpId,
    wire::{
        MacAddr,
        arp::{Arp, Operation},
        checksum::Checksum,
        ipv4,
    },
};

const PEER: (MacAddr, Ipv4Addr) = (MacAddr([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 1));
const OWN: (MacAddr, Ipv4Addr) = (MacAddr([2, 0, 0, 0, 0, 2]), Ipv4Addr::new(10, 0, 0, 2));

/// The frame of a datagram to port 7.
pub fn frame() -> Vec<u8> {
    let len = 8 + DATA;
    let mut udp: Vec<u8> =
        [4000, 7, len as u16, 0].iter().flat_map(|word: &u16| word.to_be_bytes()).collect();
    udp.extend([0x5a; DATA]);
    let mut sum = Checksum::pseudo_header(PEER.1.into(), OWN.1.into(), 17, len);
    sum.add(&udp);
    udp[6..8].copy_from_slice(&sum.finish().to_be_bytes());
    let header = ipv4::Header {
        header_len: 20,
        total_len: 20 + len,
        tos: 0,
        ident: 1,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: 17,
        src: PEER.1,
        dst: OWN.1,
    };
    [&OWN.0.0[..], &PEER.0.0, &[8, 0], &header.encode(), &udp].concat()
}

/// The frame with which the peer makes itself known.
pub fn request() -> Vec<u8> {
    let arp = Arp {
        operation: Operation::Request,
        sender_mac: PEER.0,
        sender: PEER.1,
        target_mac: MacAddr::default(),
        target: OWN.1,
    };
    [&[0xff; 6][..], &PEER.0.0, &[8, 6], &arp.encode()].concat()
}

pub struct Host {
    stack: Stack,
    rx: RxQueue,
    tx: TxQueue,
    socket: UdpId,
    now: Instant,
    frame: Slice,
    meta: RxMeta,
}

impl Host {
    pub fn new(checksums: bool) -> Host {
        let offloads = match checksums {
            true => Offloads::empty(),
            false => Offloads::TX_CSUM | Offloads::RX_CSUM,
        };
        let info = DeviceInfo { mac: OWN.0, mtu: 1500, offloads, io_mode: "wire" };
        // SAFETY: a bench has one thread, as a unikernel has, whose pool is this one.
        let pool = unsafe { Pool::heap_confined(PoolConfig::default()) };
        let now = Instant::from_millis(1000);
        let mut stack = Stack::new(&Config::default(), &info, pool.clone(), [7; 32], now);
        let socket = stack.udp.bind("[::]:7".parse().unwrap()).unwrap();
        let csum = if checksums { RxCsum::Unknown } else { RxCsum::Valid };
        let mut buf = pool.alloc().unwrap();
        let bytes = frame();
        buf.append(bytes.len()).copy_from_slice(&bytes);
        let mut host = Host {
            stack,
            rx: RxQueue::default(),
            tx: TxQueue::default(),
            socket,
            now,
            frame: buf.freeze(),
            meta: RxMeta { csum, gso: None },
        };
        host.rx.push(RxMeta::default(), Slice::from(request()), []);
        host.echo();
        host
    }

    fn receive(&mut self) {
        self.now += Duration::from_nanos(500);
        for _ in 0..BATCH {
            self.rx.push(self.meta, self.frame.clone(), []);
        }
        self.stack.receive(self.now, &mut self.rx, &mut self.tx);
        while self.stack.udp.take_readable().is_some() {}
    }

    fn send(&mut self) {
        self.stack.poll(self.now, &mut self.tx);
        assert!(self.tx.len() >= BATCH);
        while self.tx.pop().is_some() {}
    }

    /// Takes datagrams and sends each back by reference.
    pub fn echo(&mut self) {
        self.receive();
        while let Ok(Some(datagram)) = self.stack.udp.recv(self.socket) {
            let (now, id) = (self.now, self.socket);
            self.stack.send_udp(now, &mut self.tx, id, datagram.from, &datagram.data).unwrap();
        }
        self.send();
    }

    /// Takes datagrams and answers each with one that is written in place.
    pub fn answer(&mut self) {
        self.receive();
        while let Ok(Some(datagram)) = self.stack.udp.recv(self.socket) {
            let (now, id) = (self.now, self.socket);
            let copy = |bytes: &mut [u8]| bytes.copy_from_slice(&datagram.data[0]);
            self.stack.send_udp_with(now, &mut self.tx, id, datagram.from, DATA, copy).unwrap();
        }
        self.send();
    }
}
