//! Tasks and their ready queue.

use alloc::{boxed::Box, collections::VecDeque, string::String, sync::Arc, task::Wake, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
};
use spin::Mutex;

type Ready = Arc<Mutex<VecDeque<Arc<Handle>>>>;

/// Steps that a task makes in one turn before its sockets let others run.
const STEPS: u32 = 32;

/// What a task is called where it has to be named: its kind, its name, and where it was started.
#[derive(Clone, Copy)]
pub(super) struct Label {
    pub(super) kind: &'static str,
    pub(super) name: Option<&'static str>,
    pub(super) at: &'static Location<'static>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if let Some(name) = self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " started at {}:{}", self.at.file(), self.at.line())
    }
}

/// A task's place and its mark of being queued; a wake allocates nothing.
pub(super) struct Handle {
    index: usize,
    queued: AtomicBool,
    cancelled: AtomicBool,
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
    label: Label,
}

/// All tasks of a runtime.
#[derive(Default)]
pub(super) struct Executor {
    tasks: RefCell<Slots>,
    ready: Ready,
    /// Steps that the running task may still make.
    steps: Cell<u32>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Option<Task>>,
    free: Vec<usize>,
}

impl Executor {
    /// Adds a task, ready to run.
    pub(super) fn spawn(
        &self,
        label: Label,
        future: impl Future<Output = ()> + 'static,
    ) -> Arc<Handle> {
        let mut tasks = self.tasks.borrow_mut();
        let index = tasks.free.pop().unwrap_or_else(|| {
            tasks.slots.push(None);
            tasks.slots.len() - 1
        });
        let handle = Arc::new(Handle {
            index,
            queued: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            ready: self.ready.clone(),
        });
        let waker = Waker::from(handle.clone());
        handle.wake_by_ref();
        let future = Box::pin(future);
        tasks.slots[index] = Some(Task { future, handle: handle.clone(), waker, label });
        handle
    }

    /// Ends a task: its future is dropped before this returns, or, when the task cancels itself,
    /// at the end of its turn.
    pub(super) fn cancel(&self, handle: &Arc<Handle>) {
        handle.cancelled.store(true, Ordering::Relaxed);
        let mut tasks = self.tasks.borrow_mut();
        let slot = &mut tasks.slots[handle.index];
        if let Some(task) = slot.take_if(|task| Arc::ptr_eq(&task.handle, handle)) {
            tasks.free.push(handle.index);
            // Its finalizers may start tasks and cancel others.
            drop(tasks);
            drop(task);
        }
    }

    /// Polls ready tasks, at most `budget` times; whether none was ready.
    pub(super) fn run(&self, budget: usize) -> bool {
        for polled in 0..budget {
            let Some(handle) = self.ready.lock().pop_front() else { return polled == 0 };
            handle.queued.store(false, Ordering::Release);
            // The task is out of its slot while it runs, so that it may spawn others. The slot may
            // have been given to another task meanwhile.
            let slot = self.tasks.borrow_mut().slots[handle.index]
                .take_if(|task| Arc::ptr_eq(&task.handle, &handle));
            let Some(mut task) = slot else { continue };
            self.steps.set(STEPS);
            let done = task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready();
            if done || handle.cancelled.load(Ordering::Relaxed) {
                drop(task);
                self.tasks.borrow_mut().free.push(handle.index);
            } else {
                self.tasks.borrow_mut().slots[handle.index] = Some(task);
            }
        }
        false
    }

    /// Counts a step of the running task; false when it has to let others run.
    pub(super) fn step(&self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }

    /// Whether no task is ready.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.lock().is_empty()
    }

    /// Whether every task has ended.
    pub(super) fn is_empty(&self) -> bool {
        let tasks = self.tasks.borrow();
        tasks.free.len() == tasks.slots.len()
    }

    /// The tasks that have not ended.
    pub(super) fn alive(&self) -> Vec<String> {
        let tasks = self.tasks.borrow();
        tasks.slots.iter().flatten().map(|task| alloc::format!("{}", task.label)).collect()
    }

    /// Ends every task.
    pub(super) fn clear(&self) {
        let handles: Vec<_> =
            self.tasks.borrow().slots.iter().flatten().map(|task| task.handle.clone()).collect();
        handles.iter().for_each(|handle| self.cancel(handle));
    }
}
