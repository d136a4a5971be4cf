//! ICMP errors as transports see them.

use core::{fmt, net::IpAddr};

/// What an ICMP error reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpErrorKind {
    /// No route to the network or the host.
    HostUnreachable,
    /// The host does not know the protocol.
    ProtocolUnreachable,
    /// Nobody listens at the port.
    PortUnreachable,
    /// A router could not forward a packet of this size; the MTU it names, or 0.
    TooBig(u16),
    /// The packet's life ended on the way, or its fragments did not arrive.
    TimeExceeded,
    /// A router found a header that it does not understand.
    ParameterProblem,
}

impl fmt::Display for IcmpErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IcmpErrorKind::HostUnreachable => "host unreachable",
            IcmpErrorKind::ProtocolUnreachable => "protocol unreachable",
            IcmpErrorKind::PortUnreachable => "port unreachable",
            IcmpErrorKind::TooBig(mtu) => return write!(f, "packet too big for an MTU of {mtu}"),
            IcmpErrorKind::TimeExceeded => "time exceeded",
            IcmpErrorKind::ParameterProblem => "parameter problem",
        })
    }
}

/// An ICMP error about a packet of ours.
#[derive(Clone, Copy, Debug)]
pub struct IcmpError {
    /// Our address.
    pub local: IpAddr,
    /// Where the packet went.
    pub remote: IpAddr,
    /// What is reported.
    pub kind: IcmpErrorKind,
    /// The first bytes of the packet's transport header.
    pub transport: [u8; 8],
}
