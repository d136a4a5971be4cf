//! Signals: a thread of their own waits for them, so that no guest can delay them.
#![forbid(unsafe_code)]

use crate::{stats::Stats, sys};
use std::sync::Arc;

/// Starts the thread. Call it before any other thread starts, so that all inherit the mask.
pub(crate) fn start(stats: Arc<Stats>) -> Result<(), String> {
    let set = sys::block_signals();
    let serve = move || {
        loop {
            match sys::wait_signal(&set) {
                libc::SIGUSR1 => stats.write(),
                signal => {
                    stats.write();
                    eprintln!("zerohop-hvt: Exiting on signal {signal}");
                    std::process::exit(1);
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("signals".into()).spawn(serve);
    thread.map(drop).map_err(|e| format!("could not start a thread: {e}"))
}
