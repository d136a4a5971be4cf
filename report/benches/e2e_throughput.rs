//! How much one TCP connection carries into a server and out of it, end to end, beside host
//! sockets and others.

mod support;

const PEERS: [&str; 6] = ["host-veth", "rings", "loopback", "tap", "smoltcp", "hypercall"];
const WORKLOADS: [&str; 2] = ["bulk-in", "bulk-out"];

fn main() {
    let Some(lab) = support::Lab::open(&PEERS) else { return };
    let mut c = support::criterion();
    lab.bench(&mut c, "e2e_throughput", &WORKLOADS);
    c.final_summary();
    lab.table("gbytes_per_s", &WORKLOADS);
}
