//! Fragments in any order, of any size, of both families: nothing panics, what is held is bounded,
//! and a datagram that was put together is just the bytes that its sender cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{collections::HashSet, net::IpAddr};
use zerohop::{
    Pool, PoolConfig, Slice,
    frame::Chain,
    ip::{
        Ecn,
        reassembly::{Fragment, Key, Reassembly, Verdict},
    },
    time::{Duration, Instant},
};

const BUFFERS: usize = 256;

fn byte(ident: u8, at: usize) -> u8 {
    ident.wrapping_mul(31).wrapping_add((at % 251) as u8)
}

fuzz_target!(|data: &[u8]| {
    let pool = Pool::heap(PoolConfig { count: BUFFERS, ..PoolConfig::default() });
    let mut table = Reassembly::default();
    let mut now = Instant::from_millis(1000);
    let mut forged = HashSet::new();
    for op in data.chunks_exact(6) {
        let [ident, offset, low, len, flags, pause] = *op else { return };
        now += Duration::from_millis(u64::from(pause) * 40);
        let offset = (usize::from(offset) << 8 | usize::from(low)) / 8 * 8;
        let len = if flags & 4 != 0 { usize::from(len) * 8 } else { usize::from(len) };
        let ipv6 = flags & 2 != 0;
        let lies = flags & 24 == 24;
        let [local, remote]: [IpAddr; 2] = match ipv6 {
            false => [[10, 0, 0, 2].into(), [10, 0, 0, 1].into()],
            true => [[0xfd00, 0, 0, 0, 0, 0, 0, 2].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 1].into()],
        };
        let key = Key { local, remote, ident: ident.into(), protocol: if ipv6 { 0 } else { 17 } };
        if lies {
            forged.insert((ipv6, ident));
        }
        let mut payload = Chain::new();
        let mut start = Slice::default();
        let bytes: Vec<u8> =
            (offset..offset + len).map(|at| byte(ident, at) ^ u8::from(lies)).collect();
        for part in bytes.chunks(1500) {
            let Some(mut buf) = pool.alloc_reserved() else { return };
            buf.append(part.len()).copy_from_slice(part);
            let slice = buf.freeze();
            start = slice.clone();
            payload.push(slice);
        }
        let fragment = Fragment {
            key,
            protocol: 17,
            offset,
            more: flags & 1 != 0,
            most: 65_515,
            ecn: Ecn::from_bits(flags >> 6),
        };
        let verdict = table.add(now, &fragment, start, &mut payload, &pool);
        if let Verdict::Complete(_) = verdict
            && !forged.contains(&(ipv6, ident))
        {
            let whole = payload.iter().flat_map(|slice| slice.iter().copied());
            assert!(whole.enumerate().all(|(at, value)| value == byte(ident, at)));
        }
        let (buffers, fragments) = table.held();
        assert!(buffers <= BUFFERS / 4 && fragments <= 2048, "{buffers} {fragments}");
        table.poll(now, drop);
        assert!(table.poll_at().is_none_or(|at| at > now));
    }
    drop(table);
    assert_eq!(pool.stats().free, BUFFERS);
});
