//! Whole frames into a stack with sockets of all kinds open: the input is a list of frames, each
//! with its length, a byte that says how it goes in, and how much time passes before it. What
//! lies at the places of addresses and checksums is often put right, so that frames get deep.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv6Addr};
use zerohop::{
    Pool, PoolConfig, Slice,
    device::DeviceInfo,
    frame::{Gso, GsoKind, Offloads, RxCsum, RxMeta, RxQueue, TxQueue},
    stack::{Config, Stack},
    tcp::{ListenOptions, Options, Read},
    time::{Duration, Instant},
    wire::{MacAddr, ipv4, ipv6},
};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const BUFFERS: usize = 256;
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

fn stack(pool: &Pool, now: Instant) -> Stack {
    let info = DeviceInfo { mac: MAC, mtu: 1500, offloads: Offloads::all(), io_mode: "wire" };
    let mut config = Config::default();
    config.addresses.push("fd00::2/64".parse().unwrap());
    config.ipv6.temporary = true;
    Stack::new(&config, &info, pool.clone(), [7; 32], now)
}

fn sockets(stack: &mut Stack, now: Instant, tx: &mut TxQueue) {
    let any = |port: u16| format!("[::]:{port}").parse().unwrap();
    stack.tcp.listen(any(80), ListenOptions::default()).unwrap();
    let udp = stack.udp.bind(any(7)).unwrap();
    for group in ["224.0.0.251", "ff02::fb"] {
        stack.join_udp(now, udp, group.parse().unwrap()).unwrap();
    }
    for peer in ["10.0.0.1:80", "[fd00::1]:80"] {
        let _ = stack.connect_tcp(now, tx, peer.parse().unwrap(), None, &Options::default());
        let _ = stack.send_udp(now, tx, udp, peer.parse::<std::net::SocketAddr>().unwrap(), &[]);
    }
}

/// Puts right what a random frame never has right, as `how` says.
fn repair(frame: &mut [u8], how: u8) {
    if how & 1 != 0 && frame.len() >= 14 {
        frame[..6].copy_from_slice(&MAC.0);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    }
    if how & 2 == 0 || frame.len() < 54 {
        return;
    }
    let len = frame.len();
    if how & 4 == 0 {
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
        frame[26..30].copy_from_slice(&[10, 0, 0, 1]);
        frame[30..34].copy_from_slice(&[10, 0, 0, 2]);
        frame[24..26].fill(0);
        let mut sum = zerohop::wire::checksum::Checksum::new();
        sum.add(&frame[14..34]);
        let sum = sum.finish().to_be_bytes();
        frame[24..26].copy_from_slice(&sum);
        debug_assert!(ipv4::Header::parse(&frame[14..], len - 14).is_ok());
        return;
    }
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14] = 0x60;
    frame[18..20].copy_from_slice(&((len - 54) as u16).to_be_bytes());
    if how & 8 != 0 {
        // From the link, with the hop limit of its messages.
        frame[20..22].copy_from_slice(&[58, 255]);
        frame[22..38].copy_from_slice(&Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets());
    }
    frame[38..54].copy_from_slice(&OWN6.octets());
    debug_assert!(ipv6::Header::parse(&frame[14..], len - 14).is_ok());
}

fn meta(how: u8) -> RxMeta {
    // Mostly vouched for: no random checksum is right.
    let csum = if how & 0x10 == 0 { RxCsum::Valid } else { RxCsum::Unknown };
    let gso = |kind| Gso { kind, size: u16::from(how) * 8, ecn: how & 1 != 0 };
    let gso = match how >> 5 {
        5 => Some(gso(GsoKind::Tcp4)),
        6 => Some(gso(GsoKind::Tcp6)),
        7 => Some(gso(GsoKind::Udp)),
        _ => None,
    };
    RxMeta { csum, gso }
}

fn slices(pool: &Pool, bytes: &[u8], size: usize) -> Option<Vec<Slice>> {
    bytes
        .chunks(size.max(1))
        .map(|part| {
            let mut buf = pool.alloc()?;
            buf.append(part.len()).copy_from_slice(part);
            Some(buf.freeze())
        })
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let pool = Pool::heap(PoolConfig { count: BUFFERS, ..PoolConfig::default() });
    let mut now = Instant::from_millis(1000);
    let (mut rx, mut tx) = (RxQueue::default(), TxQueue::default());
    let mut stack = stack(&pool, now);
    sockets(&mut stack, now, &mut tx);
    for _ in 0..50 {
        now += Duration::from_millis(100);
        stack.poll(now, &mut tx);
        while tx.pop().is_some() {}
    }
    let mut rest = data;
    while let [len, how, time, tail @ ..] = rest {
        let (bytes, left) = tail.split_at(tail.len().min(usize::from(*len) * 6));
        rest = left;
        let mut frame = bytes.to_vec();
        repair(&mut frame, *how);
        let size = if time & 1 == 0 { 1900 } else { 64 };
        if let Some(slices) = slices(&pool, &frame, size)
            && let Some((head, others)) = slices.split_first()
        {
            rx.push(meta(*how), head.clone(), others.to_vec());
        }
        now += Duration::from_millis(u64::from(*time >> 1) * u64::from(*time >> 1));
        stack.receive(now, &mut rx, &mut tx);
        stack.poll(now, &mut tx);
        while tx.pop().is_some() {}
        while let Some(event) = stack.tcp.take_event() {
            if let zerohop::tcp::Event::Readable(conn) = event {
                while matches!(stack.tcp.read(conn, usize::MAX), Ok(Read::Data(_))) {}
            }
        }
    }
    let own = |a: &zerohop::ip::Address| a.cidr.address == IpAddr::V6(OWN6);
    assert!(stack.addresses().count() <= 32 && stack.routes().count() <= 64);
    assert!(stack.addresses().any(own), "what was configured and verified stays");
});
