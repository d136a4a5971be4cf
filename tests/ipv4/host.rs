//! A host of IPv4 alone, and the packets of its link.

pub use crate::link::{Host, OWN_MAC, PEER_MAC};
use std::net::Ipv4Addr;
use zerohop::{
    stack::{Config, Ipv6},
    time::Duration,
    wire::{
        MacAddr,
        arp::{Arp, Operation},
        checksum::Checksum,
        icmpv4, ipv4,
    },
};

pub const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// An IPv4 packet that was sent.
#[derive(Clone, Debug)]
pub struct Packet {
    pub to: MacAddr,
    pub header: ipv4::Header,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Host {
    /// A host that has announced itself and knows its peer.
    pub fn new() -> Host {
        let mut host = Host::fresh(&Config::default(), 1024);
        host.pass(Duration::from_secs(20));
        host.meet(PEER, PEER_MAC);
        host.frames();
        host
    }

    pub fn fresh(config: &Config, buffers: usize) -> Host {
        let ipv6 = Ipv6 { enabled: false, ..Ipv6::default() };
        Host::start(&Config { ipv6, ..config.clone() }, buffers)
    }

    /// The IPv4 packets of these frames, their checksums right.
    pub fn packets(&mut self) -> Vec<Packet> {
        let ipv4 = |frame: &Vec<u8>| frame[12..14] == [8, 0];
        self.frames().into_iter().filter(ipv4).map(|frame| packet(&frame)).collect()
    }

    /// The ARP packets of these frames.
    pub fn arps(&mut self) -> Vec<(MacAddr, Arp)> {
        let arp = |frame: &Vec<u8>| frame[12..14] == [8, 6];
        let parse = |frame: Vec<u8>| (mac(&frame[..6]), Arp::parse(&frame[14..]).unwrap());
        self.frames().into_iter().filter(arp).map(parse).collect()
    }

    /// Makes the stack know a neighbour, as one that asked for it.
    pub fn meet(&mut self, address: Ipv4Addr, mac: MacAddr) {
        self.inject(&arp(Operation::Request, (mac, address), OWN));
        self.frames();
    }
}

fn mac(bytes: &[u8]) -> MacAddr {
    MacAddr(bytes.try_into().unwrap())
}

fn packet(frame: &[u8]) -> Packet {
    let header = ipv4::Header::parse(&frame[14..], frame.len() - 14).unwrap();
    let (start, end) = (14 + header.header_len, 14 + header.total_len);
    Packet {
        to: mac(&frame[..6]),
        header,
        options: frame[34..start].to_vec(),
        payload: frame[start..end].to_vec(),
    }
}

pub fn ethernet(to: MacAddr, from: MacAddr, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to.0[..], &from.0, &ethertype.to_be_bytes(), payload].concat();
    // Padded as on a wire.
    frame.resize(frame.len().max(60), 0);
    frame
}

pub fn arp(operation: Operation, sender: (MacAddr, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    let arp = Arp {
        operation,
        sender_mac: sender.0,
        sender: sender.1,
        target_mac: MacAddr::default(),
        target,
    };
    ethernet(MacAddr::BROADCAST, sender.0, 0x0806, &arp.encode())
}

/// What a packet of the peer is made from; [`Ip::frame`] makes it.
#[derive(Clone, Copy)]
pub struct Ip {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub to: MacAddr,
    pub protocol: u8,
    pub ident: u16,
    pub offset: usize,
    pub more: bool,
    pub tos: u8,
    pub ttl: u8,
}

impl Default for Ip {
    fn default() -> Ip {
        Ip {
            src: PEER,
            dst: OWN,
            to: OWN_MAC,
            protocol: 17,
            ident: 1,
            offset: 0,
            more: false,
            tos: 0,
            ttl: 64,
        }
    }
}

impl Ip {
    pub fn frame(&self, payload: &[u8]) -> Vec<u8> {
        ethernet(self.to, PEER_MAC, 0x0800, &[&self.header(payload.len())[..], payload].concat())
    }

    pub fn header(&self, len: usize) -> [u8; 20] {
        ipv4::Header {
            header_len: 20,
            total_len: 20 + len,
            tos: self.tos,
            ident: self.ident,
            dont_fragment: false,
            more_fragments: self.more,
            fragment_offset: self.offset,
            ttl: self.ttl,
            protocol: self.protocol,
            src: self.src,
            dst: self.dst,
        }
        .encode()
    }

    /// The frames of a datagram in fragments of `size` bytes.
    pub fn fragments(&self, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
        let count = payload.len().div_ceil(size);
        let piece = |(i, chunk): (usize, &[u8])| {
            Ip { offset: i * size, more: i + 1 < count, ..*self }.frame(chunk)
        };
        payload.chunks(size).enumerate().map(piece).collect()
    }
}

/// A UDP datagram from one port to another.
pub fn udp(ip: &Ip, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let len = 8 + data.len();
    let words = [ports.0, ports.1, len as u16, 0];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(data);
    let mut sum = Checksum::pseudo_header(ip.src.into(), ip.dst.into(), 17, len);
    sum.add(&bytes);
    let sum = match sum.finish() {
        0 => 0xffff,
        sum => sum,
    };
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Whether a datagram that was sent has a right checksum.
pub fn udp_is_right(packet: &Packet) -> bool {
    let (src, dst) = (packet.header.src.into(), packet.header.dst.into());
    let mut sum = Checksum::pseudo_header(src, dst, 17, packet.payload.len());
    sum.add(&packet.payload);
    sum.finish() == 0
}

/// An ICMP message.
pub fn icmp(kind: u8, code: u8, words: [u16; 2], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    words.iter().for_each(|word| bytes.extend(word.to_be_bytes()));
    bytes.extend(data);
    icmpv4::fill_checksum(&mut bytes);
    bytes
}

/// The payload of fragments that were sent, put together; they must be whole and in order.
pub fn joined(packets: &[Packet]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, packet) in packets.iter().enumerate() {
        assert_eq!(packet.header.fragment_offset, bytes.len());
        assert_eq!(packet.header.more_fragments, i + 1 < packets.len());
        assert_eq!(packet.header.ident, packets[0].header.ident);
        assert!(packet.header.total_len <= 1500 && packet.options.is_empty());
        bytes.extend(&packet.payload);
    }
    bytes
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}
