//! Requests of wrk.

use super::Metrics;
use std::{net::IpAddr, process::Command, time::Duration};

/// The program that makes the load.
pub(crate) const PROGRAM: &str = "wrk";
/// Connections that are kept open, each with one request on its way.
const CONNECTIONS: usize = 32;

/// Gets `/hello` again and again for about `time`, whole seconds since wrk counts so.
///
/// # Errors
/// What wrk said, also when an answer was not 200.
pub(crate) fn run(server: IpAddr, time: Duration) -> Result<Metrics, String> {
    let seconds = time.as_secs_f64().ceil().max(1.0);
    let (connections, duration) = (format!("-c{CONNECTIONS}"), format!("-d{seconds}s"));
    let url = format!("http://{server}/hello");
    let output = Command::new(PROGRAM)
        .args(["-t1", &connections, &duration, "--latency", &url])
        .output()
        .map_err(|e| format!("{PROGRAM}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{PROGRAM}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    }
    read(&said)
}

/// Takes the numbers out of what wrk prints.
fn read(said: &str) -> Result<Metrics, String> {
    let bad = |line: &&str| line.contains("Socket errors") || line.contains("Non-2xx");
    if let Some(line) = said.lines().find(bad) {
        return Err(format!("{PROGRAM}: {}", line.trim()));
    }
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
        line.map(str::trim).ok_or_else(|| format!("{PROGRAM} printed no `{name}`: {said}"))
    };
    let micros = |name| value(name).and_then(micros);
    let rate = value("Requests/sec:")?;
    let rate = rate.parse().map_err(|e| format!("{PROGRAM}: {rate}: {e}"))?;
    Ok(Metrics::from([
        ("rate".into(), rate),
        ("p50_us".into(), micros("50%")?),
        ("p99_us".into(), micros("99%")?),
    ]))
}

/// Microseconds of a time with its unit, such as `1.25ms`.
fn micros(time: &str) -> Result<f64, String> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    let number = units.into_iter().find_map(|(unit, factor)| {
        let number: f64 = time.strip_suffix(unit)?.parse().ok()?;
        Some(number * factor)
    });
    number.ok_or_else(|| format!("{PROGRAM} printed a time of `{time}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Running 1s test @ http://10.0.0.2/hello
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   312.55us  101.20us   2.42ms   81.10%
    Req/Sec   100.81k     4.66k  106.69k    70.00%
  Latency Distribution
     50%  301.00us
     75%  345.00us
     90%  402.00us
     99%    1.25ms
  100321 requests in 1.00s, 13.20MB read
Requests/sec: 100298.11
Transfer/sec:     13.20MB
";

    #[test]
    fn numbers_of_wrk_are_read_with_their_units() {
        let metrics = read(SAID).unwrap();
        assert_eq!(metrics["rate"], 100_298.11);
        assert_eq!((metrics["p50_us"], metrics["p99_us"]), (301.0, 1250.0));
    }

    #[test]
    fn answers_that_are_errors_fail_the_workload() {
        let said = format!("{SAID}  Non-2xx or 3xx responses: 7\n");
        assert!(read(&said).unwrap_err().contains("Non-2xx"));
        assert!(read("Requests/sec: 5").is_err());
    }
}
