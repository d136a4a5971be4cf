//! Greets whoever connects to TCP port 9000.
#![no_std]
#![cfg_attr(not(test), no_main)]
extern crate alloc;

use alloc::{format, string::String};
use zerohop::{
    Net,
    net::{Error, TcpStream},
    service::Env,
};

zerohop::service!(service => main);

async fn main(net: Net, env: Env) -> Result<(), Error> {
    let listener = net.listen(9000)?;
    env.rt()
        .scope(async |clients| {
            loop {
                let stream = listener.accept().await?;
                clients.spawn(async {
                    if let Err(error) = greet(stream).await {
                        log::warn!("a client left: {error}");
                    }
                });
            }
        })
        .await
}

async fn greet(mut stream: TcpStream) -> Result<(), Error> {
    let Some(peer) = stream.peer_addr() else { return Ok(()) };
    stream.write(greeting(peer.ip()).into_bytes()).await
}

fn greeting(who: impl core::fmt::Display) -> String {
    format!("Hello, {who}!\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_greeting_names_the_guest() {
        assert_eq!(super::greeting("Ada"), "Hello, Ada!\n");
    }
}
