//! How long a message of 64 bytes and its answer take, end to end, beside host sockets and others:
//! with a client that blocks, and with one that polls.

mod support;

const PEERS: [&str; 7] =
    ["host-veth", "rings", "host-veth-spin", "loopback", "tap", "smoltcp", "hypercall"];
const WORKLOADS: [&str; 3] = ["tcp-64-k1", "udp-64-k1", "tcp-64-k1-spin"];

fn main() {
    let Some(lab) = support::Lab::open(&PEERS) else { return };
    let mut c = support::criterion();
    lab.bench(&mut c, "e2e_latency", &WORKLOADS);
    c.final_summary();
    lab.table("p50_us", &WORKLOADS);
}
