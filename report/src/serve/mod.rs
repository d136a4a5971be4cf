//! The peers' servers. Each has echo on TCP and UDP 7, discard on 9 and chargen on 19.

pub(crate) mod host;
pub(crate) mod smoltcp;

/// TCP and UDP: sends back what it receives.
pub(crate) const ECHO: u16 = 7;
/// TCP: takes all that it gets.
pub(crate) const DISCARD: u16 = 9;
/// TCP: sends for ever.
pub(crate) const CHARGEN: u16 = 19;
