//! The peers: servers of several kinds, each in network namespaces of its own.

use crate::serve;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use testbed::{Guest, Network};

/// The client's end of a tap.
pub const TAP: &str = "tap0";
const CLIENT: &str = "10.0.0.1/24";
/// Where servers are, but for those on loopback.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Interface of the client, and that of the server in a namespace of its own.
pub(crate) const VETH: (&str, &str) = ("veth0", "veth1");

#[derive(Debug)]
enum Kind {
    Host { args: &'static [&'static str], veth: bool },
    Smoltcp(&'static [&'static str]),
    Process,
    Guest(&'static [&'static str]),
}

/// What a server serves. Host sockets and smoltcp serve both at once; zerohop's examples are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Echo, discard and chargen.
    Inetd,
    /// A web server.
    Http,
}

impl Service {
    const ALL: [Service; 2] = [Service::Inetd, Service::Http];

    /// Name of zerohop's example.
    fn example(self) -> &'static str {
        ["inetd", "http"][self as usize]
    }

    /// A TCP port that it has.
    fn port(self) -> u16 {
        [serve::ECHO, serve::HTTP][self as usize]
    }
}

/// A server to compare.
#[derive(Debug)]
pub struct Peer {
    /// Its name.
    pub name: &'static str,
    /// What it is, for the page.
    pub about: &'static str,
    /// Its server polls and never sleeps.
    pub spins: bool,
    kind: Kind,
}

const fn peer(name: &'static str, about: &'static str, spins: bool, kind: Kind) -> Peer {
    Peer { name, about, spins, kind }
}

/// All peers, in the order in which they take turns.
pub const ALL: &[Peer] = &[
    peer(
        "host-veth",
        "host sockets over veth, a blocking thread a connection",
        false,
        Kind::Host { args: &["serve", "host", "--veth"], veth: true },
    ),
    peer(
        "rings",
        "zerohop under KVM, shared rings, --service=auto",
        false,
        Kind::Guest(&["--io=shmring"]),
    ),
    peer(
        "host-veth-spin",
        "host sockets over veth, one thread that polls and never sleeps",
        true,
        Kind::Host { args: &["serve", "host", "--veth", "--spin"], veth: true },
    ),
    peer(
        "rings-thread",
        "zerohop under KVM, rings served by a thread",
        false,
        Kind::Guest(&["--io=shmring", "--service=thread"]),
    ),
    peer(
        "rings-inline",
        "zerohop under KVM, rings served by the vCPU's thread",
        false,
        Kind::Guest(&["--io=shmring", "--service=inline"]),
    ),
    peer(
        "hypercall",
        "zerohop under KVM, standard hvt: a hypercall a frame",
        false,
        Kind::Guest(&["--io=hypercall"]),
    ),
    peer("tap", "zerohop as a host process on a tap", false, Kind::Process),
    peer("smoltcp", "smoltcp 0.12 as a process on a tap, sleeps in poll", false, {
        Kind::Smoltcp(&["serve", "smoltcp", TAP])
    }),
    peer("smoltcp-spin", "smoltcp 0.12 as a process on a tap, never sleeps", true, {
        Kind::Smoltcp(&["serve", "smoltcp", TAP, "--spin"])
    }),
    peer(
        "loopback",
        "host sockets on loopback, a blocking thread a connection",
        false,
        Kind::Host { args: &["serve", "host"], veth: false },
    ),
];

/// The peer of that name.
pub fn named(name: &str) -> Option<&'static Peer> {
    ALL.iter().find(|peer| peer.name == name)
}

/// The programs that the peers need.
#[derive(Debug)]
pub struct Programs {
    /// This crate's, which serves with host sockets and smoltcp.
    server: PathBuf,
    tender: PathBuf,
    /// An image and a program for each service.
    images: Vec<PathBuf>,
    processes: Vec<PathBuf>,
}

