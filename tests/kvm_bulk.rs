//! The source and the sink under KVM.

use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use testbed::need;

const LEN: usize = 64 << 20;

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::new([10, 0, 0, 2].into(), port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn the_sink_counts_and_the_source_sends_without_copies() {
    need!(testbed::kvm(), testbed::taps());
    let (_network, mut guest) = testbed::boot("bulk", &["--mem=64"], &[]).unwrap();
    guest.wait_for(SocketAddr::new([10, 0, 0, 2].into(), 5001)).unwrap();

    let mut sink = connect(5001);
    let chunk = vec![7; 1 << 20];
    (0..LEN / chunk.len()).for_each(|_| sink.write_all(&chunk).unwrap());
    sink.shutdown(std::net::Shutdown::Write).unwrap();
    let mut count = String::new();
    sink.read_to_string(&mut count).unwrap();
    assert_eq!(count, format!("{LEN}\n"));

    let mut source = connect(5002);
    source.write_all(format!("{LEN}\n").as_bytes()).unwrap();
    let mut got = Vec::with_capacity(LEN);
    source.read_to_end(&mut got).unwrap();
    assert!(got.len() == LEN && got.iter().all(|b| *b == b'z'));

    let all =
        |stats: &Value| stats["guest"]["tcp_bytes_out"].as_u64().is_some_and(|n| n >= LEN as u64);
    let stats = guest.stats_until(all).unwrap();
    // Only what is as short as the sink's count lies behind its header.
    assert!(stats["guest"]["payload_bytes_copied"].as_u64().unwrap() < 256, "{stats}");
    // What comes in lies in large buffers: small ones hold less than 2 KiB each.
    let count = |name: &str| stats[name].as_u64().unwrap();
    let (bytes, buffers) = (count("rx_bytes"), count("rx_buffers"));
    assert!(buffers >= count("rx_frames") && bytes > 8192 * buffers, "{stats}");
}
