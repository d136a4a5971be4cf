//! One TCP connection as fast as it goes.

use super::{Metrics, connect};
use crate::serve::{CHARGEN, DISCARD};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::IpAddr,
    time::{Duration, Instant},
};

const CHUNK: usize = 256 << 10;

/// Sends to the server's sink, or takes from its source, for `time` after a warm-up of a third.
pub(crate) fn run(server: IpAddr, inward: bool, time: Duration) -> io::Result<Metrics> {
    let mut stream = connect((server, if inward { DISCARD } else { CHARGEN }).into())?;
    let mut buffer = vec![b'z'; CHUNK];
    let mut step = || if inward { stream.write(&buffer) } else { stream.read(&mut buffer) };
    for measured in [false, true] {
        let span = if measured { time } else { time / 3 };
        let started = Instant::now();
        let mut bytes = 0;
        while started.elapsed() < span {
            match step()? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => bytes += n,
            }
        }
        if measured {
            let rate = bytes as f64 / started.elapsed().as_secs_f64() / 1e9;
            return Ok(Metrics::from([("gbytes_per_s".into(), rate)]));
        }
    }
    Ok(Metrics::new())
}
