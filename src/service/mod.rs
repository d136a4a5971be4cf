//! Services: what an image or a process is made from. [`service!`](crate::service!) declares its
//! devices and its `main`; everything else follows from that.
#![forbid(unsafe_code)]

mod args;

pub use args::{Args, HELP};

use crate::{
    Pool,
    device::Device,
    net::{Net, Publish},
    rt::{Platform, Rt},
    stack::Stack,
};
use alloc::string::String;
use core::fmt::{Debug, Display};

/// What a service gets beside its devices.
#[derive(Clone)]
pub struct Env {
    rt: Rt,
    args: Args,
}

impl Env {
    /// The runtime: time, tasks and random seeds.
    pub fn rt(&self) -> &Rt {
        &self.rt
    }

    /// Arguments that the runtime does not know, in order: the service's own.
    pub fn args(&self) -> impl Iterator<Item = &str> {
        self.args.rest.iter().map(String::as_str)
    }
}

/// Runs a service on its device to its end; its exit status.
#[doc(hidden)]
pub fn run<D, F, T>(
    platform: impl Platform,
    mut device: D,
    publish: Option<Publish>,
    args: Args,
    main: impl FnOnce(Net, Env) -> F,
) -> i32
where
    D: Device,
    F: Future<Output = T> + 'static,
    T: Outcome + 'static,
{
    let rt = Rt::new(platform);
    let pool: Pool = device.pool().clone();
    let seed = args.seed.unwrap_or_else(|| rt.entropy());
    let info = device.info().clone();
    let stack = Stack::new(&args.stack, &info, pool, seed, rt.now());
    let addresses: alloc::vec::Vec<String> =
        args.stack.addresses.iter().map(|cidr| alloc::format!("{cidr}")).collect();
    log::info!("{} on {} by {}", addresses.join(" "), info.mac, info.io_mode);
    let net = Net::new(rt.clone(), stack, &info, publish);
    let env = Env { rt: rt.clone(), args };
    let main = main(net.clone(), env);
    let outcome = rt.run(&mut device, &net, main);
    net.publish_stats(device.stats());
    outcome.status()
}

/// What a service's `main` may return.
pub trait Outcome {
    /// The exit status; an error is logged.
    fn status(self) -> i32;
}

impl Outcome for () {
    fn status(self) -> i32 {
        0
    }
}

impl<E: Display + Debug> Outcome for Result<(), E> {
    fn status(self) -> i32 {
        match self {
            Ok(()) => 0,
            Err(error) => {
                log::error!("the service failed: {error}");
                1
            }
        }
    }
}

/// The level that a leading `--solo5:LEVEL` sets.
pub(crate) fn log_level<'a>(mut args: impl Iterator<Item = &'a str>) -> log::LevelFilter {
    use log::LevelFilter as L;
    match args.next().and_then(|first| first.strip_prefix("--solo5:")) {
        Some("quiet") => L::Off,
        Some("error") => L::Error,
        Some("warn") => L::Warn,
        Some("debug") => L::Debug,
        _ => L::Info,
    }
}
