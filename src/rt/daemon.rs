//! Tasks that belong to no scope.

use super::{Rt, executor::Handle};
use alloc::sync::Arc;

/// A task that belongs to no scope: whoever starts it keeps this to stop it. A service that
/// returns before it has stopped its daemons fails.
#[must_use = "a daemon has to be stopped before the service returns"]
pub struct Daemon {
    pub(super) rt: Rt,
    pub(super) handle: Arc<Handle>,
}

impl Daemon {
    /// Ends the daemon: what it holds is dropped.
    pub fn stop(self) {
        self.rt.0.executor.cancel(&self.handle);
    }
}
