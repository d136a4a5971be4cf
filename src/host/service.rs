//! Starting a service in a process.
#![forbid(unsafe_code)]

use super::Tap;
use crate::{
    net::Net,
    rt::Platform,
    service::{Args, Env, HELP, Outcome, log_level},
    time::Instant,
};
use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

struct Process(std::time::Instant);

impl Platform for Process {
    fn now(&self) -> Instant {
        Instant::from_nanos(1_000_000_000 + self.0.elapsed().as_nanos() as u64)
    }

    fn wall_clock(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
    }

    fn entropy(&self) -> [u8; 32] {
        super::sys::random()
    }
}

struct Stdout;

impl log::Log for Stdout {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = record.level().as_str();
        // A closed standard output is no reason to stop a service.
        let _ = writeln!(std::io::stdout(), "{level:5} {}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Runs a service with its network device `name` on a tap; its exit status.
#[doc(hidden)]
pub fn run<F, T>(name: &str, main: impl FnOnce(Net, Env) -> F) -> i32
where
    F: Future<Output = T> + 'static,
    T: Outcome + 'static,
{
    let all = std::env::args_os().skip(1).map(std::ffi::OsString::into_string);
    let Ok(all) = all.collect::<Result<Vec<_>, _>>() else {
        eprintln!("an argument is no UTF-8");
        return 1;
    };
    if all.is_empty() {
        println!("{}", manifest(name));
        return 0;
    }
    if all.iter().any(|arg| arg == "--help") {
        println!("Without arguments: print the manifest that the unikernel expects, as JSON");
        println!("  --tap=IFACE           Run as a process on the tap IFACE\n{HELP}");
        return 0;
    }
    match start(&all, main) {
        Ok(status) => status,
        Err(problem) => {
            eprintln!("{problem}");
            1
        }
    }
}

fn start<F, T>(all: &[String], main: impl FnOnce(Net, Env) -> F) -> Result<i32, String>
where
    F: Future<Output = T> + 'static,
    T: Outcome + 'static,
{
    let (taps, others): (Vec<&str>, Vec<&str>) =
        all.iter().map(String::as_str).partition(|arg| arg.starts_with("--tap="));
    let [tap] = taps[..] else {
        return Err(
            "give one --tap=IFACE to run as a process, or no argument at all; try --help".into()
        );
    };
    if log::set_logger(&Stdout).is_ok() {
        log::set_max_level(log_level(others.iter().copied()));
    }
    let args = Args::parse(others.into_iter()).map_err(|e| format!("{e}; try --help"))?;
    let tap = Tap::open(&tap["--tap=".len()..])?;
    Ok(crate::service::run(Process(std::time::Instant::now()), tap, None, args, main))
}

fn manifest(name: &str) -> String {
    format!(
        "{{\n  \"type\": \"solo5.manifest\",\n  \"version\": 1,\n  \"devices\": [\n    \
         {{ \"name\": \"{name}\", \"type\": \"NET_BASIC\" }}\n  ]\n}}"
    )
}

/// Declares a service: the name of its network device, and its `main`.
///
/// ```ignore
/// zerohop::service!(service => main);
/// async fn main(net: Net, env: Env) -> Result<(), Error> { .. }
/// ```
#[macro_export]
macro_rules! service {
    ($net:ident => $main:path) => {
        const _: () = {
            #[unsafe(export_name = "main")]
            extern "C" fn zerohop_process(_: i32, _: *const *const u8) -> i32 {
                $crate::host::service::run(stringify!($net), $main)
            }
        };
    };
}
