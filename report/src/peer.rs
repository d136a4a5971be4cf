//! The peers: servers of several kinds, each in network namespaces of its own.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::{Duration, Instant},
};
use testbed::{Guest, Network};

const TAP: &str = "tap0";
const CLIENT: &str = "10.0.0.1/24";
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Interface of the client, and that of the server in a namespace of its own.
pub(crate) const VETH: (&str, &str) = ("veth0", "veth1");

enum Kind {
    Host { args: &'static [&'static str], veth: bool },
    Smoltcp(&'static [&'static str]),
    Process,
    Guest(&'static [&'static str]),
}

/// A server to compare.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// What it is, for the page.
    pub(crate) about: &'static str,
    /// Its server polls and never sleeps.
    pub(crate) spins: bool,
    kind: Kind,
}

const fn peer(name: &'static str, about: &'static str, spins: bool, kind: Kind) -> Peer {
    Peer { name, about, spins, kind }
}

/// All peers, in the order in which they take turns.
pub(crate) const ALL: &[Peer] = &[
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

/// The programs that the peers need.
pub(crate) struct Programs {
    tender: Option<(PathBuf, PathBuf)>,
    process: Option<PathBuf>,
}

impl Programs {
    /// Builds what `peers` need.
    ///
    /// # Errors
    /// What cargo said.
    pub(crate) fn build(peers: &[&Peer]) -> Result<Programs, String> {
        let guests = peers.iter().any(|p| matches!(p.kind, Kind::Guest(_)));
        let process = peers.iter().any(|p| matches!(p.kind, Kind::Process));
        Ok(Programs {
            tender: if guests {
                Some((testbed::tender()?, testbed::image("inetd")?))
            } else {
                None
            },
            process: if process { Some(testbed::example("inetd")?) } else { None },
        })
    }
}

impl Peer {
    /// Whether it needs a virtual machine.
    pub(crate) fn is_guest(&self) -> bool {
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
    pub(crate) fn start(&self, programs: &Programs) -> Result<Running, String> {
        let network = Network::enter()?;
        let exe = std::env::current_exe().map_err(|e| format!("this program: {e}"))?;
        let mut server = SERVER;
        let started = Instant::now();
        let mut guest = match &self.kind {
            Kind::Host { args, veth } => {
                let guest = Guest::process(&exe, args)?;
                if *veth {
                    link(&network, &guest)?;
                } else {
                    server = Ipv4Addr::LOCALHOST.into();
                }
                guest
            }
            Kind::Smoltcp(args) => {
                network.tap(TAP, CLIENT)?;
                Guest::process(&exe, args)?
            }
            Kind::Process => {
                network.tap(TAP, CLIENT)?;
                let program = programs.process.as_ref().ok_or("the example was not built")?;
                Guest::process(program, &["--tap=tap0"])?
            }
            Kind::Guest(options) => {
                network.tap(TAP, CLIENT)?;
                let (tender, image) = programs.tender.as_ref().ok_or("no tender was built")?;
                let options = [&["--mem=128", "--net:service=tap0"], *options].concat();
                Guest::boot(tender, &options, image, &[])?
            }
        };
        guest.wait_for((server, crate::serve::ECHO).into())?;
        Ok(Running { guest, server, _network: network, ready: started.elapsed() })
    }
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
    network.ip(&["link", "set", near, "up"]).map(drop)
}

/// A peer that answers.
pub(crate) struct Running {
    pub(crate) guest: Guest,
    pub(crate) server: IpAddr,
    /// From its start to the first connection.
    pub(crate) ready: Duration,
    _network: Network,
}
