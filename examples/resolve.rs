//! Looks up the names and addresses that follow `--`, and prints what they stand for: a name's
//! addresses, those to be tried first in front; an address's name.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::{format, string::String, vec::Vec};
use core::net::IpAddr;
use embedded_nal_async::Dns;
use zerohop::{
    net::{Error, Net},
    service::Env,
};

zerohop::service!(service => main);

async fn main(net: Net, env: Env) -> Result<(), String> {
    let names: Vec<String> = env.args().map(String::from).collect();
    if names.is_empty() {
        return Err("name what to look up behind `--`, as in `-- example.com`".into());
    }
    let mut failed = 0;
    for name in names {
        let found = match name.parse() {
            Ok(address) => name_of(&net, address).await,
            Err(_) => addresses_of(&net, &name).await,
        };
        match found {
            Ok(found) => log::info!("{name}: {found}"),
            Err(error) => {
                log::error!("{name}: {error}");
                failed += 1;
            }
        }
    }
    if failed > 0 { Err(format!("{failed} could not be looked up")) } else { Ok(()) }
}

async fn addresses_of(net: &Net, name: &str) -> Result<String, Error> {
    let addresses = net.lookup(name).await?;
    let addresses: Vec<String> = addresses.iter().map(|address| format!("{address}")).collect();
    Ok(addresses.join(" "))
}

/// By the trait that other crates ask for.
async fn name_of(resolver: &impl Dns<Error = Error>, address: IpAddr) -> Result<String, Error> {
    let mut name = [0; 255];
    let len = resolver.get_host_by_address(address, &mut name).await?;
    Ok(String::from_utf8_lossy(&name[..len]).into_owned())
}
