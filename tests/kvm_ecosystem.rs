//! Crates from elsewhere, unchanged, in an image (`tests/ecosystem`), with real peers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};
use testbed::{Guest, Network, need, root};

const URL: &str = "http://10.0.0.2";

fn curl(args: &[&str]) -> String {
    let output =
        Command::new("curl").args(["-sS", "--max-time", "20"]).args(args).output().unwrap();
    assert!(output.status.success(), "curl {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A web server of the host's that answers with the request's first line.
fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("10.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let line = String::from_utf8(request).unwrap().lines().next().unwrap().to_string();
            let len = line.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{line}").unwrap();
        }
    });
    address
}

/// OpenSSL's server, which sends each line back reversed; ended when it is dropped.
struct TlsServer(Child);

impl TlsServer {
    fn start(address: &str) -> TlsServer {
        let key = "5a".repeat(16);
        let mut command = Command::new("openssl");
        command.args(["s_server", "-rev", "-nocert", "-tls1_3", "-accept", address]);
        command.args(["-psk", &key, "-psk_identity", "zerohop"]);
        command.args(["-ciphersuites", "TLS_AES_128_GCM_SHA256"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        TlsServer(command.spawn().unwrap())
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(port: u16, question: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(question, ("10.0.0.2", port)).unwrap();
    let mut answer = [0; 100];
    let len = socket.recv(&mut answer).unwrap();
    answer[..len].to_vec()
}

#[test]
fn crates_from_elsewhere_run_unchanged() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("curl"), testbed::tool("openssl"));
    let project = root().join("tests/ecosystem");
    testbed::cargo_in(&project, &["image", "--locked"]).unwrap();
    let image = project.join("target/ecosystem.hvt");
    let tender = testbed::tender().unwrap();
    let _network = Network::with_tap().unwrap();
    let (web, tls) = (web_server().to_string(), "10.0.0.1:4433");
    let _tls_server = TlsServer::start(tls);
    let options = ["--mem=32", "--net:service=tap0"];
    let mut guest = Guest::boot(&tender, &options, &image, &["--", &web, tls]).unwrap();
    guest.wait_for(SocketAddr::new([10, 0, 0, 2].into(), 80)).unwrap();

    // picoserve, with keep-alive.
    let twice = curl(&["-w", "%{num_connects}\n", &format!("{URL}/"), &format!("{URL}/")]);
    assert_eq!(twice, "picoserve on zerohop\n1\npicoserve on zerohop\n0\n");
    // serde, serde-json-core, heapless.
    let numbers = r#"{"numbers":[1,2,39]}"#;
    let sum = curl(&["-H", "Content-Type: application/json", "-d", numbers, &format!("{URL}/sum")]);
    assert_eq!(sum, r#"{"count":3,"sum":42}"#);
    // miniz_oxide.
    let page = curl(&["--compressed", &format!("{URL}/packed")]);
    assert_eq!(page, "There is no operating system under this page.\n".repeat(100));
    // reqwless.
    assert_eq!(curl(&[&format!("{URL}/fetch")]), "GET / HTTP/1.1");
    // embedded-tls.
    assert_eq!(curl(&[&format!("{URL}/secret")]), "lenrekinu a morf enil a\n");
    // postcard: a name of two bytes, and two numbers.
    assert_eq!(ask(7000, &[2, b'a', b'b', 2, 1, 21]), [2, b'a', b'b', 2, 2, 42]);
    // minicbor: an array of a text and an array.
    let question = [0x82, 0x62, b'a', b'b', 0x82, 1, 21];
    assert_eq!(ask(7001, &question), [0x82, 0x62, b'a', b'b', 0x82, 2, 0x18, 42]);
}
