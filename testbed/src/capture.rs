//! What an interface of the calling thread's namespace carries, by tcpdump.

use crate::PATIENCE;
use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long an interface is quiet before a capture of it is taken for whole.
const QUIET: Duration = Duration::from_millis(300);

/// A running capture; ended when it is dropped.
pub struct Capture {
    tcpdump: Child,
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    /// Prints a line for each packet that `filter` takes.
    ///
    /// # Errors
    /// What tcpdump said when it could not start.
    pub fn lines(interface: &str, filter: &str) -> Result<Capture, String> {
        Capture::start(&["-n", "-l", "-i", interface, filter])
    }

    /// Writes each packet that `filter` takes into `file`.
    ///
    /// # Errors
    /// What tcpdump said when it could not start.
    pub fn file(interface: &str, filter: &str, file: &Path) -> Result<Capture, String> {
        let file = file.display().to_string();
        Capture::start(&["-i", interface, "-s", "200", "-U", "-Z", "root", "-w", &file, filter])
    }

    fn start(args: &[&str]) -> Result<Capture, String> {
        let failed = |e: &dyn std::fmt::Display| format!("tcpdump: {e}");
        // Or the kernel keeps packets for a while.
        let mut command = Command::new("tcpdump");
        command.arg("--immediate-mode").args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        crate::leash::tie(&mut command);
        let mut tcpdump = command.spawn().map_err(|e| failed(&e))?;
        let (Some(mut lines), Some(mut complaints)) =
            (tcpdump.stdout.take(), tcpdump.stderr.take())
        else {
            return Err(failed(&"its output is not ours"));
        };
        // It says when it listens; what it says later is nothing that matters.
        let (mut said, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&said).contains("listening on") {
            if complaints.read_exact(&mut byte).is_err() {
                let _ = tcpdump.wait();
                return Err(failed(&String::from_utf8_lossy(&said)));
            }
            said.push(byte[0]);
        }
        thread::spawn(move || std::io::copy(&mut complaints, &mut std::io::sink()));
        let text = Arc::new(Mutex::new(String::new()));
        let shared = text.clone();
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = lines.read(&mut chunk) {
                let part = String::from_utf8_lossy(&chunk[..n]);
                shared.lock().unwrap_or_else(PoisonError::into_inner).push_str(&part);
            }
        });
        Ok(Capture { tcpdump, text, reader: Some(reader) })
    }

    /// What was printed so far.
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what was printed is as `expected`, then for what comes at once behind it; all of
    /// it, as expected or not.
    pub fn until(&self, expected: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        while !expected(&self.text()) && started.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(QUIET);
        self.text()
    }

    /// Ends it when the last packets have been taken; what was printed.
    pub fn end(mut self) -> String {
        thread::sleep(QUIET);
        self.stop();
        self.text()
    }

    fn stop(&mut self) {
        // As by the terminal: it writes out what it has.
        let pid = nix::unistd::Pid::from_raw(self.tcpdump.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let _ = self.tcpdump.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.reader.is_some() {
            self.stop();
        }
    }
}
