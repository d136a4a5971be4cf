//! TCP connections.

use super::{Error, Net};
use crate::{
    Slice,
    tcp::{self, ConnId, Info, Keepalive, Read, Shutdown},
};
use bytes::Buf;
use core::{future::poll_fn, net::SocketAddr, task::Poll};

/// A connection. Dropping it closes it in good order: what was written is still delivered.
pub struct TcpStream {
    net: Net,
    id: ConnId,
}

impl TcpStream {
    pub(super) fn new(net: &Net, id: ConnId) -> TcpStream {
        TcpStream { net: net.clone(), id }
    }

    /// Connects to `remote`.
    ///
    /// # Errors
    /// [`Error::Tcp`] that tells refused, unreachable and timed out apart.
    pub async fn connect(net: &Net, remote: SocketAddr) -> Result<TcpStream, Error> {
        let id = {
            let state = &mut *net.0.state.borrow_mut();
            let now = net.0.rt.now();
            state.stack.connect_tcp(now, &mut state.tx, remote, &tcp::Options::default())?
        };
        let stream = TcpStream::new(net, id);
        poll_fn(|cx| {
            let state = &mut *stream.net.0.state.borrow_mut();
            match state.stack.tcp.info(id).map(|info| info.state) {
                Some(tcp::State::SynSent | tcp::State::SynReceived) => {
                    state.writers.insert(id, cx.waker().clone());
                    Poll::Pending
                }
                Some(tcp::State::Closed) | None => {
                    let why = state.stack.tcp.read(id, 0).err().unwrap_or(tcp::Error::Closed);
                    Poll::Ready(Err(why))
                }
                Some(_) => Poll::Ready(Ok(())),
            }
        })
        .await?;
        Ok(stream)
    }

    /// Waits for data; `None` at the end of the stream. The slice is of the buffer that the device
    /// filled, which counts against the receive window until it is dropped.
    ///
    /// # Errors
    /// [`Error::Tcp`]: reset, timed out and others, once; then closed.
    pub async fn read(&mut self) -> Result<Option<Slice>, Error> {
        poll_fn(|cx| {
            let state = &mut *self.net.0.state.borrow_mut();
            match state.stack.tcp.read(self.id, usize::MAX) {
                Ok(Read::Data(slice)) => Poll::Ready(Ok(Some(slice))),
                Ok(Read::End) => Poll::Ready(Ok(None)),
                Ok(Read::Empty) => {
                    state.readers.insert(self.id, cx.waker().clone());
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error.into())),
            }
        })
        .await
    }

    /// Writes all of `data` by reference; waits while the send buffer is full.
    ///
    /// # Errors
    /// [`Error::Tcp`] when the connection is over.
    pub async fn write(&mut self, data: impl Into<Slice>) -> Result<(), Error> {
        let mut data = data.into();
        poll_fn(|cx| {
            let state = &mut *self.net.0.state.borrow_mut();
            while data.has_remaining() {
                match state.stack.tcp.write(self.id, &mut data) {
                    Ok(0) => {
                        state.writers.insert(self.id, cx.waker().clone());
                        return Poll::Pending;
                    }
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Writes a copy of `data`, in buffers of the pool.
    ///
    /// # Errors
    /// [`Error::Tcp`] when the connection is over.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<(), Error> {
        for part in data.chunks(1024) {
            let slice = {
                let state = &mut *self.net.0.state.borrow_mut();
                state.stack.count_copied(part.len());
                match state.stack.pool().alloc() {
                    Some(mut buf) => {
                        buf.append(part.len()).copy_from_slice(part);
                        buf.freeze()
                    }
                    None => Slice::from(part.to_vec()),
                }
            };
            self.write(slice).await?;
        }
        Ok(())
    }

    /// Ends one direction or both.
    pub fn shutdown(&mut self, how: Shutdown) {
        self.net.0.state.borrow_mut().stack.tcp.shutdown(self.id, how);
    }

    /// Closes in good order, as dropping does.
    pub fn close(self) {}

    /// Resets the connection.
    pub fn abort(self) {
        self.net.0.state.borrow_mut().stack.tcp.abort(self.id);
    }

    /// Sends small segments at once.
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.net.0.state.borrow_mut().stack.tcp.set_nodelay(self.id, nodelay);
    }

    /// Probes the peer when it is idle.
    pub fn set_keepalive(&mut self, keepalive: Option<Keepalive>) {
        self.net.0.state.borrow_mut().stack.tcp.set_keepalive(self.id, keepalive);
    }

    /// Our end.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.net.0.state.borrow().stack.tcp.local_addr(self.id)
    }

    /// The peer's end.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.net.0.state.borrow().stack.tcp.peer_addr(self.id)
    }

    /// A snapshot of the connection's state.
    pub fn info(&self) -> Option<Info> {
        self.net.0.state.borrow().stack.tcp.info(self.id)
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let state = &mut *self.net.0.state.borrow_mut();
        state.readers.remove(&self.id);
        state.writers.remove(&self.id);
        state.stack.tcp.close(self.id);
    }
}
