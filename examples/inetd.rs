//! The small services of old: echo (RFC 862) on TCP and UDP 7 and TCP 9000, discard (RFC 863) on 9,
//! daytime (RFC 867) on 13, chargen (RFC 864) on 19.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::{format, vec::Vec};
use zerohop::{
    Slice,
    net::{Error, Net, TcpListener, TcpStream, UdpSocket},
    rt::Rt,
    service::Env,
};

zerohop::service!(service => main);

/// Bytes of the pattern that chargen sends by reference, again and again.
const PATTERN: usize = 95 * 74 * 9;

async fn main(net: Net, env: Env) -> Result<(), Error> {
    let rt = env.rt().clone();
    let pattern = pattern();
    let udp = net.udp(7)?;
    let (echo7, echo9000) = (net.listen(7)?, net.listen(9000)?);
    let (discard9, daytime13, chargen19) = (net.listen(9)?, net.listen(13)?, net.listen(19)?);
    rt.clone()
        .scope(async |services| {
            services.spawn(udp_echo(udp));
            services.spawn(serve(rt.clone(), echo7, echo));
            services.spawn(serve(rt.clone(), echo9000, echo));
            services.spawn(serve(rt.clone(), discard9, discard));
            let clock = rt.clone();
            services.spawn(serve(rt.clone(), daytime13, move |s| daytime(s, clock.wall_clock())));
            services.spawn(serve(rt.clone(), chargen19, move |s| chargen(s, pattern.clone())));
        })
        .await;
    Ok(())
}

async fn serve<F>(rt: Rt, listener: TcpListener, handler: impl Fn(TcpStream) -> F)
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    rt.scope(async |clients| {
        while let Ok(mut stream) = listener.accept().await {
            stream.set_nodelay(true);
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

async fn udp_echo(socket: UdpSocket) {
    while let Ok(datagram) = socket.recv().await {
        if let Err(error) = socket.send(datagram.from, &datagram.data) {
            log::debug!("no answer to {}: {error}", datagram.from);
        }
    }
}

async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    while let Some(data) = stream.read().await? {
        stream.write(data).await?;
    }
    Ok(())
}

async fn discard(mut stream: TcpStream) -> Result<(), Error> {
    while stream.read().await?.is_some() {}
    Ok(())
}

async fn chargen(mut stream: TcpStream, pattern: Slice) -> Result<(), Error> {
    loop {
        stream.write(pattern.clone()).await?;
    }
}

async fn daytime(mut stream: TcpStream, nanos: u64) -> Result<(), Error> {
    let seconds = nanos / 1_000_000_000;
    let (year, month, day) = civil(seconds / 86400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let line = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC\r\n");
    stream.write(line.into_bytes()).await
}

/// Year, month and day of a count of days since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years that begin in March end with the leap day.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Lines of 72 printable characters, each line beginning one character later.
fn pattern() -> Slice {
    let line = |first: usize| (0..72).map(move |i| b' ' + ((first + i) % 95) as u8).chain(*b"\r\n");
    (0..).flat_map(line).take(PATTERN).collect::<Vec<u8>>().into()
}
