//! Runs the workloads: every peer in turn, round after round.

use crate::{
    environment::{self, Before},
    page,
    peer::{self, Peer, Programs, Running},
    results::{Results, Sample},
    targets,
    workload::{self, Workload},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{path::PathBuf, thread, time::Duration};
use testbed::Network;

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Rounds in which every peer has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of each workload
    #[arg(long, default_value_t = 0.4, value_parser = seconds)]
    seconds: f64,
    /// Only these peers, separated by commas
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Only workloads whose names begin so, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One short round: does everything run?
    #[arg(long)]
    quick: bool,
    /// Keep the samples of the last run and add to them
    #[arg(long)]
    append: bool,
}

fn add(list: &mut Vec<String>, what: String) {
    if !list.contains(&what) {
        list.push(what);
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.01..=600.0).contains(seconds));
    seconds.ok_or_else(|| "it takes a number from 0.01 to 600".into())
}

fn folder() -> PathBuf {
    testbed::root().join("target/bench-report")
}

fn peer_names() -> String {
    peer::ALL.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ")
}

fn workload_names() -> String {
    workload::all().into_iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ")
}

/// What stands below the options in the help.
pub(crate) fn about() -> String {
    format!(
        "Peers: {}\n\nWorkloads: {}\n\nA run of all takes about 20 minutes, with --quick 3. It \
         writes index.html, results.json and ratios.md into\n{}.",
        peer_names(),
        workload_names(),
        folder().display()
    )
}

fn chosen_peers(options: &Options) -> Result<(Vec<&'static Peer>, Vec<String>), String> {
    if let Some(unknown) =
        options.peers.iter().find(|name| !peer::ALL.iter().any(|peer| peer.name == *name))
    {
        return Err(format!("no peer `{unknown}`; there are {}", peer_names()));
    }
    let mut skipped = Vec::new();
    let kvm = testbed::kvm();
    let chosen = peer::ALL.iter().filter(|peer| {
        let named = options.peers.is_empty() || options.peers.iter().any(|n| n == peer.name);
        match &kvm {
            Err(why) if named && peer.is_guest() => {
                skipped.push(format!("{}: skipped, {why}", peer.name));
                false
            }
            _ => named,
        }
    });
    let chosen = chosen.collect();
    Ok((chosen, skipped))
}

fn chosen_workloads(options: &Options, skipped: &mut Vec<String>) -> Result<Vec<Workload>, String> {
    let mut all = workload::all();
    let begins = |w: &Workload, chosen: &String| w.name.starts_with(chosen);
    if let Some(none) = options.only.iter().find(|o| !all.iter().any(|w| begins(w, o))) {
        return Err(format!("no workload begins with `{none}`; there are {}", workload_names()));
    }
    all.retain(|w| options.only.is_empty() || options.only.iter().any(|o| begins(w, o)));
    all.retain(|workload| match workload.program().map(testbed::tool) {
        Some(Err(why)) => {
            skipped.push(format!("{}: skipped, {why}", workload.name));
            false
        }
        _ => true,
    });
    Ok(all)
}

/// Measures and writes the page.
///
/// # Errors
/// What is missing here.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let (peers, mut skipped) = chosen_peers(options)?;
    let workloads = chosen_workloads(options, &mut skipped)?;
    skipped.iter().for_each(|what| println!("{what}"));
    if peers.is_empty() || workloads.is_empty() {
        return Err("nothing is left to measure; the last results stay as they are".into());
    }
    let (rounds, seconds) =
        if options.quick { (1, 0.05) } else { (options.rounds, options.seconds) };
    let mut results = match options.append {
        true => last()?,
        false => Results::default(),
    };
    let before = Before::look();
    let quick = "one short round (--quick): it shows that everything runs, not how fast";
    let warnings = before.warning().into_iter().chain(options.quick.then(|| quick.into()));
    // Rounds that are kept keep what was said about them.
    for warning in warnings {
        println!("warning: {warning}");
        add(&mut results.warnings, warning);
    }
    skipped.into_iter().for_each(|what| add(&mut results.skipped, what));
    writable()?;
    println!("building ...");
    let server = std::env::current_exe().map_err(|e| format!("this program: {e}"))?;
    let programs = Programs::build(&peers, &server)?;
    let _network = Network::enter_as_anyone()?;
    testbed::taps()?;
    results.environment = environment::describe(&before);
    let seconds = Duration::from_secs_f64(seconds);
    // Whoever ends a long run keeps the rounds that were over.
    let mut saved = Ok(());
    turns(&mut results, &peers, &workloads, &programs, rounds, seconds, &mut |results| {
        saved = save(results);
    });
    saved?;
    write(results)
}

