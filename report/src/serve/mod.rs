//! The peers' servers. Each has echo on TCP and UDP 7, discard on 9, chargen on 19, and HTTP on 80.

pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod smoltcp;

/// TCP and UDP: sends back what it receives.
pub const ECHO: u16 = 7;
/// TCP: takes all that it gets.
pub const DISCARD: u16 = 9;
/// TCP: sends for ever.
pub const CHARGEN: u16 = 19;
/// TCP: answers each request with the same page.
pub const HTTP: u16 = 80;
