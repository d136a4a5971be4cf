//! The command line, as `solo5-hvt` has it and a little more.
#![forbid(unsafe_code)]

use crate::confine::Identity;
use shmring::abi::Features;
use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, str::FromStr};

const HELP: &str = "\
usage: zerohop-hvt [ OPTIONS ] [ -- ] KERNEL [ ARGS ]

KERNEL is an ELF image for Solo5's hvt target; ARGS are passed to it.

Options:
      --mem=MB                  Guest memory in MiB, 2 to 4096 (default 512)
      --net:NAME=IFACE | @FD    Attach the tap IFACE, or an open descriptor, as network NAME
      --net-mac:NAME=MAC        Set the hardware address of network NAME
      --block:NAME=PATH         Attach the file or device PATH as block device NAME
      --block-sector-size:NAME=N
                                Set the sector size of block device NAME (default 512)
      --io=auto|shmring|hypercall
                                How frames travel: shared rings when the image knows them (auto),
                                only rings (shmring), or a hypercall a frame (hypercall)
      --service=auto|thread|inline
                                Who serves the rings: the vCPU's thread (inline), a thread of its
                                own (thread), or whichever suits the load (auto)
      --offloads=all|none|LIST  What the host does for a guest with rings, as far as it can: of
                                tx-csum, rx-csum, tso, uso, rx-gso (default all); each brings what
                                it needs. With --io=hypercall, and for an image that knows no
                                rings, --service and any offloads but none are refused
      --stats=FILE              Write statistics as JSON at exit and on SIGUSR1
      --pcap:NAME=FILE          Capture the frames of network NAME in FILE, for tshark
      --mac-filter=on|off       Drop frames that the guest sends from another hardware address
                                than its network's (default on)
      --dumpcore=DIR            Write a core file to DIR if the guest crashes, for gdb
      --user=USER               Become USER, a name or number, before the guest runs
      --group=GROUP             Become GROUP likewise (default: USER's)
      --no-net-ring             Taken for solo5-hvt's sake: its own ring is never offered
      --help                    Print this text
      --version                 Print the version

Environment:
      ZEROHOP_LOG=LEVEL         error, warn (default), info, debug or trace";

/// How frames may travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Io {
    #[default]
    Auto,
    Shmring,
    Hypercall,
}

/// Who serves the rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServiceMode {
    #[default]
    Auto,
    Thread,
    Inline,
}

/// A network device's host side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Net {
    pub(crate) iface: Option<String>,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) pcap: Option<PathBuf>,
}

/// A block device's host side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) path: Option<PathBuf>,
    pub(crate) sector_size: Option<u16>,
}

/// What to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) memory_mib: u64,
    pub(crate) nets: BTreeMap<String, Net>,
    pub(crate) blocks: BTreeMap<String, Block>,
    pub(crate) io: Io,
    pub(crate) service: ServiceMode,
    /// All, unless the user chose.
    pub(crate) offloads: Option<Features>,
    pub(crate) stats: Option<PathBuf>,
    pub(crate) mac_filter: bool,
    pub(crate) dumpcore: Option<PathBuf>,
    pub(crate) identity: Identity,
    pub(crate) kernel: PathBuf,
    pub(crate) guest_args: Vec<String>,
}

impl Config {
    /// An option that has no effect without shared rings.
    pub(crate) fn needs_rings(&self) -> Option<&'static str> {
        if self.io == Io::Shmring {
            Some("--io=shmring")
        } else if self.service != ServiceMode::Auto {
            Some("--service")
        } else {
            self.offloads.filter(|offloads| !offloads.is_empty()).map(|_| "--offloads")
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Config),
    Print(String),
}

fn usage(problem: impl std::fmt::Display) -> String {
    format!("{problem}; try `zerohop-hvt --help`")
}

/// Reads the command line without the program's name.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let text = |arg: OsString| {
        arg.into_string().map_err(|arg| usage(format!("{} is no UTF-8", arg.display())))
    };
    let args: Vec<String> = args.map(text).collect::<Result<_, _>>()?;
    let mut args = args.into_iter().peekable();
    let mut config = Config { memory_mib: 512, mac_filter: true, ..Config::default() };
    while let Some(arg) = args.next_if(|arg| arg.starts_with('-')) {
        if arg == "--" {
            break;
        }
        // Solo5 0.13 has it; there is no such ring here to leave out.
        if arg == "--no-net-ring" {
            continue;
        }
        if let Some(text) = info(&arg) {
            return Ok(Command::Print(text));
        }
        let (name, value) = arg.split_once('=').unwrap_or((&arg, ""));
        let takes = takes(name).ok_or_else(|| usage(format!("unknown option `{name}`")))?;
        if value.is_empty() {
            return Err(usage(format!("{name} needs a value: {name}={takes}")));
        }
        option(&mut config, name, value, takes)?;
    }
    config.kernel = args.next().ok_or_else(|| usage("missing KERNEL operand"))?.into();
    config.guest_args = args.collect();
    if let Some((name, _)) = config.nets.iter().find(|(_, net)| net.iface.is_none()) {
        return Err(usage(format!(
            "an option of network {name} is given, but not --net:{name}=IFACE"
        )));
    }
    if let Some((name, _)) = config.blocks.iter().find(|(_, block)| block.path.is_none()) {
        let given = format!("--block-sector-size:{name} is given, but not --block:{name}=PATH");
        return Err(usage(given));
    }
    if let (Io::Hypercall, Some(option)) = (config.io, config.needs_rings()) {
        let choice = format!("leave out {option} or --io=hypercall");
        return Err(usage(format!("{option} needs shared rings; {choice}")));
    }
    Ok(Command::Run(config))
}

