//! Domain names (RFC 1034, RFC 1035): a stub resolver, sans I/O.
//!
//! A [`Query`] asks name servers one question and says what to send where, and until when to wait;
//! a [`Cache`] keeps what came of it. [`Net::lookup`](crate::net::Net::lookup) drives both.
//!
//! | file | RFC |
//! |---|---|
//! | `name` | 1035, 3.1 and 4.1.4: names, and their compression; 6761: names that nobody is asked for |
//! | `message` | 1035, 4; 6891: a question's bytes |
//! | `answer` | 1034, 4.3 and 2308: what a response says about a question |
//! | `query` | 1035, 7 and 5452: servers, retransmission, random values |
//! | `cache` | 1035, 7.4; 2308, 5 |
//! | `servers` | which servers there are |
#![forbid(unsafe_code)]

mod answer;
mod cache;
mod error;
mod message;
mod name;
mod query;
mod servers;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Record};
pub use cache::Cache;
pub use error::Error;
pub use message::Type;
pub use name::Name;
pub use query::{Query, Step};
pub(crate) use servers::Servers;
pub use servers::Source;

/// Port of name servers.
pub const PORT: u16 = 53;
