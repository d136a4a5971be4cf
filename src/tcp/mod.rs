//! Transmission Control Protocol (RFC 9293), sans I/O.
//!
//! A [`Tcp`] holds all listeners and connections of a stack. Segments go in by [`Tcp::receive`],
//! come out in [`Tcp::poll`], both through a [`Network`](crate::ip::Network); time is that of the
//! network's round. Between the two, sockets are read and written, and [`Tcp::take_event`] tells
//! which of them changed.
//!
//! Received payload is handed over as the slices that the device filled; written slices are kept
//! by reference until they are acknowledged, and sent behind headers that are built afresh each
//! time. Where to find what:
//!
//! | file | RFC 9293 and others |
//! |---|---|
//! | `receive` | 3.10.7: a packet is checked, its connection found; CLOSED |
//! | `listen`, `syn_sent` | 3.10.7.2, 3.10.7.3; passive and active open |
//! | `arrive`, `ack`, `text` | 3.10.7.4: all other states, in the RFC's order |
//! | `output`, `usual`, `emit` | 3.8: what is sent when; how a segment is built |
//! | `timers`, `rtt`, `wheel` | RFC 6298, persist, delayed ACK, keep-alive, 2 MSL |
//! | `recovery`, `rack`, `tlp`, `scoreboard` | RFC 6675, 8985, 6937, 5682, 6582 |
//! | `plpmtud`, `icmp` | path MTUs: RFC 4821, 8899; 1191, 8201, 5927 |
//! | `cc` | congestion control |
//! | `send_queue`, `recv_queue` | the two streams |
//! | `socket` | 3.10.1 - 3.10.6: what the application calls |
#![forbid(unsafe_code)]

mod ack;
mod address;
mod arrive;
mod cc;
mod config;
mod conn;
mod core;
mod demux;
mod emit;
mod error;
mod icmp;
mod info;
mod listen;
mod listener;
mod out_of_order;
mod output;
mod plpmtud;
mod predict;
mod rack;
mod rate;
mod receive;
mod recovery;
mod recv_queue;
mod rtt;
mod scoreboard;
mod segment;
mod send_queue;
mod socket;
mod state;
mod stats;
mod syn_cookie;
mod syn_sent;
mod text;
mod timers;
mod tlp;
mod usual;
mod wheel;
mod window;

use crate::slab;

pub use config::{Config, Congestion, Keepalive, ListenOptions, Options};
pub use core::{ConnId, Event};
pub use error::Error;
pub use info::Info;
pub use listener::ListenerId;
pub use receive::Tcp;
pub use rtt::{INITIAL_RTO, MAX_RTO, MIN_RTO};
pub use socket::{Read, Shutdown};
pub use state::State;
pub use stats::Stats;