fn info(arg: &str) -> Option<String> {
    match arg {
        "--help" | "-h" => Some(HELP.into()),
        "--version" => Some(format!("zerohop-hvt {}\nABI version 2", env!("CARGO_PKG_VERSION"))),
        _ => None,
    }
}

/// What an option takes, if there is such an option.
fn takes(name: &str) -> Option<&'static str> {
    Some(match name {
        "--mem" => "MB, from 2 to 4096",
        "--io" => "auto, shmring or hypercall",
        "--service" => "auto, thread or inline",
        "--offloads" => "all, none, or of tx-csum, rx-csum, tso, uso and rx-gso",
        "--stats" => "FILE",
        "--mac-filter" => "on or off",
        "--dumpcore" => "DIR",
        "--user" => "USER, a name or number",
        "--group" => "GROUP, a name or number",
        _ => match name.split_once(':').filter(|(_, device)| !device.is_empty())?.0 {
            "--net" => "IFACE or @FD",
            "--net-mac" => "MAC, as 02:00:00:00:00:01",
            "--block" => "PATH",
            "--block-sector-size" => "N, a power of 2 from 512",
            "--pcap" => "FILE",
            _ => return None,
        },
    })
}

/// Takes an option that [`takes`] knows.
fn option(config: &mut Config, name: &str, value: &str, takes: &str) -> Result<(), String> {
    let bad = || usage(format!("`{value}` is no value for {name}; it takes {takes}"));
    let (kind, device) = name.split_once(':').unwrap_or((name, ""));
    match kind {
        "--mem" => {
            let range = 2..=4096;
            config.memory_mib = parsed(value).filter(|n| range.contains(n)).ok_or_else(bad)?;
        }
        "--stats" => config.stats = Some(value.into()),
        "--dumpcore" => config.dumpcore = Some(value.into()),
        "--user" => config.identity.user = Some(value.into()),
        "--group" => config.identity.group = Some(value.into()),
        "--mac-filter" => {
            config.mac_filter = match value {
                "on" => true,
                "off" => false,
                _ => return Err(bad()),
            }
        }
        "--io" => {
            config.io = match value {
                "auto" => Io::Auto,
                "shmring" => Io::Shmring,
                "hypercall" => Io::Hypercall,
                _ => return Err(bad()),
            }
        }
        "--service" => {
            config.service = match value {
                "auto" => ServiceMode::Auto,
                "thread" => ServiceMode::Thread,
                "inline" => ServiceMode::Inline,
                _ => return Err(bad()),
            }
        }
        "--offloads" => config.offloads = Some(offloads(value).ok_or_else(bad)?),
        "--net" => {
            once(&mut config.nets.entry(device.into()).or_default().iface, value.into(), name)?
        }
        "--net-mac" => once(
            &mut config.nets.entry(device.into()).or_default().mac,
            mac(value).ok_or_else(bad)?,
            name,
        )?,
        "--pcap" => {
            once(&mut config.nets.entry(device.into()).or_default().pcap, value.into(), name)?
        }
        "--block" => {
            once(&mut config.blocks.entry(device.into()).or_default().path, value.into(), name)?
        }
        "--block-sector-size" => {
            let size = parsed(value).filter(|n: &u16| *n >= 512 && n.is_power_of_two());
            once(
                &mut config.blocks.entry(device.into()).or_default().sector_size,
                size.ok_or_else(bad)?,
                name,
            )?;
        }
        _ => unreachable!("an option that `takes` knows"),
    }
    Ok(())
}

/// The features of a list of offloads, with what they need.
fn offloads(list: &str) -> Option<Features> {
    match list {
        "all" => return Some(Features::all()),
        "none" => return Some(Features::empty()),
        _ => {}
    }
    list.split(',')
        .map(|name| match name {
            "tx-csum" => Some(Features::TX_CSUM),
            "rx-csum" => Some(Features::RX_CSUM),
            "tso" => Some(Features::TX_CSUM | Features::TSO4 | Features::TSO6),
            "uso" => Some(Features::TX_CSUM | Features::USO),
            "rx-gso" => Some(Features::RX_CSUM | Features::RX_GSO | Features::FILL_LARGE),
            _ => None,
        })
        .collect()
}

