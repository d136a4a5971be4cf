//! IPv6 with Linux and radvd on the other side of a tap; the service is a process.

use std::{
    io::{Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use testbed::{Capture, Guest, Network, need, tool};

const LIMIT: Duration = Duration::from_secs(20);

const ROUTER: &str = "
interface tap0 {
    AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
    AdvLinkMTU 1400; AdvCurHopLimit 77;
    prefix fd00:1::/64 { AdvValidLifetime 7200; AdvPreferredLifetime 3600; };
    RDNSS fd00:1::1 { AdvRDNSSLifetime 600; };
};
";

/// A namespace whose host is a router at fd00:1::1, with fd00:9::1 behind it.
fn link() -> Network {
    let network = Network::with_tap().unwrap();
    network.ip(&["addr", "add", "fd00:1::1/64", "dev", "tap0", "nodad"]).unwrap();
    network.ip(&["addr", "add", "fd00:9::1/128", "dev", "lo"]).unwrap();
    network
}

/// A router that ends with the test, and the folder of its files.
struct Running(Child, PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        // As an operator would: radvd says goodbye then.
        run("kill", &["-TERM", &self.0.id().to_string()]);
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

fn radvd(network: &Network) -> Running {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let unique = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(format!("zerohop-radvd-{}-{}", unique.0, unique.1));
    std::fs::create_dir_all(&dir).unwrap();
    let file = |name: &str| dir.join(name).display().to_string();
    std::fs::write(file("radvd.conf"), ROUTER).unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    verified(network);
    let child = Command::new("radvd")
        .args(["-n", "-C", &file("radvd.conf"), "-p", &file("radvd.pid"), "-m", "stderr"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Running(child, dir)
}

/// Waits until Linux uses its link-local address: it is verified once the service has the tap.
fn verified(network: &Network) {
    until(|| !network.ip(&["-6", "addr", "show", "tap0"]).unwrap().contains("tentative"));
}

fn until(mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < LIMIT, "it takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn serve(args: &[&str]) -> Guest {
    let program = testbed::example("inetd").unwrap();
    Guest::process(&program, &[&["--tap=tap0"], args].concat()).unwrap()
}

/// The address with this prefix, once the service uses it.
fn address(guest: &Guest, prefix: &str) -> Ipv6Addr {
    let mut found = None;
    until(|| {
        let said = guest.output();
        let words = said.split_whitespace().filter(|word| word.starts_with(prefix));
        found = words.filter_map(|word| word.parse().ok()).next();
        found.is_some() && said.contains(&format!("{} is in use", found.unwrap()))
    });
    found.unwrap()
}

fn run(program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn ping(args: &[&str]) -> (bool, String) {
    run("ping", &[&["-6", "-c", "3", "-i", "0.2", "-W", "3"], args].concat())
}

#[test]
fn radvd_gives_an_address_a_hop_limit_and_a_way_out() {
    need!(testbed::taps(), tool("radvd"), tool("ping"), tool("tracepath"));
    let network = link();
    let router = radvd(&network);
    let guest = serve(&[]);
    let own = address(&guest, "fd00:1:").to_string();
    for size in ["0", "56", "1352", "1353", "9000", "65000"] {
        let (_, said) = ping(&["-s", size, &own]);
        assert!(said.contains(" 0% packet loss"), "{said}");
        assert!(size == "0" || said.contains("ttl=77"), "{said}");
    }
    let (_, said) = run("tracepath", &["-6", "-n", &own]);
    assert!(said.contains("reached"), "{said}");
    let (_, said) = ping(&["-I", "fd00:9::1", &own]);
    assert!(said.contains(" 0% packet loss"), "by the router: {said}");
    // radvd says goodbye: a router no more.
    drop(router);
    until(|| !ping(&["-I", "fd00:9::1", &own]).0);
    assert!(ping(&[&own]).0, "neighbours are still reached");
}

#[test]
fn neighbours_find_each_other() {
    need!(testbed::taps(), tool("ping"), tool("ndisc6"));
    let network = link();
    let guest = serve(&["--ipv6=fd00:1::2/64"]);
    address(&guest, "fd00:1::2");
    let link_local = address(&guest, "fe80::").to_string();
    verified(&network);
    let (_, said) = ping(&["ff02::1%tap0"]);
    assert!(said.contains(&format!("from {link_local}%tap0")), "{said}");
    let (found, said) = run("ndisc6", &["fd00:1::2", "tap0"]);
    assert!(found && said.contains("Target link-layer address: 02:"), "{said}");
    assert!(!run("ndisc6", &["-r", "1", "-w", "500", "fd00:1::3", "tap0"]).0);
    assert!(ping(&["fd00:1::2"]).0);
    // Linux's probes of a neighbour that it has not heard from are answered.
    network.ip(&["-6", "neigh", "flush", "all"]).unwrap();
    assert!(ping(&["fd00:1::2"]).0);
    let known = network.ip(&["-6", "neigh", "show", "fd00:1::2", "dev", "tap0"]).unwrap();
    assert!(known.contains("REACHABLE"), "{known}");
}

#[test]
fn duplicates_are_found_by_either_side() {
    need!(testbed::taps());
    let network = link();
    let mut guest = serve(&["--ipv6=fd00:1::1/64", "--ipv6=fd00:1::2/64"]);
    guest.wait_for("10.0.0.2:7".parse().unwrap()).unwrap();
    address(&guest, "fd00:1::2");
    let said = guest.output();
    assert!(said.contains("fd00:1::1: another host on the link has this address"), "{said}");
    network.ip(&["addr", "add", "fd00:1::2/64", "dev", "tap0"]).unwrap();
    until(|| network.ip(&["-6", "addr", "show", "tap0"]).unwrap().contains("dadfailed"));
}

#[test]
fn a_service_is_reached_while_its_address_is_verified() {
    need!(testbed::taps());
    // A busy machine may take as long as the verification does: then once more.
    let reached = (0..5).any(|_| {
        std::thread::spawn(|| {
            let network = link();
            let mut guest = serve(&["--ipv6=fd00:1::2/64"]);
            drop(guest.wait_for("[fd00:1::2]:7".parse().unwrap()).unwrap());
            let early = !guest.output().contains("fd00:1::2 is in use");
            address(&guest, "fd00:1::2");
            drop(guest.wait_for("[fd00:1::2]:7".parse().unwrap()).unwrap());
            let known = network.ip(&["-6", "neigh", "show", "fd00:1::2", "dev", "tap0"]).unwrap();
            assert!(known.contains("lladdr 02:"), "{known}");
            early
        })
        .join()
        .unwrap()
    });
    assert!(reached, "never before the address was verified");
}

#[test]
fn tcp_and_udp_carry_what_they_do_over_ipv4() {
    need!(testbed::taps(), tool("nc"));
    let _network = link();
    let guest = serve(&["--ipv6=fd00:1::2/64"]);
    let own = address(&guest, "fd00:1::2");
    let mut stream = TcpStream::connect(SocketAddr::new(own.into(), 7)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let sent: Vec<u8> = (0..16 << 20).map(|i| (i % 251) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let (copy, mut back) = (sent.clone(), vec![0; sent.len()]);
    let writing = std::thread::spawn(move || writer.write_all(&copy).unwrap());
    stream.read_exact(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == sent);
    let socket = UdpSocket::bind("[::]:0").unwrap();
    socket.connect(SocketAddr::new(own.into(), 7)).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    for len in [0, 1, 64, 1452, 1453, 9000, 60_000] {
        socket.send(&sent[..len]).unwrap();
        let n = socket.recv(&mut back).unwrap();
        assert!(back[..n] == sent[..len], "{len} bytes came back as {n}");
    }
    // A closed port is told at once.
    socket.connect(SocketAddr::new(own.into(), 4242)).unwrap();
    socket.send(b"x").unwrap();
    assert_eq!(socket.recv(&mut back).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let (_, said) = run("sh", &["-c", "echo a line | nc -6 -N -w 5 fd00:1::2 7"]);
    assert_eq!(said, "a line\n");
}

#[test]
fn a_capture_holds_no_malformed_packet_and_no_wrong_checksum() {
    need!(testbed::taps(), tool("radvd"), tool("tcpdump"), tool("tshark"), tool("ping"));
    let network = link();
    let file = std::env::temp_dir().join(format!("zerohop-ipv6-{}.pcap", std::process::id()));
    let capture = Capture::file("tap0", "ip6", &file).unwrap();
    let file = file.display().to_string();
    let router = radvd(&network);
    let guest = serve(&["--ipv6=slaac"]);
    let own = address(&guest, "fd00:1:").to_string();
    ping(&["-s", "5000", &own]);
    ping(&["ff02::1%tap0"]);
    drop(router);
    drop(guest);
    capture.end();
    let count = |filter: &str| {
        let (read, said) =
            run("tshark", &["-n", "-r", &file, "-Y", filter, "-T", "fields", "-e", "frame.number"]);
        assert!(read, "{said}");
        said.lines().filter(|line| line.parse::<u32>().is_ok()).count()
    };
    // Frames of TCP and UDP are captured before their checksums are completed.
    assert_eq!(count("_ws.malformed || icmpv6.checksum.status == \"Bad\""), 0);
    for (kind, least) in [(133, 1), (134, 1), (135, 2), (136, 1), (143, 2), (128, 3), (129, 3)] {
        assert!(count(&format!("icmpv6.type == {kind}")) >= least, "type {kind}");
    }
    let _ = std::fs::remove_file(&file);
}
