//! Tasks and their ready queue.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, task::Wake, vec::Vec};
use core::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
};
use spin::Mutex;

type Ready = Arc<Mutex<VecDeque<Arc<Handle>>>>;

/// A task's place and its mark of being queued; a wake allocates nothing.
struct Handle {
    index: usize,
    queued: AtomicBool,
    ready: Ready,
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.lock().push_back(self.clone());
        }
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    handle: Arc<Handle>,
    waker: Waker,
}

/// All tasks of a runtime.
#[derive(Default)]
pub(super) struct Executor {
    tasks: RefCell<Slots>,
    ready: Ready,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Option<Task>>,
    free: Vec<usize>,
}

impl Executor {
    /// Adds a task, ready to run.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let index = tasks.free.pop().unwrap_or_else(|| {
            tasks.slots.push(None);
            tasks.slots.len() - 1
        });
        let queued = AtomicBool::new(false);
        let handle = Arc::new(Handle { index, queued, ready: self.ready.clone() });
        let waker = Waker::from(handle.clone());
        handle.wake_by_ref();
        tasks.slots[index] = Some(Task { future: Box::pin(future), handle, waker });
    }

    /// Polls ready tasks, at most `budget` times; whether none was ready.
    pub(super) fn run(&self, budget: usize) -> bool {
        for polled in 0..budget {
            let Some(handle) = self.ready.lock().pop_front() else { return polled == 0 };
            handle.queued.store(false, Ordering::Release);
            // The task is out of its slot while it runs, so that it may spawn others.
            let slot = self.tasks.borrow_mut().slots[handle.index].take();
            let Some(mut task) = slot else { continue };
            if !Arc::ptr_eq(&task.handle, &handle) {
                // The slot was given to another task meanwhile.
                self.tasks.borrow_mut().slots[handle.index] = Some(task);
                continue;
            }
            let done = task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready();
            if done {
                drop(task);
                self.tasks.borrow_mut().free.push(handle.index);
            } else {
                self.tasks.borrow_mut().slots[handle.index] = Some(task);
            }
        }
        false
    }

    /// Whether no task is ready.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.lock().is_empty()
    }
}
