//! IPv4 and what stands around it, on a wire of the test's own: frames in, frames out.

#[path = "../link/mod.rs"]
mod link;

mod arp;
mod dhcp;
mod fragments;
mod host;
mod icmp;
mod igmp;
mod routes;
mod tcp;
mod udp;
