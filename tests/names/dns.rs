//! The resolver and name servers, good and bad.

use crate::{
    dns_server::{Manners, Server},
    dnsmasq::Dnsmasq,
    network, process,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use testbed::{Ended, Guest, need, taps, tool};

fn resolve(args: &[&str]) -> Ended {
    process("resolve", &[&["--ipv4=10.0.0.2/24"], args].concat()).wait().unwrap()
}

/// Long enough that its random capitals are never none (RFC 4343 lets them be any).
const NAME: &str = "the-name-of-a-server-with-many-letters.test";

/// Looks [`NAME`] up at a server that behaves as `manners`; what came, how long it took, and how
/// many questions were asked.
fn at(manners: Manners) -> (Ended, Duration, usize) {
    let _network = network();
    let server = Server::start("10.0.0.1", manners);
    testbed::example("resolve").unwrap();
    let started = Instant::now();
    let ended = resolve(&["--dns=10.0.0.1", "--", NAME]);
    (ended, started.elapsed(), server.questions())
}

fn found(manners: Manners) -> (Duration, usize) {
    let (ended, took, questions) = at(manners);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains(&format!("{NAME}: 10.0.0.1\n")), "{}", ended.output);
    (took, questions)
}

#[test]
fn dnsmasq_tells_addresses_aliases_names_and_what_does_not_exist() {
    need!(taps(), tool("dnsmasq"));
    let _network = network();
    let dnsmasq = Dnsmasq::start(&[
        "--dhcp-range=10.0.0.50,10.0.0.60,255.255.255.0,2m",
        "--host-record=both.test,10.0.0.7,2001:db8::7",
        "--cname=alias.test,both.test",
        "--host-record=four.test,10.0.0.4",
        "--local-ttl=60",
    ]);
    let names = ["both.test", "ALIAS.test.", "four.test", "10.0.0.4", "none.test", "10.0.0.99"];
    let special = ["localhost", "[2001:db8::1]", "a.invalid", "no_such..name"];
    // The server is learned from the lease.
    let args = [&["--dhcp", "--"], &names[..], &special[..], &["both.test"; 10]].concat();
    let ended = process("resolve", &args).wait().unwrap();
    let output = &ended.output;
    for line in [
        "both.test: 10.0.0.7 2001:db8::7\n",
        "ALIAS.test.: 10.0.0.7 2001:db8::7\n",
        "four.test: 10.0.0.4\n",
        "10.0.0.4: four.test\n",
        "none.test: the name does not exist",
        "10.0.0.99: the name does not exist",
        "localhost: 127.0.0.1 ::1\n",
        "[2001:db8::1]: 2001:db8::1\n",
        "a.invalid: the name does not exist",
        "no_such..name: not a domain name",
        "4 could not be looked up",
    ] {
        assert!(output.contains(line), "{line:?} is not in: {output}");
    }
    assert_eq!(ended.code, Some(1));
    let log = dnsmasq.log().to_lowercase();
    // Once, or again on a busy machine, of eleven times: the others came from the cache.
    for asked in ["query[a] both.test", "query[aaaa] both.test"] {
        assert!((1..11).contains(&log.matches(asked).count()), "{log}");
    }
    assert!(!log.contains("localhost") && !log.contains("invalid"), "{log}");
}

#[test]
fn what_is_cut_off_is_asked_for_by_tcp() {
    need!(taps());
    let (_, questions) = found(Manners::Truncates);
    assert!(questions >= 4, "both families, each by UDP and by TCP: {questions}");
}

#[test]
fn a_server_that_changes_the_case_of_letters_is_asked_again() {
    need!(taps());
    assert!(found(Manners::Lowers).1 >= 4);
}

#[test]
fn a_server_that_does_not_know_edns_is_asked_without() {
    need!(taps());
    assert!(found(Manners::Old).1 >= 4);
}

#[test]
fn forged_answers_are_not_taken() {
    need!(taps());
    found(Manners::Forged);
}

#[test]
fn a_slow_server_is_waited_for() {
    need!(taps());
    let (took, _) = found(Manners::Slow);
    assert!(took > Duration::from_millis(1500), "{took:?}");
}

#[test]
fn a_server_that_cannot_tell_costs_no_time() {
    need!(taps());
    let (ended, _, questions) = at(Manners::Fails);
    assert!(ended.output.contains("could not resolve the name"), "{}", ended.output);
    // One that says nothing is asked six times.
    assert!(questions < 6, "{questions}");
}

#[test]
fn a_silent_server_gives_way_to_the_next_and_is_asked_last_from_then_on() {
    need!(taps());
    let network = network();
    network.ip(&["addr", "add", "10.0.0.3/24", "dev", "tap0"]).unwrap();
    let silent = Server::start("10.0.0.3", Manners::Silent);
    let good = Server::start("10.0.0.1", Manners::Old);
    let args = ["--dns=10.0.0.3,10.0.0.1", "--", "a.test", "b.test", "c.test"];
    testbed::example("resolve").unwrap();
    let ended = resolve(&args);
    assert!(ended.output.contains("c.test: 10.0.0.1\n"), "{}", ended.output);
    // Both families of the first name; of all three, were it not put last.
    assert!((2..6).contains(&silent.questions()), "{}", silent.questions());
    assert!(good.questions() >= 6);
}

#[test]
fn nobody_answers_is_an_error_of_its_own() {
    need!(taps());
    let (ended, took, questions) = at(Manners::Silent);
    assert!(ended.output.contains("no name server answered"), "{}", ended.output);
    assert!(took > Duration::from_secs(6) && questions == 6, "{took:?}, {questions}");
}

#[test]
fn servers_that_routers_advertise_are_asked_over_ipv6_alone() {
    need!(taps(), tool("dnsmasq"), tool("radvd"));
    let network = network();
    network.ip(&["addr", "add", "fd00::1/64", "dev", "tap0", "nodad"]).unwrap();
    let _dnsmasq = Dnsmasq::start(&["--host-record=six.test,fd00::7"]);
    let file = std::env::temp_dir().join(format!("zerohop-radvd-{}.conf", std::process::id()));
    let config = "interface tap0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; \
                  prefix fd00::/64 { }; RDNSS fd00::1 { }; };";
    std::fs::write(&file, config).unwrap();
    let args = ["-n", "-m", "stderr", "-C", file.to_str().unwrap(), "-u", "root"];
    let pid = format!("-p{}.pid", file.display());
    let radvd = Guest::process(Path::new("radvd"), &[&args[..], &[&pid]].concat()).unwrap();
    let guest = process("resolve", &["--ipv4=none", "--", "six.test"]);
    let ended = guest.wait().unwrap();
    let said = radvd.output();
    drop(radvd);
    let _ = std::fs::remove_file(&file);
    let _ = std::fs::remove_file(format!("{}.pid", file.display()));
    assert!(ended.output.contains("six.test: fd00::7\n"), "{} {said}", ended.output);
}
