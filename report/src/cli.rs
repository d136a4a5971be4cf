//! The command line.

use crate::{loss, peer, runner, serve};
use clap::{Parser, Subcommand};
use std::{process::ExitCode, time::Duration};
use testbed::Network;

#[derive(Parser)]
#[command(
    version,
    bin_name = "cargo bench-report",
    about = "Compare zerohop with its peers end to end",
    after_help = runner::about()
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: runner::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Serve as a peer (the report starts these by itself)
    #[command(subcommand)]
    Serve(Server),
    /// Write the page again from results.json
    Page,
    /// Goodput over a path that loses frames, beside Linux's through the same relay
    Loss(loss::Options),
}

#[derive(Subcommand)]
enum Server {
    /// Host sockets
    Host {
        /// In a network namespace of its own, on a veth that the client makes
        #[arg(long)]
        veth: bool,
        /// On one thread that never sleeps
        #[arg(long)]
        spin: bool,
    },
    /// smoltcp on a tap
    Smoltcp {
        tap: String,
        /// Never sleep
        #[arg(long)]
        spin: bool,
    },
}

fn serve(server: &Server) -> Result<(), String> {
    match server {
        Server::Host { veth, spin } => {
            if *veth {
                take_veth()?;
            }
            if *spin { serve::host::spinning() } else { serve::host::blocking() }
        }
        Server::Smoltcp { tap, spin } => serve::smoltcp::serve(tap, *spin),
    }
}

/// Moves into a namespace and waits for the interface that the client puts there.
fn take_veth() -> Result<(), String> {
    let network = Network::enter()?;
    println!("ready");
    let (_, name) = peer::VETH;
    for _ in 0..500 {
        if network.ip(&["link", "set", name, "txqueuelen", "5000"]).is_ok() {
            network.ip(&["addr", "add", "10.0.0.2/24", "dev", name])?;
            return network.ip(&["link", "set", name, "up"]).map(drop);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(format!("nobody made {name}"))
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Serve(server)) => serve(server),
        Some(Command::Page) => runner::page(),
        Some(Command::Loss(options)) => loss::run(options),
        None => runner::run(&cli.run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
