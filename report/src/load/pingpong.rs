//! Ping-pong: so many messages are on their way at any time, each answered by another.

use super::{Metrics, PATIENCE, Until, connect, latencies, polling};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

/// How long a datagram may take before it counts as lost.
const LOST: Duration = Duration::from_millis(300);

/// One ping-pong.
#[derive(Clone, Copy, Debug)]
pub struct PingPong {
    /// Over UDP, else over TCP.
    pub udp: bool,
    /// Bytes of a message.
    pub size: usize,
    /// Messages on their way, at most 256.
    pub outstanding: usize,
    /// The client polls a non-blocking socket instead of sleeping in its calls.
    pub spin: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// A socket that plays.
#[derive(Debug)]
pub struct Player {
    game: PingPong,
    socket: Socket,
    /// Of each round trip of the last run.
    nanos: Vec<f64>,
    lost: usize,
    elapsed: Duration,
}

impl PingPong {
    /// Connects.
    ///
    /// # Errors
    /// A server that does not answer.
    pub fn open(self, server: SocketAddr) -> io::Result<Player> {
        let socket = if self.udp {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            socket.connect(server)?;
            socket.set_read_timeout(Some(LOST))?;
            socket.set_nonblocking(self.spin)?;
            Socket::Udp(socket)
        } else {
            let stream = connect(server)?;
            stream.set_nonblocking(self.spin)?;
            Socket::Tcp(stream)
        };
        let nanos = Vec::with_capacity(1 << 20);
        Ok(Player { game: self, socket, nanos, lost: 0, elapsed: Duration::ZERO })
    }

    fn call<T>(self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        if self.spin { polling(call) } else { call() }
    }
}

impl Player {
    /// Plays; the number of round trips, those that were on their way at the end included, and the
    /// time that they took.
    ///
    /// # Errors
    /// A server that stopped.
    pub fn run(&mut self, until: Until) -> io::Result<(u64, Duration)> {
        self.nanos.clear();
        self.lost = 0;
        self.elapsed = match &mut self.socket {
            Socket::Tcp(stream) => self.game.stream(stream, until, &mut self.nanos)?,
            Socket::Udp(socket) => {
                let (elapsed, lost) = self.game.datagrams(socket, until, &mut self.nanos)?;
                self.lost = lost;
                elapsed
            }
        };
        Ok((self.nanos.len() as u64, self.elapsed))
    }

    /// What the last run measured.
    pub fn metrics(&mut self) -> Metrics {
        let mut metrics = latencies(&mut self.nanos, self.elapsed);
        if self.game.udp {
            metrics.insert("lost".into(), self.lost as f64);
        }
        metrics
    }
}

impl PingPong {
    /// Each message is written by a call of its own, so that it is a segment of its own.
    fn stream(
        self,
        stream: &mut TcpStream,
        until: Until,
        nanos: &mut Vec<f64>,
    ) -> io::Result<Duration> {
        let message = vec![b'x'; self.size];
        let mut buffer = vec![0; 256 << 10];
        let mut sent = VecDeque::with_capacity(self.outstanding);
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
            for _ in 0..whole {
                let Some(at) = sent.pop_front() else { break };
                nanos.push((now - at).as_nanos() as f64);
            }
            let ended = until.reached(started, nanos.len() as u64);
            for _ in 0..if ended { 0 } else { whole } {
                sent.push_back(Instant::now());
                self.call(|| stream.write(&message))?;
            }
        }
        Ok(started.elapsed())
    }

    /// Messages are numbered, so that a lost one is not mistaken.
    fn datagrams(
        self,
        socket: &UdpSocket,
        until: Until,
        nanos: &mut Vec<f64>,
    ) -> io::Result<(Duration, usize)> {
        let mut message = vec![0; self.size.max(1)];
        let mut buffer = vec![0; 2048];
        let mut sent = vec![Instant::now(); self.outstanding];
        let mut lost = 0_usize;
        let started = Instant::now();
        let mut answered = started;
        let mut send = |slot: usize, sent: &mut [Instant]| {
            message[0] = slot as u8;
            sent[slot] = Instant::now();
            self.call(|| socket.send(&message)).map(drop)
        };
        for slot in 0..self.outstanding {
            send(slot, &mut sent)?;
        }
        loop {
            match self.receive(socket, &mut buffer) {
                Ok(n) => {
                    answered = Instant::now();
                    let slot = usize::from(buffer[0]);
                    if n == 0 || slot >= self.outstanding {
                        continue;
                    }
                    nanos.push((answered - sent[slot]).as_nanos() as f64);
                    if until.reached(started, nanos.len() as u64) {
                        break;
                    }
                    send(slot, &mut sent)?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    lost += self.outstanding;
                    if answered.elapsed() >= PATIENCE {
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
        for _ in 1..self.outstanding {
            if self.receive(socket, &mut buffer).is_err() {
                break;
            }
        }
        if lost > 0 {
            std::thread::sleep(Duration::from_millis(20));
            socket.set_nonblocking(true)?;
            while socket.recv(&mut buffer).is_ok() {}
            socket.set_nonblocking(self.spin)?;
        }
        Ok((elapsed, lost))
    }

    /// Takes one datagram; `WouldBlock` when none has come for [`LOST`].
    fn receive(self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
        let deadline = Instant::now() + LOST;
        loop {
            match socket.recv(buffer) {
                Err(e) if self.spin && e.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() > deadline {
                        return Err(e);
                    }
                }
                result => return result,
            }
        }
    }
}
