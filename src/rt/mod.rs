//! The runtime: one thread, cooperative tasks, and the loop that turns frames into progress.
#![forbid(unsafe_code)]

mod daemon;
mod executor;
mod platform;
mod random;
mod scope;
mod timer;

#[cfg(test)]
mod tests;

pub use daemon::Daemon;
pub use futures_util::future::{Either, join, join_all, join3, select, try_join};
pub use platform::Platform;
pub use random::Random;
pub use scope::{Scope, Task};

use crate::{
    device::{Device, Look},
    frame::RxQueue,
    net::Net,
    time::{Duration, Instant},
};
use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};
use core::{
    cell::Cell,
    future::{Future, poll_fn},
    panic::Location,
    pin::pin,
    task::{Context, Poll},
};
use executor::{Executor, Label};
use random::Generator;
use timer::Timers;

/// Frames taken from a device before tasks run.
const RX_BUDGET: usize = 64;
/// Task polls before the devices have their turn again, so that no task starves the stack.
const TASK_BUDGET: usize = 256;
/// Rounds of work after which a device is served even if there is more to do: some are only
/// served while the guest waits.
const BUSY_ROUNDS: u32 = 32;
/// How long devices are looked at that a thread of the tender's serves, before a wait.
const SPIN: Duration = Duration::from_micros(250);
/// How long connections that a service has closed may take to end when it has returned, and its
/// finalizers.
const LINGER: Duration = Duration::from_secs(2);

/// A handle to the runtime.
#[derive(Clone)]
pub struct Rt(Rc<Core>);

struct Core {
    executor: Executor,
    timers: Timers,
    platform: Box<dyn Platform>,
    random: Generator,
    now: Cell<Instant>,
}

/// A network and the device that it is on.
pub(crate) struct Link {
    pub(crate) device: Box<dyn Device>,
    pub(crate) net: Net,
}

impl Rt {
    /// A runtime on a platform; a `seed` makes every random choice repeatable.
    pub fn new(platform: impl Platform, seed: Option<[u8; 32]>) -> Rt {
        let now = platform.now();
        let random =
            Generator::new(seed.unwrap_or_else(|| platform.entropy()), seed.is_some(), now);
        let platform = Box::new(platform);
        let (executor, timers) = (Executor::default(), Timers::default());
        Rt(Rc::new(Core { executor, timers, platform, random, now: Cell::new(now) }))
    }

    /// The time of this round of the loop.
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Nanoseconds since 1970.
    pub fn wall_clock(&self) -> u64 {
        self.0.platform.wall_clock()
    }

    /// The random generator.
    pub fn random(&self) -> Random {
        Random(self.clone())
    }

