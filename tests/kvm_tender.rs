//! What the tender gives up, keeps away from the guest, and tells about it.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
};
use testbed::{Guest, Network, need};

fn service() -> SocketAddr {
    "10.0.0.2:9000".parse().unwrap()
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("zerohop-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn boot(options: &[&str]) -> (Network, Guest) {
    testbed::boot("echo", &[&["--mem=16"], options].concat(), &[]).unwrap()
}

fn echo(stream: &mut TcpStream, data: &[u8]) {
    stream.write_all(data).unwrap();
    let mut back = vec![0; data.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, data);
}

#[test]
fn every_thread_is_confined_before_the_guest_talks() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, mut guest) = boot(&["--user=nobody"]);
    guest.wait_for(service()).unwrap();
    let tasks: Vec<_> = fs::read_dir(format!("/proc/{}/task", guest.pid())).unwrap().collect();
    let mut confined = 0;
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
            line.split_whitespace().next().unwrap_or("").to_string()
        };
        if field("Name:").starts_with("kvm-") {
            // The kernel's own.
            continue;
        }
        assert_eq!(field("NoNewPrivs:"), "1", "{status}");
        assert_eq!(field("Seccomp:"), "2", "{status}");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set).trim_matches('0'), "", "{status}");
        }
        assert_ne!(field("Uid:"), "0", "{status}");
        confined += 1;
    }
    assert_eq!(confined, 3, "the vCPU's, the rings' and the signals' thread");
    let ended = guest.terminate().unwrap();
    assert_eq!(ended.code, Some(1), "{}", ended.output);
}

#[test]
fn an_unknown_user_is_named() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, guest) = boot(&["--user=nobody-of-that-name"]);
    let ended = guest.wait().unwrap();
    assert_eq!(ended.code, Some(1));
    assert!(ended.output.contains("--user=nobody-of-that-name"), "{}", ended.output);
}

#[test]
fn a_capture_has_every_frame_and_is_read_by_tshark() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("tshark"));
    for io in ["--io=shmring", "--io=hypercall"] {
        let dir = folder("capture");
        let file = dir.join("capture.pcap");
        let (_network, mut guest) = boot(&[io, &format!("--pcap:service={}", file.display())]);
        let mut stream = guest.wait_for(service()).unwrap();
        let data = vec![b'z'; 100_000];
        echo(&mut stream, &data);
        let stats = guest.stats().unwrap();
        let frames = stats["tx_frames"].as_u64().unwrap() + stats["rx_frames"].as_u64().unwrap();
        drop(stream);
        guest.terminate().unwrap();
        let fields = ["-T", "fields", "-e", "ip.src", "-e", "tcp.len", "-e", "_ws.malformed"];
        // Or tshark takes the bytes for what some protocol at the client's port would send.
        let known = ["-d", "tcp.port==9000,echo"];
        let mut tshark = Command::new("tshark");
        let read = tshark.arg("-r").arg(&file).args(known).args(fields).output().unwrap();
        assert!(read.status.success(), "{read:?}");
        let text = String::from_utf8_lossy(&read.stdout);
        assert!(text.lines().count() as u64 >= frames, "{frames} frames: {text}");
        assert!(!text.contains("alformed"), "{text}");
        let echoed: usize = text
            .lines()
            .filter_map(|line| line.strip_prefix("10.0.0.2\t")?.trim().parse::<usize>().ok())
            .sum();
        assert!(echoed >= data.len(), "{echoed}");
        fs::remove_dir_all(&dir).unwrap();
    }
}

/// The echo image, and its twin with names, with an instruction that faults at the start of
/// `function`.
fn broken_image(dir: &std::path::Path, function: &str) -> PathBuf {
    let image = testbed::image("echo").unwrap();
    let debug = image.with_extension("hvt.debug");
    let names = Command::new("nm").arg("-C").arg(&debug).output().unwrap();
    let names = String::from_utf8(names.stdout).unwrap();
    let line = names.lines().find(|line| line.contains(function)).unwrap();
    let address = usize::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
    // The first segment begins with the file, at 1 MiB in memory.
    let at = address - 0x10_0000;
    for (from, to) in [(&image, "broken.hvt"), (&debug, "broken.hvt.debug")] {
        let mut bytes = fs::read(from).unwrap();
        bytes[at..at + 2].copy_from_slice(&[0x0f, 0x0b]);
        fs::write(dir.join(to), bytes).unwrap();
    }
    dir.join("broken.hvt")
}