impl Programs {
    /// Builds what `peers` need; `server` is this crate's program.
    ///
    /// # Errors
    /// What cargo said.
    pub fn build(peers: &[&Peer], server: &Path) -> Result<Programs, String> {
        let mut programs = Programs {
            server: server.into(),
            tender: PathBuf::new(),
            images: Vec::new(),
            processes: Vec::new(),
        };
        if peers.iter().any(|p| p.is_guest()) {
            programs.tender = testbed::tender()?;
            for service in Service::ALL {
                programs.images.push(testbed::image(service.example())?);
            }
        }
        if peers.iter().any(|p| matches!(p.kind, Kind::Process)) {
            for service in Service::ALL {
                programs.processes.push(testbed::example(service.example())?);
            }
        }
        Ok(programs)
    }
}

impl Peer {
    /// Whether it needs a virtual machine.
    pub fn is_guest(&self) -> bool {
        matches!(self.kind, Kind::Guest(_))
    }

    /// Whether it runs zerohop.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Guest(_) | Kind::Process)
    }

    /// Starts it; the calling thread moves into the client's namespace.
    ///
    /// # Errors
    /// What is missing, or what it printed.
    pub fn start(&self, programs: &Programs, service: Service) -> Result<Running, String> {
        let network = Network::enter()?;
        let mut server = SERVER;
        let of = |all: &[PathBuf]| all.get(service as usize).cloned().ok_or("it was not built");
        match self.kind {
            Kind::Host { veth: true, .. } => {}
            Kind::Host { veth: false, .. } => use_cubic(&network, LOOPBACK)?,
            _ => {
                network.tap(TAP, CLIENT)?;
                use_cubic(&network, &subnet(TAP))?;
            }
        }
        let started = Instant::now();
        let mut guest = match &self.kind {
            Kind::Host { args, veth } => {
                let guest = Guest::process(&programs.server, args)?;
                if *veth {
                    link(&network, &guest)?;
                } else {
                    server = Ipv4Addr::LOCALHOST.into();
                }
                guest
            }
            Kind::Smoltcp(args) => Guest::process(&programs.server, args)?,
            Kind::Process => Guest::process(&of(&programs.processes)?, &["--tap=tap0"])?,
            Kind::Guest(options) => {
                let options = [&["--mem=128", "--net:service=tap0"], *options].concat();
                Guest::boot(&programs.tender, &options, &of(&programs.images)?, &[])?
            }
        };
        guest.wait_for((server, service.port()).into())?;
        let (ready, counts) = (started.elapsed(), self.is_guest());
        Ok(Running { guest, server, service, ready, counts, _network: network })
    }
}

/// The route to a server on loopback, as the kernel made it.
const LOOPBACK: &str = "local 127.0.0.1 dev lo table local scope host proto kernel src 127.0.0.1";

/// The route to the others.
fn subnet(interface: &str) -> String {
    format!("10.0.0.0/24 dev {interface} scope link proto kernel src 10.0.0.1")
}

/// Makes CUBIC what connections along a route use, for wrk sets nothing by itself. A namespace may
/// not choose as its default what its host does not allow to all; a route may.
fn use_cubic(network: &Network, route: &str) -> Result<(), String> {
    let words: Vec<&str> = route.split(' ').collect();
    let done = network.ip(&[&["route", "change"], &words[..], &["congctl", "cubic"]].concat());
    done.map(drop).map_err(|e| format!("{e}; CUBIC may need `modprobe tcp_cubic`"))
}

/// Joins the client's namespace and the one that the server has made for itself.
fn link(network: &Network, server: &Guest) -> Result<(), String> {
    let started = Instant::now();
    while !server.output().contains("ready") {
        if started.elapsed() > Duration::from_secs(5) {
            return Err(format!("the server does not start: {}", server.output()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = server.pid().to_string();
    let (near, far) = VETH;
    network.ip(&["link", "add", near, "type", "veth", "peer", "name", far, "netns", &pid])?;
    network.ip(&["link", "set", near, "txqueuelen", "5000"])?;
    network.ip(&["addr", "add", CLIENT, "dev", near])?;
    network.ip(&["link", "set", near, "up"])?;
    use_cubic(network, &subnet(near))
}

/// A peer that answers.
pub struct Running {
    /// Its process.
    pub guest: Guest,
    /// Its address.
    pub server: IpAddr,
    /// What it serves.
    pub service: Service,
    /// From its start to the first connection.
    pub ready: Duration,
    counts: bool,
    _network: Network,
}

impl Running {
    /// Whether it has a tender that counts.
    pub(crate) fn counts(&self) -> bool {
        self.counts
    }
}
