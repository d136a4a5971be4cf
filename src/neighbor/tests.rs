use super::*;
use crate::Pool;

const NOW: Instant = Instant::from_millis(1000);
const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);

fn address(n: u16) -> IpAddr {
    core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n).into()
}

fn told(mac: Option<MacAddr>, solicited: bool, replaces: bool) -> Advertised {
    Advertised { mac, solicited, replaces, is_router: false }
}

fn known(neighbors: &mut Neighbors, n: u16) -> Option<MacAddr> {
    match neighbors.lookup(address(n), NOW).0 {
        Lookup::Known(mac) => Some(mac),
        Lookup::Unknown(_) => None,
    }
}

fn packet(pool: &Pool) -> Pending {
    Pending { meta: TxMeta::default(), head: pool.alloc().unwrap(), rest: Vec::new() }
}

#[test]
fn first_packets_wait_and_are_handed_out_when_the_neighbour_answers() {
    let pool = Pool::heap(crate::PoolConfig { count: 128, ..Default::default() });
    let mut neighbors = Neighbors::new(2 * MAX_PENDING);
    let (lookup, _) = neighbors.lookup(address(1), NOW);
    assert!(matches!(lookup, Lookup::Unknown(Some(Solicit { to: None, .. }))));
    for _ in 0..MAX_PENDING {
        assert!(neighbors.wait(address(1), packet(&pool)));
    }
    assert!(!neighbors.wait(address(1), packet(&pool)), "the oldest is lost");
    let (mac, waiting, _) = neighbors.advertised(address(1), told(Some(A), true, false), NOW);
    assert_eq!((mac, waiting.len(), neighbors.waiting), (Some(A), MAX_PENDING, 0));
}

#[test]
fn packets_that_wait_are_bounded_over_all_neighbours() {
    let pool = Pool::heap(crate::PoolConfig { count: 64, ..Default::default() });
    let mut neighbors = Neighbors::new(4);
    for n in 0..100 {
        neighbors.lookup(address(n), NOW);
        assert_eq!(neighbors.wait(address(n), packet(&pool)), n < 4);
    }
    let gone: usize = [1, 2, 3]
        .into_iter()
        .flat_map(|s| neighbors.poll(NOW + RETRANS * s, &mut Vec::new()))
        .map(|(_, packets)| packets)
        .sum();
    assert_eq!((gone, neighbors.waiting, neighbors.slots.len()), (4, 0, 0));
}

#[test]
fn an_advertisement_about_an_address_nobody_asked_for_creates_nothing() {
    let mut neighbors = Neighbors::new(4);
    neighbors.advertised(address(1), told(Some(A), true, true), NOW);
    assert!(neighbors.slots.is_empty());
}

#[test]
fn without_the_override_flag_a_reachable_neighbour_keeps_its_address() {
    let mut neighbors = Neighbors::new(4);
    neighbors.lookup(address(1), NOW);
    neighbors.advertised(address(1), told(Some(A), true, false), NOW);
    let (_, cache) = neighbors.lookup(address(1), NOW);
    assert_eq!(neighbors.cached(cache, NOW), Some(&A));
    neighbors.advertised(address(1), told(Some(B), true, false), NOW);
    assert_eq!(neighbors.cached(cache, NOW), None, "it is stale");
    assert_eq!(known(&mut neighbors, 1), Some(A));
    neighbors.advertised(address(1), told(Some(B), false, true), NOW);
    assert_eq!(known(&mut neighbors, 1), Some(B));
}

#[test]
fn an_advertisement_without_an_address_does_not_complete_a_neighbour() {
    let mut neighbors = Neighbors::new(4);
    neighbors.lookup(address(1), NOW);
    neighbors.advertised(address(1), told(None, true, true), NOW);
    assert_eq!(known(&mut neighbors, 1), None);
}

#[test]
fn a_stale_neighbour_is_used_then_probed_then_given_up() {
    let mut neighbors = Neighbors::new(4);
    neighbors.heard(address(1), A, NOW);
    assert_eq!(neighbors.poll_at(), None, "nothing is sent to it");
    let (_, cache) = neighbors.lookup(address(1), NOW);
    assert_eq!(neighbors.cached(cache, NOW), Some(&A), "used while it may be confirmed");
    let mut asked = 0;
    let (gone, at) = loop {
        let at = neighbors.poll_at().unwrap();
        let mut ask = Vec::new();
        let gone = neighbors.poll(at, &mut ask);
        assert!(ask.iter().all(|solicit| solicit.to == Some(A)), "probes are unicast");
        asked += ask.len();
        if !gone.is_empty() {
            break (gone, at);
        }
    };
    assert_eq!(at, NOW + DELAY + RETRANS * 3);
    assert_eq!((asked, gone), (3, alloc::vec![(address(1), 0)]));
    assert_eq!(neighbors.cached(cache, at), None);
}

#[test]
fn what_a_transport_confirms_is_not_probed() {
    let mut neighbors = Neighbors::new(4);
    neighbors.heard(address(1), A, NOW);
    let (_, cache) = neighbors.lookup(address(1), NOW);
    neighbors.confirm(cache, NOW);
    let mut ask = Vec::new();
    neighbors.poll(NOW + DELAY, &mut ask);
    assert!(ask.is_empty());
    assert_eq!(neighbors.cached(cache, NOW + DELAY), Some(&A));
}

#[test]
fn a_flood_of_strangers_takes_no_place_of_neighbours_in_use() {
    let mut neighbors = Neighbors::new(4);
    for n in 0..10 {
        neighbors.lookup(address(n), NOW);
        neighbors.advertised(address(n), told(Some(A), true, false), NOW);
    }
    for n in 10..10_000 {
        neighbors.heard(address(n), B, NOW + Duration::from_secs(1));
    }
    assert_eq!(neighbors.slots.len(), MAX);
    assert_eq!(neighbors.index.len(), MAX);
    assert!((0..10).all(|n| known(&mut neighbors, n) == Some(A)));
}

#[test]
fn a_router_that_says_it_is_none_has_ceased_to_be_one() {
    let mut neighbors = Neighbors::new(4);
    neighbors.heard(address(1), A, NOW);
    neighbors.is_router(address(1));
    assert!(neighbors.advertised(address(1), told(Some(A), true, true), NOW).2);
}
