//! Questions and what servers, good and bad, make of them.

use super::*;
use crate::time::{Duration, Instant};
use alloc::{format, string::ToString, vec, vec::Vec};
use core::net::IpAddr;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const NOW: Instant = Instant::from_millis(1_000);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn server(n: u8) -> IpAddr {
    [10, 0, 0, n].into()
}

fn record(owner: &Name, kind: u16, ttl: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = owner.wire().to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes
}

fn address(owner: &str, ttl: u32, last: u8) -> Vec<u8> {
    record(&name(owner), 1, ttl, &[192, 0, 2, last])
}

fn alias(owner: &str, ttl: u32, target: &str) -> Vec<u8> {
    record(&name(owner), 5, ttl, name(target).wire())
}

fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    let mut value = vec![0, 0];
    value.extend([0; 16]);
    value.extend(minimum.to_be_bytes());
    record(&name("test"), 6, ttl, &value)
}

/// A response to what `query` asks now.
fn response(query: &Query, flags: u16, answers: &[Vec<u8>], authorities: &[Vec<u8>]) -> Vec<u8> {
    let asked = query.message();
    let end = 12 + Name::skip(&asked[12..], 0).unwrap() + 4;
    let mut bytes = asked[..2].to_vec();
    bytes.extend((0x8180 | flags).to_be_bytes());
    for count in [1, answers.len(), authorities.len(), 0] {
        bytes.extend((count as u16).to_be_bytes());
    }
    bytes.extend(&asked[12..end]);
    answers.iter().chain(authorities).for_each(|record| bytes.extend(record));
    bytes
}

struct Run {
    query: Query,
    random: ChaCha20Rng,
    now: Instant,
}

impl Run {
    fn new(text: &str, servers: u8) -> Run {
        Run::seeded(7, text, servers)
    }

    fn seeded(seed: u8, text: &str, servers: u8) -> Run {
        let servers = (1..=servers).map(server).collect();
        let random = ChaCha20Rng::from_seed([seed; 32]);
        Run { query: Query::new(name(text), Type::A, servers), random, now: NOW }
    }

    fn next(&mut self) -> Step {
        self.query.next(self.now, &mut self.random)
    }

    /// Asks, and answers.
    fn answer(text: &str, flags: u16, answers: &[Vec<u8>], authorities: &[Vec<u8>]) -> Step {
        let mut run = Run::new(text, 1);
        run.next();
        let response = response(&run.query, flags, answers, authorities);
        assert!(run.query.receive(server(1), &response));
        run.next()
    }
}

fn values(step: Step) -> (Vec<u8>, u64) {
    let Step::Done(Ok(Answer::Records(records, ttl))) = step else { panic!("{step:?}") };
    let last = |record: &Record| match record {
        Record::Address(IpAddr::V4(address)) => address.octets()[3],
        other => panic!("{other:?}"),
    };
    (records.iter().map(last).collect(), ttl.as_secs())
}

#[test]
fn names_are_read_as_people_write_them() {
    for (text, shown) in [("Example.COM", "example.com"), ("_http._tcp.a.", "_http._tcp.a")] {
        assert_eq!(name(text).to_string(), shown);
    }
    let long =
        format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
    assert_eq!(name(&long).to_string(), long);
    for bad in ["", ".", "a..b", ".a", "a b", "ä.de", &"a".repeat(64), &format!("{long}d")] {
        assert_eq!(bad.parse::<Name>(), Err(Error::InvalidName), "{bad:?}");
    }
}

