//! The sockets that applications hold, and the tasks that wait for them.

use crate::{
    tcp::{ConnId, ListenerId},
    udp::UdpId,
};
use core::task::{Context, Waker};
use hashbrown::HashMap;

/// Names a socket of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Socket {
    Listener(ListenerId),
    Conn(ConnId),
    Udp(UdpId),
}

/// Who waits: for data or connections, and for room or a connection's end.
#[derive(Default)]
struct Waiting {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What handles name.
#[derive(Default)]
pub(super) struct Sockets(HashMap<Socket, Waiting>);

impl Sockets {
    pub(super) fn open(&mut self, socket: Socket) {
        self.0.insert(socket, Waiting::default());
    }

    pub(super) fn close(&mut self, socket: Socket) {
        self.0.remove(&socket);
    }

    /// The task waits until the socket can be read.
    pub(super) fn read_later(&mut self, socket: Socket, cx: &Context<'_>) {
        if let Some(waiting) = self.0.get_mut(&socket) {
            waiting.reader = Some(cx.waker().clone());
        }
    }

    /// The task waits until the socket can be written.
    pub(super) fn write_later(&mut self, socket: Socket, cx: &Context<'_>) {
        if let Some(waiting) = self.0.get_mut(&socket) {
            waiting.writer = Some(cx.waker().clone());
        }
    }

    /// Wakes who waits, to read and to write.
    pub(super) fn wake(&mut self, socket: Socket, readers: bool, writers: bool) {
        let Some(Waiting { reader, writer }) = self.0.get_mut(&socket) else { return };
        let reader = reader.take_if(|_| readers);
        let writer = writer.take_if(|_| writers);
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    /// All that are open.
    pub(super) fn iter(&self) -> impl Iterator<Item = Socket> {
        self.0.keys().copied()
    }
}
