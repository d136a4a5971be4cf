//! The command as somebody uses it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use testbed::need;

fn report(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_report"));
    command.args(args).stdout(Stdio::null());
    command
}

#[test]
fn what_cannot_be_chosen_is_named_with_what_can() {
    for (args, words) in [
        (["--only=tcp,foo"], ["begins with `foo`", "bulk-in"]),
        (["--peers=rings,foo"], ["no peer `foo`", "host-veth"]),
        (["--rounds=0"], ["--rounds", "1..=1000"]),
        (["--seconds=x"], ["--seconds", "0.01 to 600"]),
        (["--nonsense"], ["--nonsense", "cargo bench-report"]),
    ] {
        let output = report(&args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && words.iter().all(|word| said.contains(word)), "{said}");
    }
}

/// The processes that threads of `pid` have started and that still run.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
    let all: Vec<String> = threads.filter_map(of).collect();
    all.iter().flat_map(|ids| ids.split_whitespace()).map(|id| id.parse().unwrap()).collect()
}

fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn no_server_outlives_a_report_that_is_killed() {
    need!(testbed::taps());
    let options = ["--peers=smoltcp", "--only=bulk-in", "--rounds=1", "--seconds=30"];
    let mut command = report(&options).stderr(Stdio::null()).spawn().unwrap();
    let serves = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("serve\0smoltcp")
    };
    let mut servers = Vec::new();
    let started = within(Duration::from_secs(30), || {
        servers = children(command.id()).into_iter().filter(serves).collect();
        !servers.is_empty()
    });
    command.kill().unwrap();
    command.wait().unwrap();
    assert!(started, "no server was started");
    let gone = |id: &u32| !Path::new(&format!("/proc/{id}")).exists() || !serves(id);
    assert!(within(Duration::from_secs(5), || servers.iter().all(gone)), "{servers:?} still run");
}
