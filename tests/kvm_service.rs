//! Who serves the rings, under KVM: each choice of `--service` with bursts, two networks, floods,
//! and processor time that is left alone.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};
use testbed::{Guest, Network, PATIENCE, need};

const MODES: [&str; 3] = ["--service=inline", "--service=thread", "--service=auto"];

/// The processors are what these tests are about: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn boot(options: &[&str]) -> (Network, Guest) {
    let options = [&["--mem=32"], options].concat();
    let (network, mut guest) = testbed::boot("echo", &options, &[]).unwrap();
    drop(guest.wait_for(service()).unwrap());
    (network, guest)
}

fn service() -> SocketAddr {
    "10.0.0.2:9000".parse().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// One round trip with `outstanding` messages on their way.
fn exchange(stream: &mut TcpStream, outstanding: usize) {
    (0..outstanding).for_each(|n| stream.write_all(&[n as u8; 64]).unwrap());
    for n in 0..outstanding {
        let mut back = [0; 64];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [n as u8; 64]);
    }
}

/// The same by a client that never sleeps.
fn spin(stream: &mut TcpStream, rounds: usize) {
    stream.set_nonblocking(true).unwrap();
    for _ in 0..rounds {
        stream.write_all(&[7; 64]).unwrap();
        let (mut back, mut got) = ([0; 64], 0);
        while got < 64 {
            got += stream.read(&mut back[got..]).unwrap_or(0);
        }
    }
    stream.set_nonblocking(false).unwrap();
}

/// Ticks of processor time that the process has used.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn assert_idle(guest: &Guest, after: &str) {
    // The stack's delayed ACK is over by then.
    sleep(Duration::from_millis(300));
    let before = ticks(guest.pid());
    sleep(Duration::from_secs(2));
    let used = ticks(guest.pid()) - before;
    assert!(used <= 4, "{after}: {used} of 200 ticks\n{}", guest.stats().unwrap());
}

#[test]
fn traffic_of_any_kind_leaves_an_idle_processor_behind() {
    need!(testbed::kvm(), testbed::taps());
    let _alone = alone();
    for mode in MODES {
        let (_network, guest) = boot(&[mode]);
        let mut stream = connect(service());
        for outstanding in [1, 8, 64] {
            (0..300).for_each(|_| exchange(&mut stream, outstanding));
        }
        assert_idle(&guest, &format!("{mode}, bursts"));
        spin(&mut stream, 2000);
        assert_idle(&guest, &format!("{mode}, a client that spins"));
        let switches = || guest.stats().unwrap()["service_switches"].as_u64().unwrap();
        if mode == MODES[0] {
            assert_eq!(switches(), 0, "{mode}");
            continue;
        }
        // Whether the thread serves is a matter of time where that is its choice.
        let started = Instant::now();
        while switches() == 0 {
            assert!(started.elapsed() < PATIENCE, "{mode}: the thread never serves");
            (0..300).for_each(|_| exchange(&mut stream, 1));
        }
    }
}

/// Processors that the guest's thread `name` may use, a bit each.
fn processors(guest: &Guest, name: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", guest.pid())).unwrap();
    let read = |task: &fs::DirEntry, file| fs::read_to_string(task.path().join(file)).unwrap();
    let task = tasks.flatten().find(|task| read(task, "comm").trim() == name).unwrap();
    let status = read(&task, "status");
    let mask = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).unwrap();
    u64::from_str_radix(mask.trim().rsplit(',').next().unwrap(), 16).unwrap()
}

#[test]
fn the_thread_leaves_the_vcpus_processor_to_it() {
    need!(testbed::kvm(), testbed::taps());
    let _alone = alone();
    let (_network, guest) = boot(&["--service=thread"]);
    let all = processors(&guest, "signals").count_ones();
    let mut stream = connect(service());
    (0..300).for_each(|_| exchange(&mut stream, 1));
    assert_eq!(processors(&guest, "rings").count_ones(), if all > 1 { all - 1 } else { 1 });
}

