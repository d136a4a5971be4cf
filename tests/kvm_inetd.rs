//! The small services of old under KVM, over rings and by hypercalls.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};
use testbed::{Guest, Network, need};

const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const LIMIT: Duration = Duration::from_secs(10);

fn boot(io: &str) -> (Network, Guest) {
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("inetd").unwrap());
    let network = Network::enter().unwrap();
    network.tap("tap0", "10.0.0.1/24").unwrap();
    let options = ["--mem=64", "--net:service=tap0", io];
    let mut guest = Guest::boot(&tender, &options, &image, &[]).unwrap();
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
    let mut back = [0; 2048];
    for len in [0, 1, 64, 1472] {
        let sent: Vec<u8> = (0..len).map(|i| i as u8).collect();
        socket.send(&sent).unwrap();
        let n = socket.recv(&mut back).unwrap();
        assert_eq!(back[..n], sent);
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
