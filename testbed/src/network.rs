//! A network namespace for one thread and the processes that it starts.

use crate::run;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{getgid, getuid},
};
use std::{fs::File, process::Command};

/// A network namespace of the calling thread's own. It ends with the thread and its processes, so
/// that nothing is left behind, whatever happens.
#[derive(Debug)]
pub struct Network(());

impl Network {
    /// Whether this thread may make one.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn probe() -> Result<(), String> {
        let thread = std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET));
        match thread.join() {
            Ok(Ok(())) => Ok(()),
            _ => Err("no permission for network namespaces; run under `unshare -rn`".into()),
        }
    }

    /// Moves the calling thread into a fresh namespace.
    ///
    /// # Errors
    /// A missing permission or tool.
    pub fn enter() -> Result<Network, String> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| format!("no network namespace: {e}"))?;
        let network = Network(());
        network.ip(&["link", "set", "lo", "up"])?;
        Ok(network)
    }

    /// The same with a tap `tap0`, where the host is 10.0.0.1.
    ///
    /// # Errors
    /// A missing permission or tool.
    pub fn with_tap() -> Result<Network, String> {
        let network = Network::enter()?;
        network.tap("tap0", "10.0.0.1/24")?;
        Ok(network)
    }

    /// Moves the process, which must have one thread, into fresh user and network namespaces when
    /// it is not root's.
    ///
    /// # Errors
    /// A host that allows neither.
    pub fn enter_as_anyone() -> Result<Network, String> {
        if getuid().is_root() {
            return Network::enter();
        }
        let (uid, gid) = (getuid(), getgid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|e| {
            format!("this host allows no user namespaces ({e}); run this as root instead")
        })?;
        let map = |file: &str, text: String| {
            std::fs::write(file, text).map_err(|e| format!("{file}: {e}"))
        };
        map("/proc/self/setgroups", "deny".into())?;
        map("/proc/self/uid_map", format!("0 {uid} 1"))?;
        map("/proc/self/gid_map", format!("0 {gid} 1"))?;
        let network = Network(());
        network.ip(&["link", "set", "lo", "up"])?;
        Ok(network)
    }

    /// Runs `ip` in the namespace.
    ///
    /// # Errors
    /// What it said.
    pub fn ip(&self, args: &[&str]) -> Result<String, String> {
        crate::tool("ip").map_err(|e| format!("{e}; install iproute2"))?;
        run(Command::new("ip").args(args))
    }

    /// Makes the tap `name` with the host's address `cidr`.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn tap(&self, name: &str, cidr: &str) -> Result<(), String> {
        self.bare_tap(name)?;
        self.ip(&["addr", "add", cidr, "dev", name]).map(drop)
    }

    /// Makes the tap `name` without an address of the host's.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn bare_tap(&self, name: &str) -> Result<(), String> {
        self.ip(&["tuntap", "add", name, "mode", "tap"])?;
        // With the default of 1000 frames bulk transfers collapse.
        self.ip(&["link", "set", name, "txqueuelen", "5000"])?;
        self.ip(&["link", "set", name, "up"]).map(drop)
    }

    /// Joins interfaces by a bridge, as a cable would join two taps.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn join(&self, bridge: &str, interfaces: &[&str]) -> Result<(), String> {
        self.ip(&["link", "add", bridge, "type", "bridge"])?;
        for interface in interfaces {
            self.ip(&["link", "set", interface, "master", bridge])?;
        }
        self.ip(&["link", "set", bridge, "up"]).map(drop)
    }

    /// The namespace itself, for others to enter.
    ///
    /// # Errors
    /// A host without `/proc`.
    pub fn namespace(&self) -> Result<File, String> {
        File::open("/proc/thread-self/ns/net").map_err(|e| format!("the namespace: {e}"))
    }
}