fn once<T>(slot: &mut Option<T>, value: T, name: &str) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(usage(format!("{name} is given twice"))),
    }
}

fn parsed<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next().filter(|p| p.len() == 2)?, 16).ok()?;
    }
    (parts.next().is_none() && mac[0] & 1 == 0).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Config, String> {
        match parse(args.iter().map(OsString::from))? {
            Command::Run(config) => Ok(config),
            Command::Print(text) => Err(text),
        }
    }

    #[test]
    fn offloads_bring_what_they_need() {
        let rings = Features::RINGS | Features::STATS;
        for list in ["none", "tx-csum", "rx-csum", "tso", "uso", "rx-gso", "tso,rx-gso"] {
            let config = run(&[&format!("--offloads={list}"), "k"]).unwrap();
            let offloads = config.offloads.unwrap();
            assert!((offloads | rings).closed(), "{list}");
            assert_eq!(offloads.is_empty(), list == "none");
        }
        assert_eq!(run(&["k"]).unwrap().offloads, None);
    }

    #[test]
    fn what_needs_rings_is_refused_where_there_are_none() {
        for option in ["--offloads=tso", "--offloads=all", "--service=inline"] {
            let message = run(&["--io=hypercall", option, "k"]).unwrap_err();
            let name = option.split('=').next().unwrap();
            assert!(message.contains(&format!("leave out {name} or --io=hypercall")), "{message}");
            assert!(run(&[option, "k"]).unwrap().needs_rings() == Some(name));
        }
        for option in ["--offloads=none", "--service=auto"] {
            assert_eq!(run(&["--io=hypercall", option, "k"]).unwrap().needs_rings(), None);
        }
    }

    #[test]
    fn an_option_without_a_value_says_which_it_takes() {
        for (option, values) in [
            ("--mem", "--mem=MB, from 2 to 4096"),
            ("--io", "--io=auto, shmring or hypercall"),
            ("--service", "--service=auto, thread or inline"),
            ("--offloads", "--offloads=all, none, or of tx-csum"),
            ("--stats", "--stats=FILE"),
            ("--mac-filter", "--mac-filter=on or off"),
            ("--dumpcore", "--dumpcore=DIR"),
            ("--user", "--user=USER"),
            ("--group", "--group=GROUP"),
            ("--net:x", "--net:x=IFACE or @FD"),
            ("--net-mac:x", "--net-mac:x=MAC"),
            ("--block:x", "--block:x=PATH"),
            ("--block-sector-size:x", "--block-sector-size:x=N"),
            ("--pcap:x", "--pcap:x=FILE"),
        ] {
            for option in [option.to_string(), format!("{option}=")] {
                let message = run(&[&option, "k"]).unwrap_err();
                assert!(message.contains(&format!("needs a value: {values}")), "{message}");
            }
        }
    }

    #[test]
    fn solo5_command_lines_are_understood() {
        let config = run(&[
            "--mem=16",
            "--net:service=tap0",
            "--net-mac:service=02:00:00:00:00:01",
            "--block:disk=/tmp/disk",
            "--block-sector-size:disk=4096",
            "--no-net-ring",
            "--",
            "echo.hvt",
            "--ipv4=10.0.0.2/24",
        ])
        .unwrap();
        assert_eq!(config.memory_mib, 16);
        assert_eq!(config.nets["service"].iface.as_deref(), Some("tap0"));
        assert_eq!(config.nets["service"].mac, Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(config.blocks["disk"].sector_size, Some(4096));
        assert_eq!(config.guest_args, ["--ipv4=10.0.0.2/24"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, word) in [
            (&["--mem=1", "k"][..], "--mem"),
            (&["--mem=x", "k"], "--mem"),
            (&["--nonsense=1", "k"], "--nonsense"),
            (&["--flag", "k"], "--flag"),
            (&["--net:=tap0", "k"], "--net:"),
            (&["--net=tap0", "k"], "unknown option `--net`"),
            (&["--net-mac:a=02:00:00:00:00:01", "k"], "--net:a"),
            (&["--net-mac:a=03:00:00:00:00:01", "k"], "03:"),
            (&["--block-sector-size:a=100", "k"], "100"),
            (&["--net:a=t", "--net:a=t", "k"], "twice"),
            (&["--pcap:a=f", "k"], "--net:a"),
            (&["--mac-filter=perhaps", "k"], "perhaps"),
            (&["--service=foo", "k"], "auto, thread or inline"),
            (&["--offloads=tso,foo", "k"], "rx-gso"),
            (&[], "KERNEL"),
        ] {
            let message = run(args).unwrap_err();
            assert!(message.contains(word) && message.contains("--help"), "{message}");
        }
    }
}
