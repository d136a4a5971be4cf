//! Every header, parsed where it lies and built where it goes.

use criterion::Criterion;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{Ipv4Packet, Ipv4Repr, TcpPacket, TcpRepr},
};
use std::{hint::black_box, net::Ipv4Addr};
use zerocopy::{FromBytes, IntoBytes, network_endian::U16};
use zerohop::wire::{
    MacAddr,
    arp::{Arp, Operation},
    ethernet::{self, EtherType},
    icmpv4, ipv4,
    tcp::{self, Flags, SeqNum, TcpOptions, Timestamps},
    udp,
};

const SRC: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const DST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// A TCP header with timestamps, as nearly every segment has it.
const TCP_LEN: usize = tcp::HEADER_LEN + 12;
const TOTAL: usize = 1500;

fn ethernet_header() -> ethernet::Header {
    let mac = |last| MacAddr([2, 0, 0, 0, 0, last]);
    ethernet::Header::new(mac(1), mac(2), EtherType::Ipv4)
}

fn arp() -> Arp {
    Arp {
        operation: Operation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        sender: SRC,
        target_mac: MacAddr([0; 6]),
        target: DST,
    }
}

fn ipv4_header() -> ipv4::Header {
    ipv4::Header {
        header_len: ipv4::HEADER_LEN,
        total_len: TOTAL,
        tos: 0,
        ident: 7,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: tcp::PROTOCOL,
        src: SRC,
        dst: DST,
    }
}

fn tcp_header() -> tcp::Header {
    tcp::Header {
        src_port: 7,
        dst_port: 50_000,
        seq: SeqNum(0xdead_beef),
        ack: SeqNum(77),
        header_len: TCP_LEN as u8,
        flags: Flags::ACK | Flags::PSH,
        window: 4096,
    }
}

fn timestamps() -> TcpOptions {
    TcpOptions { timestamps: Some(Timestamps { val: 1, ecr: 2 }), ..TcpOptions::default() }
}

fn syn_options() -> TcpOptions {
    let (mss, window_scale, sack_permitted) = (Some(1460), Some(7), true);
    TcpOptions { mss, window_scale, sack_permitted, ..timestamps() }
}

fn icmp_header() -> icmpv4::Header {
    let (checksum, ident, sequence) = (U16::ZERO, U16::new(7), U16::new(9));
    icmpv4::Header { kind: icmpv4::kind::ECHO, code: 0, checksum, ident, sequence }
}

fn udp_header() -> udp::Header {
    let (src_port, dst_port, len) = (U16::new(7), U16::new(50_000), U16::new(72));
    udp::Header { src_port, dst_port, len, checksum: U16::ZERO }
}

fn write_tcp(bytes: &mut [u8; TCP_LEN]) {
    tcp_header().write(bytes);
    timestamps().write(&mut bytes[tcp::HEADER_LEN..]);
}

pub fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/parse");
    let frame = ethernet_header();
    group.bench_function("ethernet", |b| {
        b.iter(|| {
            let bytes = black_box(&frame).as_bytes();
            ethernet::Header::ref_from_prefix(bytes).map(|(h, _)| h.ethertype()).ok()
        });
    });
    let packet = arp().encode();
    group.bench_function("arp", |b| b.iter(|| Arp::parse(black_box(&packet))));
    let packet = ipv4_header().encode();
    group.bench_function("ipv4", |b| b.iter(|| ipv4::Header::parse(black_box(&packet), TOTAL)));
    group.bench_function("ipv4/smoltcp", |b| {
        b.iter(|| {
            // Checked against its total length by the caller's frame, which is not there.
            let packet = Ipv4Packet::new_unchecked(black_box(&packet));
            packet.verify_checksum().then(|| (packet.src_addr(), packet.dst_addr()))
        });
    });
    let mut segment = [0; TCP_LEN];
    write_tcp(&mut segment);
    group.bench_function("tcp", |b| {
        b.iter(|| {
            let bytes = black_box(&segment);
            let header = tcp::Header::parse(bytes)?;
            let end = usize::from(header.header_len);
            let options = bytes.get(tcp::HEADER_LEN..end).ok_or(tcp::Malformed::Short)?;
            TcpOptions::parse(options).map(|options| (header, options))
        });
    });
    group.bench_function("tcp/smoltcp", |b| {
        let ignored = ChecksumCapabilities::ignored();
        b.iter(|| {
            let packet = TcpPacket::new_checked(&black_box(&segment)[..])?;
            TcpRepr::parse(&packet, &SRC.into(), &DST.into(), &ignored).map(|r| r.seq_number)
        });
    });
    let mut options = [0; 20];
    syn_options().write(&mut options);
    group.bench_function("tcp_syn_options", |b| b.iter(|| TcpOptions::parse(black_box(&options))));
    let message = icmp_header();
    group.bench_function("icmpv4", |b| {
        b.iter(|| icmpv4::Header::read_from_prefix(black_box(&message).as_bytes()).is_ok());
    });
    let datagram = udp_header();
    group.bench_function("udp", |b| {
        b.iter(|| {
            let bytes = black_box(&datagram).as_bytes();
            udp::Header::ref_from_prefix(bytes).map(|(h, _)| (h.src_port, h.dst_port, h.len)).ok()
        });
    });
    group.finish();
}

pub fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/build");
    let mut frame = [0; 128];
    group.bench_function("ethernet", |b| {
        b.iter(|| {
            let header = black_box(ethernet_header());
            black_box(&mut frame)[..ethernet::HEADER_LEN].copy_from_slice(header.as_bytes());
        });
    });
    group.bench_function("arp", |b| {
        b.iter(|| {
            let packet = black_box(arp()).encode();
            black_box(&mut frame)[..packet.len()].copy_from_slice(&packet);
        });
    });
    group.bench_function("ipv4", |b| {
        b.iter(|| {
            let header = black_box(ipv4_header()).encode();
            black_box(&mut frame)[..header.len()].copy_from_slice(&header);
        });
    });
    group.bench_function("ipv4/smoltcp", |b| {
        let repr = Ipv4Repr {
            src_addr: SRC,
            dst_addr: DST,
            next_header: smoltcp::wire::IpProtocol::Tcp,
            payload_len: 32,
            hop_limit: 64,
        };
        b.iter(|| {
            let mut packet = Ipv4Packet::new_unchecked(&mut black_box(&mut frame)[..]);
            black_box(repr).emit(&mut packet, &ChecksumCapabilities::default());
        });
    });
    let mut segment = [0; TCP_LEN];
    group.bench_function("tcp", |b| {
        b.iter(|| {
            let (header, options) = black_box((tcp_header(), timestamps()));
            let segment = black_box(&mut segment);
            header.write(segment);
            options.write(&mut segment[tcp::HEADER_LEN..]);
        });
    });
    group.bench_function("tcp_syn_options", |b| {
        b.iter(|| black_box(syn_options()).write(&mut black_box(&mut frame)[..20]));
    });
    let mut message = [0; 64];
    group.bench_function("icmpv4_echo_64", |b| {
        b.iter(|| {
            let message = black_box(&mut message);
            message[..icmpv4::HEADER_LEN].copy_from_slice(black_box(icmp_header()).as_bytes());
            icmpv4::fill_checksum(message);
        });
    });
    group.bench_function("udp", |b| {
        b.iter(|| {
            let header = black_box(udp_header());
            black_box(&mut frame)[..udp::HEADER_LEN].copy_from_slice(header.as_bytes());
        });
    });
    group.finish();
}
