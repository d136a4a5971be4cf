//! A guest that breaks every rule under the tender: it never crashes, stalls or grows, and says why
//! it ended the guest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use testbed::{Ended, Guest, Network, need};

/// Builds the hostile guest into `dir`.
fn image(dir: &Path) -> PathBuf {
    let script = dir.join("guest.ld");
    fs::write(
        &script,
        "ENTRY(_start)
         PHDRS { text PT_LOAD FLAGS(5); data PT_LOAD FLAGS(6); abi PT_NOTE; manifest PT_NOTE; }
         SECTIONS {
             . = 0x100000;
             .text : { *(.text .text.*) } :text
             .note.solo5.abi : { KEEP(*(.note.solo5.abi)) } :text :abi
             .note.solo5.manifest : { KEEP(*(.note.solo5.manifest)) } :text :manifest
             .rodata : { *(.rodata .rodata.*) } :text
             . = ALIGN(4096);
             .data : { *(.data .data.*) LONG(1) } :data
             .bss : { *(.bss .bss.*) } :data
             /DISCARD/ : { *(.comment) *(.eh_frame) *(.note.GNU-stack) *(.note.gnu.property) }
         }",
    )
    .unwrap();
    let image = dir.join("hostile.hvt");
    let source = testbed::root().join("tests/kvm_hostile/guest.c");
    let built = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-Wall", "-Werror", "-ffreestanding", "-nostdlib", "-static"])
        .args([
            "-fno-pie",
            "-no-pie",
            "-fno-stack-protector",
            "-fcf-protection=none",
            "-mno-red-zone",
        ])
        .args(["-mcmodel=large", "-Wl,--build-id=none", "-Wl,-z,max-page-size=4096", "-T"])
        .arg(&script)
        .arg("-o")
        .arg(&image)
        .arg(source)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    image
}

/// The image, a disk and a tap, in a folder that goes with the value.
struct Bench {
    dir: PathBuf,
    image: PathBuf,
    disk: String,
    tender: PathBuf,
    network: Network,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let dir = std::env::temp_dir().join(format!("zerohop-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let disk = dir.join("disk");
        fs::write(&disk, [0; 16 * 512]).unwrap();
        let network = Network::with_tap().unwrap();
        Bench {
            image: image(&dir),
            disk: format!("--block:disk={}", disk.display()),
            tender: testbed::tender().unwrap(),
            dir,
            network,
        }
    }

    fn boot(&self, options: &[&str], arg: &str) -> Guest {
        let all = [&["--mem=4", "--net:service=tap0", &self.disk], options].concat();
        Guest::boot(&self.tender, &all, &self.image, &[arg]).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The tender ended by itself, in one of its own ways.
fn assert_orderly(ended: &Ended, what: &str) {
    assert!(ended.code.is_some(), "{what}: a signal killed the tender: {}", ended.output);
    assert!(!ended.output.contains("panicked at"), "{what}: {}", ended.output);
    assert!(ended.output.contains("hostile"), "{what}: {}", ended.output);
}

#[test]
fn no_seed_crashes_or_stalls_the_tender() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("cc"));
    let bench = Bench::new("hostile");
    let modes: [&[&str]; 4] = [
        &["--service=auto"],
        &["--service=inline"],
        &["--service=thread"],
        &["--io=hypercall", "--mac-filter=off"],
    ];
    for seed in 1..=120 {
        let options = modes[seed % modes.len()];
        let what = format!("{options:?}, seed {seed}");
        let guest = bench.boot(options, &seed.to_string());
        match guest.wait() {
            Ok(ended) => assert_orderly(&ended, &what),
            Err(stalled) => panic!("{what}: {stalled}"),
        }
    }
}

#[test]
fn a_guest_that_sleeps_on_broken_rings_is_told_and_gets_its_frames_by_hypercall() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("cc"));
    for service in ["--service=inline", "--service=thread"] {
        let bench = Bench::new("broken");
        let ip = |args: &[&str]| bench.network.ip(args).unwrap();
        ip(&["neigh", "add", "10.0.0.2", "lladdr", "02:00:00:00:00:07", "dev", "tap0"]);
        let guest = bench.boot(&[service], "1-broken");
        let socket = std::net::UdpSocket::bind("10.0.0.1:0").unwrap();
        let started = Instant::now();
        while !guest.output().contains("read") && started.elapsed() < Duration::from_secs(10) {
            let _ = socket.send_to(b"a frame", "10.0.0.2:9");
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = guest.wait().unwrap();
        assert_eq!(ended.code, Some(0), "{}", ended.output);
        for word in ["told\n", "read\n"] {
            assert!(ended.output.contains(word), "{service}: {}", ended.output);
        }
    }
}

