//! A service that runs: as a guest under the tender, or as a process on a tap.

use crate::{Network, PATIENCE, image, tender};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A running service; killed when it is dropped, and ended with the thread that started it.
pub struct Guest {
    child: Child,
    output: Arc<Mutex<String>>,
    stats: PathBuf,
}

/// How a service ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status, or `None` when a signal killed it.
    pub code: Option<i32>,
    /// All that it printed, on both streams.
    pub output: String,
}

/// Boots the image of example `name` on a network of its own, as [`Network::with_tap`] makes it.
///
/// # Errors
/// What cannot be built, made or started.
pub fn boot(name: &str, options: &[&str], args: &[&str]) -> Result<(Network, Guest), String> {
    let (tender, image) = (tender()?, image(name)?);
    let network = Network::with_tap()?;
    let options = [&["--net:service=tap0"], options].concat();
    let guest = Guest::boot(&tender, &options, &image, args)?;
    Ok((network, guest))
}

impl Guest {
    /// Starts `image` under `tender` with these options and guest arguments.
    ///
    /// # Errors
    /// When the tender cannot be started.
    pub fn boot(
        tender: &Path,
        options: &[&str],
        image: &Path,
        args: &[&str],
    ) -> Result<Guest, String> {
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let stats = std::env::temp_dir().join(format!("zerohop-{}-{n}.json", std::process::id()));
        let mut command = Command::new(tender);
        command.args(options).arg(format!("--stats={}", stats.display()));
        command.arg("--").arg(image).args(args);
        Guest::spawn(command, stats)
    }

    /// Starts `program` as a process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn process(program: &Path, args: &[&str]) -> Result<Guest, String> {
        let mut command = Command::new(program);
        command.args(args);
        Guest::spawn(command, PathBuf::new())
    }

    fn spawn(mut command: Command, stats: PathBuf) -> Result<Guest, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        crate::leash::tie(&mut command);
        let mut child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let output = Arc::new(Mutex::new(String::new()));
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|s| Box::new(s) as _),
            child.stderr.take().map(|s| Box::new(s) as _),
        ];
        for mut stream in streams.into_iter().flatten() {
            let output = output.clone();
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(n) = stream.read(&mut chunk) {
                    if n == 0 {
                        break;
                    }
                    let text = String::from_utf8_lossy(&chunk[..n]);
                    output.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                }
            });
        }
        Ok(Guest { child, output, stats })
    }

    /// Process id of the tender or the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What was printed so far.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a TCP connection to `service` is accepted.
    ///
    /// # Errors
    /// When the service ended or was not there in time, with what it printed.
    pub fn wait_for(&mut self, service: SocketAddr) -> Result<TcpStream, String> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            // Soon at first; on a busy machine an answer takes longer.
            let limit = (started.elapsed() / 8).max(Duration::from_millis(20));
            if let Ok(stream) = TcpStream::connect_timeout(&service, limit) {
                return Ok(stream);
            }
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                std::thread::sleep(Duration::from_millis(50));
                return Err(format!("it ended: {}", self.output()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("no answer at {service}: {}", self.output()))
    }

    /// Waits until it has printed `text`; all that it printed.
    ///
    /// # Errors
    /// When it does not in time, with what it printed.
    pub fn wait_for_output(&self, text: &str) -> Result<String, String> {
        let started = Instant::now();
        loop {
            let output = self.output();
            if output.contains(text) {
                return Ok(output);
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("no {text:?} in: {output}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        // The process may have ended already.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    /// The tender's statistics now.
    ///
    /// # Errors
    /// When it does not write them.
    pub fn stats(&self) -> Result<Value, String> {
        // The tender writes over what is there: an emptied file tells old from new.
        std::fs::write(&self.stats, "").map_err(|e| format!("{}: {e}", self.stats.display()))?;
        self.signal(Signal::SIGUSR1);
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let text = std::fs::read_to_string(&self.stats).unwrap_or_default();
            if let Ok(stats) = serde_json::from_str(&text) {
                return Ok(stats);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err("the tender wrote no statistics".into())
    }

    /// The tender's statistics once they are as `expected`, or in the end as they are: a guest
    /// publishes its counters when it goes to sleep.
    ///
    /// # Errors
    /// When the tender does not write them.
    pub fn stats_until(&self, expected: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let started = Instant::now();
        loop {
            let stats = self.stats()?;
            if expected(&stats) || started.elapsed() > PATIENCE {
                return Ok(stats);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end by SIGTERM, and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub fn terminate(self) -> Result<Ended, String> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait(mut self) -> Result<Ended, String> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                // The readers see the ends of the streams a moment later.
                std::thread::sleep(Duration::from_millis(50));
                return Ok(Ended { code: status.code(), output: self.output() });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(format!("it does not end: {}", self.output()))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.stats);
    }
}
