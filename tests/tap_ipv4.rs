//! IPv4, ARP, ICMP, IGMP and UDP with Linux on the other side of a tap; the service is a process.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};
use testbed::{Capture, Guest, Network, need, tool};

const LIMIT: Duration = Duration::from_secs(20);

fn at(port: u16) -> SocketAddr {
    format!("10.0.0.2:{port}").parse().unwrap()
}

fn start(tap: &str, args: &[&str]) -> Guest {
    let program = testbed::example("inetd").unwrap();
    let tap = format!("--tap={tap}");
    Guest::process(&program, &[&[tap.as_str(), "--ipv4=10.0.0.2/24"], args].concat()).unwrap()
}

fn serve(args: &[&str]) -> (Network, Guest) {
    let network = Network::with_tap().unwrap();
    let mut guest = start("tap0", args);
    guest.wait_for(at(7)).unwrap();
    (network, guest)
}

/// What a program printed, and whether it was content.
fn run(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn ping_of_any_size_is_answered() {
    need!(testbed::taps(), tool("ping"));
    let (_network, _guest) = serve(&[]);
    for size in ["0", "56", "1472", "1473", "9000", "65507"] {
        let (_, said) = run("ping", &["-c", "3", "-i", "0.1", "-W", "5", "-s", size, "10.0.0.2"]);
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
}

#[test]
fn arping_finds_our_address_and_no_other() {
    need!(testbed::taps(), tool("arping"));
    let (_network, _guest) = serve(&[]);
    let (found, said) = run("arping", &["-c", "2", "-w", "20", "-I", "tap0", "10.0.0.2"]);
    assert!(found && said.contains("Received 2 response"), "{said}");
    // A duplicate address detection finds it taken.
    let (free, said) = run("arping", &["-D", "-c", "1", "-w", "2", "-I", "tap0", "10.0.0.2"]);
    assert!(!free, "{said}");
    let (_, said) = run("arping", &["-c", "1", "-w", "1", "-I", "tap0", "10.0.0.3"]);
    assert!(said.contains("Received 0 response"), "{said}");
}

#[test]
fn tracepath_reaches_us() {
    need!(testbed::taps(), tool("tracepath"));
    let (_network, _guest) = serve(&[]);
    let (_, said) = run("tracepath", &["-n", "10.0.0.2"]);
    assert!(said.contains("reached") && said.contains("pmtu 1500"), "{said}");
}

#[test]
fn nmap_tells_open_ports_from_closed_ones() {
    need!(testbed::taps(), tool("nmap"));
    let (_network, _guest) = serve(&[]);
    let (_, said) = run("nmap", &["-sU", "-n", "-Pn", "-p", "7,13,19,99,1000", "10.0.0.2"]);
    let state = |port: &str| {
        let line = said.lines().find(|line| line.starts_with(&format!("{port}/udp")));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("").to_string()
    };
    for port in ["7", "13", "19"] {
        assert_eq!(state(port), "open", "{said}");
    }
    for port in ["99", "1000"] {
        assert_eq!(state(port), "closed", "{said}");
    }
}

#[test]
fn datagrams_of_every_size_come_back_whole() {
    need!(testbed::taps());
    let (_network, _guest) = serve(&[]);
    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
    socket.connect(at(7)).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut back = vec![0; 65_536];
    for len in [0, 1, 64, 1471, 1472, 1473, 4000, 30_000, 65_507] {
        let sent: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        for _ in 0..3 {
            socket.send(&sent).unwrap();
            let n = socket.recv(&mut back).unwrap();
            assert!(back[..n] == sent[..], "{len} bytes came back as {n}");
        }
    }
}

#[test]
fn small_services_answer_by_udp() {
    need!(testbed::taps());
    let (_network, _guest) = serve(&[]);
    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut back = [0; 2048];
    socket.send_to(b"", at(13)).unwrap();
    let (n, _) = socket.recv_from(&mut back).unwrap();
    let daytime = String::from_utf8_lossy(&back[..n]).into_owned();
    assert!(daytime.starts_with("20") && daytime.ends_with(" UTC\r\n"), "{daytime}");
    let lens: Vec<usize> = (0..20)
        .map(|_| {
            socket.send_to(b"", at(19)).unwrap();
            let (n, from) = socket.recv_from(&mut back).unwrap();
            assert_eq!(from, at(19));
            assert!(
                n <= 512
                    && back[..n].iter().all(|b| (b' '..=b'~').contains(b) || b"\r\n".contains(b))
            );
            n
        })
        .collect();
    assert!(lens.iter().any(|n| *n != lens[0]));
    // Discard takes and says nothing; a client at a service's port gets no answer.
    socket.send_to(b"x", at(9)).unwrap();
    let low = UdpSocket::bind("10.0.0.1:7").unwrap();
    low.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    low.send_to(b"loop", at(7)).unwrap();
    assert!(low.recv_from(&mut back).is_err());
}

#[test]
fn closed_port_refuses_datagrams() {
    need!(testbed::taps());
    let (_network, _guest) = serve(&[]);
    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
    socket.connect(at(99)).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    for len in [1, 3000] {
        socket.send(&vec![7; len]).unwrap();
        let refused = socket.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn address_is_announced_at_start() {
    need!(testbed::taps(), tool("tcpdump"));
    let _network = Network::with_tap().unwrap();
    testbed::example("inetd").unwrap();
    let capture = Capture::lines("tap0", "arp").unwrap();
    let mut guest = start("tap0", &[]);
    guest.wait_for(at(7)).unwrap();
    let announced = |seen: &str| {
        seen.matches("Announcement 10.0.0.2").count()
            + seen.matches("who-has 10.0.0.2 tell 10.0.0.2").count()
    };
    let seen = capture.until(|seen| announced(seen) >= 2);
    assert_eq!(announced(&seen), 2, "{seen}");
}

#[test]
fn two_services_with_one_address_notice() {
    need!(testbed::taps());
    let network = Network::enter().unwrap();
    network.ip(&["link", "add", "br0", "type", "bridge"]).unwrap();
    for tap in ["tap0", "tap1"] {
        network.ip(&["tuntap", "add", tap, "mode", "tap"]).unwrap();
        network.ip(&["link", "set", tap, "master", "br0", "up"]).unwrap();
    }
    network.ip(&["addr", "add", "10.0.0.1/24", "dev", "br0"]).unwrap();
    network.ip(&["link", "set", "br0", "up"]).unwrap();
    let mut first = start("tap0", &[]);
    first.wait_for(at(7)).unwrap();
    let second = start("tap1", &[]);
    let noticed = |guest: &Guest| guest.output().contains("claims our address 10.0.0.2");
    let started = Instant::now();
    while !(noticed(&first) && noticed(&second)) {
        assert!(started.elapsed() < LIMIT, "{}\n{}", first.output(), second.output());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn group_is_reported_and_heard() {
    need!(testbed::taps(), tool("tcpdump"));
    let network = Network::with_tap().unwrap();
    network.ip(&["route", "add", "224.0.0.0/4", "dev", "tap0"]).unwrap();
    testbed::example("inetd").unwrap();
    let capture = Capture::lines("tap0", "igmp").unwrap();
    let mut guest = start("tap0", &["--", "239.1.2.3"]);
    guest.wait_for(at(7)).unwrap();
    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.send_to(b"to all of you", "239.1.2.3:7").unwrap();
    let mut back = [0; 64];
    let (n, from) = socket.recv_from(&mut back).unwrap();
    assert_eq!((&back[..n], from), (&b"to all of you"[..], at(7)));
    // A group that nobody joined is not heard.
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.send_to(b"hello", "239.1.2.4:7").unwrap();
    assert!(socket.recv_from(&mut back).is_err());
    let reports = |seen: &str| seen.matches("10.0.0.2 > 224.0.0.22: igmp v3 report").count();
    let seen = capture.until(|seen| reports(seen) >= 2);
    assert_eq!(reports(&seen), 2, "{seen}");
}

/// A host behind this one, on a link with a smaller MTU; `there` runs on it.
fn behind_a_narrow_link<T: Send>(
    network: &Network,
    mtu: &str,
    there: impl FnOnce() -> T + Send,
) -> T {
    network.ip(&["link", "add", "veth0", "type", "veth", "peer", "name", "veth1"]).unwrap();
    network.ip(&["addr", "add", "10.1.0.1/24", "dev", "veth0"]).unwrap();
    network.ip(&["link", "set", "veth0", "mtu", mtu, "up"]).unwrap();
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let host = scope.spawn(move || {
            let network = Network::enter().unwrap();
            let thread = std::fs::read_link("/proc/thread-self").unwrap();
            tell.send(thread.file_name().unwrap().to_string_lossy().into_owned()).unwrap();
            let () = gone.recv().unwrap();
            network.ip(&["addr", "add", "10.1.0.2/24", "dev", "veth1"]).unwrap();
            network.ip(&["link", "set", "veth1", "up"]).unwrap();
            network.ip(&["route", "add", "10.0.0.0/24", "via", "10.1.0.1"]).unwrap();
            there()
        });
        let thread: String = told.recv().unwrap();
        network.ip(&["link", "set", "veth1", "netns", &thread]).unwrap();
        go.send(()).unwrap();
        host.join().unwrap()
    })
}

/// Reads much of what chargen sends.
fn read_chargen(bytes: u64) {
    let stream = TcpStream::connect(at(19)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut rest = stream.take(bytes);
    assert_eq!(std::io::copy(&mut rest, &mut std::io::sink()).unwrap(), bytes);
}

#[test]
fn narrow_link_on_the_path_is_found() {
    need!(testbed::taps());
    let (network, _guest) = serve(&["--ipv4-gateway=10.0.0.1"]);
    behind_a_narrow_link(&network, "1300", || {
        read_chargen(4 << 20);
        // Datagrams go in fragments, now by our own hand: the path's MTU is known. The other end
        // of a veth pair takes no frames that are longer than its own MTU.
        run("ip", &["link", "set", "veth1", "mtu", "1300"]);
        let socket = UdpSocket::bind("10.1.0.2:0").unwrap();
        socket.connect(at(7)).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        for len in [1272, 1273, 1472, 20_000] {
            socket.send(&vec![7; len]).unwrap();
            assert_eq!(socket.recv(&mut [0; 65_536]).unwrap(), len);
        }
    });
}

#[test]
fn narrow_link_is_found_without_icmp() {
    need!(testbed::taps(), tool("tc"));
    let (network, _guest) = serve(&["--ipv4-gateway=10.0.0.1"]);
    let filter = "filter add dev tap0 egress protocol ip u32 match ip protocol 1 0xff action drop";
    let (ready, _) = run("tc", &["qdisc", "add", "dev", "tap0", "clsact"]);
    let filter: Vec<&str> = filter.split(' ').collect();
    if !ready || !run("tc", &filter).0 {
        eprintln!("skipped: this kernel filters no packets");
        return;
    }
    behind_a_narrow_link(&network, "1300", || read_chargen(1 << 20));
}