    /// Sleeps for `duration`.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        timer::Sleep::new(self.clone(), self.now() + duration)
    }

    /// Lets other tasks and the network run.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        poll_fn(|cx| {
            if core::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Counts a step of the running task. A task that has made many is asked to wait until the
    /// network and the others have had their turn: so that one which always finds something to do
    /// starves nobody.
    pub fn poll_budget(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.executor.step() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Runs `future` for at most `duration`; `None` when it was not done by then, and is cancelled.
    pub async fn timeout<T>(
        &self,
        duration: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let (mut future, mut sleep) = (pin!(future), pin!(self.sleep(duration)));
        poll_fn(move |cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            sleep.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Runs `body` with a scope for tasks, and ends when it and all of them have.
    #[track_caller]
    pub fn scope<T>(&self, body: impl AsyncFnOnce(&Scope) -> T) -> impl Future<Output = T> {
        let scope = Scope::new(self.clone(), Location::caller());
        async move {
            let value = body(&scope).await;
            scope.end().await;
            value
        }
    }

    /// As [`Rt::scope`], but an error of `body` cancels the tasks.
    ///
    /// # Errors
    /// That of `body`, when every task and every finalizer has ended.
    #[track_caller]
    pub fn try_scope<T, E>(
        &self,
        body: impl AsyncFnOnce(&Scope) -> Result<T, E>,
    ) -> impl Future<Output = Result<T, E>> {
        let scope = Scope::new(self.clone(), Location::caller());
        async move {
            let value = body(&scope).await;
            if value.is_err() {
                scope.cancel();
            }
            scope.end().await;
            value
        }
    }

    /// Starts a task that belongs to no scope. It must be stopped before the service returns.
    #[track_caller]
    pub fn daemon(&self, name: &'static str, task: impl Future<Output = ()> + 'static) -> Daemon {
        let label = Label { kind: "daemon", name: Some(name), at: Location::caller() };
        Daemon { rt: self.clone(), handle: self.0.executor.spawn(label, task) }
    }

    fn update_now(&self) -> Instant {
        self.0.now.set(self.0.platform.now());
        self.0.now.get()
    }

    /// Runs `main` on its links to its end, and serves them meanwhile. What it left behind alive
    /// is named beside what it returned.
    pub(crate) fn run<T: 'static>(
        &self,
        links: &mut [Link],
        main: impl Future<Output = T> + 'static,
    ) -> (T, Vec<String>) {
        let result = Rc::new(Cell::new(None));
        let slot = result.clone();
        let label = Label { kind: "task", name: Some("main"), at: Location::caller() };
        self.0.executor.spawn(label, async move { slot.set(Some(main.await)) });
        let mut rx = RxQueue::default();
        let mut ended: Option<(T, Instant)> = None;
        let (mut busy_rounds, mut active) = (0, 0);
        loop {
            let now = self.update_now();
            let mut received = 0;
            for (i, link) in links.iter_mut().enumerate() {
                let count = link.device.receive(&mut rx, RX_BUDGET);
                link.net.receive(now, &mut rx);
                received += count;
                active = if count > 0 { i } else { active };
            }
            self.0.timers.fire(now);
            let idle = self.0.executor.run(TASK_BUDGET);
            for link in links.iter_mut() {
                link.net.poll(now);
                link.net.transmit(&mut *link.device);
            }
            if let Some(value) = result.take() {
                ended = Some((value, now + LINGER));
            }
            let quiet = || links.iter().all(|link| link.net.is_quiet());
            let over = |end: Instant| now >= end || (self.0.executor.is_empty() && quiet());
            if let Some((value, _)) = ended.take_if(|(_, end)| over(*end)) {
                let released = links.iter().filter(|link| link.net.release(now)).count();
                if released == 0 {
                    // What was sent last still lies with the devices.
                    links.iter_mut().for_each(|link| link.device.wait(Some(now)));
                    return (value, self.left_behind(links));
                }
                ended = Some((value, now + LINGER));
                continue;
            }
            busy_rounds += 1;
            let blocked = links.iter().position(|link| link.net.is_blocked());
            if received == 0 && idle && self.0.executor.is_idle() {
                let end = ended.as_ref().map(|(_, end)| *end);
                let timers = [self.0.timers.next(), end];
                let stacks = links.iter().map(|link| link.net.poll_at());
                let due = stacks.chain(timers).flatten().min();
                if due.is_none_or(|due| due > now) {
                    for link in links.iter_mut() {
                        link.net.publish_stats(link.device.stats());
                    }
                    self.wait(links, blocked.unwrap_or(active), due);
                    busy_rounds = 0;
                } else if blocked.is_some() {
                    // Only the device's other side can make room.
                    busy_rounds = BUSY_ROUNDS;
                }
            }
            if busy_rounds >= BUSY_ROUNDS {
                self.wait(links, blocked.unwrap_or(active), Some(now));
                busy_rounds = 0;
            }
        }
    }

    /// Looks at all devices as long as that pays.
    fn has_news(&self, links: &mut [Link], until: Option<Instant>) -> bool {
        let started = self.0.platform.now();
        loop {
            let now = self.0.platform.now();
            let due = until.is_some_and(|until| now >= until);
            let mut news = false;
            for link in links.iter_mut() {
                match link.device.look(due) {
                    Look::Ready => news = true,
                    Look::Again => {}
                    Look::Wait => return false,
                }
            }
            if news || links.is_empty() || now - started > SPIN {
                return news;
            }
            core::hint::spin_loop();
        }
    }

    /// Sleeps in a device. Each wakes for what happens at any of them.
    fn wait(&self, links: &mut [Link], link: usize, until: Option<Instant>) {
        if self.has_news(links, until) {
            return;
        }
        match links.get_mut(link) {
            Some(link) => link.device.wait(until),
            None => self.0.platform.idle(until),
        }
    }

    /// Names what is still alive after the service's end, and ends it.
    fn left_behind(&self, links: &[Link]) -> Vec<String> {
        let mut names = self.0.executor.alive();
        for link in links {
            link.net.name_open(&mut names);
        }
        self.0.executor.clear();
        names
    }
}