#[test]
fn names_of_addresses_are_turned_round() {
    let of = |text: &str| Name::reverse(text.parse().unwrap()).to_string();
    assert_eq!(of("192.0.2.7"), "7.2.0.192.in-addr.arpa");
    assert!(of("2001:db8::1").starts_with("1.0.0.0.0.0."));
    assert!(of("2001:db8::1").ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"));
}

#[test]
fn compressed_names_are_read_and_those_that_lead_nowhere_are_not() {
    let message = b"\x01a\x04test\0\x01b\xc0\x02\xc0\x08";
    assert_eq!(Name::read(message, 0), Some((name("a.test"), 8)));
    assert_eq!(Name::read(message, 8), Some((name("b.test"), 12)));
    assert_eq!(Name::read(message, 12), Some((name("b.test"), 14)));
    let bad: [&[u8]; 7] =
        [b"", b"\x01", b"\x01a", b"\xc0", b"\xc0\x00", b"\x01a\xc0\x00", b"\x40a\0"];
    for message in bad {
        assert_eq!(Name::read(message, 0), None, "{message:?}");
    }
    let ahead = b"\xc0\x02\x01a\0";
    assert_eq!(Name::read(ahead, 0), None);
    let long = [&b"\x3f"[..], &[b'a'; 63]].concat().repeat(5);
    assert_eq!(Name::read(&long, 0), None);
}

#[test]
fn a_question_is_asked_with_random_id_and_case() {
    let mut run = Run::new("a-rather-long-name.example.com", 1);
    assert_eq!(run.next(), Step::Udp(server(1), NOW + Duration::from_secs(1)));
    let first = run.query.message().to_vec();
    run.next();
    assert_eq!(run.query.message(), first, "one for all attempts");
    let mut run = Run::seeded(8, "a-rather-long-name.example.com", 1);
    run.next();
    let second = run.query.message().to_vec();
    assert_ne!(first[..2], second[..2], "the identifier");
    assert_ne!(first[12..44], second[12..44], "the case of letters");
    assert!(first[12..44].eq_ignore_ascii_case(&second[12..44]));
    assert_eq!(first[44..], [0, 1, 0, 1, 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0], "A, IN, EDNS");
}

#[test]
fn all_addresses_of_a_response_are_taken_with_their_least_lifetime() {
    let answers = [address("a.test", 60, 1), address("A.TEST", 30, 2), address("b.test", 5, 3)];
    assert_eq!(values(Run::answer("a.test", 0, &answers, &[])), (vec![1, 2], 30));
}

#[test]
fn aliases_are_followed_in_any_order() {
    let answers =
        [address("c.test", 60, 1), alias("b.test", 20, "c.test"), alias("a.test", 40, "b.test")];
    assert_eq!(values(Run::answer("a.test", 0, &answers, &[])), (vec![1], 20));
}

#[test]
fn an_alias_without_its_target_is_to_be_asked_for() {
    let step = Run::answer("a.test", 0, &[alias("a.test", 40, "b.test")], &[]);
    let answer = Answer::Alias(name("b.test"), Duration::from_secs(40));
    assert_eq!(step, Step::Done(Ok(answer)));
}

#[test]
fn a_circle_of_aliases_ends() {
    let answers = [alias("a.test", 40, "b.test"), alias("b.test", 40, "a.test")];
    let step = Run::answer("a.test", 0, &answers, &[]);
    assert!(matches!(step, Step::Done(Ok(Answer::Alias(..)))), "{step:?}");
}

#[test]
fn what_does_not_exist_is_told_apart_and_kept_as_the_zone_says() {
    let minute = Duration::from_secs(60);
    let no_name = Run::answer("a.test", 3, &[], &[soa(300, 60)]);
    assert_eq!(no_name, Step::Done(Ok(Answer::NoName(minute))));
    let no_data = Run::answer("a.test", 0, &[], &[soa(60, 300)]);
    assert_eq!(no_data, Step::Done(Ok(Answer::NoData(minute))));
    let unsaid = Run::answer("a.test", 3, &[], &[]);
    assert_eq!(unsaid, Step::Done(Ok(Answer::NoName(Duration::ZERO))));
}

#[test]
fn a_lifetime_with_its_highest_bit_set_is_none() {
    let answers = [address("a.test", u32::MAX, 1)];
    assert_eq!(values(Run::answer("a.test", 0, &answers, &[])), (vec![1], 0));
}

#[test]
fn forged_responses_are_ignored() {
    let mut run = Run::new("a.test", 1);
    run.next();
    let good = response(&run.query, 0, &[address("a.test", 60, 1)], &[]);
    let spoil = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] ^= value;
        message
    };
    let forged = [
        vec![],
        good[..11].to_vec(),
        spoil(0, 1),    // another identifier
        spoil(2, 0x80), // a question
        spoil(2, 0x08), // another operation
        spoil(5, 3),    // two questions
        spoil(13, 1),   // another name
        spoil(21, 1),   // another type
        spoil(23, 2),   // another class
        good[..20].to_vec(),
    ];
    for (i, message) in forged.iter().enumerate() {
        assert!(!run.query.receive(server(1), message), "message {i}");
    }
    assert!(run.query.receive(server(1), &good));
    assert_eq!(values(run.next()), (vec![1], 60));
}

#[test]
fn a_response_in_another_case_is_not_believed_and_asked_for_in_lower_case() {
    let mut run = Run::new("abcdefghijklmnop.test", 1);
    run.next();
    let mut lower = response(&run.query, 0, &[address("abcdefghijklmnop.test", 60, 1)], &[]);
    lower[12..34].make_ascii_lowercase();
    assert!(run.query.receive(server(1), &lower));
    assert!(matches!(run.next(), Step::Udp(..)));
    assert_eq!(run.query.message()[12..34], *b"\x10abcdefghijklmnop\x04test");
    let good = response(&run.query, 0, &[address("abcdefghijklmnop.test", 60, 2)], &[]);
    assert!(run.query.receive(server(1), &good));
    assert_eq!(values(run.next()), (vec![2], 60));
}

#[test]
fn a_truncated_response_is_asked_for_again_by_tcp() {
    let mut run = Run::new("a.test", 2);
    run.next();
    let cut = response(&run.query, 0x0200, &[], &[]);
    assert!(run.query.receive(server(1), &cut));
    assert_eq!(run.next(), Step::Tcp(server(1), NOW + Duration::from_secs(5)));
    let whole = response(&run.query, 0, &[address("a.test", 60, 1)], &[]);
    assert!(run.query.receive(server(1), &whole));
    assert_eq!(values(run.next()), (vec![1], 60));
}

