//! The fuzzer's drivers with random bytes: a bounded stand-in where no fuzzer is installed.

mod tcp_support;

use tcp_support::{Random, fuzz};

fn bytes(seed: u64, most: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let n = random.below(most);
    (0..n).map(|_| random.next() as u8).collect()
}

#[test]
fn any_segments_at_any_time_neither_panic_nor_hang_nor_spoil_the_stream() {
    (0..1500).for_each(|seed| fuzz::segments(&bytes(seed, 1200)));
}

#[test]
fn any_fate_of_packets_is_survived() {
    (0..300).for_each(|seed| fuzz::pair(&bytes(seed, 200)));
}
