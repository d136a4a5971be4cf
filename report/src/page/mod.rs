//! The page: one file with its plots inside.

mod plot;
mod style;

use crate::{
    peer::{self, Peer},
    results::Results,
    targets::Verdict,
    workload,
};
use plot::{Bar, Plot};
use std::fmt::Write;

/// A question that a plot answers: one metric over some workloads.
struct Question {
    title: &'static str,
    metric: &'static str,
    unit: &'static str,
    better: &'static str,
    workloads: &'static [&'static str],
}

const QUESTIONS: &[Question] = &[
    Question {
        title: "Round trip of one message, median",
        metric: "p50_us",
        unit: "µs",
        better: "lower is better",
        workloads: &["tcp-64-k1", "tcp-64-k1-spin", "udp-64-k1", "udp-64-k1-spin"],
    },
    Question {
        title: "Round trip of one message, 99th percentile",
        metric: "p99_us",
        unit: "µs",
        better: "lower is better",
        workloads: &["tcp-64-k1", "udp-64-k1"],
    },
    Question {
        title: "Round trip of one message of 1, 64 and 1,024 bytes, median",
        metric: "p50_us",
        unit: "µs",
        better: "lower is better",
        workloads: &["tcp-1-k1", "tcp-64-k1", "tcp-1024-k1"],
    },
    Question {
        title: "Round trips a second with 16 and 64 on their way",
        metric: "rate",
        unit: "/s",
        better: "higher is better",
        workloads: &["tcp-64-k16", "tcp-64-k64", "udp-64-k16", "udp-64-k64"],
    },
    Question {
        title: "One connection as fast as it goes",
        metric: "gbytes_per_s",
        unit: "GB/s",
        better: "higher is better",
        workloads: &["bulk-in", "bulk-out"],
    },
    Question {
        title: "Connections: 1,000 open ones in use, and short ones",
        metric: "rate",
        unit: "/s",
        better: "higher is better",
        workloads: &["many", "short"],
    },
    Question {
        title: "HTTP with wrk",
        metric: "rate",
        unit: "requests/s",
        better: "higher is better",
        workloads: &["http"],
    },
    Question {
        title: "HTTP with wrk, 99th percentile",
        metric: "p99_us",
        unit: "µs",
        better: "lower is better",
        workloads: &["http"],
    },
    Question {
        title: "Processor time with nothing to do",
        metric: "idle_cores",
        unit: "cores",
        better: "lower is better",
        workloads: &["idle"],
    },
    Question {
        title: "Round trip after 10 ms of idleness, median",
        metric: "p50_us",
        unit: "µs",
        better: "lower is better",
        workloads: &["idle"],
    },
    Question {
        title: "Exits of the vCPU to the tender, a received packet",
        metric: "exits_per_packet",
        unit: "",
        better: "lower is better",
        workloads: &["tcp-64-k1", "tcp-64-k16", "tcp-64-k64", "udp-64-k64"],
    },
];

const METHOD: &str = "\
<p>The peers take turns: in each round every peer is started afresh, runs all workloads, and ends. \
Ratios are taken between peers within a round; what is shown is the median over the rounds, and \
lines show the least and the greatest. The client is always the same program on the host's own \
sockets; server and client share the machine. Each peer has network namespaces of its own, so that \
nothing else is on its network; veth and taps have a queue of 5,000 frames and an MTU of 1,500. \
TCP_CONGESTION is <code>cubic</code> and TCP_NODELAY set on both sides of every connection; smoltcp \
and zerohop use their own CUBIC. Clients block in their calls, or where a workload's name ends in \
<code>spin</code> poll a socket that does not block. Each workload has a warm-up that is not \
counted.</p>\
<p>Nothing is pinned, no priority is changed, and nothing keeps idle processors awake. A thread that \
is woken on a processor that has halted waits for it to come back; the table of the machine says \
how long. Designs that block pay for it once or twice a round trip, as they would in use; those \
that poll do not. Compare what blocks with what blocks, and what polls with what polls.</p>\
<p><b>Ping-pong</b> <code>tcp-64-k16</code>: 16 messages of 64 bytes on their way at any time over \
one TCP connection, each written by a call of its own and echoed. Over UDP, lost messages are \
counted and sent again after 300 ms. What was on its way when the time was over is still awaited \
and counted over TCP. <b>Bulk</b>: one connection to the server's discard or from its \
chargen. <b>many</b>: 1,000 open connections, 50 of which have a 64-byte message on its way. \
<b>short</b>: connect, echo 64 bytes, close, one after the other. <b>http</b>: wrk with one thread \
gets <code>/hello</code> over 32 connections that stay open. zerohop runs its example \
<code>http</code>, which parses requests whole; host sockets and smoltcp run a server that only \
looks for where requests end and sends the same bytes back, with a blocking thread a connection, or \
on the one thread that polls. <b>idle</b>: processor time of the \
server over a second without traffic, then round trips after 10 ms of silence each. \
<b>start</b>: from the server's start until it accepts a connection, over veth with the second \
that the client's kernel takes to ask for its address again.</p>";

