//! Structured tasks: a scope ends only when its tasks have.

use super::{
    Rt,
    executor::{Handle, Label},
};
use alloc::{boxed::Box, rc::Rc, sync::Arc, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::Location,
    pin::Pin,
    task::{Context, Poll, Waker},
};

type Finalizer = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct State {
    running: Cell<usize>,
    joiner: RefCell<Option<Waker>>,
    tasks: RefCell<Slab>,
    finalizers: RefCell<Vec<Finalizer>>,
}

/// The running tasks.
#[derive(Default)]
struct Slab {
    tasks: Vec<Option<Arc<Handle>>>,
    free: Vec<usize>,
}

impl Slab {
    fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() - 1
        })
    }
}

/// Where tasks are started. It ends when its tasks have ended; when it is dropped before that, by
/// an error, a timeout or a cancellation further out, its tasks are cancelled first.
pub struct Scope {
    rt: Rt,
    state: Rc<State>,
    label: Label,
}

impl Scope {
    pub(super) fn new(rt: Rt, at: &'static Location<'static>) -> Scope {
        let label = Label { kind: "finalizers of a scope", name: None, at };
        Scope { rt, state: Rc::default(), label }
    }

    /// Starts a task.
    #[track_caller]
    pub fn spawn<T: 'static>(&self, task: impl Future<Output = T> + 'static) -> Task<T> {
        let at = Location::caller();
        start(&self.rt, &self.state, Label { kind: "task", name: None, at }, task)
    }

    /// Starts a task with a name, for whoever has to look for it.
    #[track_caller]
    pub fn spawn_named<T: 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + 'static,
    ) -> Task<T> {
        let at = Location::caller();
        start(&self.rt, &self.state, Label { kind: "task", name: Some(name), at }, task)
    }

    /// Has `finalizer` run when all tasks have ended, in whatever way: done, failed or cancelled.
    /// The last one given runs first.
    pub fn finally(&self, finalizer: impl Future<Output = ()> + 'static) {
        self.state.finalizers.borrow_mut().push(Box::pin(finalizer));
    }

    /// Cancels every task of this scope. The scope goes on.
    pub fn cancel(&self) {
        let tasks: Vec<_> = self.state.tasks.borrow().tasks.iter().flatten().cloned().collect();
        tasks.iter().for_each(|task| self.rt.0.executor.cancel(task));
    }

    /// Tasks that have not ended.
    pub fn running(&self) -> usize {
        self.state.running.get()
    }

    /// Waits until every task has ended.
    pub async fn join(&self) {
        poll_fn(|cx| {
            if self.state.running.get() == 0 {
                return Poll::Ready(());
            }
            *self.state.joiner.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until every task has ended, and runs the finalizers.
    pub(super) async fn end(&self) {
        self.join().await;
        loop {
            let Some(finalizer) = self.state.finalizers.borrow_mut().pop() else { return };
            finalizer.await;
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.cancel();
        let mut finalizers = self.state.finalizers.take();
        if !finalizers.is_empty() {
            // Nobody waits for them any more, but the service does not end before they have.
            self.rt.0.executor.spawn(self.label, async move {
                while let Some(finalizer) = finalizers.pop() {
                    finalizer.await;
                }
            });
        }
    }
}

fn start<T: 'static>(
    rt: &Rt,
    state: &Rc<State>,
    label: Label,
    task: impl Future<Output = T> + 'static,
) -> Task<T> {
    let slot = state.tasks.borrow_mut().reserve();
    let result = Rc::new(Outcome { value: Cell::new(None), joiner: RefCell::default() });
    let ended = Ended { state: state.clone(), slot };
    let outcome = Unfinished(result.clone());
    state.running.set(state.running.get() + 1);
    let handle = rt.0.executor.spawn(label, async move {
        // In this order: a task counts as ended when all that it held is gone.
        let (_ended, outcome) = (ended, outcome);
        let value = task.await;
        outcome.0.value.set(Some(value));
    });
    state.tasks.borrow_mut().tasks[slot] = Some(handle.clone());
    Task { rt: rt.clone(), handle, result }
}

/// A task of a scope. Dropping this leaves the task to its scope; awaiting it gives what the task
/// returned, or `None` when it was cancelled.
pub struct Task<T> {
    rt: Rt,
    handle: Arc<Handle>,
    result: Rc<Outcome<T>>,
}

struct Outcome<T> {
    value: Cell<Option<T>>,
    joiner: RefCell<Option<Waker>>,
}

impl<T> Task<T> {
    /// Ends the task now: what it holds is dropped.
    pub fn cancel(&self) {
        self.rt.0.executor.cancel(&self.handle);
    }
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // The task's own reference is gone when it has ended.
        if Rc::strong_count(&self.result) == 1 {
            return Poll::Ready(self.result.value.take());
        }
        *self.result.joiner.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A task's reference to its outcome.
struct Unfinished<T>(Rc<Outcome<T>>);

impl<T> Drop for Unfinished<T> {
    fn drop(&mut self) {
        if let Some(waker) = self.0.joiner.take() {
            waker.wake();
        }
    }
}

struct Ended {
    state: Rc<State>,
    slot: usize,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let state = &self.state;
        {
            let mut tasks = state.tasks.borrow_mut();
            tasks.tasks[self.slot] = None;
            tasks.free.push(self.slot);
        }
        state.running.set(state.running.get() - 1);
        if state.running.get() == 0
            && let Some(waker) = state.joiner.take()
        {
            waker.wake();
        }
    }
}
