//! Messages through a unikernel on the rings ask nothing of its heap, as its own counter tells.

use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    time::{Duration, Instant},
};
use testbed::{Guest, need};

/// How long everything is warmed up: in the first second groups are reported twice (RFC 3810,
/// section 6.1), which allocates.
const WARM: Duration = Duration::from_secs(2);
const COUNTED: u64 = 10_000;

/// The guest's request counter once it has published that its counter `name` is `n` or more.
fn requests(guest: &Guest, name: &str, n: u64) -> u64 {
    let of = |stats: &Value, name: &str| stats["guest"][name].as_u64();
    let stats = guest.stats_until(|stats| of(stats, name).is_some_and(|it| it >= n)).unwrap();
    assert!(of(&stats, name) >= Some(n), "{name} below {n}: {stats}");
    of(&stats, "heap_requests").expect("a counter of the heap")
}

/// What the heap was asked for while [`COUNTED`] messages came back, of which each makes the guest's
/// counter `name` grow.
fn asked(guest: &Guest, name: &str, mut message: impl FnMut()) -> u64 {
    let (started, mut warm) = (Instant::now(), 0);
    while started.elapsed() < WARM {
        message();
        warm += 1;
    }
    let before = requests(guest, name, warm);
    assert!(before > 0, "starting and connecting ask for memory");
    (0..COUNTED).for_each(|_| message());
    requests(guest, name, warm + COUNTED) - before
}

#[test]
fn ten_thousand_messages_over_tcp_ask_the_heap_for_nothing() {
    need!(testbed::kvm(), testbed::taps());
    for (service, len) in [("inline", 1), ("auto", 1_000), ("thread", 20_000)] {
        let options = ["--mem=64", "--io=shmring", &format!("--service={service}")];
        let (_network, mut guest) = testbed::boot("echo", &options, &[]).unwrap();
        let address = "10.0.0.2:9000".parse().unwrap();
        guest.wait_for(address).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (data, mut back) = (vec![7; len], vec![0; len]);
        let asked = asked(&guest, "tcp_segments_in", || {
            stream.write_all(&data).unwrap();
            stream.read_exact(&mut back).unwrap();
        });
        assert_eq!(asked, 0, "messages of {len} bytes, --service={service}");
    }
}

#[test]
fn ten_thousand_datagrams_ask_the_heap_for_nothing() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, mut guest) = testbed::boot("inetd", &["--mem=64", "--io=shmring"], &[]).unwrap();
    guest.wait_for("10.0.0.2:7".parse().unwrap()).unwrap();
    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
    socket.connect("10.0.0.2:7").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut back = [0; 64];
    let asked = asked(&guest, "udp_received", || {
        socket.send(&[7; 64]).unwrap();
        assert_eq!(socket.recv(&mut back).unwrap(), 64);
    });
    assert_eq!(asked, 0);
}
