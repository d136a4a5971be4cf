//! The runtime: one thread, cooperative tasks, and the loop that turns frames into progress.
#![forbid(unsafe_code)]

mod executor;
mod platform;
mod scope;
mod timer;

pub use platform::Platform;
pub use scope::Scope;

use crate::{
    device::Device,
    frame::RxQueue,
    net::Net,
    time::{Duration, Instant},
};
use alloc::{boxed::Box, rc::Rc};
use core::{cell::Cell, future::Future, pin::pin, task::Poll};
use executor::Executor;
use timer::Timers;

/// Frames taken from a device before tasks run.
const RX_BUDGET: usize = 64;
/// Task polls before the devices have their turn again, so that no task starves the stack.
const TASK_BUDGET: usize = 256;
/// Rounds of work after which a device is served even if there is more to do: some are only
/// served while the guest waits.
const BUSY_ROUNDS: u32 = 32;
/// How long connections that a service has closed may take to end when it has returned.
const LINGER: Duration = Duration::from_secs(2);

/// A handle to the runtime.
#[derive(Clone)]
pub struct Rt(Rc<Core>);

struct Core {
    executor: Executor,
    timers: Timers,
    platform: Box<dyn Platform>,
    now: Cell<Instant>,
}

impl Rt {
    /// A runtime on a platform.
    pub fn new(platform: impl Platform) -> Rt {
        let now = Cell::new(platform.now());
        let platform = Box::new(platform);
        let (executor, timers) = (Executor::default(), Timers::default());
        Rt(Rc::new(Core { executor, timers, platform, now }))
    }

    /// The time of this round of the loop.
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Nanoseconds since 1970.
    pub fn wall_clock(&self) -> u64 {
        self.0.platform.wall_clock()
    }

    /// 32 unpredictable bytes, or the service's `--seed`.
    pub fn entropy(&self) -> [u8; 32] {
        self.0.platform.entropy()
    }

    /// Sleeps for `duration`.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        timer::Sleep::new(self.clone(), self.now() + duration)
    }

    /// Runs `future` for at most `duration`; `None` when it was not done by then, and is cancelled.
    pub async fn timeout<T>(
        &self,
        duration: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let (mut future, mut sleep) = (pin!(future), pin!(self.sleep(duration)));
        core::future::poll_fn(move |cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            sleep.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Runs `body` with a scope for tasks, and ends when it and all of them have.
    pub async fn scope<T>(&self, body: impl AsyncFnOnce(&Scope) -> T) -> T {
        let scope = Scope::new(self.clone());
        let value = body(&scope).await;
        scope.join().await;
        value
    }

    fn update_now(&self) -> Instant {
        self.0.now.set(self.0.platform.now());
        self.0.now.get()
    }

    /// Runs `main` on a link to its end, and serves the link meanwhile.
    pub fn run<T: 'static>(
        &self,
        device: &mut impl Device,
        net: &Net,
        main: impl Future<Output = T> + 'static,
    ) -> T {
        let result = Rc::new(Cell::new(None));
        let slot = result.clone();
        self.0.executor.spawn(async move { slot.set(Some(main.await)) });
        let mut rx = RxQueue::default();
        let mut end = None;
        let mut value = None;
        let mut busy_rounds = 0;
        loop {
            let now = self.update_now();
            let received = device.receive(&mut rx, RX_BUDGET);
            net.receive(now, &mut rx);
            self.0.timers.fire(now);
            let idle = self.0.executor.run(TASK_BUDGET);
            net.poll(now);
            net.transmit(device);
            if let Some(done) = result.take() {
                value = Some(done);
                end = Some(now + LINGER);
            }
            if end.is_some_and(|end| now >= end || net.is_quiet()) {
                if let Some(value) = value {
                    return value;
                }
                unreachable!("the end is set with the value");
            }
            busy_rounds += 1;
            if received == 0 && idle && self.0.executor.is_idle() {
                let due = [self.0.timers.next(), net.poll_at(), end].into_iter().flatten().min();
                if due.is_none_or(|due| due > now) {
                    net.publish_stats(device.stats());
                    device.wait(due);
                    busy_rounds = 0;
                } else if net.is_blocked() {
                    // Only the device's other side can make room.
                    busy_rounds = BUSY_ROUNDS;
                }
            }
            if busy_rounds >= BUSY_ROUNDS {
                device.wait(Some(now));
                busy_rounds = 0;
            }
        }
    }
}
