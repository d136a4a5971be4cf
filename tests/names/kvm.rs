//! The same under KVM.

use crate::{connect::web, dnsmasq::Dnsmasq, leased, network};
use std::{
    io::{Read, Write},
    time::Duration,
};
use testbed::{Guest, kvm, need, taps, tool};

fn boot(name: &str, args: &[&str]) -> Guest {
    let (tender, image) = (testbed::tender().unwrap(), testbed::image(name).unwrap());
    Guest::boot(&tender, &["--mem=32", "--net:service=tap0"], &image, args).unwrap()
}

#[test]
fn a_unikernel_leases_its_address() {
    need!(kvm(), taps(), tool("dnsmasq"));
    let _network = network();
    let dnsmasq = Dnsmasq::start(&["--dhcp-range=10.0.0.50,10.0.0.60,255.255.255.0,2m"]);
    let mut guest = boot("echo", &["--dhcp"]);
    let service = leased(&guest, 1);
    let mut stream = guest.wait_for(service).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"an echo").unwrap();
    let mut back = [0; 7];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"an echo");
    assert!(dnsmasq.leased().contains(&service.ip().to_string()));
    let stats = guest.stats_until(|stats| stats["guest"]["dhcp_leases"] == 1).unwrap();
    assert_eq!(stats["guest"]["dhcp_leases"], 1);
}

#[test]
fn a_unikernel_fetches_a_page_by_name_from_a_server_that_its_lease_names() {
    need!(kvm(), taps(), tool("dnsmasq"));
    let _network = network();
    web("10.0.0.1");
    let dnsmasq = Dnsmasq::start(&[
        "--dhcp-range=10.0.0.50,10.0.0.60,255.255.255.0,2m",
        "--host-record=web.test,10.0.0.1",
    ]);
    let guest = boot("fetch", &["--dhcp", "--", "http://web.test:8000/"]);
    let ended = guest.wait().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("hello world"), "{}", ended.output);
    dnsmasq.released();
}
