//! The small services of old under KVM, over rings and by hypercalls.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    process::Command,
    time::Duration,
};
use testbed::{Guest, Network, need, tool};

const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const LIMIT: Duration = Duration::from_secs(10);

fn boot(io: &str) -> (Network, Guest) {
    boot_with(&[io], &[])
}

fn boot_with(options: &[&str], args: &[&str]) -> (Network, Guest) {
    let options = [&["--mem=64"], options].concat();
    let (network, mut guest) = testbed::boot("inetd", &options, args).unwrap();
    guest.wait_for(SocketAddr::new(GUEST, 7)).unwrap();
    (network, guest)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::new(GUEST, port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(SocketAddr::new(GUEST, 7)).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn all_services_answer(io: &str) {
    let (_network, guest) = boot(io);
    for port in [7, 9000] {
        let mut echo = connect(port);
        echo.write_all(b"an echo").unwrap();
        let mut back = [0; 7];
        echo.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"an echo");
    }

    let mut daytime = String::new();
    connect(13).read_to_string(&mut daytime).unwrap();
    assert!(daytime.starts_with("20") && daytime.ends_with(" UTC\r\n"), "{daytime:?}");

    let mut discard = connect(9);
    discard.write_all(&vec![b'x'; 8 << 20]).unwrap();
    discard.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(discard.read(&mut [0; 1]).unwrap(), 0, "discard answers nothing, and closes");

    // RFC 864: lines of 72 characters, each starting one later than the last.
    let mut chargen = connect(19);
    let mut lines = vec![0; 74 * 95 * 20];
    chargen.read_exact(&mut lines).unwrap();
    for (n, line) in lines.chunks(74).enumerate() {
        let expected = (0..72).map(|i| b' ' + ((n + i) % 95) as u8).chain(*b"\r\n");
        assert!(line.iter().copied().eq(expected), "line {n}");
    }
    drop(chargen);

    let socket = udp();
    let mut back = vec![0; 65_536];
    for len in [0, 1, 64, 1472, 5000, 65_507] {
        let sent: Vec<u8> = (0..len).map(|i| i as u8).collect();
        socket.send(&sent).unwrap();
        let n = socket.recv(&mut back).unwrap();
        assert!(back[..n] == sent[..], "{len} bytes came back as {n}");
    }
    assert_eq!(guest.stats().unwrap()["queue_broken"], 0);
}

#[test]
fn every_service_answers_over_rings() {
    need!(testbed::kvm(), testbed::taps());
    all_services_answer("--io=shmring");
}

#[test]
fn every_service_answers_by_hypercalls() {
    need!(testbed::kvm(), testbed::taps());
    all_services_answer("--io=hypercall");
}

#[test]
fn datagrams_of_a_burst_come_back_whole() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, _guest) = boot("--io=shmring");
    let socket = udp();
    let mut back = [0; 256];
    for round in 0..50_u8 {
        for i in 0..64_u8 {
            socket.send(&[round ^ i; 100]).unwrap();
        }
        let mut seen: Vec<u8> = (0..64)
            .map(|_| {
                assert_eq!(socket.recv(&mut back).unwrap(), 100);
                assert!(back[..100].iter().all(|b| *b == back[0]));
                back[0] ^ round
            })
            .collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..64));
    }
}

/// What tshark finds wrong in a capture: malformed packets, and checksums that it can verify.
fn complaints(file: &std::path::Path) -> String {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file);
    for protocol in ["ip", "tcp", "udp"] {
        tshark.arg("-o").arg(format!("{protocol}.check_checksum:TRUE"));
    }
    let bad = ["ip", "tcp", "udp", "icmp", "igmp"].map(|p| format!("{p}.checksum.status == 0"));
    let filter = format!("_ws.malformed || {}", bad.join(" || "));
    let output = tshark.args(["-Y", &filter]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn tshark_finds_nothing_wrong_in_a_capture() {
    need!(testbed::kvm(), testbed::taps(), tool("tshark"), tool("ping"));
    let file = std::env::temp_dir().join(format!("zerohop-inetd-{}.pcap", std::process::id()));
    // Without offloads every checksum is on the wire.
    let pcap = format!("--pcap:service={}", file.display());
    let (network, guest) = boot_with(&["--io=hypercall", &pcap], &["--", "239.1.2.3"]);
    network.ip(&["route", "add", "224.0.0.0/4", "dev", "tap0"]).unwrap();
    for size in ["56", "9000"] {
        let ping = ["-c", "3", "-i", "0.2", "-W", "5", "-s", size, "10.0.0.2"];
        let said = Command::new("ping").args(ping).output().unwrap();
        assert!(String::from_utf8_lossy(&said.stdout).contains(" 0% packet loss"), "{said:?}");
    }
    let socket = udp();
    let mut back = vec![0; 65_536];
    for len in [0, 1, 33, 1472, 1473, 20_000] {
        socket.send(&vec![0xa5; len]).unwrap();
        assert_eq!(socket.recv(&mut back).unwrap(), len);
    }
    let group = UdpSocket::bind("10.0.0.1:0").unwrap();
    group.set_read_timeout(Some(LIMIT)).unwrap();
    group.send_to(b"group", "239.1.2.3:7").unwrap();
    assert_eq!(group.recv(&mut back).unwrap(), 5);
    // A closed port of each kind.
    group.connect(SocketAddr::new(GUEST, 99)).unwrap();
    group.send(b"x").unwrap();
    assert!(group.recv(&mut back).is_err());
    assert!(TcpStream::connect(SocketAddr::new(GUEST, 99)).is_err());
    let mut echo = connect(7);
    echo.write_all(&[7; 10_000]).unwrap();
    echo.read_exact(&mut back[..10_000]).unwrap();
    drop(echo);
    guest.terminate().unwrap();
    let wrong = complaints(&file);
    assert!(wrong.is_empty(), "{wrong}");
    std::fs::remove_file(&file).unwrap();
}
