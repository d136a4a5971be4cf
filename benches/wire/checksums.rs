//! The internet checksum at sizes from a header to a super-frame.

use criterion::{BenchmarkId, Criterion, Throughput};
use smoltcp::wire::UdpPacket;
use std::{hint::black_box, net::Ipv4Addr, time::Duration};
use testbed::turns::{self, Figure};
use zerohop::wire::{checksum::Checksum, udp};

const SIZES: [usize; 6] = [20, 64, 256, 1448, 1480, 65_000];
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A UDP datagram of `len` bytes with a right checksum.
fn datagram(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|i| (i * 7 + 3) as u8).collect();
    bytes[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    bytes[6..8].fill(0);
    let mut sum = pseudo(len);
    sum.add(&bytes);
    bytes[6..8].copy_from_slice(&sum.finish().to_be_bytes());
    bytes
}

fn pseudo(len: usize) -> Checksum {
    Checksum::pseudo_header(LOCAL.into(), REMOTE.into(), udp::PROTOCOL, len)
}

fn zerohop(datagram: &[u8]) -> bool {
    let mut sum = pseudo(datagram.len());
    sum.add(datagram);
    sum.finish() == 0
}

/// RFC 1071, section 4.1, as everybody writes it first.
fn plain(datagram: &[u8]) -> bool {
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    let addresses = [LOCAL.octets(), REMOTE.octets()];
    let mut sum = u32::from(udp::PROTOCOL) + datagram.len() as u32;
    for address in &addresses {
        sum += word(&address[..2]) + word(&address[2..]);
    }
    let mut pairs = datagram.chunks_exact(2);
    for pair in &mut pairs {
        sum += word(pair);
    }
    if let [last] = pairs.remainder() {
        sum += u32::from(*last) << 8;
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == 0xffff
}

fn smoltcp(datagram: &[u8]) -> bool {
    UdpPacket::new_unchecked(datagram).verify_checksum(&LOCAL.into(), &REMOTE.into())
}

type Peer = (&'static str, fn(&[u8]) -> bool);
const PEERS: [Peer; 3] = [("zerohop", zerohop), ("plain_loop", plain), ("smoltcp", smoltcp)];

pub fn bench(c: &mut Criterion) {
    for size in SIZES {
        let bytes = datagram(size);
        let mut group = c.benchmark_group(format!("wire/checksum/{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        for (name, verify) in PEERS {
            assert!(verify(&bytes), "{name} at {size}");
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| verify(black_box(&bytes)));
            });
        }
        group.finish();
    }
}

pub fn table() {
    let rows = SIZES.map(|size| {
        let bytes = datagram(size);
        let figure = |(name, verify): Peer| -> Figure<'_> {
            let (bytes, rounds) = (bytes.clone(), (200_000 / size).max(10) as u64);
            let work = move || {
                black_box(verify(black_box(&bytes)));
            };
            (name, Box::new(move || turns::best_of(rounds, Duration::from_millis(5), &work)))
        };
        (format!("checksum of {size} bytes"), PEERS.map(figure).into())
    });
    turns::table("Nanoseconds a sum", rows);
}
