//! TCP against Linux, as server and as client, over a path that loses frames; what was negotiated
//! and used is read from the capture at Linux's side.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use testbed::{Capture, Guest, Impairment, Network, Relay, need, tool};

const LEN: usize = 4 << 20;

fn lossy() -> Impairment {
    let delay = Duration::from_millis(2);
    Impairment { delay, loss_ppm: 5000, ..Impairment::default() }
}

/// A capture of an interface of this thread's namespace.
struct Segments {
    capture: Capture,
    file: PathBuf,
}

/// A captured segment.
#[derive(Debug)]
struct Seen {
    ours: bool,
    flags: u16,
    len: u32,
    scale: bool,
    timestamps: bool,
    sack_permitted: bool,
    sack: bool,
    ect0: bool,
}

const SYN: u16 = 2;
const ACK: u16 = 16;
const ECE: u16 = 64;
const CWR: u16 = 128;

impl Segments {
    fn start(interface: &str, name: &str) -> Segments {
        let file = std::env::temp_dir().join(format!("zerohop-{}-{name}", std::process::id()));
        Segments { capture: Capture::file(interface, "tcp", &file).unwrap(), file }
    }

    fn end(self, ours: &str) -> Vec<Seen> {
        self.capture.end();
        let fields = [
            "ip.src",
            "tcp.flags",
            "tcp.len",
            "tcp.options.wscale.shift",
            "tcp.options.timestamp.tsval",
            "tcp.options.sack_perm",
            "tcp.options.sack_le",
            "ip.dsfield.ecn",
        ];
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&self.file).args(["-Y", "tcp", "-T", "fields", "-E", "occurrence=f"]);
        fields.iter().for_each(|field| {
            tshark.args(["-e", field]);
        });
        let output = tshark.stderr(Stdio::null()).output().unwrap();
        let _ = std::fs::remove_file(&self.file);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = |line: &str| {
            let field: Vec<_> = line.split('\t').collect();
            let hex = field[1].trim_start_matches("0x");
            Seen {
                ours: field[0] == ours,
                flags: u16::from_str_radix(hex, 16).unwrap(),
                len: field[2].parse().unwrap_or(0),
                scale: !field[3].is_empty(),
                timestamps: !field[4].is_empty(),
                sack_permitted: !field[5].is_empty(),
                sack: !field[6].is_empty(),
                ect0: field[7].trim_start_matches("0x") == "2",
            }
        };
        text.lines().map(line).collect()
    }
}

/// Both SYNs carry every option, ECN is agreed on, and all of it is used by both sides.
fn check(seen: &[Seen], opener_is_ours: bool) {
    let syn = |ours: bool, flags: u16| {
        let found = seen.iter().find(|s| s.ours == ours && s.flags & (SYN | ACK) == flags);
        found.unwrap_or_else(|| panic!("no SYN of {ours} in {} segments", seen.len()))
    };
    let first = syn(opener_is_ours, SYN);
    let answer = syn(!opener_is_ours, SYN | ACK);
    for syn in [first, answer] {
        assert!(syn.scale && syn.timestamps && syn.sack_permitted, "{syn:?}");
    }
    assert_eq!(first.flags & (ECE | CWR), ECE | CWR, "{first:?}");
    assert_eq!(answer.flags & (ECE | CWR), ECE, "{answer:?}");
    let plain = || seen.iter().filter(|s| s.flags & SYN == 0);
    assert!(plain().all(|s| s.timestamps), "timestamps in every segment");
    for ours in [true, false] {
        assert!(plain().any(|s| s.ours == ours && s.sack), "SACK blocks of {ours}");
        assert!(plain().any(|s| s.ours == ours && s.len > 0 && s.ect0), "ECT(0) of {ours}");
    }
}

/// Joins `tap` and the relay's tap in a fresh namespace, and runs `program` there until `over`
/// ends.
fn far(
    program: &str,
    args: &[&str],
    tap: &str,
    front: Option<(&str, &str)>,
    tell: &mpsc::Sender<File>,
    over: impl FnOnce(),
) {
    let network = Network::enter().unwrap();
    network.bare_tap(tap).unwrap();
    network.bare_tap("relay0").unwrap();
    network.join("bridge0", &[tap, "relay0"]).unwrap();
    if let Some((name, cidr)) = front {
        network.tap(name, cidr).unwrap();
    }
    let program = testbed::example(program).unwrap();
    let guest = Guest::process(&program, args).unwrap();
    tell.send(network.namespace().unwrap()).unwrap();
    over();
    drop(guest);
}

