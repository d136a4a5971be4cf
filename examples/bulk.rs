//! A source and a sink for measuring: TCP 5001 throws away what it receives and, when the peer has
//! sent its last byte, answers with the count in decimal; TCP 5002 sends without end, or as many
//! bytes as a first line says; TCP 5003 echoes.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::{format, vec};
use zerohop::{
    Net, Slice,
    net::{Error, TcpListener, TcpStream},
    rt::Rt,
    service::Env,
};

zerohop::service!(service => main);

/// Bytes of the piece that the source sends by reference, again and again.
const PIECE: usize = 256 << 10;
/// How long the source waits for a line that says how much.
const PATIENCE: core::time::Duration = core::time::Duration::from_millis(200);

async fn main(net: Net, env: Env) -> Result<(), Error> {
    let rt = env.rt().clone();
    let (sink, source, echo) = (net.listen(5001)?, net.listen(5002)?, net.listen(5003)?);
    let piece = Slice::from(vec![b'z'; PIECE]);
    rt.scope(async |services| {
        services.spawn_named("sink", serve(rt.clone(), sink, drain));
        let clock = rt.clone();
        let send = move |stream| flood(clock.clone(), stream, piece.clone());
        services.spawn_named("source", serve(rt.clone(), source, send));
        services.spawn_named("echo", serve(rt.clone(), echo, echoes));
    })
    .await;
    Ok(())
}

async fn serve<F>(rt: Rt, listener: TcpListener, handler: impl Fn(TcpStream) -> F)
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    rt.scope(async |clients| {
        while let Ok(stream) = listener.accept().await {
            let client = handler(stream);
            clients.spawn(async {
                if let Err(error) = client.await {
                    log::debug!("a client left: {error}");
                }
            });
        }
    })
    .await;
}

async fn drain(mut stream: TcpStream) -> Result<(), Error> {
    let mut count = 0u64;
    while let Some(data) = stream.read().await? {
        count += data.len() as u64;
    }
    stream.write(format!("{count}\n").into_bytes()).await
}

async fn flood(rt: Rt, mut stream: TcpStream, piece: Slice) -> Result<(), Error> {
    let line = match rt.timeout(PATIENCE, stream.read()).await {
        Some(line) => line?,
        None => None,
    };
    let asked = line.as_deref().and_then(|line| core::str::from_utf8(line).ok());
    let mut left: u64 = asked.and_then(|line| line.trim().parse().ok()).unwrap_or(u64::MAX);
    while left > 0 {
        let len = left.min(piece.len() as u64) as usize;
        stream.write(piece.slice(0..len)).await?;
        left -= len as u64;
    }
    Ok(())
}

async fn echoes(mut stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true);
    while let Some(data) = stream.read().await? {
        stream.write(data).await?;
    }
    Ok(())
}