/// The whole page.
pub(crate) fn html(results: &Results) -> String {
    let mut out = String::new();
    out.push_str("<!doctype html><html lang=en><meta charset=utf-8>");
    out.push_str("<meta name=viewport content=\"width=device-width\">");
    let _ = write!(out, "<title>zerohop beside its peers</title><style>{}</style>", style::CSS);
    out.push_str("<h1>zerohop beside its peers</h1>");
    for warning in &results.warnings {
        let _ = write!(out, "<p class=missed>Warning: {}.</p>", escape(warning));
    }
    verdicts(&mut out, &results.targets);
    out.push_str("<h2>Plots</h2><div class=plots>");
    let peers = peers(results);
    for question in QUESTIONS {
        plot(&mut out, results, &peers, question);
    }
    out.push_str("</div>");
    environment(&mut out, results, &peers);
    tables(&mut out, results, &peers);
    out
}

/// The peers that took part.
fn peers(results: &Results) -> Vec<&'static Peer> {
    peer::ALL.iter().filter(|p| results.samples.iter().any(|s| s.peer == p.name)).collect()
}

fn verdicts(out: &mut String, targets: &[Verdict]) {
    let known = targets.iter().filter(|v| v.met.is_some()).count();
    let met = targets.iter().filter(|v| v.met == Some(true)).count();
    let _ = write!(out, "<h2>Figures: {met} of {known} met</h2><table><tr><th>figure<th>against");
    out.push_str("<th>goal<th>stretch<th>measured<th>met");
    for v in targets {
        let (class, word) = match (v.met, v.stretch_met) {
            (Some(true), Some(true)) => ("met", "yes, stretch too"),
            (Some(true), _) => ("met", "yes"),
            (Some(false), _) => ("missed", "no"),
            (None, _) => ("", "–"),
        };
        let stretch = v.stretch.as_deref().unwrap_or("");
        let measured = v.measured.map_or("not measured".into(), number);
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{stretch}<td class=n>{measured}<td class={class}>{word}",
            v.what, v.compared, v.goal
        );
    }
    out.push_str("</table>");
}

fn plot(out: &mut String, results: &Results, peers: &[&Peer], question: &Question) {
    let mut plot = Plot::new(question.title, question.unit, question.better);
    for workload in question.workloads {
        let bars = peers.iter().filter_map(|peer| {
            let (low, middle, high) = results.spread(peer.name, workload, question.metric)?;
            Some(Bar { label: peer.name, low, middle, high, ours: peer.is_ours() })
        });
        plot.group(workload, bars.collect());
    }
    out.push_str(&plot.svg());
}

fn environment(out: &mut String, results: &Results, peers: &[&Peer]) {
    let _ = write!(out, "<h2>Method</h2>{METHOD}<h2>Peers</h2><table>");
    for peer in peers {
        let spins = if peer.spins { "never sleeps" } else { "sleeps when idle" };
        let _ = write!(out, "<tr><td><b>{}</b><td>{}<td>{spins}", peer.name, peer.about);
    }
    out.push_str("</table><h2>Machine</h2><table>");
    for (name, value) in &results.environment {
        let _ = write!(out, "<tr><td>{name}<td>{}", escape(value));
    }
    out.push_str("</table>");
    for skipped in &results.skipped {
        let _ = write!(out, "<p class=missed>{}</p>", escape(skipped));
    }
}

