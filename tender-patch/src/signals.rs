//! Signals: a thread of their own waits for them, so that no guest can delay them.
#![forbid(unsafe_code)]

use crate::{
    confine::{self, Role},
    logger::say_at_once,
    stats::Stats,
    sys,
    tap::Restore,
};
use std::sync::Arc;

/// The signals that are served, blocked in this thread and in all that it starts.
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// Keeps them for the thread. Call it before any other thread starts.
    pub(crate) fn block() -> Signals {
        Signals(sys::block_signals())
    }

    /// Starts the thread.
    pub(crate) fn serve(self, stats: Arc<Stats>, taps: Arc<Restore>) -> Result<(), String> {
        let serve = move || {
            loop {
                match sys::wait_signal(&self.0) {
                    libc::SIGUSR1 => stats.write(),
                    signal => {
                        stats.write();
                        taps.now();
                        say_at_once(format_args!("Exiting on signal {signal}"));
                        std::process::exit(1);
                    }
                }
            }
        };
        confine::spawn("signals", Role::Signals, serve)
    }
}
