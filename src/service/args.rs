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
  --ipv4=CIDR|none      IPv4 address and prefix (default 10.0.0.2/24), or no IPv4
  --ipv4-gateway=IP     Router to other IPv4 networks
  --dhcp                IPv4 address, router and name servers from a DHCP server; the service
                        starts when it has them, or after 11 s; with --ipv4 too, that address
                        is used when no server answers within 10 s
  --ipv6=CIDR|slaac|none
                        IPv6 address and prefix, or addresses as routers advertise them (default),
                        or no IPv6; several may be given
  --ipv6-gateway=IP     Router to other IPv6 networks, beside those that advertise themselves
  --dns=IP[,IP..]       Name servers, asked before those that DHCP and routers tell of
  --congestion=NAME     Congestion control of TCP: cubic (default), reno or bbr
  --mtu=N               Largest IP packet, if smaller than the device's
  --ipv4:NAME=CIDR      As --ipv4, for the network device NAME; so for all above
  --seed=N              Make every random choice from N: for tests only
  --help                Print this text
  --                    What follows is the service's own";

/// Parsed arguments.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// Addresses and limits of the first network.
    pub stack: stack::Config,
    /// What was said of the first network.
    said: Said,
    /// Those of networks by their names.
    named: Vec<(String, stack::Config, Said)>,
    /// A fixed seed.
    pub seed: Option<[u8; 32]>,
    /// What is left for the service: words without dashes, and all behind `--`.
    pub rest: Vec<String>,
    /// The text of `--help` is asked for.
    pub help: bool,
}

