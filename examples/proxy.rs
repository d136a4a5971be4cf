//! A TCP proxy between two networks: what arrives at `front`, port 8080, goes to the server that
//! follows `--`, an address or a name with a port, over `back`. Bytes are forwarded as slices of the buffers that they arrived in.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::{rc::Rc, string::String};
use zerohop::{
    Net,
    net::{Error, ReadHalf, TcpStream, WriteHalf},
    rt::try_join,
    service::Env,
};

zerohop::service! {
    struct Devices {
        /// Where clients come from.
        front: Net,
        /// Where the server is.
        back: Net,
    } => main
}

async fn main(devices: Devices, env: Env) -> Result<(), String> {
    let Devices { front, back } = devices;
    let server: Rc<str> = match env.args().next() {
        Some(server) if has_port(server) => server.into(),
        _ => return Err("name the server behind `--`, as in `-- 10.1.0.1:9000`".into()),
    };
    let failed = |error: Error| alloc::format!("{error}");
    let listener = front.listen(8080).map_err(failed)?;
    env.rt()
        .try_scope(async |clients| {
            loop {
                let client = listener.accept().await.map_err(failed)?;
                let (back, server) = (back.clone(), server.clone());
                clients.spawn(async move {
                    if let Err(error) = forward(client, &back, &server).await {
                        log::debug!("a client left: {error}");
                    }
                });
            }
        })
        .await
}

fn has_port(server: &str) -> bool {
    server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

async fn forward(mut client: TcpStream, back: &Net, server: &str) -> Result<(), Error> {
    let mut server = back.connect(server).await?;
    // The peers have put small segments together as they like.
    client.set_nodelay(true);
    server.set_nodelay(true);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // The end of one direction is passed on, and leaves the other open.
    try_join(pass(from_client, to_server), pass(from_server, to_client)).await?;
    Ok(())
}

async fn pass(mut from: ReadHalf, mut to: WriteHalf) -> Result<(), Error> {
    while let Some(data) = from.read().await? {
        to.write(data).await?;
    }
    to.finish();
    Ok(())
}
