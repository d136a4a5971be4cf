//! Tables of benches. Peers take turns, many times: whatever the machine does meanwhile then hits
//! all alike, which cannot be said of benchmarks that run one after the other.

use std::time::{Duration, Instant};

/// How often each peer has its turn.
pub const TURNS: usize = 15;

/// Least, median and greatest of figures, if there are any.
pub type Spread = (f64, f64, f64);

/// A peer, and what measures one figure of it.
pub type Figure<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// Whether a bench runs as a whole. Its tables take their time, so they are left out where part of
/// it was chosen, or only a list or a test is asked for.
pub fn whole() -> bool {
    is_whole(std::env::args().skip(1))
}

fn is_whole(mut args: impl Iterator<Item = String>) -> bool {
    while let Some(arg) = args.next() {
        match &*arg {
            "--test" | "--list" | "--profile-time" => return false,
            "--bench" | "--quick" | "--noplot" | "-n" | "--verbose" | "-v" | "--quiet"
            | "--discard-baseline" | "--exact" | "--nocapture" => {}
            option if option.starts_with('-') => {
                if !option.contains('=') {
                    args.next();
                }
            }
            _filter => return false,
        }
    }
    true
}

/// Nanoseconds a round: the best of short runs of so many rounds, since whatever else uses the
/// processors can only add to them.
pub fn best(rounds: u64, time: Duration, mut run: impl FnMut(u64) -> Duration) -> f64 {
    let begin = Instant::now();
    let mut best = Duration::MAX;
    while begin.elapsed() < time {
        best = best.min(run(rounds));
    }
    best.as_nanos() as f64 / rounds as f64
}

/// [`best`] of work without a clock of its own.
pub fn best_of(rounds: u64, time: Duration, mut work: impl FnMut()) -> f64 {
    best(rounds, time, |rounds| {
        let start = Instant::now();
        (0..rounds).for_each(|_| work());
        start.elapsed()
    })
}

/// Prints a table; ratios are taken within a turn.
pub fn table<'a>(unit: &str, rows: impl IntoIterator<Item = (String, Vec<Figure<'a>>)>) {
    println!("\n{unit}: medians of {TURNS} turns (least - greatest), ratio to the first in each");
    for (name, mut figures) in rows {
        println!("{name}");
        let mut turn = || figures.iter_mut().map(|(_, figure)| figure()).collect();
        let turns: Vec<Vec<f64>> = (0..TURNS).map(|_| turn()).collect();
        for (n, (name, _)) in figures.iter().enumerate() {
            let spread = spread(turns.iter().map(|turn| turn[n]));
            let ratio = median(turns.iter().map(|turn| turn[n] / turn[0]).collect());
            line(name, spread, ratio);
        }
    }
}

/// Prints a line of a table.
pub fn line(name: &str, spread: Option<Spread>, ratio: Option<f64>) {
    let (Some((low, middle, high)), Some(ratio)) = (spread, ratio) else {
        return println!("  {name:20}failed");
    };
    let digits = if middle < 100.0 { 2 } else { 0 };
    let range = format!("({low:.digits$} - {high:.digits$})");
    println!("  {name:20}{middle:>10.digits$} {range:22}{ratio:>8.2}");
}

/// The least, the median and the greatest.
pub fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let values: Vec<f64> = values.collect();
    let middle = median(values.clone())?;
    let most = values.iter().copied().fold(middle, f64::max);
    Some((values.into_iter().fold(middle, f64::min), middle, most))
}

/// The median, between both where there are two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        return None;
    }
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    Some(low.midpoint(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_is_whole_unless_something_is_chosen_of_it() {
        let whole = |line: &str| is_whole(line.split_whitespace().map(String::from));
        for line in ["--bench", "--bench --quick", "--warm-up-time 0.3 --bench", "--color=never"] {
            assert!(whole(line), "{line}");
        }
        for line in ["--bench ring", "--list", "--test --bench", "--sample-size 10 tcp"] {
            assert!(!whole(line), "{line}");
        }
    }

    #[test]
    fn a_spread_is_from_the_least_over_the_median_to_the_greatest() {
        assert_eq!(spread([3.0, 1.0, 8.0, 2.0].into_iter()), Some((1.0, 2.5, 8.0)));
        assert_eq!(spread([].into_iter()), None);
    }
}
