//! A host of IPv6 alone, and the packets of its link.

pub use crate::link::{Host, OWN_MAC, PEER_MAC};
use std::net::{IpAddr, Ipv6Addr};
use zerocopy::IntoBytes;
use zerohop::{
    ip::{Address, AddressState, Origin},
    stack::Config,
    time::Duration,
    wire::{
        MacAddr,
        icmpv6::{Header, PROTOCOL, kind, pseudo_header},
        ipv6, ndp,
    },
};

pub const EVIL_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x66]);
pub const NOWHERE: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

pub fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The router on the link, or a neighbour.
pub fn peer() -> Ipv6Addr {
    ip("fe80::1")
}

/// An IPv6 packet that was sent.
#[derive(Clone, Debug)]
pub struct Packet {
    pub to: MacAddr,
    pub header: ipv6::Header,
    pub payload: Vec<u8>,
}

impl Packet {
    /// The type of an ICMPv6 message, behind extension headers too.
    pub fn kind(&self) -> Option<u8> {
        let (protocol, at) = ipv6::extension::transport(self.header.next_header, &self.payload)?;
        (protocol == PROTOCOL).then(|| self.payload[at])
    }
}

impl Host {
    /// A host without IPv4 whose link-local address is verified.
    pub fn new() -> Host {
        Host::with(Config::default())
    }

    pub fn with(config: Config) -> Host {
        let mut host = Host::fresh(config);
        host.pass(Duration::from_secs(3));
        host.packets();
        host
    }

    pub fn fresh(config: Config) -> Host {
        let addresses = config.addresses.iter().filter(|c| !c.address.is_ipv4()).copied().collect();
        Host::start(&Config { addresses, ..config }, 512)
    }

    /// The packets that were sent since the last call, their checksums right.
    pub fn packets(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        for frame in self.frames() {
            assert_eq!(frame[12..14], [0x86, 0xdd], "an IPv6 packet");
            let header = ipv6::Header::parse(&frame[14..], frame.len() - 14).unwrap();
            let payload = frame[54..].to_vec();
            let packet = Packet { to: MacAddr(frame[..6].try_into().unwrap()), header, payload };
            check(&packet);
            packets.push(packet);
        }
        packets
    }

    /// The messages of one type among them.
    pub fn sent(&mut self, kind: u8) -> Vec<Packet> {
        self.packets().into_iter().filter(|packet| packet.kind() == Some(kind)).collect()
    }

    pub fn addresses(&self, origin: Origin) -> Vec<Address> {
        self.stack.addresses().filter(|a| a.origin == origin).copied().collect()
    }

    pub fn state(&self, address: Ipv6Addr) -> Option<AddressState> {
        let mut all = self.stack.addresses();
        all.find(|a| a.cidr.address == IpAddr::V6(address)).map(|a| a.state)
    }

    pub fn link_local(&self) -> Ipv6Addr {
        v6(self.addresses(Origin::LinkLocal)[0])
    }

    /// Makes the stack know the peer, as one that asked for it.
    pub fn meet(&mut self, address: Ipv6Addr, mac: MacAddr) {
        let own = self.link_local();
        self.inject(&solicitation(address, own, Some(mac)));
        self.packets();
    }

    /// Makes the peer one that has answered a question of the stack.
    pub fn befriend(&mut self) {
        let own = self.link_local();
        self.echo(peer(), own);
        let flags = ndp::flag::SOLICITED | ndp::flag::OVERRIDE;
        self.inject(&advertisement((peer(), own), peer(), flags, PEER_MAC));
        self.packets();
    }

    /// What an echo request from `from` is answered to; nothing when it is not.
    pub fn echo(&mut self, from: Ipv6Addr, to: Ipv6Addr) -> Vec<Packet> {
        self.inject(&icmp(from, to, 64, (kind::ECHO, 0), 0x0001_0002, b"data"));
        self.sent(kind::ECHO_REPLY)
    }
}

pub fn v6(address: Address) -> Ipv6Addr {
    match address.cidr.address {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => panic!("an IPv6 address"),
    }
}

/// Checksums of ICMPv6 messages that are whole.
fn check(packet: &Packet) {
    let header = &packet.header;
    if let Some((PROTOCOL, at)) = ipv6::extension::transport(header.next_header, &packet.payload)
        && header.next_header != ipv6::extension::next::FRAGMENT
    {
        let message = &packet.payload[at..];
        let mut sum = pseudo_header(header.src, header.dst, message.len());
        sum.add(message);
        assert_eq!(sum.finish(), 0, "checksum of {packet:?}");
    }
}

/// A frame with an IPv6 packet.
pub fn frame(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c, d] = dst.octets();
    let to = if dst.is_multicast() { [0x33, 0x33, a, b, c, d] } else { OWN_MAC.0 };
    let header = ipv6::Header {
        traffic_class: 0,
        payload_len: payload.len(),
        next_header: next,
        hop_limit,
        src,
        dst,
    };
    [&to[..], &PEER_MAC.0, &[0x86, 0xdd], &header.encode(), payload].concat()
}

/// An ICMPv6 message with its checksum.
pub fn message(
    (src, dst): (Ipv6Addr, Ipv6Addr),
    (kind, code): (u8, u8),
    rest: u32,
    body: &[u8],
) -> Vec<u8> {
    let mut bytes = [Header::new(kind, code, rest).as_bytes(), body].concat();
    let mut sum = pseudo_header(src, dst, bytes.len());
    sum.add(&bytes);
    bytes[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    bytes
}

/// A frame with an ICMPv6 message.
pub fn icmp(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    hop_limit: u8,
    what: (u8, u8),
    rest: u32,
    body: &[u8],
) -> Vec<u8> {
    frame(src, dst, hop_limit, PROTOCOL, &message((src, dst), what, rest, body))
}

/// A neighbour solicitation to the target's group, or from nowhere.
pub fn solicitation(src: Ipv6Addr, target: Ipv6Addr, mac: Option<MacAddr>) -> Vec<u8> {
    let option = mac.map(|mac| ndp::link_address(1, mac).to_vec()).unwrap_or_default();
    let body = [&target.octets()[..], &option].concat();
    let what = (kind::NEIGHBOR_SOLICITATION, 0);
    icmp(src, ipv6::solicited_node(target), 255, what, 0, &body)
}

/// A neighbour advertisement.
pub fn advertisement(
    (src, dst): (Ipv6Addr, Ipv6Addr),
    target: Ipv6Addr,
    flags: u8,
    mac: MacAddr,
) -> Vec<u8> {
    let body = [&target.octets()[..], &ndp::link_address(2, mac)].concat();
    let what = (kind::NEIGHBOR_ADVERTISEMENT, 0);
    icmp(src, dst, 255, what, u32::from(flags) << 24, &body)
}
