//! The service thread: polls taps and rings while it owns them.
#![forbid(unsafe_code)]

use super::{
    RX_BUDGET, Service, Shared, TX_BUDGET,
    apart::Apart,
    nic::{Moved, Nic},
};
use crate::{args::ServiceMode, sys};
use std::{
    os::fd::{AsRawFd, RawFd},
    sync::{MutexGuard, atomic::Ordering},
    time::{Duration, Instant},
};

/// How long it looks for frames before it sleeps.
const SPIN: Duration = Duration::from_micros(5);
/// The same where it gives its processor away between two looks, and the guest has a batch to work
/// on.
const SPIN_FULL: Duration = Duration::from_micros(20);

/// Serves whenever the rings are handed over, for ever.
pub(super) fn serve(shared: &Shared) {
    let mut apart = Apart::new();
    let mut fds = Vec::new();
    loop {
        sys::poll(&[shared.control.as_raw_fd()], None);
        let _ = shared.control.read();
        if shared.threaded.load(Ordering::SeqCst) {
            own(shared, &mut apart, &mut fds);
        }
    }
}

/// Serves until the rings are taken back.
///
/// Nobody waits for a thread that does not run: while it has given its processor away they may be
/// taken.
fn own(shared: &Shared, apart: &mut Apart, fds: &mut Vec<RawFd>) {
    let mut service = shared.lock();
    service.rest.begin();
    let mut idle_since: Option<Instant> = None;
    while shared.threaded.load(Ordering::Relaxed) {
        if let Some(vcpu) = service.vcpu.take() {
            apart.keep_off(vcpu);
        }
        // A single frame is the guest's before the next is looked for.
        let budget = if service.turns.are_full() { RX_BUDGET } else { 1 };
        let (sent, received) = round(shared, &mut service, budget);
        let now = Instant::now();
        if sent.frames + received.frames > 0 {
            idle_since = None;
            let many = service.turns.add(sent, received);
            if many
                && shared.mode != ServiceMode::Thread
                && shared.threaded.swap(false, Ordering::SeqCst)
            {
                shared.stats.counters.service_switches.add(1);
                service.end_tenure(now);
                return;
            }
            if sent.frames > 0 && !service.turns.are_full() && service.rest.answered(now) {
                service = sleep(shared, service, fds);
            }
            continue;
        }
        let full = service.turns.are_full();
        let spin = if full { SPIN_FULL } else { SPIN };
        if now - *idle_since.get_or_insert(now) >= spin {
            service = sleep(shared, service, fds);
            idle_since = None;
        } else if full {
            // Whom the frames were for may wait for this processor.
            drop(service);
            std::thread::yield_now();
            service = shared.lock();
        } else {
            std::hint::spin_loop();
        }
    }
}

fn round(shared: &Shared, service: &mut Service, budget: usize) -> (Moved, Moved) {
    let (mut sent, mut received) = (Moved::default(), Moved::default());
    for nic in &mut service.nics {
        sent += nic.send(shared, TX_BUDGET);
        received += nic.receive(shared, budget);
    }
    (sent, received)
}

/// Sleeps until there is something to do; the rings may be in other hands then.
fn sleep<'a>(
    shared: &'a Shared,
    mut service: MutexGuard<'a, Service>,
    fds: &mut Vec<RawFd>,
) -> MutexGuard<'a, Service> {
    service.nics.iter_mut().for_each(Nic::arm);
    // The second look: whatever the guest sent before the fence in `arm` is seen now, and whatever
    // it sends after it kicks. `poll` itself looks at the taps.
    let (sent, received) = round(shared, &mut service, 0);
    service.turns.add(sent, received);
    if sent.frames + received.frames == 0 {
        fds.clear();
        fds.extend([shared.control.as_raw_fd(), shared.kick.as_raw_fd()]);
        for nic in &mut service.nics {
            if nic.rings.is_some() && !nic.is_gone() && !nic.starved() {
                fds.push(nic.tap.as_raw_fd());
            }
        }
        drop(service);
        let ready = sys::poll(fds, None);
        if ready & 1 != 0 {
            // A call that is over, or that ends this tenure: it must not keep the thread awake.
            let _ = shared.control.read();
        }
        if ready & 2 != 0 {
            let _ = shared.kick.read();
            shared.stats.counters.kicks.add(1);
        }
        service = shared.lock();
    }
    if shared.threaded.load(Ordering::Relaxed) {
        service.nics.iter_mut().for_each(Nic::disarm);
    }
    service
}
