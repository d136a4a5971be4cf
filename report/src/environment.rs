//! Where the numbers come from.

use crate::load::quantile;
use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_string())
}

fn cpu() -> Option<String> {
    let text = read("/proc/cpuinfo")?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().into())
}

fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(testbed::root()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Load averages above this belong to somebody else's work.
const BUSY: f64 = 0.3;

/// The machine as it was before anything was built or measured.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    load: Option<String>,
    others: Vec<String>,
}

impl Before {
    /// Looks for a second at what else runs.
    pub(crate) fn look() -> Before {
        let load = read("/proc/loadavg");
        let before = used();
        std::thread::sleep(Duration::from_secs(1));
        let mut others: Vec<(u64, String)> = used()
            .into_iter()
            .filter_map(|(id, now)| Some((now.checked_sub(*before.get(&id)?)?, id.1)))
            .filter(|(ticks, _)| *ticks >= 2)
            .collect();
        others.sort_by(|a, b| b.cmp(a));
        // A tick is a hundredth of a second.
        let others = others.iter().map(|(ticks, name)| format!("{name} ({ticks} %)")).collect();
        Before { load, others }
    }

    /// What makes the numbers doubtful.
    pub(crate) fn warning(&self) -> Option<String> {
        let load = self.load.as_ref()?.split_whitespace().next()?;
        (load.parse::<f64>().ok()? > BUSY).then(|| {
            format!(
                "the load average was {load} at the start: something else ran on this machine, \
                 and the figures are doubtful"
            )
        })
    }
}

/// Ticks of processor time by process, but for this one.
fn used() -> BTreeMap<(u32, String), u64> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let process = |name: String| {
        let pid: u32 = name.parse().ok().filter(|pid| *pid != std::process::id())?;
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
        let mut ticks = rest.split_whitespace().skip(11).map_while(|t| t.parse::<u64>().ok());
        Some(((pid, name.to_string()), ticks.next()? + ticks.next()?))
    };
    entries.flatten().filter_map(|e| process(e.file_name().into_string().ok()?)).collect()
}

/// Median of the time from the wake-up of a sleeping thread to its running, in microseconds: what
/// idle processors add to whatever blocks.
fn wake_up() -> Option<f64> {
    const TIMES: usize = 100;
    let (wake, woken) = mpsc::sync_channel::<Instant>(0);
    let sleeper = thread::spawn(move || {
        let mut micros: Vec<f64> =
            woken.iter().map(|at| at.elapsed().as_nanos() as f64 / 1e3).collect();
        micros.sort_by(f64::total_cmp);
        quantile(&micros, 0.5)
    });
    for _ in 0..TIMES {
        thread::sleep(Duration::from_millis(2));
        wake.send(Instant::now()).ok()?;
    }
    drop(wake);
    sleeper.join().ok()
}

/// The machine, its system and its load, by name.
pub(crate) fn describe(before: &Before) -> BTreeMap<String, String> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kvm = testbed::kvm().map_or_else(|why| why, |()| "usable".into());
    let others = match before.others.join(", ") {
        none if none.is_empty() => "nothing that used 2 % of a core".into(),
        some => some,
    };
    let wake_up =
        wake_up().map(|us| format!("{us:.0} us (median); nothing keeps idle processors awake"));
    let found = [
        ("Processor", cpu()),
        ("Cores", Some(cores.to_string())),
        ("Kernel", read("/proc/sys/kernel/osrelease")),
        ("/dev/kvm", Some(kvm)),
        ("Load average at the start", before.load.clone()),
        ("Else running at the start", Some(others)),
        ("Wake-up of a sleeping thread", wake_up),
        ("Pinning", Some("none: threads run where the scheduler puts them".into())),
        (
            "Congestion control",
            Some("CUBIC on both sides, set on each socket, and on the route for wrk's".into()),
        ),
        ("Revision", said("git", &["describe", "--always", "--dirty"])),
        ("Compiler", said("rustc", &["--version"])),
        ("Date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
}
