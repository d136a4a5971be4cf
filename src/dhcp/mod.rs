//! Dynamic Host Configuration Protocol (RFC 2131), the client's side, sans I/O.
//!
//! A [`Client`] is told the time and what arrives at port 68, and says what to do next: send a
//! message, find out whether an address is taken, use a lease, give it up.
//!
//! | file | RFC |
//! |---|---|
//! | `client` | 2131, 4.4: the states |
//! | `message` | 2131, 2: the message, built and checked |
//! | `options` | 2132, 3396, 3442: what a server tells |
//! | `lease` | what became of it |
#![forbid(unsafe_code)]

mod client;
mod lease;
mod message;
mod options;

#[cfg(test)]
mod tests;

pub use client::{Action, Client, Destination, Stats};
pub use lease::Lease;

/// Port of servers.
pub const SERVER_PORT: u16 = 67;
/// Port of clients.
pub const CLIENT_PORT: u16 = 68;
