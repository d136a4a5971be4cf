//! UDP sockets.

use super::{Error, Net, Socket};
use crate::{
    Slice,
    stack::Stack,
    time::Instant,
    udp::{Datagram, Target, UdpId},
};
use alloc::vec::Vec;
use core::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, ready},
};

/// A UDP socket; closed when it is dropped.
///
/// What arrives while nobody waits is kept, up to a limit. A destination of `None` is the peer that
/// the socket is connected to.
pub struct UdpSocket {
    net: Net,
    id: UdpId,
}

impl UdpSocket {
    /// Opens a socket at `local`; an unspecified address takes all of ours, `[::]` those of both
    /// families, and port 0 is a random free one.
    ///
    /// # Errors
    /// [`Error::Udp`] when the address and port are taken.
    pub fn bind(net: &Net, local: SocketAddr) -> Result<UdpSocket, Error> {
        UdpSocket::open(net, local, None)
    }

    /// Opens a socket at `local` that sends to and receives from `peer` only. Sockets at the same
    /// port may be connected to different peers.
    ///
    /// # Errors
    /// [`Error::Udp`] when there is one with the same addresses.
    pub fn open(
        net: &Net,
        local: SocketAddr,
        peer: Option<SocketAddr>,
    ) -> Result<UdpSocket, Error> {
        let state = &mut *net.0.state.borrow_mut();
        let id = state.stack.udp.open(local, peer)?;
        state.sockets.open(Socket::Udp(id));
        Ok(UdpSocket { net: net.clone(), id })
    }

    /// Makes `peer` the only one that the socket sends to and receives from. ICMP errors about it
    /// are told by `recv` and `send` then. `None` ends that.
    ///
    /// # Errors
    /// [`Error::Udp`] when another socket has the same addresses.
    pub fn connect(&self, peer: impl Into<Option<SocketAddr>>) -> Result<(), Error> {
        let state = &mut *self.net.0.state.borrow_mut();
        Ok(state.stack.udp.connect(self.id, peer.into())?)
    }

    /// The next datagram, if one waits.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub fn try_recv(&self) -> Result<Option<Datagram>, Error> {
        Ok(self.net.0.state.borrow_mut().stack.udp.recv(self.id)?)
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Datagram, Error>> {
        ready!(self.net.0.rt.poll_budget(cx));
        let state = &mut *self.net.0.state.borrow_mut();
        match state.stack.udp.recv(self.id) {
            Ok(Some(datagram)) => Poll::Ready(Ok(datagram)),
            Ok(None) => {
                state.sockets.read_later(Socket::Udp(self.id), cx);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Waits for a datagram, in the buffers that the device filled.
    ///
    /// # Errors
    /// [`Error::Udp`] when ICMP told that the connected peer cannot be reached; the socket can be
    /// used on.
    pub async fn recv(&self) -> Result<Datagram, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits for a datagram and takes with it what else waits, up to `most` in all; how many were
    /// added to `into`.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub async fn recv_batch(&self, into: &mut Vec<Datagram>, most: usize) -> Result<usize, Error> {
        into.push(self.recv().await?);
        let mut count = 1;
        while count < most
            && let Ok(Some(datagram)) = self.try_recv()
        {
            into.push(datagram);
            count += 1;
        }
        Ok(count)
    }

    /// Sends slices as one datagram, by reference.
    ///
    /// # Errors
    /// [`Error::Udp`]; nothing was sent then.
    pub fn send(&self, to: impl Into<Option<SocketAddr>>, data: &[Slice]) -> Result<(), Error> {
        let target = Target { to: to.into(), from: None };
        self.transmit(|stack, now, tx| stack.send_udp(now, tx, self.id, target, data))
    }

    /// Sends `len` bytes that `fill` writes in place: into the buffer that the device sends. More
    /// than a buffer holds (about 1900 bytes) costs a copy.
    ///
    /// # Errors
    /// [`Error::Udp`]; nothing was sent then.
    pub fn send_with<T>(
        &self,
        to: impl Into<Option<SocketAddr>>,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, Error> {
        let target = Target { to: to.into(), from: None };
        self.transmit(|stack, now, tx| stack.send_udp_with(now, tx, self.id, target, len, fill))
    }

    /// Answers a datagram from the address that it was sent to (RFC 1122, section 4.1.3.5).
    ///
    /// # Errors
    /// [`Error::Udp`]; nothing was sent then.
    pub fn reply(&self, datagram: &Datagram, data: &[Slice]) -> Result<(), Error> {
        let target = Target { to: Some(datagram.from), from: Some(datagram.local) };
        self.transmit(|stack, now, tx| stack.send_udp(now, tx, self.id, target, data))
    }

    fn transmit<T>(
        &self,
        send: impl FnOnce(
            &mut Stack,
            Instant,
            &mut crate::frame::TxQueue,
        ) -> Result<T, crate::udp::Error>,
    ) -> Result<T, Error> {
        let state = &mut *self.net.0.state.borrow_mut();
        let now = self.net.0.rt.now();
        Ok(send(&mut state.stack, now, &mut state.tx)?)
    }

    /// Receives what is sent to the multicast group, too.
    ///
    /// # Errors
    /// [`Error::Udp`] when it is none, or there are too many.
    pub fn join(&self, group: IpAddr) -> Result<(), Error> {
        let now = self.net.0.rt.now();
        Ok(self.net.0.state.borrow_mut().stack.join_udp(now, self.id, group)?)
    }

    /// Takes [`UdpSocket::join`] back.
    pub fn leave(&self, group: IpAddr) {
        let now = self.net.0.rt.now();
        self.net.0.state.borrow_mut().stack.leave_udp(now, self.id, group);
    }

    /// Sets how many datagrams may wait, and how many bytes of buffers they may hold (256 and
    /// 512 KiB if not set). Further ones are dropped and counted.
    pub fn set_queue(&self, datagrams: usize, bytes: usize) {
        self.net.0.state.borrow_mut().stack.udp.set_queue(self.id, datagrams, bytes);
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.net.0.state.borrow().stack.udp.local_addr(self.id).ok()
    }

    /// Whom it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.net.0.state.borrow().stack.udp.peer_addr(self.id)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let state = &mut *self.net.0.state.borrow_mut();
        state.sockets.close(Socket::Udp(self.id));
        state.stack.close_udp(self.net.0.rt.now(), self.id);
    }
}
