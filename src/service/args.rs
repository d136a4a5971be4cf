//! The arguments that every service understands.

use crate::{ip::Cidr, stack};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// The text of `--help`.
pub const HELP: &str = "\
Service arguments:
  --solo5:LEVEL         First only: quiet, error, warn, info (default) or debug
  --ipv4=CIDR           IPv4 address and prefix (default 10.0.0.2/24)
  --ipv4-gateway=IP     Router to other IPv4 networks
  --mtu=N               Largest IP packet, if smaller than the device's
  --ipv4:NAME=CIDR      As --ipv4, for the network device NAME; so for all that end here
  --seed=N              Make every random choice from N: for tests only
  --help                Print this text
  --                    What follows is the service's own";

/// Parsed arguments.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// Addresses and limits of the first network.
    pub stack: stack::Config,
    /// Those of networks by their names.
    named: Vec<(String, stack::Config)>,
    /// A fixed seed.
    pub seed: Option<[u8; 32]>,
    /// What is left for the service: words without dashes, and all behind `--`.
    pub rest: Vec<String>,
    /// The text of `--help` is asked for.
    pub help: bool,
}

impl Args {
    /// Reads the arguments.
    ///
    /// # Errors
    /// A line that says what is wrong with which argument.
    pub fn parse<'a>(args: impl Iterator<Item = &'a str>) -> Result<Args, String> {
        let mut parsed = Args::default();
        let mut args = args.filter(|arg| !arg.is_empty()).enumerate();
        while let Some((i, arg)) = args.next() {
            if arg == "--" {
                parsed.rest.extend(args.map(|(_, arg)| arg.into()));
                break;
            }
            if i == 0 && arg.starts_with("--solo5:") {
                continue;
            }
            let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
            let result = match name.split_once(':') {
                Some((name, net)) => parsed.for_net(net, |args| args.one(arg, name, value)),
                None => parsed.one(arg, name, value),
            };
            result.map_err(|problem| format!("{arg}: {problem}"))?;
        }
        Ok(parsed)
    }

    /// Reads an argument of the network `net`.
    fn for_net(
        &mut self,
        net: &str,
        read: impl FnOnce(&mut Args) -> Result<(), String>,
    ) -> Result<(), String> {
        let at = self.named.iter().position(|(name, _)| name == net).unwrap_or_else(|| {
            self.named.push((net.into(), stack::Config::default()));
            self.named.len() - 1
        });
        core::mem::swap(&mut self.stack, &mut self.named[at].1);
        let result = read(self);
        core::mem::swap(&mut self.stack, &mut self.named[at].1);
        result
    }

    /// What the network `name` is configured with; the first one may go without its name.
    ///
    /// # Errors
    /// A line that says which argument is missing.
    pub(crate) fn net(&self, name: &str, first: bool) -> Result<stack::Config, String> {
        match self.named.iter().find(|(named, _)| named == name) {
            Some((_, config)) => Ok(config.clone()),
            None if first => Ok(self.stack.clone()),
            None => Err(format!("the network {name} has no address; add --ipv4:{name}=CIDR")),
        }
    }

    /// The first name in an argument that is none of `nets`.
    pub(crate) fn unknown_net(&self, nets: &[&str]) -> Option<&str> {
        self.named.iter().map(|(name, _)| name.as_str()).find(|name| !nets.contains(name))
    }

    fn one(&mut self, arg: &str, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--ipv4" => {
                let cidr: Cidr = value.parse().map_err(ToString::to_string)?;
                if !cidr.address.is_ipv4() {
                    return Err("expected an IPv4 address".into());
                }
                self.stack.addresses.retain(|cidr| !cidr.address.is_ipv4());
                self.stack.addresses.push(cidr);
            }
            "--ipv4-gateway" => {
                let gateway = value.parse().map_err(|_| "expected an IPv4 address".to_string());
                self.stack.gateway4 = Some(gateway?);
            }
            "--mtu" => {
                let mtu = value.parse().ok().filter(|mtu| (576..=9216).contains(mtu));
                self.stack.mtu = Some(mtu.ok_or("expected a number from 576 to 9216")?);
            }
            "--seed" => {
                let seed: u64 = value.parse().map_err(|_| "expected a number".to_string())?;
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&seed.to_le_bytes());
                self.seed = Some(bytes);
            }
            "--help" => self.help = true,
            _ if arg.starts_with('-') => return Err("no such argument".into()),
            _ => self.rest.push(arg.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_arguments_are_taken_and_others_left() {
        let args = [
            "--solo5:debug",
            "--ipv4=192.168.1.9/16",
            "--mtu=1400",
            "--seed=7",
            "x",
            "--",
            "--own",
        ];
        let args = Args::parse(args.into_iter()).unwrap();
        assert_eq!(args.stack.addresses[0].to_string(), "192.168.1.9/16");
        assert_eq!(args.stack.mtu, Some(1400));
        assert_eq!(args.rest, ["x", "--own"]);
    }

    #[test]
    fn each_network_has_its_own_addresses() {
        let args = ["--ipv4=10.0.0.5/24", "--ipv4:back=10.1.0.2/16", "--mtu:back=1400"];
        let args = Args::parse(args.into_iter()).unwrap();
        assert_eq!(args.net("front", true).unwrap().addresses[0].to_string(), "10.0.0.5/24");
        let back = args.net("back", false).unwrap();
        assert_eq!((back.addresses[0].to_string().as_str(), back.mtu), ("10.1.0.2/16", Some(1400)));
        assert!(args.net("third", false).unwrap_err().contains("--ipv4:third="));
        assert_eq!(args.unknown_net(&["front"]), Some("back"));
    }

    #[test]
    fn a_wrong_value_is_named() {
        for bad in [
            "--ipv4=10.0.0.2",
            "--ipv4=fd00::1/64",
            "--mtu=9",
            "--seed=x",
            "--ipv4-gateway=y",
            "--ipv4-gatway=1.2.3.4",
            "--ipv4:back=x",
            "--tap:back=x",
        ] {
            assert!(Args::parse([bad].into_iter()).unwrap_err().starts_with(bad));
        }
    }
}
