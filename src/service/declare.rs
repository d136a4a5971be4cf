//! Devices by their names: what a service declares is what its `main` gets.

use super::{Args, Env, Outcome};
use crate::{
    Pool,
    block::{Block, Sectors},
    device::Device,
    net::{Net, Publish},
    rt::{Link, Platform, Rt},
    stack::Stack,
};
use alloc::{boxed::Box, format, string::String, vec::Vec};

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network.
    Net,
    /// A block device.
    Block,
}

/// A network's device, as the platform attached it.
pub(crate) struct Attached {
    pub(crate) device: Box<dyn Device>,
    pub(crate) publish: Option<Publish>,
    /// Connections that the memory carries.
    pub(crate) max_connections: usize,
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
    args: &'a Args,
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
        let Attached { device, publish, max_connections } = devices.board.net(name)?;
        let Attaching { rt, args, links, .. } = devices;
        let mut config = args.net(name, links.is_empty())?;
        config.tcp.max_connections = config.tcp.max_connections.min(max_connections);
        let (info, pool) = (device.info().clone(), device.pool().clone());
        devices.pool.get_or_insert(pool.clone());
        let stack = Stack::new(&config, &info, pool, rt.random().bytes(), rt.now());
        let addresses: Vec<String> =
            config.addresses.iter().map(|cidr| format!("{cidr}")).collect();
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

/// Runs a service to its end; its exit status.
pub(crate) fn run<D, F, T>(
    platform: impl Platform,
    board: &mut dyn Board,
    args: Args,
    attach: impl FnOnce(&mut Attaching<'_>) -> Result<D, String>,
    main: impl FnOnce(D, Env) -> F,
) -> i32
where
    F: Future<Output = T> + 'static,
    T: Outcome + 'static,
{
    let rt = Rt::new(platform, args.seed);
    let mut devices =
        Attaching { board, rt: rt.clone(), args: &args, links: Vec::new(), pool: None };
    let attached = match attach(&mut devices) {
        Ok(attached) => attached,
        Err(problem) => {
            log::error!("{problem}");
            return 1;
        }
    };
    let mut links = devices.links;
    let main = main(attached, Env { rt: rt.clone(), args });
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
