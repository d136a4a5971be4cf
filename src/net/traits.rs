//! The traits that other crates ask streams and networks for.

use super::{Error, Net, ReadHalf, TcpStream, WriteHalf, conn::Conn};
use crate::{Slice, dns, tcp};
use core::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use embedded_nal_async::{AddrType, Dns, TcpConnect};

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        let Error::Tcp(error) = self else { return ErrorKind::Other };
        match error {
            tcp::Error::Reset => ErrorKind::ConnectionReset,
            tcp::Error::Refused => ErrorKind::ConnectionRefused,
            tcp::Error::TimedOut => ErrorKind::TimedOut,
            tcp::Error::Aborted | tcp::Error::AddressRemoved => ErrorKind::ConnectionAborted,
            tcp::Error::Closed | tcp::Error::NotConnected => ErrorKind::NotConnected,
            tcp::Error::AddressInUse => ErrorKind::AddrInUse,
            tcp::Error::AddressNotAvailable => ErrorKind::AddrNotAvailable,
            tcp::Error::InvalidAddress => ErrorKind::InvalidInput,
            tcp::Error::Exhausted => ErrorKind::OutOfMemory,
            tcp::Error::Unreachable => ErrorKind::Other,
        }
    }
}

/// Queues a copy of the first bytes of `data`; how many.
async fn write_some(conn: &Conn, data: &[u8]) -> Result<usize, Error> {
    let mut part = Slice::default();
    poll_fn(|cx| {
        // One copy, made when it is first asked for; what did not fit is offered again by the
        // caller.
        if part.is_empty() && !data.is_empty() {
            part = conn.copy(data);
        }
        conn.poll_write(cx, &mut part)
    })
    .await
}

macro_rules! readers {
    ($($name:ty),*) => { $(
        impl Read for $name {
            async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
                self.0.read_into(buffer).await
            }
        }

        #[cfg(feature = "host")]
        impl futures_io::AsyncRead for $name {
            fn poll_read(
                self: core::pin::Pin<&mut Self>,
                cx: &mut core::task::Context<'_>,
                buffer: &mut [u8],
            ) -> core::task::Poll<std::io::Result<usize>> {
                self.0.poll_read_into(cx, buffer).map_err(io_error)
            }
        }
    )* };
}

macro_rules! writers {
    ($($name:ty),*) => { $(
        impl Write for $name {
            async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
                write_some(&self.0, data).await
            }

            /// TCP sends by itself; nothing has to be pushed.
            async fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }

        #[cfg(feature = "host")]
        impl futures_io::AsyncWrite for $name {
            fn poll_write(
                self: core::pin::Pin<&mut Self>,
                cx: &mut core::task::Context<'_>,
                data: &[u8],
            ) -> core::task::Poll<std::io::Result<usize>> {
                let mut part = self.0.copy(data);
                self.0.poll_write(cx, &mut part).map_err(io_error)
            }

            fn poll_flush(
                self: core::pin::Pin<&mut Self>,
                _: &mut core::task::Context<'_>,
            ) -> core::task::Poll<std::io::Result<()>> {
                core::task::Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: core::pin::Pin<&mut Self>,
                _: &mut core::task::Context<'_>,
            ) -> core::task::Poll<std::io::Result<()>> {
                self.0.shutdown(tcp::Shutdown::Write);
                core::task::Poll::Ready(Ok(()))
            }
        }
    )* };
}

macro_rules! error_types {
    ($($name:ty),*) => { $(impl ErrorType for $name { type Error = Error; })* };
}

error_types!(TcpStream, ReadHalf, WriteHalf);
readers!(TcpStream, ReadHalf);
writers!(TcpStream, WriteHalf);

/// The standard library's error of the same kind.
#[cfg(feature = "host")]
fn io_error(error: Error) -> std::io::Error {
    use std::io::ErrorKind as K;
    let kind = match error {
        Error::Tcp(tcp::Error::Reset) => K::ConnectionReset,
        Error::Tcp(tcp::Error::Refused) => K::ConnectionRefused,
        Error::Tcp(tcp::Error::TimedOut) => K::TimedOut,
        Error::Tcp(tcp::Error::Unreachable) => K::HostUnreachable,
        Error::Tcp(tcp::Error::Aborted | tcp::Error::AddressRemoved) => K::ConnectionAborted,
        Error::Tcp(tcp::Error::Closed | tcp::Error::NotConnected) => K::NotConnected,
        Error::Tcp(tcp::Error::AddressInUse) => K::AddrInUse,
        Error::Tcp(tcp::Error::AddressNotAvailable) => K::AddrNotAvailable,
        _ => K::Other,
    };
    std::io::Error::new(kind, error)
}

impl TcpConnect for Net {
    type Error = Error;
    type Connection<'a> = TcpStream;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Error> {
        TcpStream::connect(self, remote).await
    }
}

impl Dns for Net {
    type Error = Error;

    async fn get_host_by_name(&self, host: &str, family: AddrType) -> Result<IpAddr, Error> {
        let addresses = self.lookup(host).await?;
        let fits = |address: &IpAddr| match family {
            AddrType::IPv4 => address.is_ipv4(),
            AddrType::IPv6 => address.is_ipv6(),
            AddrType::Either => true,
        };
        addresses.into_iter().find(fits).ok_or(Error::Dns(dns::Error::NoAddress))
    }

    async fn get_host_by_address(
        &self,
        address: IpAddr,
        result: &mut [u8],
    ) -> Result<usize, Error> {
        let name = self.lookup_name(address).await?;
        // The trait has 255 bytes for it; a name is never longer, but may be written so.
        let room = result.get_mut(..name.len()).ok_or(Error::Dns(dns::Error::InvalidName))?;
        room.copy_from_slice(name.as_bytes());
        Ok(name.len())
    }
}
