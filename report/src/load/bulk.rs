//! One TCP connection as fast as it goes.

use super::{Until, connect};
use crate::serve::{CHARGEN, DISCARD};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, TcpStream},
    time::{Duration, Instant},
};

const CHUNK: usize = 256 << 10;

/// A connection to the server's sink, or from its source.
#[derive(Debug)]
pub struct Bulk {
    stream: TcpStream,
    inward: bool,
    buffer: Vec<u8>,
}

impl Bulk {
    /// Connects; `inward` is into the server.
    ///
    /// # Errors
    /// A server that does not answer.
    pub fn open(server: IpAddr, inward: bool) -> io::Result<Bulk> {
        let stream = connect((server, if inward { DISCARD } else { CHARGEN }).into())?;
        Ok(Bulk { stream, inward, buffer: vec![b'z'; CHUNK] })
    }

    /// Transfers for a time, or so many bytes; returns the bytes and how long they took.
    ///
    /// # Errors
    /// A server that stopped.
    pub fn run(&mut self, until: Until) -> io::Result<(u64, Duration)> {
        let started = Instant::now();
        let mut bytes = 0;
        while !until.reached(started, bytes) {
            let moved = match self.inward {
                true => self.stream.write(&self.buffer)?,
                false => self.stream.read(&mut self.buffer)?,
            };
            if moved == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            bytes += moved as u64;
        }
        Ok((bytes, started.elapsed()))
    }
}
