//! Tasks that sleep.

use super::Rt;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use core::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Sleeping tasks by time.
#[derive(Default)]
pub(super) struct Timers {
    sleeping: RefCell<BTreeMap<(Instant, u64), Waker>>,
    count: Cell<u64>,
}

impl Timers {
    /// Wakes whoever is due.
    pub(super) fn fire(&self, now: Instant) {
        let mut sleeping = self.sleeping.borrow_mut();
        while let Some(first) = sleeping.first_entry().filter(|first| first.key().0 <= now) {
            first.remove().wake();
        }
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sleeping.borrow().first_key_value().map(|((at, _), _)| *at)
    }
}

/// The future of [`Rt::sleep`].
pub(super) struct Sleep {
    rt: Rt,
    until: Instant,
    key: Option<(Instant, u64)>,
}

impl Sleep {
    pub(super) fn new(rt: Rt, until: Instant) -> Sleep {
        Sleep { rt, until, key: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.rt.now() >= self.until {
            return Poll::Ready(());
        }
        let timers = &self.rt.0.timers;
        let key = self.key.unwrap_or_else(|| {
            timers.count.set(timers.count.get() + 1);
            (self.until, timers.count.get())
        });
        timers.sleeping.borrow_mut().insert(key, cx.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.rt.0.timers.sleeping.borrow_mut().remove(&key);
        }
    }
}