/// Which defaults of a network have been replaced.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    ipv4: bool,
    ipv6: bool,
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
        let all = parsed.named.iter_mut().map(|(_, config, said)| (config, said));
        for (config, said) in all.chain([(&mut parsed.stack, &mut parsed.said)]) {
            if config.dhcp && !said.ipv4 {
                config.addresses.retain(|cidr| !cidr.address.is_ipv4());
            }
        }
        Ok(parsed)
    }

    /// Reads an argument of the network `net`.
    fn for_net(
        &mut self,
        net: &str,
        read: impl FnOnce(&mut Args) -> Result<(), String>,
    ) -> Result<(), String> {
        let at = self.named.iter().position(|(name, ..)| name == net).unwrap_or_else(|| {
            self.named.push((net.into(), stack::Config::default(), Said::default()));
            self.named.len() - 1
        });
        let swap = |args: &mut Args| {
            core::mem::swap(&mut args.stack, &mut args.named[at].1);
            core::mem::swap(&mut args.said, &mut args.named[at].2);
        };
        swap(self);
        let result = read(self);
        swap(self);
        result
    }

    /// Takes what the network `name` is configured with; the first one may go without its name.
    ///
    /// # Errors
    /// A line that says which argument is missing.
    pub(crate) fn net(&mut self, name: &str, first: bool) -> Result<stack::Config, String> {
        match self.named.iter_mut().find(|(named, ..)| named == name) {
            Some((_, config, _)) => Ok(core::mem::take(config)),
            None if first => Ok(core::mem::take(&mut self.stack)),
            None => Err(format!("the network {name} has no address; add --ipv4:{name}=CIDR")),
        }
    }

    /// The first name in an argument that is none of `nets`.
    pub(crate) fn unknown_net(&self, nets: &[&str]) -> Option<&str> {
        self.named.iter().map(|(name, ..)| name.as_str()).find(|name| !nets.contains(name))
    }

    fn ipv4(&mut self, value: &str) -> Result<(), String> {
        // The first replaces the default.
        if !core::mem::replace(&mut self.said.ipv4, true) || value == "none" {
            self.stack.addresses.retain(|cidr| !cidr.address.is_ipv4());
        }
        if value != "none" {
            let cidr: Cidr = value.parse().map_err(ToString::to_string)?;
            if !cidr.address.is_ipv4() {
                return Err("expected an IPv4 address".into());
            }
            self.stack.addresses.push(cidr);
        }
        Ok(())
    }

    fn ipv6(&mut self, value: &str) -> Result<(), String> {
        if !core::mem::replace(&mut self.said.ipv6, true) {
            self.stack.ipv6.autoconf = false;
        }
        match value {
            "none" => {
                self.stack.ipv6.enabled = false;
                self.stack.addresses.retain(|cidr| cidr.address.is_ipv4());
            }
            "slaac" => self.stack.ipv6.autoconf = true,
            value => {
                let cidr: Cidr = value.parse().map_err(ToString::to_string)?;
                if cidr.address.is_ipv4() {
                    return Err("expected an IPv6 address, `slaac` or `none`".into());
                }
                self.stack.addresses.push(cidr);
            }
        }
        Ok(())
    }

    fn one(&mut self, arg: &str, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--ipv4" => self.ipv4(value)?,
            "--ipv6" => self.ipv6(value)?,
            "--ipv4-gateway" => {
                let gateway = value.parse().map_err(|_| "expected an IPv4 address".to_string());
                self.stack.gateway4 = Some(gateway?);
            }
            "--ipv6-gateway" => {
                let gateway = value.parse().map_err(|_| "expected an IPv6 address".to_string());
                self.stack.gateway6 = Some(gateway?);
            }
            "--dhcp" if value.is_empty() => self.stack.dhcp = true,
            "--dhcp" => return Err("takes no value".into()),
            "--dns" => {
                for server in value.split(',') {
                    let server = server.parse().map_err(|_| "expected addresses of servers");
                    self.stack.dns.push(server?);
                }
            }
            "--congestion" => {
                self.stack.tcp.options.congestion = value.parse()?;
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

    fn config(args: &[&str]) -> stack::Config {
        Args::parse(args.iter().copied()).unwrap().stack
    }

    fn addresses(args: &[&str]) -> Vec<String> {
        config(args).addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dhcp_takes_the_place_of_the_default_address_but_not_of_a_given_one() {
        assert_eq!(addresses(&[]), ["10.0.0.2/24"]);
        assert_eq!(addresses(&["--dhcp"]), [""; 0]);
        assert_eq!(addresses(&["--dhcp", "--ipv4=10.9.0.2/16"]), ["10.9.0.2/16"]);
        assert_eq!(addresses(&["--ipv4=none"]), [""; 0]);
        assert!(config(&["--dhcp"]).dhcp);
        let mut args = Args::parse(["--dhcp:back"].into_iter()).unwrap();
        let back = args.net("back", false).unwrap();
        assert!(!args.stack.dhcp && back.dhcp);
        assert_eq!(back.addresses, []);
    }

    #[test]
    fn ipv6_is_automatic_static_both_or_off() {
        let how = |args: &[&str]| {
            let config = config(args);
            (config.ipv6.enabled, config.ipv6.autoconf, config.addresses.len())
        };
        assert_eq!(how(&[]), (true, true, 1));
        assert_eq!(how(&["--ipv6=fd00::2/64"]), (true, false, 2));
        assert_eq!(how(&["--ipv6=fd00::2/64", "--ipv6=slaac"]), (true, true, 2));
        assert_eq!(how(&["--ipv6=none"]), (false, false, 1));
        let gateway = config(&["--ipv6-gateway=fe80::1"]).gateway6;
        assert_eq!(gateway, Some("fe80::1".parse().unwrap()));
    }

    #[test]
    fn name_servers_are_kept_in_their_order() {
        let servers = config(&["--dns=10.0.0.1,fd00::1", "--dns=10.0.0.3"]).dns;
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1", "fd00::1", "10.0.0.3"]);
    }

    #[test]
    fn each_network_has_its_own_addresses() {
        let args = ["--ipv4=10.0.0.5/24", "--ipv4:back=10.1.0.2/16", "--mtu:back=1400"];
        let mut args = Args::parse(args.into_iter()).unwrap();
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
            "--ipv6=10.0.0.2/24",
            "--ipv6=fd00::1",
            "--ipv6-gateway=10.0.0.1",
            "--dhcp=yes",
            "--dns=",
            "--dns=one.one",
            "--tap:back=x",
        ] {
            assert!(Args::parse([bad].into_iter()).unwrap_err().starts_with(bad));
        }
    }
}
