//! What streams and their halves are made from: polls that read and write a connection.

use super::{Error, Net, Socket};
use crate::{
    Slice,
    tcp::{ConnId, Read, Shutdown, Tcp},
};
use bytes::Buf;
use core::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

/// An open connection; closed in good order when it is dropped.
pub(super) struct Conn {
    net: Net,
    id: ConnId,
}

impl Conn {
    pub(super) fn new(net: &Net, id: ConnId) -> Conn {
        net.0.state.borrow_mut().sockets.open(Socket::Conn(id));
        Conn { net: net.clone(), id }
    }

    /// Calls something of TCP that does not wait.
    pub(super) fn tcp<T>(&self, call: impl FnOnce(&mut Tcp, ConnId) -> T) -> T {
        call(&mut self.net.0.state.borrow_mut().stack.tcp, self.id)
    }

    /// The next bytes, at most `max`; `None` at the end of the stream.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Slice>, Error>> {
        ready!(self.net.0.rt.poll_budget(cx));
        let state = &mut *self.net.0.state.borrow_mut();
        Poll::Ready(match state.stack.tcp.read(self.id, max) {
            Ok(Read::Data(slice)) => Ok(Some(slice)),
            Ok(Read::End) => Ok(None),
            Ok(Read::Empty) => {
                state.sockets.read_later(Socket::Conn(self.id), cx);
                return Poll::Pending;
            }
            Err(error) => Err(error.into()),
        })
    }

    /// Copies the next bytes into `buffer`; 0 at the end of the stream.
    pub(super) fn poll_read_into(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, Error>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let slice = ready!(self.poll_read(cx, buffer.len()))?.unwrap_or_default();
        buffer[..slice.len()].copy_from_slice(&slice);
        self.net.0.state.borrow_mut().stack.count_copied(slice.len());
        Poll::Ready(Ok(slice.len()))
    }

    /// Queues what there is room for, at least one byte, and leaves the rest in `data`.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        data: &mut Slice,
    ) -> Poll<Result<usize, Error>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.net.0.rt.poll_budget(cx));
        let state = &mut *self.net.0.state.borrow_mut();
        match state.stack.tcp.write(self.id, data) {
            Ok(0) => {
                state.sockets.write_later(Socket::Conn(self.id), cx);
                Poll::Pending
            }
            result => Poll::Ready(result.map_err(Error::from)),
        }
    }

    /// A copy of the first bytes of `data`, in one buffer of the pool where there is one.
    pub(super) fn copy(&self, data: &[u8]) -> Slice {
        let state = &mut *self.net.0.state.borrow_mut();
        let slice = match state.stack.pool().alloc() {
            Some(mut buf) => {
                buf.reset(0);
                let len = data.len().min(buf.tailroom());
                buf.append(len).copy_from_slice(&data[..len]);
                buf.freeze()
            }
            None => Slice::from(data[..data.len().min(2048)].to_vec()),
        };
        state.stack.count_copied(slice.len());
        slice
    }

    pub(super) async fn read(&self, max: usize) -> Result<Option<Slice>, Error> {
        poll_fn(|cx| self.poll_read(cx, max)).await
    }

    pub(super) async fn read_into(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_read_into(cx, buffer)).await
    }

    pub(super) async fn write(&self, mut data: Slice) -> Result<(), Error> {
        while data.has_remaining() {
            poll_fn(|cx| self.poll_write(cx, &mut data)).await?;
        }
        Ok(())
    }

    pub(super) async fn write_all(&self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            let part = self.copy(data);
            data = &data[part.len()..];
            self.write(part).await?;
        }
        Ok(())
    }

    pub(super) fn shutdown(&self, how: Shutdown) {
        self.tcp(|tcp, id| tcp.shutdown(id, how));
    }

    /// Resets the connection; whoever waits for it is told.
    pub(super) fn abort(&self) {
        let state = &mut *self.net.0.state.borrow_mut();
        state.stack.tcp.abort(self.id);
        state.sockets.wake(Socket::Conn(self.id), true, true);
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let state = &mut *self.net.0.state.borrow_mut();
        state.sockets.close(Socket::Conn(self.id));
        state.stack.tcp.close(self.id);
    }
}
