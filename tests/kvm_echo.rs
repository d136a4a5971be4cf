//! The echo image under KVM, with real clients on a real tap.

use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};
use testbed::{Capture, Guest, Network, need};

const SERVICE: &str = "10.0.0.2:9000";

fn service() -> SocketAddr {
    SERVICE.parse().unwrap()
}

/// Boots echo with these options of the tender on a tap of its own.
fn boot(options: &[&str]) -> (Network, Guest) {
    let options = [&["--mem=64"], options].concat();
    let (network, mut guest) = testbed::boot("echo", &options, &[]).unwrap();
    guest.wait_for(service()).unwrap();
    (network, guest)
}

fn echo(stream: &mut TcpStream, data: &[u8]) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(data).unwrap();
    let mut back = vec![0; data.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, data);
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn nc_sends_a_line_and_gets_it_back() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("nc"));
    let (_network, _guest) = boot(&[]);
    let mut nc = Command::new("nc")
        .args(["-N", "-w", "5", "10.0.0.2", "9000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    nc.stdin.take().unwrap().write_all(b"a line\n").unwrap();
    assert_eq!(nc.wait_with_output().unwrap().stdout, b"a line\n");
}

#[test]
fn ping_is_answered() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("ping"));
    let (_network, _guest) = boot(&[]);
    for size in ["0", "56", "1472"] {
        let ping = ["-c", "3", "-i", "0.2", "-W", "10", "-M", "do", "-s", size, "10.0.0.2"];
        assert!(output(Command::new("ping").args(ping)).contains(" 0% packet loss"));
    }
}

#[test]
fn a_hundred_connections_at_once_each_get_their_own_bytes() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, _guest) = boot(&[]);
    let mut all: Vec<_> = (0..100).map(|_| TcpStream::connect(service()).unwrap()).collect();
    for round in 0..3u8 {
        for (i, stream) in all.iter_mut().enumerate() {
            stream.write_all(&[i as u8 ^ round; 700]).unwrap();
        }
        for (i, stream) in all.iter_mut().enumerate() {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut back = [0; 700];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, [i as u8 ^ round; 700]);
        }
    }
}

/// A stream of bytes that no window of repeats.
fn byte(i: usize) -> u8 {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]
}

fn sixty_four_mebibytes(options: &[&str]) {
    const LEN: usize = 64 << 20;
    let (_network, guest) = boot(options);
    let mut stream = TcpStream::connect(service()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for at in (0..LEN).step_by(1 << 16) {
            let chunk: Vec<u8> = (at..at + (1 << 16)).map(byte).collect();
            writer.write_all(&chunk).unwrap();
        }
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let (mut chunk, mut got) = (vec![0; 1 << 18], 0);
    loop {
        let n = stream.read(&mut chunk).unwrap();
        if n == 0 {
            break;
        }
        assert!(chunk[..n].iter().enumerate().all(|(i, b)| *b == byte(got + i)), "at {got}");
        got += n;
    }
    assert_eq!(got, LEN, "the end came early");
    sender.join().unwrap();
    let stats = guest.stats().unwrap();
    assert_eq!(stats["queue_broken"], 0);
}

#[test]
fn sixty_four_mebibytes_come_back_unchanged_through_the_rings() {
    need!(testbed::kvm(), testbed::taps());
    sixty_four_mebibytes(&[]);
    sixty_four_mebibytes(&["--service=inline"]);
    sixty_four_mebibytes(&["--service=thread"]);
}

#[test]
fn sixty_four_mebibytes_come_back_unchanged_by_hypercalls() {
    need!(testbed::kvm(), testbed::taps());
    sixty_four_mebibytes(&["--io=hypercall"]);
}

#[test]
fn a_megabyte_comes_back_unchanged_with_any_offloads() {
    need!(testbed::kvm(), testbed::taps());
    for list in ["none", "tx-csum", "rx-csum", "tso", "uso", "rx-gso", "tso,rx-gso"] {
        let option = format!("--offloads={list}");
        let (_network, guest) = boot(&["--service=inline", &option]);
        let mut stream = TcpStream::connect(service()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let data: Vec<u8> = (0..1 << 20).map(byte).collect();
        let mut back = vec![0; data.len()];
        std::thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&data).unwrap());
            stream.read_exact(&mut back).unwrap();
        });
        assert!(back == data, "{list}");
        let stats = guest.stats().unwrap();
        assert_eq!(stats["io_mode"], "shmring");
        // At least 719 segments, or acknowledgements and a few of many at once.
        let many = |frames: &str| stats[frames].as_u64().unwrap() > 700;
        assert_eq!(many("tx_frames"), !list.contains("tso"), "{list}: {stats}");
        assert_eq!(many("rx_frames"), !list.contains("rx-gso"), "{list}: {stats}");
    }
}

#[test]
fn echoing_full_segments_copies_no_payload_byte_in_the_guest() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, guest) = boot(&["--io=shmring"]);
    let mut stream = TcpStream::connect(service()).unwrap();
    stream.set_nodelay(true).unwrap();
    for i in 0..500 {
        echo(&mut stream, &[i as u8; 1000]);
    }
    let all = |stats: &Value| stats["guest"]["tcp_segments_in"].as_u64().is_some_and(|n| n >= 500);
    let stats = guest.stats_until(all).unwrap();
    assert_eq!(stats["io_mode"], "shmring");
    assert_eq!(stats["guest"]["payload_bytes_copied"], 0);
    assert!(all(&stats), "{stats}");
}

