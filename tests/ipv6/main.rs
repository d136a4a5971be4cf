//! One stack on a link that the test is the rest of: what IPv6 takes, answers and refuses.

#[path = "../link/mod.rs"]
mod link;

mod address;
mod extension;
mod host;
mod icmp;
mod neighbor;
mod router;
