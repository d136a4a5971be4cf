//! How many messages of 64 bytes go there and back in a second with many on their way, end to end,
//! beside host sockets and others.

mod support;

const PEERS: [&str; 6] = ["host-veth", "rings", "loopback", "tap", "smoltcp", "hypercall"];
const WORKLOADS: [&str; 4] = ["tcp-64-k16", "tcp-64-k64", "udp-64-k16", "udp-64-k64"];

fn main() {
    let Some(lab) = support::Lab::open(&PEERS) else { return };
    let mut c = support::criterion();
    lab.bench(&mut c, "e2e_packets", &WORKLOADS);
    c.final_summary();
    lab.table("rate", &WORKLOADS);
}