#[test]
fn a_tender_that_is_moved_to_one_processor_stays_there() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("taskset"));
    let _alone = alone();
    for mode in &MODES[1..] {
        let (_network, guest) = boot(&[mode]);
        let all = processors(&guest, "signals");
        let mut stream = connect(service());
        let mut move_to = |mask: u64| {
            let args = ["-a", "-p", &format!("{mask:x}"), &guest.pid().to_string()];
            assert!(Command::new("taskset").args(args).output().unwrap().status.success());
            (0..1000).for_each(|_| exchange(&mut stream, 1));
            processors(&guest, "rings")
        };
        for cpu in (0..64).filter(|cpu| all & 1 << cpu != 0) {
            assert_eq!(move_to(1 << cpu), 1 << cpu, "{mode}");
        }
        let back = move_to(all);
        assert!(back & !all == 0 && back.count_ones() + 1 >= all.count_ones(), "{mode}: {back:x}");
    }
}

#[test]
fn a_hog_on_every_processor_keeps_neither_clients_nor_signals_waiting_for_seconds() {
    need!(testbed::kvm(), testbed::taps());
    let _alone = alone();
    for mode in MODES {
        let (_network, guest) = boot(&[mode]);
        let over = AtomicBool::new(false);
        let hogs = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..hogs {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let mut stream = connect(service());
            let mut longest = Duration::ZERO;
            for _ in 0..100 {
                let start = Instant::now();
                exchange(&mut stream, 16);
                longest = longest.max(start.elapsed());
            }
            let start = Instant::now();
            let ended = guest.terminate().unwrap();
            let signal = start.elapsed();
            over.store(true, Ordering::Relaxed);
            assert_eq!(ended.code, Some(1), "{}", ended.output);
            assert!(longest < Duration::from_secs(3), "{mode}: {longest:?} for an exchange");
            assert!(signal < Duration::from_secs(3), "{mode}: {signal:?} to its end");
        });
    }
}

/// The proxy between two taps, with an echo server behind it.
fn proxy(mode: &str) -> (Network, Guest, SocketAddr) {
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("proxy").unwrap());
    let network = Network::with_tap().unwrap();
    network.tap("tap1", "10.1.0.1/24").unwrap();
    let listener = TcpListener::bind("10.1.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut chunk) {
                if stream.write_all(&chunk[..n]).is_err() {
                    break;
                }
            }
        }
    });
    let options = ["--mem=64", "--net:front=tap0", "--net:back=tap1", mode];
    let args = ["--ipv4=10.0.0.2/24", "--ipv4:back=10.1.0.2/24", "--", &server];
    let mut guest = Guest::boot(&tender, &options, &image, &args).unwrap();
    let address = SocketAddr::new([10, 0, 0, 2].into(), 8080);
    drop(guest.wait_for(address).unwrap());
    (network, guest, address)
}

#[test]
fn a_guest_of_two_networks_that_are_polled_sees_what_comes_on_either() {
    need!(testbed::kvm(), testbed::taps());
    let _alone = alone();
    const ROUNDS: u64 = 100;
    let (_network, guest, address) = proxy("--service=thread");
    let mut stream = connect(address);
    (0..20).for_each(|_| exchange(&mut stream, 1));
    let exits = || guest.stats().unwrap()["exits"].as_u64().unwrap();
    let mut used = || {
        let before = exits();
        (0..ROUNDS).for_each(|_| exchange(&mut stream, 1));
        exits() - before
    };
    // Four frames with data a round trip: a guest that looks at one device sleeps for the others,
    // whatever happens. One that looks at both may find nothing while others use the processors.
    let used = (0..20).map(|_| used()).min().unwrap();
    assert!(used < ROUNDS, "{used} exits for {ROUNDS} round trips");
}

#[test]
fn a_flood_at_one_network_leaves_the_other_its_share() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("ping"));
    let _alone = alone();
    for mode in MODES {
        let (_network, guest, _) = proxy(mode);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // The host's queue may be full.
                    let _ = socket.send_to(&[7; 64], "10.0.0.2:9");
                }
            });
            sleep(Duration::from_millis(200));
            let ping = ["-c", "20", "-i", "0.02", "-W", "5", "-q", "10.1.0.2"];
            let said = Command::new("ping").args(ping).output().unwrap();
            over.store(true, Ordering::Relaxed);
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            assert!(said.contains(" 20 received"), "{mode}: {said}\n{}", guest.stats().unwrap());
        });
    }
}
