use super::*;
use bytes::{Buf, Bytes};

fn pool(count: usize, reserve: usize) -> Pool {
    Pool::heap(PoolConfig { stride: 256, count, headroom: 64, reserve })
}

fn filled(pool: &Pool, data: &[u8]) -> Slice {
    let mut buf = pool.alloc().unwrap();
    buf.append(data.len()).copy_from_slice(data);
    buf.freeze()
}

#[test]
fn reserve_is_kept_for_control_traffic() {
    let pool = pool(4, 2);
    let held: Vec<_> = (0..2).map(|_| pool.alloc().unwrap()).collect();
    assert!(pool.alloc().is_none());
    assert!(pool.alloc_reserved().is_some());
    drop(held);
    assert_eq!(pool.stats(), PoolStats { total: 4, free: 4, refused: 1 });
}

#[test]
fn last_buffer_freed_is_first_reused() {
    let pool = pool(4, 0);
    let (a, b) = (pool.alloc().unwrap(), pool.alloc().unwrap());
    let last = a.index();
    drop(b);
    drop(a);
    assert_eq!(pool.alloc().unwrap().index(), last);
}

#[test]
fn headers_are_prepended_in_headroom_and_only_by_the_sole_owner() {
    let pool = pool(2, 0);
    let slice = filled(&pool, b"payload");
    let shared = slice.clone();
    let slice = slice.try_into_mut().unwrap_err();
    drop(shared);
    let mut buf = slice.try_into_mut().unwrap();
    assert_eq!(buf.headroom(), 64);
    buf.prepend(4).copy_from_slice(b"head");
    assert_eq!(&*buf.freeze(), b"headpayload");
}

#[test]
fn splits_share_one_buffer_until_the_last_is_dropped() {
    let pool = pool(2, 0);
    let mut rest = filled(&pool, b"abcdef");
    let mut first = rest.split_to(2);
    let tail = rest.split_off(2);
    assert_eq!((&*first, &*rest, &*tail), (&b"ab"[..], &b"cd"[..], &b"ef"[..]));
    first.try_join(rest.clone()).unwrap();
    assert_eq!(&*first, b"abcd");
    assert!(first.try_join(rest).is_err());
    drop(tail);
    assert_eq!(pool.stats().free, 1);
    drop(first);
    assert_eq!(pool.stats().free, 2);
}

#[test]
fn slices_become_bytes_without_a_copy_and_return_from_other_threads() {
    let pool = pool(2, 0);
    let mut slice = filled(&pool, b"abcdef");
    let at = slice.as_ptr();
    let bytes = slice.copy_to_bytes(3);
    assert_eq!(bytes.as_ptr(), at);
    drop(slice);
    extern crate std;
    std::thread::spawn(move || drop(bytes)).join().unwrap();
    assert_eq!(pool.stats().free, 2);
}

#[test]
fn memory_outlives_the_pool_handle() {
    let pool = pool(2, 0);
    let slice = filled(&pool, b"still here");
    drop(pool);
    assert_eq!(&*slice, b"still here");
}

#[test]
fn a_charge_is_credited_when_the_last_slice_of_its_buffer_goes() {
    let pool = pool(2, 0);
    let account = Charge::new();
    let mut slice = filled(&pool, b"abcdef");
    slice.charge(&account);
    slice.charge(&account);
    let first = slice.split_to(1);
    drop(slice);
    assert_eq!(account.held(), 1);
    drop(first);
    assert_eq!(account.held(), 0);
    let orphan = filled(&pool, b"x");
    orphan.charge(&account);
    drop(account);
    drop(orphan);
}

#[test]
fn owned_and_static_bytes_are_slices_too() {
    let from_vec = Slice::from(alloc::vec![1, 2, 3]);
    let part = from_vec.slice(1..3);
    drop(from_vec);
    assert_eq!(&*part, &[2, 3]);
    assert_eq!(part.buffer(), None);
    assert_eq!(Bytes::from(Slice::from("page")), "page");
}

#[test]
fn buffers_are_conserved_when_threads_trade_them() {
    extern crate std;
    // Miri finds a race where nothing orders two accesses, not by chance, and takes 5 ms a turn.
    const TURNS: usize = if cfg!(miri) { 2_000 } else { 20_000 };
    let pool = pool(64, 0);
    let threads: Vec<_> = (0..4u8)
        .map(|seed| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                let mut held = Vec::new();
                for i in 0..TURNS {
                    if (i * 7 + usize::from(seed)) % 3 != 0 {
                        held.extend(pool.alloc().map(PacketBuf::freeze));
                    } else {
                        held.pop();
                    }
                    held.truncate(20);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(pool.stats().free, 64);
}
