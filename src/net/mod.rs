//! What an application uses: listeners and streams over a stack.
#![forbid(unsafe_code)]

mod conn;
mod connect;
mod error;
mod half;
mod happy_eyeballs;
mod listener;
mod lookup;
mod sockets;
mod stream;
mod traits;
mod udp;

#[cfg(all(test, feature = "host"))]
mod tests;

pub use crate::tcp::{Congestion, Info, Keepalive, ListenOptions, Options, Shutdown};
pub use connect::Endpoint;
pub use error::Error;
pub use half::{ReadHalf, WriteHalf};
pub use listener::TcpListener;
pub use stream::TcpStream;
pub use udp::UdpSocket;

use crate::{
    device::{Device, DeviceInfo, DeviceStats},
    dns,
    frame::{RxQueue, TxQueue},
    rt::Rt,
    stack::Stack,
    tcp::Event,
    time::Instant,
};
use alloc::{boxed::Box, format, rc::Rc, string::String, vec::Vec};
use core::{
    cell::RefCell,
    future::poll_fn,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    task::{Poll, Waker},
};
use sockets::{Socket, Sockets};

/// Where a network's counters are shown outside, as often as it goes to sleep.
pub type Publish = Box<dyn FnMut(&mut dyn Iterator<Item = (&'static str, u64)>)>;

/// A network: a stack on one device. Clones name the same one.
#[derive(Clone)]
pub struct Net(Rc<Inner>);

struct Inner {
    state: RefCell<State>,
    rt: Rt,
    io_mode: &'static str,
}

struct State {
    stack: Stack,
    tx: TxQueue,
    sockets: Sockets,
    publish: Option<Publish>,
    /// Who waits for an address.
    waiting: Vec<Waker>,
    /// Names that were looked up.
    names: dns::Cache,
}

impl State {
    /// Wakes the tasks whose sockets have changed.
    fn dispatch(&mut self) {
        while let Some(event) = self.stack.tcp.take_event() {
            let (socket, readers, writers) = match event {
                Event::Readable(conn) => (Socket::Conn(conn), true, false),
                Event::Writable(conn) | Event::Connected(conn) => (Socket::Conn(conn), false, true),
                Event::Closed(conn) => (Socket::Conn(conn), true, true),
                Event::Acceptable(listener) => (Socket::Listener(listener), true, false),
            };
            self.sockets.wake(socket, readers, writers);
        }
        if !self.waiting.is_empty() && self.stack.is_configured() {
            self.waiting.drain(..).for_each(Waker::wake);
        }
        while let Some(id) = self.stack.udp.take_readable() {
            self.sockets.wake(Socket::Udp(id), true, false);
        }
    }
}

impl Net {
    pub(crate) fn new(rt: Rt, stack: Stack, info: &DeviceInfo, publish: Option<Publish>) -> Net {
        let state = State {
            stack,
            tx: TxQueue::default(),
            sockets: Sockets::default(),
            publish,
            waiting: Vec::new(),
            names: dns::Cache::default(),
        };
        Net(Rc::new(Inner { state: RefCell::new(state), rt, io_mode: info.io_mode }))
    }

    /// How frames travel: `shmring`, `solo5-ring`, `hypercall`, `tap` or `wire`.
    pub fn io_mode(&self) -> &'static str {
        self.0.io_mode
    }

    /// The first address of this network.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.state.borrow().stack.addresses().next().map(|address| address.cidr.address)
    }

    /// Waits until there is an address: where one is leased by DHCP, or there is only IPv6 as
    /// routers advertise it, that takes a moment. A service's `main` is started when there is one,
    /// or after 11 s without.
    pub async fn configured(&self) {
        poll_fn(|cx| {
            let state = &mut *self.0.state.borrow_mut();
            if state.stack.is_configured() {
                return Poll::Ready(());
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The runtime that this network is served by.
    pub fn rt(&self) -> &Rt {
        &self.0.rt
    }

    /// Listens on a port of all our addresses, of both families.
    ///
    /// # Errors
    /// [`Error::Tcp`] when the port is taken.
    pub fn listen(&self, port: u16) -> Result<TcpListener, Error> {
        let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        TcpListener::bind(self, any, ListenOptions::default())
    }

    /// Connects to `remote`: an address, or a name and a port.
    ///
    /// # Errors
    /// [`Error::Tcp`] that tells refused, unreachable and timed out apart; [`Error::Dns`].
    pub async fn connect(&self, remote: impl Endpoint) -> Result<TcpStream, Error> {
        remote.connect(self).await
    }

    /// Opens a UDP socket on a port of all our addresses, of both families; 0 takes any free one.
    ///
    /// # Errors
    /// [`Error::Udp`] when the port is taken.
    pub fn udp(&self, port: u16) -> Result<UdpSocket, Error> {
        UdpSocket::bind(self, SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))
    }

    pub(crate) fn receive(&self, now: Instant, rx: &mut RxQueue) {
        let state = &mut *self.0.state.borrow_mut();
        state.stack.receive(now, rx, &mut state.tx);
        state.dispatch();
    }

    pub(crate) fn poll(&self, now: Instant) {
        let state = &mut *self.0.state.borrow_mut();
        state.stack.poll(now, &mut state.tx);
        state.dispatch();
    }

    pub(crate) fn transmit(&self, device: &mut dyn Device) {
        let state = &mut *self.0.state.borrow_mut();
        device.transmit(&mut state.tx);
    }

    /// Whether frames wait for room in the device.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.0.state.borrow().tx.is_empty()
    }

    /// When the stack has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.0.state.borrow().stack.poll_at()
    }

    /// Whether every connection has ended and every packet is out.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.0.state.borrow();
        state.tx.is_empty() && state.stack.tcp.connections() == 0 && !state.stack.holds_packets()
    }

    /// Gives a lease back; whether there was one.
    pub(crate) fn release(&self, now: Instant) -> bool {
        let state = &mut *self.0.state.borrow_mut();
        state.stack.release_lease(now, &mut state.tx)
    }

    /// Names the sockets that are still open.
    pub(crate) fn name_open(&self, names: &mut Vec<String>) {
        let State { stack, sockets, .. } = &*self.0.state.borrow();
        names.extend(sockets.iter().filter_map(|socket| match socket {
            Socket::Listener(id) => {
                stack.tcp.listener_addr(id).map(|local| format!("TCP listener at {local}"))
            }
            Socket::Conn(id) => Some(match (stack.tcp.local_addr(id), stack.tcp.peer_addr(id)) {
                (Some(local), Some(peer)) => format!("TCP connection of {local} to {peer}"),
                _ => "TCP connection that has ended".into(),
            }),
            Socket::Udp(id) => {
                stack.udp.local_addr(id).ok().map(|local| format!("UDP socket at {local}"))
            }
        }));
    }

    /// The pool that the device's buffers come from.
    pub fn pool(&self) -> crate::Pool {
        self.0.state.borrow().stack.pool().clone()
    }

    /// Calls `each` with every counter's name and value.
    pub fn stats(&self, each: impl FnMut(&'static str, u64)) {
        let mut each = each;
        self.0.state.borrow().stack.stats().for_each(|(name, value)| each(name, value));
    }

    pub(crate) fn publish_stats(&self, device: DeviceStats) {
        let state = &mut *self.0.state.borrow_mut();
        state.stack.set_device_stats(device);
        if let Some(publish) = &mut state.publish {
            publish(&mut state.stack.stats());
        }
    }
}