fn near(cidr: &str) -> Network {
    let network = Network::enter().unwrap();
    network.tap("relay0", cidr).unwrap();
    std::fs::write("/proc/sys/net/ipv4/tcp_ecn", "1").unwrap();
    network
}

fn connect(server: SocketAddr) -> TcpStream {
    for _ in 0..100 {
        if let Ok(stream) = TcpStream::connect_timeout(&server, Duration::from_secs(2)) {
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            return stream;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("no answer at {server}");
}

fn pattern() -> Vec<u8> {
    (0..LEN as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7]).collect()
}

#[test]
fn linux_as_client_negotiates_and_uses_sack_timestamps_scale_and_ecn() {
    need!(testbed::taps(), tool("tcpdump"), tool("tshark"));
    let (tell, told) = mpsc::channel();
    let (over, wait) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        far("bulk", &["--tap=tap0"], "tap0", None, &tell, || {
            let _ = wait.recv();
        });
    });
    let network = near("10.0.0.1/24");
    let ends = ((network.namespace().unwrap(), "relay0"), (told.recv().unwrap(), "relay0"));
    let relay = Relay::start(ends.0, ends.1, [lossy(); 2], 7).unwrap();
    let capture = Segments::start("relay0", "server");

    let mut sink = connect(SocketAddr::new([10, 0, 0, 2].into(), 5001));
    sink.write_all(&pattern()).unwrap();
    sink.shutdown(Shutdown::Write).unwrap();
    let mut count = String::new();
    sink.read_to_string(&mut count).unwrap();
    assert_eq!(count, format!("{LEN}\n"));

    let mut source = connect(SocketAddr::new([10, 0, 0, 2].into(), 5002));
    source.write_all(format!("{LEN}\n").as_bytes()).unwrap();
    let mut got = Vec::new();
    source.read_to_end(&mut got).unwrap();
    assert!(got.len() == LEN && got.iter().all(|b| *b == b'z'));

    check(&capture.end("10.0.0.2"), false);
    drop((relay, over));
    server.join().unwrap();
}

#[test]
fn linux_as_server_negotiates_and_uses_sack_timestamps_scale_and_ecn() {
    need!(testbed::taps(), tool("tcpdump"), tool("tshark"));
    let (tell, told) = mpsc::channel();
    let (ready, go) = mpsc::channel::<()>();
    let args = [
        "--tap:front=tap0",
        "--tap:back=tap1",
        "--ipv4=10.0.0.2/24",
        "--ipv4:back=10.1.0.2/24",
        "--",
        "10.1.0.1:9000",
    ];
    // Through the proxy, which connects to Linux over the lossy path.
    let client = thread::spawn(move || {
        far("proxy", &args, "tap1", Some(("tap0", "10.0.0.1/24")), &tell, || {
            go.recv().unwrap();
            let mut stream = connect(SocketAddr::new([10, 0, 0, 2].into(), 8080));
            let mut writer = stream.try_clone().unwrap();
            let sender = thread::spawn(move || {
                writer.write_all(&pattern()).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            sender.join().unwrap();
            assert!(got == pattern(), "{} bytes", got.len());
        });
    });
    let network = near("10.1.0.1/24");
    let ends = ((network.namespace().unwrap(), "relay0"), (told.recv().unwrap(), "relay0"));
    let relay = Relay::start(ends.0, ends.1, [lossy(); 2], 8).unwrap();
    let capture = Segments::start("relay0", "client");
    let listener = TcpListener::bind("10.1.0.1:9000").unwrap();
    ready.send(()).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut chunk = vec![0; 1 << 16];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        writer.write_all(&chunk[..n]).unwrap();
    }
    writer.shutdown(Shutdown::Write).unwrap();
    client.join().unwrap();
    check(&capture.end("10.1.0.2"), true);
    drop(relay);
}
