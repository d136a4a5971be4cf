//! The states of a connection (RFC 9293, section 3.3.2). CLOSED is the absence of one, or one whose
//! end the application has still to hear of; LISTEN is a listener.

/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No connection any more.
    Closed,
    /// A SYN was sent.
    SynSent,
    /// A SYN was received and answered.
    SynReceived,
    /// Open in both directions.
    Established,
    /// We closed; our FIN is not acknowledged.
    FinWait1,
    /// We closed; the peer has still to.
    FinWait2,
    /// The peer closed; we have still to.
    CloseWait,
    /// Both closed at once; our FIN is not acknowledged.
    Closing,
    /// The peer closed, then we; our FIN is not acknowledged.
    LastAck,
    /// Both closed; late segments may still arrive.
    TimeWait,
}

impl State {
    /// Whether both sequence numbers are synchronized.
    pub(crate) fn is_synchronized(self) -> bool {
        self >= State::Established
    }

    /// Whether data of the peer may still arrive.
    pub(crate) fn can_receive(self) -> bool {
        matches!(self, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// Whether data may be sent, as far as the peer is concerned.
    pub(crate) fn may_have_data(self) -> bool {
        matches!(
            self,
            State::Established
                | State::CloseWait
                | State::FinWait1
                | State::Closing
                | State::LastAck
        )
    }
}
