//! A block device under KVM and in a process, over TCP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};
use testbed::{Guest, Network, need};

const SECTORS: usize = 64;

struct Disk(PathBuf);

impl Disk {
    fn new(name: &str) -> Disk {
        let path = std::env::temp_dir().join(format!("zerohop-{name}-{}", std::process::id()));
        std::fs::write(&path, vec![0; SECTORS * 512]).unwrap();
        Disk(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn say(&mut self, command: &str, data: &[u8]) {
        let stream = self.0.get_mut();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        stream.write_all(data).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }
}

fn network() -> Network {
    Network::with_tap().unwrap()
}

fn reads_and_writes(guest: &mut Guest, disk: &Disk) {
    let stream = guest.wait_for(SocketAddr::new([10, 0, 0, 2].into(), 9000)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut client = Client(BufReader::new(stream));
    client.say("size", &[]);
    assert_eq!(client.line(), "64 512\n");
    let data: Vec<u8> = (0..40 * 512).map(|i| (i * 7 % 251) as u8).collect();
    client.say("write 20 40", &data);
    assert_eq!(client.line(), "ok\n");
    assert_eq!(std::fs::read(&disk.0).unwrap()[20 * 512..60 * 512], data);
    for (first, count) in [(20, 40), (59, 1), (20, 3)] {
        client.say(&format!("read {first} {count}"), &[]);
        let mut back = vec![0; count * 512];
        client.0.read_exact(&mut back).unwrap();
        assert_eq!(back, data[(first - 20) * 512..][..count * 512]);
    }
    client.say("write 63 2", &[1; 1024]);
    assert!(client.line().starts_with("error: beyond the end"), "nothing outside is written");
    client.say("read 18446744073709551615 1", &[]);
    assert!(client.line().starts_with("error: beyond the end"));
    client.say("read 0 99999", &[]);
    assert!(client.line().starts_with("error: at most"));
    assert_eq!(std::fs::metadata(&disk.0).unwrap().len() as usize, SECTORS * 512);
}

#[test]
fn a_unikernel_reads_and_writes_its_block_device() {
    need!(testbed::kvm(), testbed::taps());
    let (tender, image) = (testbed::tender().unwrap(), testbed::image("blk").unwrap());
    let (_network, disk) = (network(), Disk::new("blk-kvm"));
    let block = format!("--block:disk={}", disk.0.display());
    let options = ["--mem=16", "--net:service=tap0", &block];
    let mut guest = Guest::boot(&tender, &options, &image, &[]).unwrap();
    reads_and_writes(&mut guest, &disk);
}

#[test]
fn a_process_reads_and_writes_a_file() {
    need!(testbed::taps());
    let program = testbed::example("blk").unwrap();
    let (_network, disk) = (network(), Disk::new("blk-process"));
    let block = format!("--block:disk={}", disk.0.display());
    let mut guest = Guest::process(&program, &["--tap=tap0", &block]).unwrap();
    reads_and_writes(&mut guest, &disk);
}

#[test]
fn a_process_names_what_is_missing_or_not_declared() {
    need!(testbed::taps());
    let program = testbed::example("blk").unwrap();
    let _network = network();
    for (args, complaint) in [
        (&["--tap=tap0"][..], "add --block:disk=FILE"),
        (&["--block:disk=/none"][..], "add --tap=IFACE"),
        (&["--tap=tap0", "--block:dsk=/tmp/x"][..], "no device `dsk: Block`"),
        (&["--tap=tap0", "--tap:other=tap0"][..], "no device `other: Net`"),
        (&["--tap=tap0", "--block:disk=/none"][..], "could not open /none"),
    ] {
        let ended = Guest::process(&program, args).unwrap().wait().unwrap();
        assert_ne!(ended.code, Some(0));
        assert!(ended.output.contains(complaint), "{complaint}: {}", ended.output);
    }
    let manifest = Guest::process(&program, &[]).unwrap().wait().unwrap().output;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["devices"][1]["type"], "BLOCK_BASIC");
}