/// All medians: a table a workload.
fn tables(out: &mut String, results: &Results, peers: &[&Peer]) {
    out.push_str(
        "<h2>All numbers</h2><p>Medians over the rounds, the least and the greatest below.</p>",
    );
    let names = workload::all().into_iter().map(|w| w.name);
    for workload in names.chain(["start".into()]) {
        let columns = results.metrics(&workload);
        if columns.is_empty() {
            continue;
        }
        let _ = write!(out, "<h3>{workload}</h3><table><tr><th>peer");
        for column in &columns {
            let _ = write!(out, "<th>{}", column.replace('_', " "));
        }
        for peer in peers {
            let failure = results.failure(peer.name, &workload);
            let _ = write!(out, "<tr><td>{}", peer.name);
            for column in &columns {
                out.push_str("<td class=n>");
                if let Some((low, middle, high)) = results.spread(peer.name, &workload, column) {
                    out.push_str(&number(middle));
                    if low < high {
                        let _ = write!(out, "<small>{} – {}</small>", number(low), number(high));
                    }
                }
            }
            if let Some(failure) = failure {
                let _ = write!(out, "<td class=missed>failed: {}", escape(failure));
            }
        }
        out.push_str("</table>");
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (i, c) in digits.chars().enumerate() {
                if i > 0 && (digits.len() - i).is_multiple_of(3) && !grouped.ends_with('-') {
                    grouped.push('\u{2009}');
                }
                grouped.push(c);
            }
            grouped
        }
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        0.0 => "0".into(),
        _ => format!("{value:.4}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The figures that were measured, and the medians behind them, as tables in Markdown.
pub(crate) fn markdown(results: &Results) -> String {
    let mut out = String::new();
    let known = || results.targets.iter().filter_map(|v| Some((v, v.measured?)));
    if known().next().is_some() {
        out.push_str(
            "| figure | against | goal (stretch) | measured | met |\n|---|---|---|---|---|\n",
        );
    }
    for (v, measured) in known() {
        let stretch = v.stretch.as_ref().map_or(String::new(), |s| format!(" ({s})"));
        let met = match (v.met, v.stretch_met) {
            (Some(true), Some(true)) => "yes, stretch",
            (Some(true), _) => "yes",
            _ => "no",
        };
        let (what, to, goal, measured) = (&v.what, &v.compared, &v.goal, number(measured));
        let _ = writeln!(out, "| {what} | {to} | {goal}{stretch} | {measured} | {met} |");
    }
    let peers = peers(results);
    out.push_str("\n| medians |");
    peers.iter().for_each(|peer| out.push_str(&format!(" {} |", peer.name)));
    let _ = writeln!(out, "\n|---|{}", "---|".repeat(peers.len()));
    for workload in workload::all() {
        let (name, metric) = (&workload.name, workload.metric());
        if results.samples.iter().all(|sample| sample.workload != *name) {
            continue;
        }
        let _ = write!(out, "| {name}, {metric} |");
        for peer in &peers {
            let median = results.median(peer.name, name, metric);
            let _ = write!(out, " {} |", median.map_or("-".into(), number));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown = [0.0, 0.01234, 1.234, 12.34, 123.4, 12_345.6].map(number);
        assert_eq!(shown, ["0", "0.0123", "1.23", "12.3", "123", "12\u{2009}346"]);
    }

    #[test]
    fn what_was_not_measured_is_left_out_of_the_tables() {
        let mut results = Results::default();
        let metrics = [("p50_us".to_string(), 12.5)].into();
        let (peer, workload) = ("rings".into(), "tcp-64-k1".into());
        results.samples.push(Sample { round: 0, peer, workload, metrics, error: None });
        results.targets = crate::targets::judge(&results);
        let table = "\n| medians | rings |\n|---|---|\n| tcp-64-k1, p50_us | 12.5 |\n";
        assert_eq!(markdown(&results), table);
    }

    #[test]
    fn what_a_peer_printed_cannot_become_markup() {
        assert_eq!(escape("<b>&"), "&lt;b>&amp;");
    }
}
