//! What the tender gives up before the guest runs: privileges, then system calls, thread by
//! thread.
#![forbid(unsafe_code)]

mod filter;
mod privileges;

pub(crate) use filter::{CREATE, Calls, Role, install};
pub(crate) use privileges::{Identity, drop_privileges};

/// Starts a thread that is confined to `role` before this returns.
pub(crate) fn spawn(
    name: &str,
    role: Role,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), String> {
    let (confined, wait) = std::sync::mpsc::sync_channel(1);
    let body = move || {
        let result = install(role, Calls::default());
        let ready = result.is_ok();
        let _ = confined.send(result);
        if ready {
            work();
        }
    };
    let thread = std::thread::Builder::new().name(name.into()).stack_size(STACK).spawn(body);
    thread.map_err(|e| format!("could not start a thread: {e}"))?;
    wait.recv().unwrap_or_else(|_| Err(format!("the thread `{name}` has died")))
}

/// Bytes of a thread's stack.
const STACK: usize = 256 << 10;
