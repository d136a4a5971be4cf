//! The two directions of a connection, for two tasks.

use super::{Error, conn::Conn};
use crate::{Slice, tcp::Shutdown};
use alloc::rc::Rc;
use core::net::SocketAddr;

/// The reading half of a stream. Dropping it throws away what still arrives.
pub struct ReadHalf(pub(super) Rc<Conn>);

/// The writing half of a stream. Dropping it ends this direction behind what was written.
pub struct WriteHalf(pub(super) Rc<Conn>);

pub(super) fn split(conn: Conn) -> (ReadHalf, WriteHalf) {
    let conn = Rc::new(conn);
    (ReadHalf(conn.clone()), WriteHalf(conn))
}

impl ReadHalf {
    /// As [`TcpStream::read`](super::TcpStream::read).
    ///
    /// # Errors
    /// The same.
    pub async fn read(&mut self) -> Result<Option<Slice>, Error> {
        self.0.read(usize::MAX).await
    }

    /// As [`TcpStream::read_into`](super::TcpStream::read_into).
    ///
    /// # Errors
    /// The same.
    pub async fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.read_into(buffer).await
    }
}

impl WriteHalf {
    /// As [`TcpStream::write`](super::TcpStream::write).
    ///
    /// # Errors
    /// The same.
    pub async fn write(&mut self, data: impl Into<Slice>) -> Result<(), Error> {
        self.0.write(data.into()).await
    }

    /// As [`TcpStream::write_all`](super::TcpStream::write_all).
    ///
    /// # Errors
    /// The same.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<(), Error> {
        self.0.write_all(data).await
    }

    /// Ends this direction behind what was written.
    pub fn finish(&mut self) {
        self.0.shutdown(Shutdown::Write);
    }

    /// Resets the connection, both directions.
    pub fn abort(self) {
        self.0.abort();
    }
}

macro_rules! addresses {
    ($($name:ty),*) => { $(
        impl $name {
            /// Our end.
            pub fn local_addr(&self) -> Option<SocketAddr> {
                self.0.tcp(|tcp, id| tcp.local_addr(id))
            }

            /// The peer's end.
            pub fn peer_addr(&self) -> Option<SocketAddr> {
                self.0.tcp(|tcp, id| tcp.peer_addr(id))
            }
        }
    )* };
}

addresses!(ReadHalf, WriteHalf);

impl Drop for WriteHalf {
    fn drop(&mut self) {
        self.finish();
    }
}
