//! Two ends of TCP, and a network that does to packets what the bytes say.
#![no_main]

#[path = "../../tests/tcp_support/mod.rs"]
mod tcp_support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tcp_support::fuzz::pair(data));
