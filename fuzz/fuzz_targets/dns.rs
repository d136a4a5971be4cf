//! A question whose servers answer anything: nothing panics, what is taken is bounded, and the
//! question ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zerohop::{
    dns::{Answer, Cache, Name, Query, Step, Type},
    time::Instant,
};

fuzz_target!(|data: &[u8]| {
    let [how, rest @ ..] = data else { return };
    let kind = [Type::A, Type::Aaaa, Type::Ptr][usize::from(how % 3)];
    let Ok(name) = "a.test".parse::<Name>() else { return };
    let servers = (0..how >> 2 & 3).map(|n| [10, 0, 0, n].into()).collect();
    let mut query = Query::new(name.clone(), kind, servers);
    let mut random = ChaCha20Rng::from_seed([7; 32]);
    let mut now = Instant::from_millis(1);
    let mut answers = rest.split(|b| *b == 0xa5);
    for _ in 0..200 {
        let (server, until) = match query.next(now, &mut random) {
            Step::Udp(server, until) | Step::Tcp(server, until) => (server, until),
            Step::Done(result) => {
                if let Ok(answer) = result {
                    if let Answer::Records(records, _) = &answer {
                        assert!((1..=16).contains(&records.len()));
                    }
                    let mut cache = Cache::default();
                    cache.put(name.clone(), kind, answer.clone(), now);
                    assert!(cache.get(&name, kind, now).is_none_or(|kept| *kept == answer));
                }
                return;
            }
        };
        now = until;
        if let Some(answer) = answers.next() {
            // With the right identifier and question, so that what follows is looked at.
            let asked = query.message();
            let end = 12 + 8 + 4;
            let mut message = asked[..2].to_vec();
            message.extend([0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
            let (flags, records) = answer.split_at(answer.len().min(4));
            flags.iter().zip([3, 7, 9, 2]).for_each(|(b, at)| message[at] ^= b & 0x8f);
            message.extend(&asked[12..end]);
            message.extend(records);
            query.receive(server, &message);
            query.receive(server, answer);
        }
    }
    panic!("a question does not end");
});
