//! The same with smoltcp.

use super::{BATCH, stack};
use smoltcp::{
    iface::{Config, Interface, PollResult, SocketHandle, SocketSet},
    phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::udp::{PacketBuffer, PacketMetadata, Socket},
    time::Instant,
    wire::{EthernetAddress, IpAddress, IpCidr},
};

/// The same frame again and again; what is sent goes into one buffer.
struct Wire {
    frame: Vec<u8>,
    left: usize,
    sent: usize,
    buffer: Vec<u8>,
    checksums: bool,
}

struct Rx<'a>(&'a [u8]);
struct Tx<'a>(&'a mut Vec<u8>, &'a mut usize);

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        *self.1 += 1;
        f(&mut self.0[..len])
    }
}

impl Device for Wire {
    type RxToken<'a> = Rx<'a>;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        self.left = self.left.checked_sub(1)?;
        Some((Rx(&self.frame), Tx(&mut self.buffer, &mut self.sent)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.buffer, &mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        if !self.checksums {
            capabilities.checksum = ChecksumCapabilities::ignored();
            // As the other: the header's own is always there.
            capabilities.checksum.ipv4 = Checksum::Both;
        }
        capabilities
    }
}

pub struct Host {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    now: Instant,
}

impl Host {
    pub fn new(checksums: bool) -> Host {
        let mut wire =
            Wire { frame: stack::request(), left: 1, sent: 0, buffer: vec![0; 2048], checksums };
        let mut now = Instant::from_millis(1000);
        let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 2]).into());
        let mut interface = Interface::new(config, &mut wire, now);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24)).unwrap();
        });
        let buffer =
            || PacketBuffer::new(vec![PacketMetadata::EMPTY; 2 * BATCH], vec![0; 4096 * BATCH]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.bind(7).unwrap();
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        interface.poll(now, &mut wire, &mut sockets);
        wire.frame = stack::frame();
        now += smoltcp::time::Duration::from_micros(1);
        let mut host = Host { wire, interface, sockets, socket, now };
        host.echo();
        host
    }

    pub fn echo(&mut self) {
        self.now += smoltcp::time::Duration::from_micros(1);
        (self.wire.left, self.wire.sent) = (BATCH, 0);
        self.interface.poll(self.now, &mut self.wire, &mut self.sockets);
        let socket = self.sockets.get_mut::<Socket>(self.socket);
        let mut data = [0; 2048];
        while let Ok((len, from)) = socket.recv_slice(&mut data) {
            socket.send_slice(&data[..len], from.endpoint).unwrap();
        }
        // One datagram a socket in each round.
        while self.interface.poll_egress(self.now, &mut self.wire, &mut self.sockets)
            == PollResult::SocketStateChanged
        {}
        assert_eq!(self.wire.sent, BATCH);
    }
}
