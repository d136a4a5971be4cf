//! Crates from elsewhere on zerohop: a web server (picoserve, with serde, serde-json-core and
//! heapless) on TCP 80, postcard and minicbor over UDP 7000 and 7001, and clients that the web
//! server's routes start: `/fetch` (reqwless) and `/secret` (embedded-tls), of the server whose
//! addresses follow `--`.
#![no_std]
#![no_main]
extern crate alloc;

mod client;
mod datagrams;
mod web;

use core::net::SocketAddr;
use zerohop::{Net, net::Error, service::Env};

zerohop::service!(service => main);

/// What the clients connect to.
#[derive(Clone, Copy)]
pub struct Peers {
    /// A web server's.
    web: SocketAddr,
    /// That of a server that speaks TLS 1.3 with a key known before.
    tls: SocketAddr,
}

async fn main(net: Net, env: Env) -> Result<(), Error> {
    let mut addresses = env.args().filter_map(|word| word.parse().ok());
    let (Some(web), Some(tls)) = (addresses.next(), addresses.next()) else {
        log::error!(
            "name the web and the TLS server behind `--`, as in `-- 10.0.0.1:80 10.0.0.1:443`"
        );
        return Ok(());
    };
    let rt = env.rt().clone();
    let (postcards, cbor) = (net.udp(7000)?, net.udp(7001)?);
    rt.try_scope(async |services| {
        services.spawn_named("postcard", datagrams::serve(postcards, datagrams::postcard));
        services.spawn_named("cbor", datagrams::serve(cbor, datagrams::cbor));
        web::serve(&net, &env, Peers { web, tls }).await
    })
    .await
}
