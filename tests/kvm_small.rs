//! How little a service needs: memory, and time to start.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use testbed::{Guest, Network, need};

const SERVICE: &str = "10.0.0.2:9000";

fn network() -> Network {
    Network::with_tap().unwrap()
}

#[test]
fn four_megabytes_are_enough_for_the_echo_and_its_pool() {
    need!(testbed::kvm(), testbed::taps());
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("echo").unwrap());
    let _network = network();
    let options = ["--mem=4", "--net:service=tap0"];
    let mut guest = Guest::boot(&tender, &options, &image, &[]).unwrap();
    guest.wait_for(SERVICE.parse().unwrap()).unwrap();
    let data: Vec<u8> =
        (0..8u32 << 20).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(SERVICE).unwrap()).collect();
    std::thread::scope(|scope| {
        for mut client in clients {
            client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let (mut writer, data) = (client.try_clone().unwrap(), &data);
            scope.spawn(move || writer.write_all(data).unwrap());
            scope.spawn(move || {
                let mut back = vec![0; data.len()];
                client.read_exact(&mut back).unwrap();
                assert!(back == *data);
            });
        }
    });
    let stats = guest.stats().unwrap();
    assert_eq!(stats["io_mode"], "shmring");
    assert_eq!(stats["exits_by_reason"]["entropy"], 1, "the tender's numbers are in the seed");
}

/// From the tender's start to the first SYN that is answered. The clients' frames find their way
/// from the start, so that no ARP is waited for.
fn boot_time(options: &[&str], args: &[&str]) -> Duration {
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("echo").unwrap());
    let service: SocketAddr = SERVICE.parse().unwrap();
    let started = Instant::now();
    let guest = Guest::boot(&tender, options, &image, args).unwrap();
    loop {
        // Until somebody reads the tap a SYN is lost; on a slow machine an answer takes longer.
        let limit = (started.elapsed() / 8).max(Duration::from_millis(1));
        if TcpStream::connect_timeout(&service, limit).is_ok() {
            return started.elapsed();
        }
        assert!(started.elapsed() < Duration::from_secs(20), "no answer: {}", guest.output());
    }
}

#[test]
fn the_first_syn_is_answered_soon() {
    need!(testbed::kvm(), testbed::taps());
    testbed::tender().unwrap();
    testbed::image("echo").unwrap();
    let network = network();
    let mac = "02:00:00:00:00:02";
    network.ip(&["neigh", "add", "10.0.0.2", "lladdr", mac, "dev", "tap0"]).unwrap();
    let mac = format!("--net-mac:service={mac}");
    let options = ["--mem=16", "--net:service=tap0", &mac];
    let mut times: Vec<_> = (0..7).map(|_| boot_time(&options, &[])).collect();
    times.sort();
    println!("start to first answered SYN: median {:?}, all {times:?}", times[3]);
    // Measured 10 to 15 ms; a machine that builds at the same time is slower.
    assert!(times[0] < Duration::from_millis(200), "{times:?}");
}
