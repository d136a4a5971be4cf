//! smoltcp as a process on a tap.

use super::{CHARGEN, DISCARD, ECHO, HTTP, http::Requests};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Medium, TunTapInterface, wait},
    socket::{tcp, udp},
    time::Instant,
    wire::{EthernetAddress, IpAddress, IpCidr},
};
use std::os::fd::AsRawFd;

/// Buffers of a socket that echoes, each way.
const SMALL: usize = 64 << 10;
/// Buffers of a socket for bulk data, each way.
const LARGE: usize = 1 << 20;
/// Services, and their listening sockets beside those in use: smoltcp has no backlog.
const SERVICES: [(u16, usize); 4] = [(ECHO, 8), (DISCARD, 8), (CHARGEN, 8), (HTTP, 64)];

struct Client {
    handle: SocketHandle,
    port: u16,
    requests: Requests,
}

fn socket(sockets: &mut SocketSet<'static>, port: u16) -> Client {
    let size = if [ECHO, HTTP].contains(&port) { SMALL } else { LARGE };
    let buffer = || tcp::SocketBuffer::new(vec![0; size]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_congestion_control(tcp::CongestionControl::Cubic);
    // Port and state are right by construction.
    let _ = socket.listen(port);
    Client { handle: sockets.add(socket), port, requests: Requests::default() }
}

/// Serves on the tap `name` for ever: sleeps in poll, or never.
pub(crate) fn serve(name: &str, spin: bool) -> Result<(), String> {
    let mut device =
        TunTapInterface::new(name, Medium::Ethernet).map_err(|e| format!("{name}: {e}"))?;
    let fd = device.as_raw_fd();
    let mac = EthernetAddress([2, 0, 0, 0, 0, 2]);
    let mut interface = Interface::new(Config::new(mac.into()), &mut device, Instant::now());
    interface.update_ip_addrs(|addresses| {
        // The list has room for the first one.
        let _ = addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24));
    });
    let mut sockets = SocketSet::new(vec![]);
    let datagrams =
        || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 512], vec![0; 1 << 20]);
    let mut socket_udp = udp::Socket::new(datagrams(), datagrams());
    socket_udp.bind(ECHO).map_err(|e| format!("UDP: {e}"))?;
    let datagrams = sockets.add(socket_udp);
    let mut clients = Vec::new();
    for (port, spare) in SERVICES {
        clients.extend((0..spare).map(|_| socket(&mut sockets, port)));
    }
    let pattern = vec![b'z'; 64 << 10];
    loop {
        let now = Instant::now();
        let worked = interface.poll(now, &mut device, &mut sockets);
        let socket_udp = sockets.get_mut::<udp::Socket>(datagrams);
        while socket_udp.can_send() {
            let Ok((data, from)) = socket_udp.recv() else { break };
            let data = data.to_vec();
            let _ = socket_udp.send_slice(&data, from.endpoint);
        }
        tend(&mut sockets, &mut clients, &pattern);
        let sent = interface.poll(Instant::now(), &mut device, &mut sockets);
        if !spin && worked == sent && sent == smoltcp::iface::PollResult::None {
            let delay = interface.poll_delay(Instant::now(), &sockets);
            wait(fd, delay).map_err(|e| format!("{name}: {e}"))?;
        }
    }
}

/// Runs the services of all sockets, and replaces those that have ended or are in use.
fn tend(sockets: &mut SocketSet<'static>, clients: &mut Vec<Client>, pattern: &[u8]) {
    let mut missing = SERVICES;
    clients.retain_mut(|client| {
        let socket = sockets.get_mut::<tcp::Socket>(client.handle);
        if socket.state() == tcp::State::Listen
            && let Some((_, n)) = missing.iter_mut().find(|(port, _)| *port == client.port)
        {
            *n = n.saturating_sub(1);
        }
        run(socket, client, pattern);
        let over = matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait);
        if over {
            sockets.remove(client.handle);
        }
        !over
    });
    for (port, n) in missing {
        clients.extend((0..n).map(|_| socket(sockets, port)));
    }
}

fn run(socket: &mut tcp::Socket<'_>, client: &mut Client, pattern: &[u8]) {
    match client.port {
        ECHO => {
            while socket.can_recv() && socket.can_send() {
                let room = socket.send_capacity() - socket.send_queue();
                let mut data = Vec::new();
                let taken = socket.recv(|part| {
                    data.extend_from_slice(&part[..part.len().min(room)]);
                    (data.len(), ())
                });
                if taken.is_err() || socket.send_slice(&data).is_err() {
                    break;
                }
            }
        }
        HTTP => {
            while socket.can_recv() && socket.send_queue() == 0 {
                let answered = socket.recv(|part| (part.len(), client.requests.answers(part)));
                if answered.is_ok_and(|answers| socket.send_slice(&answers).is_err()) {
                    break;
                }
            }
        }
        DISCARD => while socket.can_recv() && socket.recv(|part| (part.len(), ())).is_ok() {},
        _ => while socket.can_send() && socket.send_slice(pattern).is_ok_and(|n| n > 0) {},
    }
    if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
        socket.close();
    }
}
