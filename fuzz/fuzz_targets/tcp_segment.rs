//! One end of TCP, and a peer that sends anything at any time.
#![no_main]

#[path = "../../tests/tcp_support/mod.rs"]
mod tcp_support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tcp_support::fuzz::segments(data));