#[test]
fn a_server_without_edns_is_asked_without() {
    for echoes in [true, false] {
        let mut run = Run::new("a.test", 1);
        run.next();
        let mut refusal = response(&run.query, 1, &[], &[]);
        if !echoes {
            refusal.truncate(12);
            refusal[5] = 0;
        }
        assert!(run.query.receive(server(1), &refusal));
        run.next();
        assert_eq!(run.query.message().len(), 12 + 8 + 4);
    }
}

#[test]
fn silent_servers_are_asked_in_turn_and_given_more_time_each_round() {
    let mut run = Run::new("a.test", 2);
    for (n, seconds) in [(1, 1), (2, 1), (1, 2), (2, 2), (1, 4), (2, 4)] {
        let until = run.now + Duration::from_secs(seconds);
        assert_eq!(run.next(), Step::Udp(server(n), until));
        run.now = until;
    }
    assert_eq!(run.next(), Step::Done(Err(Error::TimedOut)));
}

#[test]
fn a_server_that_cannot_tell_is_asked_no_more() {
    let mut run = Run::new("a.test", 2);
    run.next();
    let failure = response(&run.query, 2, &[], &[]);
    assert!(run.query.receive(server(1), &failure));
    for round in [1, 2, 4] {
        let until = run.now + Duration::from_secs(round);
        assert_eq!(run.next(), Step::Udp(server(2), until));
    }
    assert_eq!(run.next(), Step::Done(Err(Error::ServerFailure)));
}

#[test]
fn a_late_answer_is_taken_and_a_late_failure_ends_no_step() {
    let mut run = Run::new("a.test", 2);
    run.next();
    assert!(matches!(run.next(), Step::Udp(to, _) if to == server(2)));
    let failure = response(&run.query, 2, &[], &[]);
    assert!(!run.query.receive(server(1), &failure));
    let late = response(&run.query, 0, &[address("a.test", 60, 1)], &[]);
    assert!(run.query.receive(server(1), &late));
    assert_eq!(values(run.next()), (vec![1], 60));
}

#[test]
fn when_every_server_failed_no_time_is_lost() {
    let mut run = Run::new("a.test", 2);
    for n in [1, 2] {
        run.next();
        assert!(run.query.fail(server(n)));
    }
    assert_eq!(run.next(), Step::Done(Err(Error::ServerFailure)));
    assert_eq!(Run::new("a.test", 0).next(), Step::Done(Err(Error::NoServers)));
}

#[test]
fn the_cache_keeps_answers_as_long_as_they_say_and_is_bounded() {
    let mut cache = Cache::default();
    let found = |ttl| Answer::Records(vec![Record::Address(server(1))], Duration::from_secs(ttl));
    cache.put(name("a.test"), Type::A, found(10), NOW);
    cache.put(name("zero.test"), Type::A, found(0), NOW);
    assert_eq!(cache.get(&name("A.Test"), Type::A, NOW), Some(&found(10)));
    assert_eq!(cache.get(&name("a.test"), Type::Aaaa, NOW), None);
    assert_eq!(cache.get(&name("zero.test"), Type::A, NOW), None);
    assert_eq!(cache.get(&name("a.test"), Type::A, NOW + Duration::from_secs(10)), None);
    let day = Duration::from_secs(86400);
    cache.put(name("none.test"), Type::A, Answer::NoName(day), NOW);
    assert_eq!(cache.get(&name("none.test"), Type::A, NOW + Duration::from_secs(3600)), None);
    for n in 0..1000 {
        cache.put(name(&format!("n{n}.test")), Type::A, found(100 + n), NOW);
    }
    assert_eq!(cache.len(), 128);
    assert!(cache.get(&name("n999.test"), Type::A, NOW).is_some(), "what lasts longest stays");
}

#[test]
fn any_cut_and_any_changed_byte_of_a_response_is_survived() {
    let answers = [alias("a.test", 40, "b.test"), address("b.test", 60, 1)];
    let mut run = Run::new("a.test", 1);
    run.next();
    let good = response(&run.query, 0, &answers, &[soa(1, 1)]);
    for at in 0..good.len() {
        for value in [0, 1, 63, 64, 127, 192, 255] {
            let mut changed = good.clone();
            changed[at] = value;
            run.query.receive(server(1), &changed);
            run.query.receive(server(1), &changed[..at]);
        }
    }
}

#[test]
fn a_name_of_pointers_without_end_is_none() {
    // Each pointer leads to the one before it, the first to a name.
    let mut message = vec![1, b'a', 0];
    for n in 0..1000_u16 {
        let to = if n == 0 { 0 } else { 1 + 2 * n };
        message.extend((0xc000 | to).to_be_bytes());
    }
    assert_eq!(Name::read(&message, 3 + 2 * 100).map(|(name, _)| name), Some(name("a")));
    assert_eq!(Name::read(&message, 3 + 2 * 500), None);
}
