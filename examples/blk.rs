//! A disk over TCP, port 9000. Commands are lines: `size` answers with the number of sectors and
//! their size, `read FIRST COUNT` with the bytes, `write FIRST COUNT`, followed by the bytes, with
//! `ok`. What goes wrong is a line that begins with `error`.
#![no_std]
#![no_main]
extern crate alloc;

use alloc::{format, vec, vec::Vec};
use zerohop::{
    Block, Net, block,
    net::{Error, TcpStream},
    service::Env,
};

zerohop::service! {
    struct Devices { service: Net, disk: Block } => main
}

/// Bytes of a line, and of the data of one command.
const MAX_LINE: usize = 100;
const MAX_DATA: usize = 64 << 10;

async fn main(devices: Devices, env: Env) -> Result<(), Error> {
    let Devices { service, disk } = devices;
    let listener = service.listen(9000)?;
    env.rt()
        .try_scope(async |clients| {
            loop {
                let stream = listener.accept().await?;
                let disk = disk.clone();
                clients.spawn(async move {
                    if let Err(error) = client(stream, &disk).await {
                        log::debug!("a client left: {error}");
                    }
                });
            }
        })
        .await
}

async fn client(mut stream: TcpStream, disk: &Block) -> Result<(), Error> {
    stream.set_nodelay(true);
    while let Some(line) = line(&mut stream).await? {
        let line = core::str::from_utf8(&line).unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let command = words.next();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        match (command, number(), number()) {
            (Some("size"), None, None) => {
                let answer = format!("{} {}\n", disk.sectors(), disk.sector_size());
                stream.write(answer.into_bytes()).await?;
            }
            (Some("read"), Some(first), Some(count)) => {
                match length(disk, count) {
                    Some(_) => match disk.read(first, count as usize).await {
                        Ok(data) => stream.write(data).await?,
                        Err(error) => fail(&mut stream, error).await?,
                    },
                    None => stream.write("error: at most 64 KiB at once\n").await?,
                };
            }
            (Some("write"), Some(first), Some(count)) => {
                let Some(len) = length(disk, count) else {
                    // What follows cannot be told from commands any more.
                    return stream.write("error: at most 64 KiB at once\n").await;
                };
                let mut data = vec![0; len];
                if !fill(&mut stream, &mut data).await? {
                    return Ok(());
                }
                match disk.write(first, &data).await {
                    Ok(()) => stream.write("ok\n").await?,
                    Err(error) => fail(&mut stream, error).await?,
                }
            }
            _ => stream.write("error: size, read FIRST COUNT, or write FIRST COUNT\n").await?,
        }
    }
    Ok(())
}

fn length(disk: &Block, count: u64) -> Option<usize> {
    let len = usize::try_from(count).ok()?.checked_mul(disk.sector_size())?;
    (len <= MAX_DATA).then_some(len)
}

async fn fail(stream: &mut TcpStream, error: block::Error) -> Result<(), Error> {
    stream.write(format!("error: {error}\n").into_bytes()).await
}

/// Fills `buffer`; false at the end of the stream.
async fn fill(stream: &mut TcpStream, mut buffer: &mut [u8]) -> Result<bool, Error> {
    while !buffer.is_empty() {
        match stream.read_into(buffer).await? {
            0 => return Ok(false),
            n => buffer = &mut buffer[n..],
        }
    }
    Ok(true)
}

/// The next line; `None` at the end of the stream, or when it is too long.
async fn line(stream: &mut TcpStream) -> Result<Option<Vec<u8>>, Error> {
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read_into(&mut byte).await? > 0 {
        if byte == *b"\n" {
            return Ok(Some(line));
        }
        if line.len() == MAX_LINE {
            return Ok(None);
        }
        line.push(byte[0]);
    }
    Ok(None)
}