#[test]
fn nothing_is_written_for_a_guest_where_it_may_not_write_itself() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("cc"));
    let bench = Bench::new("protected");
    let guest = bench.boot(&[], "1-fill");
    guest.wait_for_output("refused\n").unwrap();
    assert_eq!(guest.stats().unwrap()["attach_refused_by_reason"]["class"], 3);
    drop(guest);
    for arg in ["1-read-text", "1-read-tables", "1-time-text"] {
        let ended = bench.boot(&[], arg).wait().unwrap();
        assert_eq!(ended.code, Some(1), "{arg}: {}", ended.output);
        assert!(ended.output.contains("is read-only"), "{arg}: {}", ended.output);
    }
}

#[test]
fn text_is_read_only_for_a_guest_at_either_level() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("cc"));
    let mut bench = Bench::new("owntext");
    let ended = bench.boot(&[], "1-own-text").wait().unwrap();
    assert_eq!(ended.code, Some(255), "{}", ended.output);
    assert!(ended.output.contains("write of address 0x100000: not allowed"), "{}", ended.output);
    // An image that does not know rings starts at CPL0, where it owns its page tables.
    let mut bytes = fs::read(&bench.image).unwrap();
    let kind = (1u32 << 30 | 0x5a52).to_le_bytes();
    let at = bytes.windows(4).position(|w| w == kind).unwrap();
    bytes[at] ^= 1;
    bench.image = bench.dir.join("supervisor.hvt");
    fs::write(&bench.image, bytes).unwrap();
    let ended = bench.boot(&[], "1-own-text").wait().unwrap();
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    assert!(ended.output.contains("host/guest translation fault"), "{}", ended.output);
}

#[test]
fn frames_as_long_as_memory_take_none_of_the_tenders() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("cc"));
    let bench = Bench::new("long");
    let capture = bench.dir.join("capture.pcap");
    let options = ["--mac-filter=off", &format!("--pcap:service={}", capture.display())];
    let guest = bench.boot(&options, "1-long");
    guest.wait_for_output("refused\n").unwrap();
    // The guest has 4 MiB.
    assert!(resident(guest.pid()) < (4 + 8) << 10, "{} KiB", resident(guest.pid()));
    assert!(fs::metadata(&capture).unwrap().len() < 1 << 16);
    assert_eq!(guest.terminate().unwrap().code, Some(1));
}

#[test]
fn a_guest_that_floods_a_console_that_nobody_reads_is_ended_by_a_signal() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("cc"));
    let bench = Bench::new("flood");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut tender = Command::new(&bench.tender)
        .args(["--mem=4", "--net:service=tap0", &bench.disk])
        .arg("--")
        .arg(&bench.image)
        .arg("1-flood")
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    Command::new("kill").arg(tender.id().to_string()).status().unwrap();
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = tender.try_wait().unwrap() {
            break status;
        }
        if asked.elapsed() > Duration::from_secs(5) {
            tender.kill().unwrap();
            panic!("SIGTERM is not answered while the console is full");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(1));
    drop(reader);
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_guest_that_never_stops_is_ended_by_a_signal_and_takes_no_memory() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("cc"));
    let bench = Bench::new("endless");
    for service in ["--service=inline", "--service=thread"] {
        let guest = bench.boot(&[service], "7-forever");
        std::thread::sleep(Duration::from_millis(1500));
        let before = resident(guest.pid());
        std::thread::sleep(Duration::from_secs(3));
        let after = resident(guest.pid());
        assert!(after <= before + 1024, "{service}: {before} KiB, then {after} KiB");
        assert!(guest.stats().unwrap()["queue_broken"].as_u64().unwrap() > 0);
        let asked = Instant::now();
        let ended = guest.terminate().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        assert_eq!(ended.code, Some(1));
        assert!(ended.output.contains("Exiting on signal 15"));
    }
}
