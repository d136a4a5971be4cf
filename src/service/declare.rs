//! Devices by their names: what a service declares is what its `main` gets.

use super::{Args, Env, Outcome};
use crate::{
    Pool,
    block::{Block, Sectors},
    device,
    net::{Net, Publish},
    rt::{Link, Platform, Rt},
    stack::Stack,
    time::Duration,
};
use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// How long a service waits for an address before it starts without.
const START: Duration = Duration::from_secs(11);

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network.
    Net,
    /// A block device.
    Block,
}

impl Kind {
    /// As it is written in a service's declaration.
    const fn name(self) -> &'static str {
        match self {
            Kind::Net => "Net",
            Kind::Block => "Block",
        }
    }
}

/// Bytes of a device's name, at most, as Solo5 has it.
const MAX_NAME: usize = 67;

/// A device that a service declares: its name and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

impl Device {
    #[doc(hidden)]
    pub const fn new(name: &'static str, kind: Kind) -> Device {
        let bytes = name.as_bytes();
        assert!(bytes.len() <= MAX_NAME, "a device's name has at most 67 characters: shorten it");
        let mut i = 0;
        while i < bytes.len() {
            // What Solo5's tenders take.
            assert!(
                bytes[i].is_ascii_alphanumeric(),
                "a device's name has only letters and digits, as in `backend`: rename it"
            );
            i += 1;
        }
        Device { name, kind }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}: {}`", self.name, self.kind.name())
    }
}

/// Refuses a device of the command line's that the service does not declare.
pub(crate) fn undeclared(declared: &[Device], name: &str, kind: Kind) -> Result<(), String> {
    if declared.iter().any(|device| device.name == name && device.kind == kind) {
        return Ok(());
    }
    let known: Vec<String> = declared.iter().map(Device::to_string).collect();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    let kind = kind.name();
    Err(format!(
        "the service declares no device `{name}: {kind}`; it declares {known}. \
         Correct the name, or add `{name}: {kind}` in `service!`"
    ))
}

/// A network's device, as the platform attached it.
pub(crate) struct Attached {
    pub(crate) device: Box<dyn device::Device>,
    pub(crate) publish: Option<Publish>,
    /// Bytes of heap that are the network's.
    pub(crate) heap: usize,
}

/// Where devices come from.
pub(crate) trait Board {
    fn net(&mut self, name: &str) -> Result<Attached, String>;

    fn block(&mut self, name: &str) -> Result<Box<dyn Sectors>, String>;
}

/// The devices of a service while they are being attached.
#[doc(hidden)]
pub struct Attaching<'a> {
    board: &'a mut dyn Board,
    rt: Rt,
    args: &'a mut Args,
    links: Vec<Link>,
    pool: Option<Pool>,
}

/// What can be declared as a device: [`Net`] and [`Block`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no device that a service can declare",
    note = "declare each device as `name: Net` or `name: Block`"
)]
pub trait Declared: Sized {
    /// The kind of device behind it.
    #[doc(hidden)]
    const KIND: Kind;

    #[doc(hidden)]
    fn attach(name: &str, devices: &mut Attaching<'_>) -> Result<Self, String>;
}

impl Declared for Net {
    const KIND: Kind = Kind::Net;

    fn attach(name: &str, devices: &mut Attaching<'_>) -> Result<Net, String> {
        let Attached { device, publish, heap } = devices.board.net(name)?;
        let Attaching { rt, args, links, .. } = devices;
        let mut config = args.net(name, links.is_empty())?;
        config.tcp = config.tcp.bounded_by_heap(heap);
        let (info, pool) = (device.info().clone(), device.pool().clone());
        devices.pool.get_or_insert(pool.clone());
        let stack = Stack::new(&config, &info, pool, rt.random().bytes(), rt.now());
        let mut addresses: Vec<String> =
            config.addresses.iter().map(|cidr| format!("{cidr}")).collect();
        if config.dhcp {
            addresses.insert(0, "DHCP".into());
        }
        log::info!("{name}: {} on {} by {}", addresses.join(" "), info.mac, info.io_mode);
        let net = Net::new(rt.clone(), stack, &info, publish);
        links.push(Link { device, net: net.clone() });
        Ok(net)
    }
}

impl Declared for Block {
    const KIND: Kind = Kind::Block;

    fn attach(name: &str, devices: &mut Attaching<'_>) -> Result<Block, String> {
        let sectors = devices.board.block(name)?;
        let block = Block::new(sectors, devices.rt.clone(), devices.pool.clone());
        log::info!("{name}: {} sectors of {} bytes", block.sectors(), block.sector_size());
        Ok(block)
    }
}

/// Waits until each network has an address. A service starts without one when no DHCP server or
/// router answers: it may have other networks or families, and gets the address when one does.
async fn start(rt: Rt, nets: Vec<Net>) {
    let all = async {
        for net in &nets {
            net.configured().await;
        }
    };
    if rt.timeout(START, all).await.is_none() {
        log::warn!("no DHCP server or router has answered; the service starts without an address");
    }
}

/// Runs a service to its end; its exit status.
pub(crate) fn run<D, F, T>(
    platform: impl Platform,
    board: &mut dyn Board,
    mut args: Args,
    attach: impl FnOnce(&mut Attaching<'_>) -> Result<D, String>,
    main: impl FnOnce(D, Env) -> F,
) -> i32
where
    F: Future<Output = T> + 'static,
    T: Outcome + 'static,
{
    let rt = Rt::new(platform, args.seed);
    let mut devices =
        Attaching { board, rt: rt.clone(), args: &mut args, links: Vec::new(), pool: None };
    let attached = match attach(&mut devices) {
        Ok(attached) => attached,
        Err(problem) => {
            log::error!("{problem}");
            return 1;
        }
    };
    let mut links = devices.links;
    let nets: Vec<Net> = links.iter().map(|link| link.net.clone()).collect();
    let ready = start(rt.clone(), nets);
    let main = main(attached, Env { rt: rt.clone(), args });
    let main = async move {
        ready.await;
        main.await
    };
    let (outcome, left) = rt.run(&mut links, main);
    for link in &links {
        link.net.publish_stats(link.device.stats());
    }
    let status = outcome.status();
    if left.is_empty() {
        return status;
    }
    log::error!(
        "the service returned while these were alive: {}; stop, drop or await them first",
        left.join(", ")
    );
    if status == 0 { 1 } else { status }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    struct Still;

    impl Platform for Still {
        fn now(&self) -> Instant {
            Instant::from_nanos(1_000_000_000)
        }

        fn wall_clock(&self) -> u64 {
            0
        }

        fn entropy(&self) -> [u8; 32] {
            [0; 32]
        }

        fn idle(&self, _: Option<Instant>) {}
    }

    struct Bare;

    impl Board for Bare {
        fn net(&mut self, name: &str) -> Result<Attached, String> {
            Err(format!("no network {name}"))
        }

        fn block(&mut self, name: &str) -> Result<Box<dyn Sectors>, String> {
            Err(format!("no block device {name}"))
        }
    }

    fn status<T: Outcome + 'static>(main: impl AsyncFnOnce((), Env) -> T + 'static) -> i32 {
        let main = |(), env| async move { main((), env).await };
        run(Still, &mut Bare, Args::default(), |_| Ok(()), main)
    }

    #[test]
    fn the_exit_status_tells_success_from_failure() {
        assert_eq!(status(async |(), _| ()), 0);
        assert_eq!(status(async |(), _| Err::<(), _>("no")), 1);
        let missing = |devices: &mut Attaching<'_>| Net::attach("service", devices);
        assert_eq!(run(Still, &mut Bare, Args::default(), missing, async |_, _| ()), 1);
    }
}
