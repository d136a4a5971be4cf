//! Ping-pong: so many messages are on their way at any time, each answered by another.

use super::{Metrics, PATIENCE, connect, latencies, polling};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

/// One ping-pong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PingPong {
    pub(crate) udp: bool,
    pub(crate) size: usize,
    pub(crate) outstanding: usize,
    /// The client polls a non-blocking socket instead of sleeping in its calls.
    pub(crate) spin: bool,
}

impl PingPong {
    /// Runs for `time` after a warm-up of a quarter of it.
    pub(crate) fn run(self, server: SocketAddr, time: Duration) -> io::Result<Metrics> {
        let warm_up = time / 4;
        if self.udp {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            socket.connect(server)?;
            socket.set_read_timeout(Some(Duration::from_millis(300)))?;
            socket.set_nonblocking(self.spin)?;
            let run = |time| self.datagrams(&socket, time);
            run(warm_up)?;
            run(time)
        } else {
            let mut stream = connect(server)?;
            stream.set_nonblocking(self.spin)?;
            self.stream(&mut stream, warm_up)?;
            self.stream(&mut stream, time)
        }
    }

    fn call<T>(self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        if self.spin { polling(call) } else { call() }
    }

    /// Each message is written by a call of its own, so that it is a segment of its own.
    fn stream(self, stream: &mut TcpStream, time: Duration) -> io::Result<Metrics> {
        let message = vec![b'x'; self.size];
        let mut buffer = vec![0; 256 << 10];
        let mut sent = VecDeque::with_capacity(self.outstanding);
        let mut nanos = Vec::with_capacity(1 << 20);
        let started = Instant::now();
        for _ in 0..self.outstanding {
            sent.push_back(Instant::now());
            self.call(|| stream.write(&message))?;
        }
        let mut partial = 0;
        while let Some(first) = sent.front() {
            if first.elapsed() > PATIENCE {
                return Err(ErrorKind::TimedOut.into());
            }
            let n = self.call(|| stream.read(&mut buffer))?;
            if n == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let now = Instant::now();
            partial += n;
            let whole = partial / self.size;
            partial %= self.size;
            let ended = now - started >= time;
            for _ in 0..whole {
                let Some(at) = sent.pop_front() else { break };
                nanos.push((now - at).as_nanos() as f64);
            }
            for _ in 0..if ended { 0 } else { whole } {
                sent.push_back(Instant::now());
                self.call(|| stream.write(&message))?;
            }
        }
        Ok(latencies(nanos, started.elapsed()))
    }

    /// Messages are numbered when they are large enough, so that a lost one is not mistaken.
    fn datagrams(self, socket: &UdpSocket, time: Duration) -> io::Result<Metrics> {
        let mut message = vec![0; self.size.max(1)];
        let mut buffer = vec![0; 2048];
        let mut sent = vec![Instant::now(); self.outstanding];
        let mut nanos = Vec::with_capacity(1 << 20);
        let mut lost = 0_usize;
        let started = Instant::now();
        let mut send = |slot: usize, sent: &mut [Instant]| {
            message[0] = slot as u8;
            sent[slot] = Instant::now();
            self.call(|| socket.send(&message)).map(drop)
        };
        for slot in 0..self.outstanding {
            send(slot, &mut sent)?;
        }
        loop {
            let received = if self.spin {
                let deadline = Instant::now() + Duration::from_millis(300);
                loop {
                    match socket.recv(&mut buffer) {
                        Err(e) if e.kind() == ErrorKind::WouldBlock => {
                            if Instant::now() > deadline {
                                break Err(e);
                            }
                        }
                        result => break result,
                    }
                }
            } else {
                socket.recv(&mut buffer)
            };
            match received {
                Ok(n) => {
                    let slot = usize::from(buffer[0]);
                    if n == 0 || slot >= self.outstanding {
                        continue;
                    }
                    nanos.push(sent[slot].elapsed().as_nanos() as f64);
                    if started.elapsed() >= time {
                        break;
                    }
                    send(slot, &mut sent)?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    lost += self.outstanding;
                    if started.elapsed() >= time + PATIENCE {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    for slot in 0..self.outstanding {
                        send(slot, &mut sent)?;
                    }
                }
                Err(e) => return Err(e),
            }
        }
        let elapsed = started.elapsed();
        // The last answers must not be taken for those of the next run.
        std::thread::sleep(Duration::from_millis(20));
        socket.set_nonblocking(true)?;
        while socket.recv(&mut buffer).is_ok() {}
        socket.set_nonblocking(self.spin)?;
        let mut metrics = latencies(nanos, elapsed);
        metrics.insert("lost".into(), lost as f64);
        Ok(metrics)
    }
}
