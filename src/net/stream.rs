//! TCP connections.

use super::{Error, Net, ReadHalf, Socket, WriteHalf, conn::Conn};
use crate::{
    Slice,
    tcp::{self, Congestion, ConnId, Info, Keepalive, Options, Shutdown},
    time::Duration,
};
use core::{future::poll_fn, net::SocketAddr, task::Poll};

/// A connection. Dropping it closes it in good order: what was written is still delivered.
pub struct TcpStream(pub(super) Conn);

impl TcpStream {
    pub(super) fn new(net: &Net, id: ConnId) -> TcpStream {
        TcpStream(Conn::new(net, id))
    }

    /// Connects to `remote` with the network's default options.
    ///
    /// # Errors
    /// [`Error::Tcp`] that tells refused, unreachable and timed out apart.
    pub async fn connect(net: &Net, remote: SocketAddr) -> Result<TcpStream, Error> {
        let options = net.0.state.borrow().stack.tcp.defaults().clone();
        TcpStream::connect_with(net, remote, &options).await
    }

    /// Connects to `remote`.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    pub async fn connect_with(
        net: &Net,
        remote: SocketAddr,
        options: &Options,
    ) -> Result<TcpStream, Error> {
        let id = {
            let state = &mut *net.0.state.borrow_mut();
            let now = net.0.rt.now();
            state.stack.connect_tcp(now, &mut state.tx, remote, None, options)?
        };
        let stream = TcpStream::new(net, id);
        poll_fn(|cx| {
            let state = &mut *net.0.state.borrow_mut();
            match state.stack.tcp.info(id).map(|info| info.state) {
                Some(tcp::State::SynSent | tcp::State::SynReceived) => {
                    state.sockets.write_later(Socket::Conn(id), cx);
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
        self.0.read(usize::MAX).await
    }

    /// Waits for data and copies what is there into `buffer`; 0 at the end of the stream.
    ///
    /// # Errors
    /// As [`TcpStream::read`].
    pub async fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.read_into(buffer).await
    }

    /// Writes all of `data` by reference; waits while the send buffer is full.
    ///
    /// # Errors
    /// [`Error::Tcp`] when the connection is over.
    pub async fn write(&mut self, data: impl Into<Slice>) -> Result<(), Error> {
        self.0.write(data.into()).await
    }

    /// Writes a copy of `data`, in buffers of the pool.
    ///
    /// # Errors
    /// [`Error::Tcp`] when the connection is over.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<(), Error> {
        self.0.write_all(data).await
    }

    /// Two halves for two tasks. The connection closes when both are dropped.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        super::half::split(self.0)
    }

    /// Ends one direction or both.
    pub fn shutdown(&mut self, how: Shutdown) {
        self.0.shutdown(how);
    }

    /// Closes in good order, as dropping does.
    pub fn close(self) {}

    /// Resets the connection.
    pub fn abort(self) {
        self.0.abort();
    }

    /// Sends small segments at once.
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.0.tcp(|tcp, id| tcp.set_nodelay(id, nodelay));
    }

    /// Probes the peer when it is idle.
    pub fn set_keepalive(&mut self, keepalive: Option<Keepalive>) {
        self.0.tcp(|tcp, id| tcp.set_keepalive(id, keepalive));
    }

    /// Changes the congestion control algorithm; it starts from the window as it is.
    pub fn set_congestion(&mut self, congestion: Congestion) {
        self.0.tcp(|tcp, id| tcp.set_congestion(id, congestion));
    }

    /// What closing does with data that is not acknowledged; see [`Options::linger`].
    pub fn set_linger(&mut self, linger: Option<Duration>) {
        self.0.tcp(|tcp, id| tcp.set_linger(id, linger));
    }

    /// How long sent data may stay unacknowledged; `None` is RFC 9293's R2.
    pub fn set_user_timeout(&mut self, timeout: Option<Duration>) {
        self.0.tcp(|tcp, id| tcp.set_user_timeout(id, timeout));
    }

    /// Fixes the buffers' sizes in bytes, or has them tuned.
    pub fn set_buffers(&mut self, receive: Option<u32>, send: Option<u32>) {
        self.0.tcp(|tcp, id| tcp.set_buffers(id, receive, send));
    }

    /// Our end.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.tcp(|tcp, id| tcp.local_addr(id))
    }

    /// The peer's end.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.tcp(|tcp, id| tcp.peer_addr(id))
    }

    /// A snapshot of the connection's state.
    pub fn info(&self) -> Option<Info> {
        self.0.tcp(|tcp, id| tcp.info(id))
    }
}
