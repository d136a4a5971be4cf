use super::*;
use alloc::vec;
use core::cell::RefCell;
use rand_core::RngCore;

/// A clock that jumps to what is waited for.
#[derive(Default)]
struct Virtual(Cell<u64>);

impl Platform for Virtual {
    fn now(&self) -> Instant {
        self.0.set(self.0.get() + 1);
        Instant::from_nanos(1_000_000_000 + self.0.get())
    }

    fn wall_clock(&self) -> u64 {
        0
    }

    fn entropy(&self) -> [u8; 32] {
        [self.0.get() as u8; 32]
    }

    fn idle(&self, until: Option<Instant>) {
        let until = until.expect("nothing will ever wake this service");
        self.0.set((until - Instant::from_nanos(1_000_000_000)).as_nanos() as u64);
    }
}

type Log = Rc<RefCell<Vec<&'static str>>>;

fn run<F: Future<Output = ()> + 'static>(
    main: impl FnOnce(Rt, Log) -> F,
) -> (Vec<&'static str>, Vec<String>) {
    let rt = Rt::new(Virtual::default(), Some([1; 32]));
    let log = Log::default();
    let ((), left) = rt.run(&mut [], main(rt.clone(), log.clone()));
    (log.take(), left)
}

const SECOND: Duration = Duration::from_secs(1);

/// Notes its end, whatever ends it.
struct Note(Log, &'static str);

impl Drop for Note {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

#[test]
fn a_scope_ends_only_when_its_tasks_have() {
    let (log, left) = run(async |rt: Rt, log: Log| {
        rt.scope(async |scope| {
            let (rt, log) = (rt.clone(), log.clone());
            scope.spawn(async move {
                rt.sleep(SECOND).await;
                log.borrow_mut().push("task");
            });
        })
        .await;
        log.borrow_mut().push("after");
    });
    assert_eq!((log, left.len()), (vec!["task", "after"], 0));
}

#[test]
fn a_timeout_cancels_a_scope_with_everything_in_it_before_it_returns() {
    let (log, left) = run(async |rt: Rt, log: Log| {
        let outer = rt.scope(async |scope| {
            let (rt, log) = (rt.clone(), log.clone());
            scope.spawn(async move {
                let note = Note(log.clone(), "inner");
                rt.scope(async |scope| {
                    let note = Note(log.clone(), "innermost");
                    scope.spawn(async move {
                        let _note = note;
                        core::future::pending::<()>().await;
                    });
                    core::future::pending::<()>().await;
                })
                .await;
                drop(note);
            });
            core::future::pending::<()>().await;
        });
        assert!(rt.timeout(SECOND, outer).await.is_none());
        log.borrow_mut().push("after");
    });
    assert_eq!((log, left.len()), (vec!["innermost", "inner", "after"], 0));
}

#[test]
fn an_error_cancels_the_tasks_of_its_scope_and_runs_the_finalizers() {
    let (log, left) = run(async |rt: Rt, log: Log| {
        let result: Result<(), &str> = rt
            .try_scope(async |scope| {
                let (first, second, clock) = (log.clone(), log.clone(), rt.clone());
                scope.finally(async move { first.borrow_mut().push("first given") });
                scope.finally(async move {
                    clock.sleep(SECOND).await;
                    second.borrow_mut().push("last given");
                });
                let note = Note(log.clone(), "task");
                scope.spawn(async move {
                    let _note = note;
                    core::future::pending::<()>().await;
                });
                rt.yield_now().await;
                Err("no")
            })
            .await;
        assert_eq!(result, Err("no"));
    });
    assert_eq!((log, left.len()), (vec!["task", "last given", "first given"], 0));
}

#[test]
fn finalizers_of_a_cancelled_scope_run_before_the_service_ends() {
    let (log, left) = run(async |rt: Rt, log: Log| {
        let scope = rt.scope(async |scope| {
            let (rt, log) = (rt.clone(), log.clone());
            scope.finally(async move {
                rt.sleep(SECOND).await;
                log.borrow_mut().push("finalizer");
            });
            core::future::pending::<()>().await;
        });
        rt.timeout(SECOND, scope).await;
        log.borrow_mut().push("main");
    });
    assert_eq!((log, left.len()), (vec!["main", "finalizer"], 0));
}

#[test]
fn what_a_service_leaves_alive_is_named() {
    let (_, left) = run(async |rt: Rt, _| {
        core::mem::forget(rt.daemon("ticker", core::future::pending()));
        rt.daemon("stopped", core::future::pending()).stop();
        rt.daemon("over", async {}).rt.yield_now().await;
    });
    let [ticker] = &left[..] else { panic!("{left:?}") };
    assert!(ticker.starts_with("daemon `ticker` started at src/rt/tests.rs:"), "{ticker}");
}

#[test]
fn a_task_gives_its_value_or_none_when_it_was_cancelled() {
    run(async |rt: Rt, _| {
        rt.scope(async |scope| {
            let done = scope.spawn(async { 7 });
            let cancelled = scope.spawn_named("never", core::future::pending::<u8>());
            cancelled.cancel();
            assert_eq!((done.await, cancelled.await), (Some(7), None));
            assert_eq!(scope.running(), 0);
        })
        .await;
    });
}

#[test]
fn a_task_may_cancel_itself() {
    let (log, _) = run(async |rt: Rt, log: Log| {
        rt.scope(async |scope| {
            let own = Rc::new(Cell::new(None::<Task<()>>));
            let (slot, log, rt) = (own.clone(), log.clone(), rt.clone());
            own.set(Some(scope.spawn(async move {
                let _note = Note(log.clone(), "dropped");
                rt.yield_now().await;
                slot.take().expect("set by now").cancel();
                log.borrow_mut().push("goes on to its next wait");
                rt.yield_now().await;
                log.borrow_mut().push("never");
            })));
        })
        .await;
    });
    assert_eq!(log, ["goes on to its next wait", "dropped"]);
}

#[test]
fn a_task_that_always_finds_work_starves_nobody() {
    let (log, _) = run(async |rt: Rt, log: Log| {
        rt.scope(async |scope| {
            let (busy, clock) = (rt.clone(), rt.clone());
            let greedy = scope.spawn(async move {
                loop {
                    poll_fn(|cx| busy.poll_budget(cx)).await;
                }
            });
            clock.sleep(Duration::from_micros(1)).await;
            log.borrow_mut().push("had its turn");
            greedy.cancel();
        })
        .await;
    });
    assert_eq!(log, ["had its turn"]);
}

#[test]
fn a_seed_repeats_every_number_and_without_one_the_generator_is_reseeded() {
    let numbers = |seed: Option<[u8; 32]>| {
        let mut random = Rt::new(Virtual::default(), seed).random();
        let mut megabyte = vec![0; 1 << 20];
        random.fill_bytes(&mut megabyte);
        (megabyte[0], random.next_u64(), random.next_u64())
    };
    assert_eq!(numbers(Some([7; 32])), numbers(Some([7; 32])));
    assert_ne!(numbers(Some([7; 32])), numbers(Some([8; 32])));
    // The same first state, and then entropy of its own.
    let (first, second, _) = numbers(Some([1; 32]));
    let rt = Rt::new(Virtual::default(), None);
    let mut bytes = vec![0; 1 << 20];
    rt.random().fill_bytes(&mut bytes);
    assert_eq!(bytes[0], first);
    assert_ne!(rt.random().next_u64(), second);
}
