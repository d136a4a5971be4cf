//! TCP on addresses of our own.

use crate::host::{Host, OWN, PEER};
use std::net::SocketAddr;
use zerohop::{
    ip::{Address, Origin},
    tcp::{ConnId, Error, Options},
};

fn connect(host: &mut Host, local: &str) -> Result<ConnId, Error> {
    let (remote, local) = (SocketAddr::from((PEER, 80)), local.parse().unwrap());
    host.stack.connect_tcp(host.now, &mut host.tx, remote, Some(local), &Options::default())
}

#[test]
fn a_connection_comes_from_an_address_that_is_ours_or_from_none() {
    let mut host = Host::new();
    let gone = Err(Error::AddressNotAvailable);
    assert_eq!(connect(&mut host, "10.0.0.3:7"), gone);
    host.pass(Default::default());
    assert!(host.packets().is_empty());
    let address = Address::new("10.0.0.3/24".parse().unwrap(), Origin::Static);
    host.stack.add_address(host.now, address).unwrap();
    connect(&mut host, "10.0.0.3:7").unwrap();
    connect(&mut host, "0.0.0.0:8").unwrap();
    host.pass(Default::default());
    let sources: Vec<_> = host.packets().iter().map(|packet| packet.header.src).collect();
    assert_eq!(sources, ["10.0.0.3".parse().unwrap(), OWN]);
    assert!(host.stack.remove_address("10.0.0.3".parse().unwrap()));
    assert_eq!(connect(&mut host, "10.0.0.3:9"), gone);
}
