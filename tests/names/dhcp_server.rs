//! A DHCP server with leases of seconds, which dnsmasq has not: its shortest is of two minutes.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};
use testbed::Network;

/// What a client asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Discover,
    /// For the address of an offer.
    Request,
    /// For a lease to be extended; by unicast from that address.
    Extend(Ipv4Addr),
    Decline,
}

/// How a server behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Seconds until T1, T2 and the end.
    pub times: [u32; 3],
    /// Whether leases are extended.
    pub extends: bool,
}

/// A server that leases 10.0.0.77, then .78, and so on.
pub struct Server {
    pub asked: Receiver<Asked>,
}

impl Server {
    pub fn start(network: &Network, manners: Manners) -> Server {
        // Clients have no address yet, and answers go to all.
        network.ip(&["route", "add", "255.255.255.255", "dev", "tap0"]).unwrap();
        let socket = UdpSocket::bind("0.0.0.0:67").unwrap();
        socket.set_broadcast(true).unwrap();
        let (send, asked) = channel();
        std::thread::spawn(move || serve(&socket, manners, &send));
        Server { asked }
    }

    /// What is asked next.
    pub fn next(&self) -> Asked {
        self.asked.recv_timeout(Duration::from_secs(15)).unwrap()
    }
}

fn serve(socket: &UdpSocket, manners: Manners, asked: &Sender<Asked>) {
    let (mut next, mut offered) = (76, false);
    let mut buffer = [0; 1500];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        let message = &buffer[..len];
        let Some(kind) = kind(message) else { continue };
        let client = Ipv4Addr::from(<[u8; 4]>::try_from(&message[12..16]).unwrap());
        let what = match kind {
            1 => Asked::Discover,
            3 if client.is_unspecified() => Asked::Request,
            3 => Asked::Extend(client),
            4 => Asked::Decline,
            _ => continue,
        };
        if asked.send(what).is_err() {
            return;
        }
        let (answer, address) = match what {
            Asked::Discover => {
                // A question that is repeated has the same answer.
                next += u8::from(!offered);
                offered = true;
                (2, Ipv4Addr::new(10, 0, 0, next))
            }
            Asked::Request => {
                offered = false;
                (5, Ipv4Addr::new(10, 0, 0, next))
            }
            Asked::Extend(_) if manners.extends => (5, client),
            Asked::Extend(_) | Asked::Decline => continue,
        };
        let to = match what {
            Asked::Extend(_) => from,
            _ => "255.255.255.255:68".parse().unwrap(),
        };
        let _ = socket.send_to(&reply(message, answer, address, manners.times), to);
    }
}

fn kind(message: &[u8]) -> Option<u8> {
    let mut options = message.get(240..)?;
    while let [code, len, rest @ ..] = options {
        let (value, rest) = rest.split_at_checked((*len).into())?;
        if *code == 53 {
            return value.first().copied();
        }
        options = rest;
    }
    None
}

fn reply(message: &[u8], kind: u8, address: Ipv4Addr, times: [u32; 3]) -> Vec<u8> {
    let mut reply = message[..240].to_vec();
    reply[0] = 2;
    reply[12..16].fill(0);
    reply[16..20].copy_from_slice(&address.octets());
    reply.extend([53, 1, kind, 54, 4, 10, 0, 0, 1, 1, 4, 255, 255, 255, 0]);
    for (code, seconds) in [58, 59, 51].into_iter().zip(times) {
        reply.extend([code, 4]);
        reply.extend(seconds.to_be_bytes());
    }
    reply.push(255);
    reply
}
