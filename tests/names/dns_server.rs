//! A name server that does what well-behaved ones do not.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// Says nothing.
    Silent,
    /// Cuts off what it says by UDP, and tells all by TCP.
    Truncates,
    /// Repeats questions in lower case.
    Lowers,
    /// Does not know EDNS.
    Old,
    /// Is beside a forger who answers first, with another identifier and another port.
    Forged,
    /// Answers after a while.
    Slow,
    /// Cannot tell.
    Fails,
}

/// A server that answers 10.0.0.1 to every question for an IPv4 address, with a lifetime of a
/// minute, and nothing to others.
pub struct Server {
    questions: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(address: &str, manners: Manners) -> Server {
        let address: SocketAddr = format!("{address}:53").parse().unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        let socket = UdpSocket::bind(address).unwrap();
        let count = questions.clone();
        std::thread::spawn(move || by_udp(&socket, manners, &count));
        let listener = TcpListener::bind(address).unwrap();
        let count = questions.clone();
        std::thread::spawn(move || by_tcp(&listener, &count));
        Server { questions }
    }

    /// Questions that were asked so far.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }
}

fn by_udp(socket: &UdpSocket, manners: Manners, count: &AtomicUsize) {
    let forger = UdpSocket::bind("10.0.0.1:0").unwrap();
    let mut buffer = [0; 1500];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        count.fetch_add(1, Ordering::Relaxed);
        let question = &buffer[..len];
        let mut answer = answer(question, 0);
        match manners {
            Manners::Silent => continue,
            Manners::Truncates => {
                answer.truncate(end(question));
                answer[2] |= 2;
                answer[6..12].fill(0);
            }
            Manners::Lowers => {
                let end = end(question);
                answer[12..end].make_ascii_lowercase();
            }
            Manners::Old if question[11] != 0 => {
                answer.truncate(end(question));
                answer[3] |= 1;
                answer[6..12].fill(0);
            }
            Manners::Forged => {
                let mut forged = answer.clone();
                let at = forged.len() - 1;
                forged[at] = 66;
                forger.send_to(&forged, from).unwrap();
                forged[0] ^= 1;
                socket.send_to(&forged, from).unwrap();
            }
            Manners::Slow => std::thread::sleep(std::time::Duration::from_millis(1500)),
            Manners::Fails => {
                answer.truncate(end(question));
                answer[3] |= 2;
                answer[6..12].fill(0);
            }
            Manners::Old => {}
        }
        let _ = socket.send_to(&answer, from);
    }
}

fn by_tcp(listener: &TcpListener, count: &AtomicUsize) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        let mut len = [0; 2];
        if stream.read_exact(&mut len).is_err() {
            continue;
        }
        let mut question = vec![0; u16::from_be_bytes(len).into()];
        if stream.read_exact(&mut question).is_err() {
            continue;
        }
        count.fetch_add(1, Ordering::Relaxed);
        // More than a datagram carries; in pieces.
        let answer = answer(&question, 200);
        let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
        for piece in framed.chunks(1000) {
            let _ = stream.write_all(piece);
        }
    }
}

/// Where the question ends.
fn end(question: &[u8]) -> usize {
    let mut at = 12;
    while question[at] != 0 {
        at += 1 + usize::from(question[at]);
    }
    at + 5
}

/// The usual answer, behind `others` addresses of another name.
fn answer(question: &[u8], others: u8) -> Vec<u8> {
    let end = end(question);
    let mut answer = question[..end].to_vec();
    (answer[2], answer[3]) = (0x81, 0x80);
    answer[6..12].fill(0);
    if question[end - 3] == 1 {
        let record = |name: &[u8], last: u8| {
            [name, &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, last]].concat()
        };
        answer.extend(record(&[0xc0, 12], 1));
        (0..others).for_each(|n| answer.extend(record(b"\x05other\0", n)));
        answer[7] = 1 + others;
    }
    answer
}
