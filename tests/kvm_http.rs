//! The web server under KVM, with curl, wrk, a browser and hostile clients.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Output},
    time::Duration,
};
use testbed::{Guest, Network, need};

const SERVICE: &str = "10.0.0.2:80";
const URL: &str = "http://10.0.0.2";
const INDEX: &str = include_str!("../examples/http/pages/index.html");

fn boot(mem: &str) -> (Network, Guest) {
    let (network, mut guest) = testbed::boot("http", &[&format!("--mem={mem}")], &[]).unwrap();
    guest.wait_for(SERVICE.parse().unwrap()).unwrap();
    (network, guest)
}

fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new("timeout").arg("60").arg(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    output
}

fn curl(args: &[&str]) -> Vec<u8> {
    run("curl", &[&["-sS", "--max-time", "30"], args].concat()).stdout
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn curl_gets_pages_over_one_connection() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("curl"));
    let (_network, _guest) = boot("16");
    assert_eq!(text(curl(&[&format!("{URL}/")])), INDEX);
    let style = format!("{URL}/style.css");
    let hello = format!("{URL}/hello");
    let count = "%{num_connects} %{http_code}\n";
    let said = text(curl(&["-w", count, "-o", "/dev/null", &style, "-o", "/dev/null", &hello]));
    assert_eq!(said, "1 200\n0 200\n", "keep-alive");
    let head = text(curl(&["-I", &format!("{URL}/index.html")]));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", INDEX.len())), "{head}");
    let code =
        |args: &[&str]| text(curl(&[&["-o", "/dev/null", "-w", "%{http_code}"], args].concat()));
    assert_eq!(code(&[&format!("{URL}/none")]), "404");
    assert_eq!(code(&["-X", "DELETE", &format!("{URL}/")]), "405");
}

#[test]
fn transfers_larger_than_the_memory_stream_through_it() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("curl"));
    let (_network, _guest) = boot("8");
    const LEN: usize = 50 << 20;
    let got = curl(&[&format!("{URL}/download/{LEN}")]);
    assert!(got.len() == LEN && got.iter().all(|b| *b == b'z'));
    let file = std::env::temp_dir().join(format!("zerohop-upload-{}", std::process::id()));
    std::fs::write(&file, &got).unwrap();
    let upload = format!("{URL}/upload");
    let plain = text(curl(&["-T", file.to_str().unwrap(), &upload]));
    let data = format!("@{}", file.display());
    let chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", &data, &upload];
    let chunked = text(curl(&chunked));
    std::fs::remove_file(&file).unwrap();
    assert_eq!((plain, chunked), (format!("{LEN}\n"), format!("{LEN}\n")));
}

#[test]
fn pages_go_out_without_a_copy_under_load() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("wrk"));
    let (_network, guest) = boot("64");
    let said =
        run("wrk", &["-t1", "-c32", "-d2s", "--timeout", "30s", &format!("{URL}/index.html")]);
    let said = text(said.stdout);
    assert!(said.contains("requests in") && !said.contains("Non-2xx"), "{said}");
    assert!(!said.contains("Socket errors"), "{said}");
    let stats = guest.stats().unwrap();
    assert_eq!(stats["guest"]["payload_bytes_copied"], 0, "{stats}");
}

#[test]
fn a_browser_shows_the_page_with_what_its_script_fetched() {
    need!(testbed::kvm(), testbed::taps(), testbed::tool("chromium"));
    let (_network, _guest) = boot("16");
    let profile = std::env::temp_dir().join(format!("zerohop-browser-{}", std::process::id()));
    let profile_option = format!("--user-data-dir={}", profile.display());
    let page = run(
        "chromium",
        &[
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--virtual-time-budget=5000",
            &profile_option,
            "--dump-dom",
            URL,
        ],
    );
    let _ = std::fs::remove_dir_all(&profile);
    let page = text(page.stdout);
    assert!(page.contains("Served by a unikernel") && page.contains("io_mode shmring"), "{page}");
}

fn answer(request: &[u8]) -> String {
    let mut stream = TcpStream::connect(SERVICE.parse::<SocketAddr>().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The server may have refused the rest already.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn hostile_requests_are_refused_and_the_server_goes_on() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, _guest) = boot("16");
    let field = "x: y\r\n".repeat(100);
    let long = "a".repeat(20_000);
    for (request, status) in [
        ("\0\u{1}\u{2}\r\n\r\n".to_string(), "400"),
        ("GET / HTTP/1.1\r\n\r\n".into(), "400"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"), "431"),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), "431"),
        (
            "PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"
                .into(),
            "400",
        ),
        (
            "PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n".into(),
            "400",
        ),
        ("GET /download/99999999999999999999999 HTTP/1.1\r\nHost: a\r\n\r\n".into(), "404"),
    ] {
        let said = answer(request.as_bytes());
        let start = &request[..request.len().min(60)];
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{start:?}: {said:?}");
    }
    // Pipelined requests are answered in order.
    let two = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    assert_eq!(answer(two.as_bytes()).matches("Hello from a unikernel").count(), 2);
}
