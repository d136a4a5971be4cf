//! Structured tasks: a scope ends only when its tasks have.

use super::Rt;
use alloc::{rc::Rc, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    task::{Poll, Waker},
};

#[derive(Default)]
struct State {
    running: Cell<usize>,
    cancelled: Cell<bool>,
    joiner: RefCell<Option<Waker>>,
    wakers: RefCell<Slab>,
}

/// The latest waker of each running task, for cancelling.
#[derive(Default)]
struct Slab {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Slab {
    fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        })
    }
}

/// Where tasks are started. When it is dropped before it has ended, its tasks are cancelled.
pub struct Scope {
    rt: Rt,
    state: Rc<State>,
}

impl Scope {
    pub(super) fn new(rt: Rt) -> Scope {
        Scope { rt, state: Rc::default() }
    }

    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let slot = self.state.wakers.borrow_mut().reserve();
        let ended = Ended { state: self.state.clone(), slot };
        self.state.running.set(self.state.running.get() + 1);
        self.rt.0.executor.spawn(async move {
            let Ended { state, slot } = &ended;
            let mut task = pin!(task);
            poll_fn(|cx| {
                if state.cancelled.get() {
                    return Poll::Ready(());
                }
                if let Some(waker) = state.wakers.borrow_mut().wakers.get_mut(*slot)
                    && waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker()))
                {
                    *waker = Some(cx.waker().clone());
                }
                task.as_mut().poll(cx)
            })
            .await;
        });
    }

    /// Tasks that have not ended.
    pub fn running(&self) -> usize {
        self.state.running.get()
    }

    pub(super) async fn join(&self) {
        poll_fn(|cx| {
            if self.state.running.get() == 0 {
                return Poll::Ready(());
            }
            *self.state.joiner.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.state.cancelled.set(true);
        self.state.wakers.take().wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

struct Ended {
    state: Rc<State>,
    slot: usize,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let state = &self.state;
        if let Ok(mut wakers) = state.wakers.try_borrow_mut()
            && let Some(waker) = wakers.wakers.get_mut(self.slot)
        {
            *waker = None;
            wakers.free.push(self.slot);
        }
        state.running.set(state.running.get() - 1);
        if state.running.get() == 0
            && let Some(waker) = state.joiner.take()
        {
            waker.wake();
        }
    }
}
