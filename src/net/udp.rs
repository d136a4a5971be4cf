//! UDP sockets.

use super::{Error, Net};
use crate::{
    Slice,
    udp::{Datagram, UdpId},
};
use core::{future::poll_fn, net::SocketAddr, task::Poll};

/// A UDP socket; closed when it is dropped.
pub struct UdpSocket {
    net: Net,
    id: UdpId,
}

impl UdpSocket {
    /// Opens a socket at `local`.
    ///
    /// # Errors
    /// [`Error::Udp`] when the port is taken.
    pub fn bind(net: &Net, local: SocketAddr) -> Result<UdpSocket, Error> {
        let state = &mut *net.0.state.borrow_mut();
        let id = state.stack.udp.bind(local)?;
        state.bound.insert(id);
        Ok(UdpSocket { net: net.clone(), id })
    }

    /// Waits for a datagram, in the buffer that the device filled.
    ///
    /// # Errors
    /// [`Error::Udp`] when the socket is closed.
    pub async fn recv(&self) -> Result<Datagram, Error> {
        poll_fn(|cx| {
            let state = &mut *self.net.0.state.borrow_mut();
            match state.stack.udp.recv(self.id) {
                Ok(Some(datagram)) => Poll::Ready(Ok(datagram)),
                Ok(None) => {
                    state.receivers.insert(self.id, cx.waker().clone());
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error.into())),
            }
        })
        .await
    }

    /// Sends slices as one datagram, by reference.
    ///
    /// # Errors
    /// [`Error::Udp`]; nothing was sent then.
    pub fn send(&self, to: SocketAddr, data: &[Slice]) -> Result<(), Error> {
        let state = &mut *self.net.0.state.borrow_mut();
        let now = self.net.0.rt.now();
        Ok(state.stack.send_udp(now, &mut state.tx, self.id, to, data)?)
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.net.0.state.borrow().stack.udp.local_addr(self.id).ok()
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let state = &mut *self.net.0.state.borrow_mut();
        state.receivers.remove(&self.id);
        state.bound.remove(&self.id);
        state.stack.udp.close(self.id);
    }
}
