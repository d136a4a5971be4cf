//! dnsmasq on the host's side.

use std::path::Path;
use testbed::Guest;

/// A running dnsmasq.
pub struct Dnsmasq {
    process: Guest,
    leases: tempfile::Leases,
}

impl Dnsmasq {
    /// Starts it at 10.0.0.1, with a zone `test` and these options beside.
    pub fn start(options: &[&str]) -> Dnsmasq {
        let leases = tempfile::Leases::new();
        let file = format!("--dhcp-leasefile={}", leases.0.display());
        let usual = [
            "--keep-in-foreground",
            "--log-facility=-",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            "--interface=tap0",
            "--bind-interfaces",
            "--no-resolv",
            "--no-hosts",
            "--no-ping",
            "--log-dhcp",
            "--log-queries",
            "--dhcp-authoritative",
            "--local=/test/",
            "--local=/10.in-addr.arpa/",
            &file,
        ];
        let program = Path::new("dnsmasq");
        let process = Guest::process(program, &[&usual[..], options].concat()).unwrap();
        process.wait_for_output("started").unwrap();
        Dnsmasq { process, leases }
    }

    /// Waits until a lease was given back, and no other is left.
    pub fn released(&self) {
        self.process.wait_for_output("DHCPRELEASE(tap0)").unwrap();
        let started = std::time::Instant::now();
        while !self.leased().is_empty() {
            assert!(started.elapsed() < testbed::PATIENCE, "{}", self.leased());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// The addresses that are leased, as it has written them down.
    pub fn leased(&self) -> String {
        std::fs::read_to_string(&self.leases.0).unwrap_or_default()
    }
}

mod tempfile {
    use std::{
        path::PathBuf,
        sync::atomic::{AtomicU32, Ordering},
    };

    static COUNT: AtomicU32 = AtomicU32::new(0);

    /// The file of leases; removed in the end.
    pub struct Leases(pub PathBuf);

    impl Leases {
        pub fn new() -> Leases {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("zerohop-leases-{}-{n}", std::process::id());
            Leases(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Leases {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}
