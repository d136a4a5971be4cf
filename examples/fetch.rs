//! Gets the URLs that follow `--` over HTTP/1.1 and prints what comes: `-- http://example.com/`.
#![no_std]
#![no_main]
extern crate alloc;

#[path = "fetch/response.rs"]
mod response;

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;
use response::Response;
use zerohop::{Net, service::Env};

zerohop::service!(service => main);

/// How long a server may take for everything.
const PATIENCE: Duration = Duration::from_secs(60);

async fn main(net: Net, env: Env) -> Result<(), String> {
    let urls: Vec<String> = env.args().map(String::from).collect();
    if urls.is_empty() {
        return Err("name what to get behind `--`, as in `-- http://example.com/`".into());
    }
    for url in urls {
        let got = env.rt().timeout(PATIENCE, get(&net, &url)).await;
        let got = got.unwrap_or_else(|| Err("the server takes too long".into()));
        let (status, body) = got.map_err(|problem| format!("{url}: {problem}"))?;
        log::info!("{url}: {status}, {} bytes", body.len());
        for line in String::from_utf8_lossy(&body).lines() {
            log::info!("{line}");
        }
    }
    Ok(())
}

/// The host with its port, and the path, of a URL.
fn parts(url: &str) -> Option<(String, &str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let named = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let server = if named && !host.ends_with(']') { host.into() } else { format!("{host}:80") };
    (!host.is_empty()).then_some((server, host, path))
}

async fn get(net: &Net, url: &str) -> Result<(u16, Vec<u8>), String> {
    let (server, host, path) = parts(url).ok_or("expected a URL as http://host/path")?;
    let mut stream = net.connect(&*server).await.map_err(|error| format!("{error}"))?;
    if let Some(peer) = stream.peer_addr() {
        log::info!("{server}: connected to {peer}");
    }
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: zerohop\r\nConnection: close\r\n\r\n"
    );
    stream.write(request.into_bytes()).await.map_err(|error| format!("{error}"))?;
    let mut response = Response::new(&mut stream);
    let status = response.head().await?;
    Ok((status, response.body().await?))
}
