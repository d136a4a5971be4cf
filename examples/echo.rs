//! Sends back what it receives, on TCP port 9000.
#![no_std]
#![no_main]

use zerohop::{
    net::{Error, Net, TcpStream},
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
                    if let Err(error) = echo(stream).await {
                        log::debug!("a client left: {error}");
                    }
                });
            }
        })
        .await
}

async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    while let Some(data) = stream.read().await? {
        stream.write(data).await?;
    }
    Ok(())
}