/// Lets every peer run all workloads in turn, round after round, adds what came out, and calls
/// `over` at the end of each.
pub fn turns(
    results: &mut Results,
    peers: &[&'static Peer],
    workloads: &[Workload],
    programs: &Programs,
    rounds: u32,
    time: Duration,
    over: &mut dyn FnMut(&mut Results),
) {
    let first = results.next_round();
    let bar = ProgressBar::new(u64::from(rounds) * (peers.len() * workloads.len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    for round in first..first + rounds {
        for peer in peers {
            if bar.is_hidden() {
                eprintln!("round {} of {rounds}: {}", round - first + 1, peer.name);
            }
            let job = Job { peer, programs, workloads, bar: &bar };
            results.samples.extend(job.turn(round, time));
        }
        over(results);
    }
    bar.finish_and_clear();
}

/// Writes the page from the numbers of the last run.
///
/// # Errors
/// When there are none.
pub(crate) fn page() -> Result<(), String> {
    write(last()?)
}

fn last() -> Result<Results, String> {
    let what = "run `cargo bench-report` without `--append` to measure anew";
    Results::read(&folder().join("results.json")).map_err(|e| format!("{e}; {what}"))
}

/// Whether the page can be written, before anybody waits for it.
fn writable() -> Result<(), String> {
    let (folder, probe) = (folder(), folder().join("writable"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&probe, ""))
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|e| format!("{}: {e}", folder.display()))
}

fn save(results: &mut Results) -> Result<(), String> {
    results.targets = targets::judge(results);
    let folder = folder();
    let failed = |e| format!("{}: {e}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let json = serde_json::to_string_pretty(results).map_err(|e| e.to_string())?;
    std::fs::write(folder.join("results.json"), json).map_err(failed)?;
    std::fs::write(folder.join("index.html"), page::html(results)).map_err(failed)?;
    std::fs::write(folder.join("ratios.md"), page::markdown(results)).map_err(failed)
}

fn write(mut results: Results) -> Result<(), String> {
    save(&mut results)?;
    print!("{}", page::markdown(&results));
    println!("\n{}", folder().join("index.html").display());
    Ok(())
}

/// A turn of one peer.
struct Job<'a> {
    peer: &'a Peer,
    programs: &'a Programs,
    workloads: &'a [Workload],
    bar: &'a ProgressBar,
}

impl Job<'_> {
    fn sample(&self, round: u32, workload: &str) -> Sample {
        let (peer, workload) = (self.peer.name.into(), workload.into());
        Sample { round, peer, workload, metrics: Default::default(), error: None }
    }

    /// Runs all workloads in a thread, whose network namespaces end with it.
    fn turn(&self, round: u32, time: Duration) -> Vec<Sample> {
        thread::scope(|scope| scope.spawn(|| self.serve(round, time)).join()).unwrap_or_default()
    }

    fn serve(&self, round: u32, time: Duration) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut running: Option<Running> = None;
        for workload in self.workloads {
            self.bar.set_message(format!("{}: {}", self.peer.name, workload.name));
            let mut sample = self.sample(round, &workload.name);
            running = running.take().filter(|peer| peer.service == workload.service());
            if running.is_none() {
                match self.peer.start(self.programs, workload.service()) {
                    Ok(started) => {
                        // Once a round is enough.
                        if samples.is_empty() {
                            let mut start = self.sample(round, "start");
                            let millis = started.ready.as_secs_f64() * 1e3;
                            start.metrics.insert("ready_ms".into(), millis);
                            samples.push(start);
                        }
                        running = Some(started);
                    }
                    Err(why) => sample.error = Some(why),
                }
            }
            if let Some(peer) = &running {
                match workload.run(peer, time) {
                    Ok(metrics) => sample.metrics = metrics,
                    Err(why) => {
                        // What is left may be broken: the next workload gets a fresh one.
                        let said = peer.guest.output();
                        let last = said.lines().last().unwrap_or_default().to_string();
                        sample.error = Some(format!("{why} {last}"));
                        running = None;
                    }
                }
            }
            if let Some(error) = &sample.error {
                let text = format!("{}: {}: {error}", self.peer.name, workload.name);
                self.bar.suspend(|| eprintln!("{text}"));
            }
            samples.push(sample);
            self.bar.inc(1);
        }
        samples
    }
}
