//! Starting a service in a process.
#![forbid(unsafe_code)]

use super::{Disk, Tap, Wakers};
use crate::{
    block::Sectors,
    rt::Platform,
    service::{
        Args, Attached, Attaching, Board, Device, Env, HELP, Kind, Outcome, log_level, undeclared,
    },
    time::Instant,
};
use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

const HOST_HELP: &str = "\
Without arguments: print the manifest that the unikernel expects, as JSON
  --run                 Run as a process, also a service without devices
  --tap=IFACE           Run as a process, with the tap IFACE for the first network device
  --tap:NAME=IFACE      The tap IFACE for the network device NAME
  --block:NAME=FILE     The file FILE for the block device NAME
  --block-sector-size:NAME=N
                        Bytes of its sectors (default 512)";

struct Process;

impl Platform for Process {
    fn now(&self) -> Instant {
        super::now()
    }

    fn wall_clock(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
    }

    fn entropy(&self) -> [u8; 32] {
        super::sys::random()
    }

    fn idle(&self, until: Option<Instant>) {
        let left = until.map_or(std::time::Duration::MAX, |until| until - self.now());
        std::thread::sleep(left);
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

/// The process as a board: taps and files.
struct Host<'a> {
    taps: Vec<(Option<&'a str>, &'a str)>,
    blocks: Vec<(&'a str, &'a str)>,
    sector_sizes: Vec<(&'a str, usize)>,
    wakers: Wakers,
    first: Option<&'static str>,
}

impl<'a> Host<'a> {
    /// Takes the arguments that name devices, and leaves the others.
    fn parse(all: &'a [String], declared: &[Device]) -> Result<(Host<'a>, Vec<&'a str>), String> {
        let first = declared.iter().find(|device| device.kind == Kind::Net);
        let mut host = Host {
            taps: Vec::new(),
            blocks: Vec::new(),
            sector_sizes: Vec::new(),
            wakers: Wakers::default(),
            first: first.map(|device| device.name),
        };
        let mut others = Vec::new();
        let mut own = false;
        for arg in all {
            own |= arg == "--";
            let (option, value) = arg.split_once('=').unwrap_or((arg, ""));
            let (option, device) = match option.split_once(':') {
                Some((option, device)) => (option, Some(device)),
                None => (option, None),
            };
            match (option, device) {
                _ if own => others.push(arg.as_str()),
                ("--tap", _) => host.taps.push((device, value)),
                ("--block", Some(device)) => host.blocks.push((device, value)),
                ("--block", None) => {
                    return Err(format!("{arg}: name the device, as in --block:NAME=FILE"));
                }
                ("--net", Some(device)) => {
                    return Err(format!(
                        "{arg} is for a tender; a process takes --tap:{device}={value}"
                    ));
                }
                ("--run", None) => {}
                ("--block-sector-size", Some(device)) => {
                    let size = value.parse().ok();
                    let size = size.filter(|n: &usize| *n >= 512 && n.is_power_of_two());
                    let size = size.ok_or("expected a power of two from 512 on");
                    host.sector_sizes.push((device, size.map_err(|e| format!("{arg}: {e}"))?));
                }
                _ => others.push(arg.as_str()),
            }
        }
        if host.first.is_none()
            && let Some((None, tap)) = host.taps.iter().find(|(name, _)| name.is_none())
        {
            return Err(format!("--tap={tap}: the service declares no network"));
        }
        let nets = host.taps.iter().filter_map(|(name, _)| Some(((*name)?, Kind::Net)));
        let blocks = host.blocks.iter().map(|(name, _)| (*name, Kind::Block));
        for (name, kind) in nets.chain(blocks) {
            undeclared(declared, name, kind)?;
        }
        Ok((host, others))
    }
}

impl Board for Host<'_> {
    fn net(&mut self, name: &str) -> Result<Attached, String> {
        let first = self.first == Some(name);
        let named = self.taps.iter().find(|(tap, _)| *tap == Some(name));
        let tap = named.or_else(|| self.taps.iter().find(|(tap, _)| first && tap.is_none()));
        let Some((_, tap)) = tap else {
            let how = if first { "--tap=IFACE".into() } else { format!("--tap:{name}=IFACE") };
            return Err(format!("the network {name} has no tap; add {how}"));
        };
        let device = Box::new(Tap::open(tap, &self.wakers)?);
        Ok(Attached { device, publish: None, heap: usize::MAX })
    }

    fn block(&mut self, name: &str) -> Result<Box<dyn Sectors>, String> {
        let Some((_, path)) = self.blocks.iter().find(|(block, _)| *block == name) else {
            return Err(format!("the block device {name} has no file; add --block:{name}=FILE"));
        };
        let size = self.sector_sizes.iter().find(|(block, _)| *block == name);
        Ok(Box::new(Disk::open(path, size.map_or(512, |(_, size)| *size))?))
    }
}

/// Runs a service with the devices that it declares; its exit status.
#[doc(hidden)]
pub fn run<D, F, T>(
    declared: &[Device],
    attach: impl FnOnce(&mut Attaching<'_>) -> Result<D, String>,
    main: impl FnOnce(D, Env) -> F,
) -> i32
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
        println!("{}", manifest(declared));
        return 0;
    }
    if all.iter().any(|arg| arg == "--help") {
        println!("{HOST_HELP}\n{HELP}");
        return 0;
    }
    match start(&all, declared, attach, main) {
        Ok(status) => status,
        Err(problem) => {
            eprintln!("{problem}");
            1
        }
    }
}

fn start<D, F, T>(
    all: &[String],
    declared: &[Device],
    attach: impl FnOnce(&mut Attaching<'_>) -> Result<D, String>,
    main: impl FnOnce(D, Env) -> F,
) -> Result<i32, String>
where
    F: Future<Output = T> + 'static,
    T: Outcome + 'static,
{
    let (mut host, others) = Host::parse(all, declared)?;
    if log::set_logger(&Stdout).is_ok() {
        log::set_max_level(log_level(others.iter().copied()));
    }
    let args = Args::parse(others.into_iter()).map_err(|e| format!("{e}; try --help"))?;
    if let Some(name) = args.unknown_net(&networks(declared)) {
        undeclared(declared, name, Kind::Net)?;
    }
    Ok(crate::service::run(Process, &mut host, args, attach, main))
}

fn networks(declared: &[Device]) -> Vec<&'static str> {
    declared.iter().filter(|device| device.kind == Kind::Net).map(|device| device.name).collect()
}

fn manifest(declared: &[Device]) -> String {
    let devices: Vec<String> = declared
        .iter()
        .map(|Device { name, kind }| {
            let kind = match kind {
                Kind::Net => "NET_BASIC",
                Kind::Block => "BLOCK_BASIC",
            };
            format!("    {{ \"name\": \"{name}\", \"type\": \"{kind}\" }}")
        })
        .collect();
    format!(
        "{{\n  \"type\": \"solo5.manifest\",\n  \"version\": 1,\n  \"devices\": [\n{}\n  ]\n}}",
        devices.join(",\n")
    )
}
