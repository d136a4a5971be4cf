//! What headers and checksums cost.
//!
//! `wire/parse` and `wire/build` take every header where it lies, with smoltcp's beside those that
//! it has. `wire/checksum/N` sums N bytes that lie in the cache, against a loop over 16-bit words
//! and against smoltcp, whose function is public only as the check of a whole datagram. The table
//! of ratios at the end takes them in turn.

#[path = "wire/checksums.rs"]
mod checksums;
#[path = "wire/headers.rs"]
mod headers;

use criterion::Criterion;
use std::time::Duration;

fn main() {
    let mut c = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20)
        .configure_from_args();
    headers::parse(&mut c);
    headers::build(&mut c);
    checksums::bench(&mut c);
    c.final_summary();
    if testbed::turns::whole() {
        checksums::table();
    }
}