#[test]
fn rings_save_exits_that_hypercalls_need() {
    need!(testbed::kvm(), testbed::taps());
    let exits = |options: &[&str], mode: &str| {
        let (_network, guest) = boot(options);
        let mut stream = TcpStream::connect(service()).unwrap();
        stream.set_nodelay(true).unwrap();
        for _ in 0..500 {
            echo(&mut stream, &[7; 64]);
        }
        let stats = guest.stats().unwrap();
        assert_eq!(stats["io_mode"], mode);
        stats["exits"].as_u64().unwrap()
    };
    let by_hypercall = std::thread::spawn(move || exits(&["--io=hypercall"], "hypercall"));
    let by_hypercall = by_hypercall.join().unwrap();
    // A thread that serves the rings needs fewer, unless something keeps it from its processor.
    let by_rings = exits(&["--io=shmring", "--service=inline"], "shmring");
    assert!(by_hypercall >= 1000, "two exits a round trip at least, not {by_hypercall}");
    assert!(by_rings * 2 < by_hypercall, "{by_rings} against {by_hypercall}");
}

#[test]
fn the_address_is_announced_at_the_start() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("tcpdump"));
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("echo").unwrap());
    let _network = Network::with_tap().unwrap();
    let capture = Capture::lines("tap0", "arp").unwrap();
    let _guest = Guest::boot(&tender, &["--net:service=tap0"], &image, &[]).unwrap();
    let announced =
        |seen: &str| seen.contains("who-has 10.0.0.2") && seen.contains("tell 10.0.0.2");
    let seen = capture.until(announced);
    assert!(announced(&seen), "{seen}");
}

#[test]
fn a_signal_ends_the_guest_as_solo5_does() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, guest) = boot(&[]);
    let ended = guest.terminate().unwrap();
    assert_eq!(ended.code, Some(1));
    assert!(ended.output.contains("Exiting on signal 15"), "{}", ended.output);
}

#[test]
fn a_reset_of_one_client_leaves_the_others_alone() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, _guest) = boot(&[]);
    let mut steady = TcpStream::connect(service()).unwrap();
    for i in 0..50 {
        let mut rude = TcpStream::connect(service()).unwrap();
        rude.write_all(&[1; 4000]).unwrap();
        // Closing with unread data resets the connection.
        std::thread::sleep(Duration::from_millis(2));
        drop(rude);
        echo(&mut steady, &[i; 100]);
    }
}

#[test]
fn a_hundred_clients_that_stream_at_once_all_get_their_bytes_in_little_memory() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, guest) = boot(&["--mem=16"]);
    let clients: Vec<_> = (0..100u8)
        .map(|i| {
            let mut stream = TcpStream::connect(service()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            std::thread::spawn(move || {
                let data = vec![i; 1 << 20];
                let mut writer = stream.try_clone().unwrap();
                let sent = data.clone();
                let writes = std::thread::spawn(move || writer.write_all(&sent).unwrap());
                let mut back = vec![0; data.len()];
                stream.read_exact(&mut back).unwrap();
                writes.join().unwrap();
                assert!(back == data);
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(guest.stats().unwrap()["queue_broken"], 0);
}

#[test]
fn clients_that_write_and_never_read_leave_room_for_others() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, _guest) = boot(&["--mem=8"]);
    let stalled: Vec<_> = (0..150)
        .map(|_| {
            let mut stream = TcpStream::connect(service()).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut sent = 0;
            while let Ok(n) = stream.write(&[b'z'; 65_536]) {
                sent += n;
            }
            (stream, sent)
        })
        .collect();
    echo(&mut TcpStream::connect(service()).unwrap(), b"is there room?");
    // What they wrote was not lost: it comes back once they read.
    for (mut stream, sent) in stalled {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut back = vec![0; sent];
        stream.read_exact(&mut back).unwrap();
        assert!(back.iter().all(|byte| *byte == b'z'));
    }
}

#[test]
fn more_connections_than_memory_has_room_for_are_refused_and_the_rest_served() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, guest) = boot(&["--mem=4"]);
    let mut open: Vec<TcpStream> = Vec::new();
    while open.len() < 1000 {
        let Ok(mut stream) = TcpStream::connect(service()) else { break };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut back = [0; 2];
        if stream.write_all(b"hi").is_err() || stream.read_exact(&mut back).is_err() {
            break;
        }
        open.push(stream);
    }
    assert!((100..1000).contains(&open.len()), "{}", open.len());
    echo(&mut open[0], b"still here");
    drop(open);
    echo(&mut TcpStream::connect(service()).unwrap(), b"and room again");
    assert_eq!(guest.terminate().unwrap().code, Some(1));
}

#[test]
fn one_tap_serves_a_ring_guest_and_then_a_hypercall_guest() {
    need!(testbed::kvm(), testbed::taps());
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("echo").unwrap());
    let network = Network::with_tap().unwrap();
    // Frames longer than a buffer must not be sent to a guest that reads into one.
    network.ip(&["link", "set", "tap0", "mtu", "4000"]).unwrap();
    for io in ["--io=shmring", "--io=hypercall", "--io=shmring"] {
        let options = ["--mem=16", "--net:service=tap0", io];
        let mut guest = Guest::boot(&tender, &options, &image, &[]).unwrap();
        let mut stream = guest.wait_for(service()).unwrap();
        echo(&mut stream, &[7; 100_000]);
        drop(stream);
        guest.terminate().unwrap();
    }
}
