//! Streams as others' traits see them, between two stacks of one runtime.

use super::*;
use crate::{
    Pool, PoolConfig, Slice,
    device::Device,
    frame::{Offloads, RxMeta, RxQueue},
    rt::{Link, Platform},
    stack::Config,
    time::{Duration, Instant},
    wire::MacAddr,
};
use core::{cell::Cell, pin::Pin};
use futures_io::{AsyncRead, AsyncWrite};
use std::{future::poll_fn, io};

mod allocations;

/// What a frame takes on the cable.
const FRAME_TIME: Duration = Duration::from_nanos(500);

type Clock = Rc<Cell<Instant>>;
type Frames = Rc<RefCell<RxQueue>>;

/// A clock that jumps to what is waited for.
struct Virtual(Clock);

impl Platform for Virtual {
    fn now(&self) -> Instant {
        self.0.get()
    }

    fn wall_clock(&self) -> u64 {
        0
    }

    fn entropy(&self) -> [u8; 32] {
        [1; 32]
    }

    fn idle(&self, _: Option<Instant>) {
        unreachable!("there are devices to wait in");
    }
}

/// One end of a cable.
struct End {
    info: DeviceInfo,
    pool: Pool,
    clock: Clock,
    from: Frames,
    to: Frames,
}

impl Device for End {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive(&mut self, queue: &mut RxQueue, budget: usize) -> usize {
        let mut from = self.from.borrow_mut();
        let count = budget.min(from.len());
        for _ in 0..count {
            let Some((meta, slices)) = from.pop() else { break };
            add(queue, meta, slices);
        }
        count
    }

    fn transmit(&mut self, queue: &mut TxQueue) -> usize {
        let mut count = 0;
        while let Some((_, slices)) = queue.pop() {
            add(&mut self.to.borrow_mut(), RxMeta::default(), slices);
            self.clock.set(self.clock.get() + FRAME_TIME);
            count += 1;
        }
        count
    }

    fn wait(&mut self, until: Option<Instant>) {
        if self.from.borrow().is_empty() && self.to.borrow().is_empty() {
            self.clock.set(until.expect("nothing will ever wake this service"));
        }
    }
}

fn add(queue: &mut RxQueue, meta: RxMeta, mut slices: impl Iterator<Item = Slice>) {
    let head = slices.next().expect("a frame has a slice");
    queue.push(meta, head, slices);
}

/// Runs `main` with two networks that a cable joins.
fn joined<F: Future<Output = ()> + 'static>(main: impl FnOnce([Net; 2]) -> F) {
    let clock = Clock::new(Cell::new(Instant::from_millis(1_000_000)));
    let rt = Rt::new(Virtual(clock.clone()), Some([1; 32]));
    let ways = [Frames::default(), Frames::default()];
    let mut links = Vec::new();
    let nets = [1, 2].map(|n: u8| {
        let mac = MacAddr([2, 0, 0, 0, 0, n]);
        let info = DeviceInfo { mac, mtu: 1500, offloads: Offloads::empty(), io_mode: "wire" };
        let pool = Pool::heap(PoolConfig { count: 1024, ..PoolConfig::default() });
        let addresses = ["10.0.0.{n}/24", "fd00::{n}/64"]
            .map(|address| address.replace("{n}", &n.to_string()).parse().unwrap())
            .into();
        let config = Config { addresses, ..Config::default() };
        let stack = Stack::new(&config, &info, pool.clone(), [n; 32], clock.get());
        let net = Net::new(rt.clone(), stack, &info, None);
        let (from, to) = (ways[usize::from(n - 1)].clone(), ways[usize::from(2 - n)].clone());
        let device = End { info, pool, clock: clock.clone(), from, to };
        links.push(Link { device: Box::new(device), net: net.clone() });
        net
    });
    let ((), left) = rt.run(&mut links, main(nets));
    assert_eq!(left, [""; 0]);
}

async fn write_all(to: &mut (impl AsyncWrite + Unpin), mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let n = poll_fn(|cx| Pin::new(&mut *to).poll_write(cx, data)).await?;
        data = &data[n..];
    }
    poll_fn(|cx| Pin::new(&mut *to).poll_flush(cx)).await?;
    poll_fn(|cx| Pin::new(&mut *to).poll_close(cx)).await
}

async fn read_to_end(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (mut all, mut chunk) = (Vec::new(), [0; 1000]);
    loop {
        match poll_fn(|cx| Pin::new(&mut *from).poll_read(cx, &mut chunk)).await? {
            0 => return Ok(all),
            n => all.extend_from_slice(&chunk[..n]),
        }
    }
}

#[test]
fn streams_and_halves_are_futures_io_readers_and_writers() {
    joined(async |[server, client]: [Net; 2]| {
        let data: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let listener = server.listen(9000).unwrap();
        let echo = async {
            let (mut from, mut to) = listener.accept().await.unwrap().split();
            let got = read_to_end(&mut from).await.unwrap();
            write_all(&mut to, &got).await.unwrap();
        };
        let ask = async {
            let mut stream = client.connect("10.0.0.1:9000").await.unwrap();
            write_all(&mut stream, &data).await.unwrap();
            assert_eq!(read_to_end(&mut stream).await.unwrap(), data);
        };
        crate::rt::join(echo, ask).await;
    });
}

#[test]
fn a_reset_is_an_error_of_io_that_tells_so() {
    joined(async |[server, client]: [Net; 2]| {
        let listener = server.listen(9000).unwrap();
        let mut stream = client.connect("10.0.0.1:9000").await.unwrap();
        listener.accept().await.unwrap().abort();
        let error = read_to_end(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        client.rt().sleep(Duration::from_millis(10)).await;
    });
}
