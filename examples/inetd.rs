//! The small services of old, on TCP and UDP, of both families: echo (RFC 862) on 7 and, TCP only,
//! 9000; discard (RFC 863) on 9; daytime (RFC 867) on 13; chargen (RFC 864) on 19.
//!
//! Arguments behind `--` are multicast groups, in which echo is heard, too.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::{format, string::String, vec::Vec};
use zerohop::{
    Slice,
    net::{Error, Net, TcpListener, TcpStream, UdpSocket},
    rt::Rt,
    service::Env,
    udp::Datagram,
};

zerohop::service!(service => main);

/// Bytes of the pattern that chargen sends by reference, again and again.
const PATTERN: usize = 95 * 74 * 9;
/// RFC 864: the longest datagram of chargen.
const LONGEST: usize = 512;
/// Services have ports below: two that answered each other would never end.
const FIRST_OF_CLIENTS: u16 = 1024;

async fn main(net: Net, env: Env) -> Result<(), Error> {
    let rt = env.rt().clone();
    let pattern = pattern();
    let [udp7, udp9, udp13, udp19] = [net.udp(7)?, net.udp(9)?, net.udp(13)?, net.udp(19)?];
    for word in env.args() {
        match word.parse() {
            Ok(group) => udp7.join(group)?,
            Err(_) => log::error!("{word} is no multicast group, as 239.1.2.3 is"),
        }
    }
    let (echo7, echo9000) = (net.listen(7)?, net.listen(9000)?);
    let (discard9, daytime13, chargen19) = (net.listen(9)?, net.listen(13)?, net.listen(19)?);
    rt.clone()
        .scope(async |services| {
            services.spawn(udp_echo(udp7));
            services.spawn(udp_discard(udp9));
            services.spawn(udp_daytime(udp13, rt.clone()));
            services.spawn(udp_chargen(udp19, rt.clone(), pattern.clone()));
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

/// The next datagram of a client.
async fn next(socket: &UdpSocket) -> Result<Datagram, Error> {
    loop {
        let datagram = socket.recv().await?;
        if datagram.from.port() >= FIRST_OF_CLIENTS {
            return Ok(datagram);
        }
    }
}

fn answered(asked: &Datagram, result: Result<(), Error>) {
    if let Err(error) = result {
        log::debug!("no answer to {}: {error}", asked.from);
    }
}

async fn udp_echo(socket: UdpSocket) {
    while let Ok(asked) = next(&socket).await {
        answered(&asked, socket.reply(&asked, &asked.data));
    }
}

async fn udp_discard(socket: UdpSocket) {
    while socket.recv().await.is_ok() {}
}

async fn udp_daytime(socket: UdpSocket, rt: Rt) {
    while let Ok(asked) = next(&socket).await {
        let line = time_of_day(rt.wall_clock());
        let copy = |bytes: &mut [u8]| bytes.copy_from_slice(line.as_bytes());
        answered(&asked, socket.send_with(asked.from, line.len(), copy));
    }
}

/// RFC 864: each datagram is answered with a random number of characters.
async fn udp_chargen(socket: UdpSocket, rt: Rt, pattern: Slice) {
    let mut random = rt.random();
    while let Ok(asked) = next(&socket).await {
        let len = usize::from(u16::from_le_bytes(random.bytes())) % (LONGEST + 1);
        answered(&asked, socket.reply(&asked, &[pattern.slice(0..len)]));
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
    stream.write(time_of_day(nanos).into_bytes()).await
}

fn time_of_day(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    let (year, month, day) = civil(seconds / 86400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC\r\n")
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
