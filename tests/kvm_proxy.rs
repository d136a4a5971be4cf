//! The proxy under KVM, between two taps, with a server and clients of the host's.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};
use testbed::{Guest, Network, need};

const LEN: usize = 32 << 20;

fn networks() -> Network {
    let network = Network::with_tap().unwrap();
    network.tap("tap1", "10.1.0.1/24").unwrap();
    network
}

fn byte(i: usize) -> u8 {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]
}

/// A server that sends back what it gets, upside down, for one client after the other.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("10.1.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut writer = stream.try_clone().unwrap();
            let mut chunk = vec![0; 1 << 16];
            while let Ok(n @ 1..) = stream.read(&mut chunk) {
                chunk[..n].iter_mut().for_each(|b| *b = !*b);
                if writer.write_all(&chunk[..n]).is_err() {
                    break;
                }
            }
        }
    });
    address
}

fn proxied(io: &str) -> serde_json::Value {
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("proxy").unwrap());
    let _network = networks();
    let server = server();
    let options = ["--mem=64", "--net:front=tap0", "--net:back=tap1", io];
    let args = ["--ipv4=10.0.0.2/24", "--ipv4:back=10.1.0.2/24", "--", &server.to_string()];
    let mut guest = Guest::boot(&tender, &options, &image, &args).unwrap();
    let proxy = SocketAddr::new([10, 0, 0, 2].into(), 8080);
    drop(guest.wait_for(proxy).unwrap());
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for at in (0..LEN).step_by(1 << 16) {
            let chunk: Vec<u8> = (at..at + (1 << 16)).map(byte).collect();
            writer.write_all(&chunk).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::with_capacity(LEN);
    stream.read_to_end(&mut got).unwrap();
    sender.join().unwrap();
    assert_eq!(got.len(), LEN, "the end is passed on behind the data");
    assert!(got.iter().enumerate().all(|(i, b)| *b == !byte(i)));
    std::thread::sleep(Duration::from_millis(100));
    guest.stats().unwrap()
}

#[test]
fn bytes_are_forwarded_without_a_copy() {
    need!(testbed::kvm(), testbed::taps());
    let stats = proxied("--io=shmring");
    // Where the host cuts a segment so that 128 bytes or less are left, they lie behind their header.
    let copied = stats["guest"]["payload_bytes_copied"].as_u64().unwrap();
    assert!(copied < LEN as u64 / 10_000, "{stats}");
}

#[test]
fn bytes_are_forwarded_by_hypercalls_too() {
    need!(testbed::kvm(), testbed::taps());
    proxied("--io=hypercall");
}

#[test]
fn a_missing_device_or_argument_is_named() {
    need!(testbed::kvm(), testbed::taps());
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("proxy").unwrap());
    let _network = networks();
    let nets = ["--mem=16", "--net:front=tap0", "--net:back=tap1"];
    for (options, args, complaint) in [
        (&nets[..], &["--", "10.1.0.1:9"][..], "add --ipv4:back=CIDR"),
        (&nets[..], &["--ipv4:back=10.1.0.2/24"][..], "-- 10.1.0.1:9000"),
        (&nets[..], &["--ipv4:bak=10.1.0.2/24"][..], "no device `bak: Net`"),
        (&nets[..2], &[][..], "back"),
    ] {
        let ended = Guest::boot(&tender, options, &image, args).unwrap().wait().unwrap();
        assert_ne!(ended.code, Some(0));
        assert!(ended.output.contains(complaint), "{complaint}: {}", ended.output);
    }
}
