//! One stack on a link that the test is the rest of: what IPv6 takes, answers and refuses.

mod address;
mod extension;
mod host;
mod icmp;
mod neighbor;
mod router;
