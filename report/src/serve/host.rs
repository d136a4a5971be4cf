//! The host's own sockets as a server.

use super::{CHARGEN, DISCARD, ECHO, HTTP, http::Requests};
use crate::load::{polling, tune};
use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
};

/// Bytes read or written by one call.
const CHUNK: usize = 256 << 10;

fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind(("0.0.0.0", port)).map_err(|e| format!("port {port}: {e}"))
}

/// Serves for ever with a thread a connection, each blocking in its call.
pub(crate) fn blocking() -> Result<(), String> {
    let udp = UdpSocket::bind(("0.0.0.0", ECHO)).map_err(|e| format!("UDP: {e}"))?;
    let (echo7, discard9, chargen19) = (listen(ECHO)?, listen(DISCARD)?, listen(CHARGEN)?);
    let http80 = listen(HTTP)?;
    thread::spawn(move || accept(&http80, http));
    thread::spawn(move || accept(&discard9, discard));
    thread::spawn(move || accept(&chargen19, chargen));
    thread::spawn(move || accept(&echo7, echo));
    let mut buffer = vec![0; 65536];
    loop {
        if let Ok((len, from)) = udp.recv_from(&mut buffer) {
            // A datagram that is not sent is lost, as on any network.
            let _ = udp.send_to(&buffer[..len], from);
        }
    }
}

fn accept(listener: &TcpListener, handler: fn(TcpStream) -> std::io::Result<()>) {
    for stream in listener.incoming().flatten() {
        tune(&stream);
        // An error is the client's leaving.
        thread::spawn(move || handler(stream).ok());
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

fn discard(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn chargen(mut stream: TcpStream) -> std::io::Result<()> {
    let buffer = vec![b'z'; CHUNK];
    loop {
        stream.write_all(&buffer)?;
    }
}

fn http(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 65536];
    let mut requests = Requests::default();
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&requests.answers(&buffer[..n]))?,
        }
    }
}

struct Client {
    stream: TcpStream,
    port: u16,
    requests: Requests,
}

/// Serves for ever on one thread that never sleeps.
pub(crate) fn spinning() -> Result<(), String> {
    let udp = UdpSocket::bind(("0.0.0.0", ECHO)).map_err(|e| format!("UDP: {e}"))?;
    udp.set_nonblocking(true).map_err(|e| format!("UDP: {e}"))?;
    let mut listeners = Vec::new();
    for port in [ECHO, DISCARD, CHARGEN, HTTP] {
        listeners.push((listen(port)?, port));
    }
    for (listener, _) in &listeners {
        listener.set_nonblocking(true).map_err(|e| format!("listener: {e}"))?;
    }
    let mut buffer = vec![b'z'; CHUNK];
    let mut clients: Vec<Client> = Vec::new();
    for turn in 0_u64.. {
        if let Ok((len, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&buffer[..len], from);
        }
        clients.retain_mut(|client| client.spin_once(&mut buffer).is_ok());
        if turn % 32 == 0 {
            for (listener, port) in &listeners {
                if let Ok((stream, _)) = listener.accept() {
                    tune(&stream);
                    if stream.set_nonblocking(true).is_ok() {
                        let requests = Requests::default();
                        clients.push(Client { stream, port: *port, requests });
                    }
                }
            }
        }
    }
    Ok(())
}

impl Client {
    fn spin_once(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        if self.port == CHARGEN {
            return match self.stream.write(buffer) {
                Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
                _ => Ok(()),
            };
        }
        match self.stream.read(buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) if self.port == ECHO => self.send(&buffer[..n]),
            Ok(n) if self.port == HTTP => {
                let answers = self.requests.answers(&buffer[..n]);
                self.send(&answers)
            }
            Ok(_) => Ok(()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn send(&mut self, data: &[u8]) -> std::io::Result<()> {
        polling(|| self.stream.write(data)).map(drop)
    }
}
