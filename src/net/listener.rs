//! Listening TCP sockets.

use super::{Error, Net, Socket, TcpStream};
use crate::tcp::{ListenOptions, ListenerId};
use core::{
    future::poll_fn,
    net::SocketAddr,
    task::{Poll, ready},
};

/// A listening socket; closed when it is dropped.
pub struct TcpListener {
    net: Net,
    id: ListenerId,
}

impl TcpListener {
    /// Listens at `local`; an unspecified address means all of ours.
    ///
    /// # Errors
    /// [`Error::Tcp`] when the address is taken.
    pub fn bind(
        net: &Net,
        local: SocketAddr,
        options: ListenOptions,
    ) -> Result<TcpListener, Error> {
        let state = &mut *net.0.state.borrow_mut();
        let id = state.stack.tcp.listen(local, options)?;
        state.sockets.open(Socket::Listener(id));
        Ok(TcpListener { net: net.clone(), id })
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// [`Error::Tcp`] when the listener is closed.
    pub async fn accept(&self) -> Result<TcpStream, Error> {
        let conn = poll_fn(|cx| {
            ready!(self.net.0.rt.poll_budget(cx));
            let state = &mut *self.net.0.state.borrow_mut();
            match state.stack.tcp.accept(self.id) {
                Ok(Some(conn)) => Poll::Ready(Ok(conn)),
                Ok(None) => {
                    state.sockets.read_later(Socket::Listener(self.id), cx);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(Error::from(error))),
            }
        })
        .await?;
        Ok(TcpStream::new(&self.net, conn))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.net.0.state.borrow().stack.tcp.listener_addr(self.id)
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let state = &mut *self.net.0.state.borrow_mut();
        state.sockets.close(Socket::Listener(self.id));
        state.stack.tcp.close_listener(self.id);
    }
}
