//! Traces of single connections: what the peer sends, what the stack answers, by RFC clause.

#[path = "../tcp_support/mod.rs"]
mod tcp_support;

mod closing;
mod ecn;
mod handshake;
mod icmp;
mod options;
mod pace;
mod plpmtud;
mod recovery;
mod security;
mod timers;
mod tlp;
mod undo;
mod windows;