#[test]
fn a_crash_names_the_calls_and_leaves_a_core_file() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("nm"));
    let dir = folder("crash");
    let image = broken_image(&dir, "Board>::net");
    let _network = Network::with_tap().unwrap();
    let core = format!("--dumpcore={}", dir.display());
    let options = ["--mem=16", "--net:service=tap0", &core];
    let guest = Guest::boot(&testbed::tender().unwrap(), &options, &image, &[]).unwrap();
    let ended = guest.wait().unwrap();
    assert_eq!(ended.code, Some(255), "{}", ended.output);
    for part in ["invalid opcode", "rip", "Board>::net+0x0", "entry::main", "core file:"] {
        assert!(ended.output.contains(part), "no `{part}` in: {}", ended.output);
    }
    let core = ended.output.split("core file: ").nth(1).unwrap().trim();
    let bytes = fs::read(core).unwrap();
    assert_eq!(&bytes[..4], b"\x7fELF");
    let debug = image.with_extension("hvt.debug");
    if testbed::tool("gdb").is_ok() {
        let gdb = ["-batch", "-nx", "-ex", "bt"];
        let output = Command::new("gdb").args(gdb).arg(&debug).arg(core).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("::net") && text.contains("entry::main"), "{text}");
    }
    // Names of another build would be worse than none.
    fs::copy(testbed::image("http").unwrap().with_extension("hvt.debug"), &debug).unwrap();
    let guest = Guest::boot(&testbed::tender().unwrap(), &options, &image, &[]).unwrap();
    let ended = guest.wait().unwrap();
    assert!(ended.output.contains("broken.hvt.debug is not of this image"), "{}", ended.output);
    assert!(!ended.output.contains("entry::main"), "{}", ended.output);
    fs::remove_dir_all(&dir).unwrap();
}

/// Ticks of processor time that the process has used.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_tap_that_is_deleted_is_told_once_and_keeps_no_core_busy() {
    need!(testbed::kvm(), testbed::taps());
    for options in [&["--service=inline"], &["--service=thread"], &["--io=hypercall"]] {
        let (network, mut guest) = boot(options);
        guest.wait_for(service()).unwrap();
        network.ip(&["link", "del", "tap0"]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let before = ticks(guest.pid());
        std::thread::sleep(std::time::Duration::from_secs(2));
        let used = ticks(guest.pid()) - before;
        assert!(used < 50, "{options:?}: {used} of 200 ticks");
        let ended = guest.terminate().unwrap();
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.output.matches("tap is gone").count(), 1, "{}", ended.output);
    }
}

#[test]
fn a_tap_is_left_without_offloads_for_whoever_comes_next() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("ethtool"));
    let partial = || {
        let output = Command::new("ethtool").args(["-k", "tap0"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains("tx-checksum-ip-generic: on") || text.contains("tcp-segmentation-offload: on")
    };
    let (_network, mut guest) = boot(&[]);
    guest.wait_for(service()).unwrap();
    assert!(partial(), "the rings use them");
    guest.terminate().unwrap();
    assert!(!partial(), "left by a signal");
    let dir = folder("offloads");
    let image = broken_image(&dir, "take_syn");
    let options = ["--mem=16", "--net:service=tap0"];
    let mut guest = Guest::boot(&testbed::tender().unwrap(), &options, &image, &[]).unwrap();
    assert!(guest.wait_for(service()).is_err(), "the first client crashes it");
    assert_eq!(guest.wait().unwrap().code, Some(255));
    assert!(!partial(), "left by a crash");
    fs::remove_dir_all(&dir).unwrap();
}
