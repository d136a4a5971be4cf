//! What the network reports about a path (RFC 5927, RFC 9293, section 3.9.2.2).

use super::{conn::Conn, core::Core, error::Error, state::State};

impl Conn {
    /// The network has no way to the peer: final for an attempt to connect, else a soft error
    /// that is told when the connection times out.
    pub(crate) fn on_unreachable(&mut self, cx: &mut Core) {
        if self.state == State::SynSent {
            self.enter_closed(cx, Some(Error::Unreachable));
        } else {
            self.soft_error = Some(Error::Unreachable);
        }
    }
}
