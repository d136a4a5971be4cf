//! The service thread: polls taps and rings while it owns them.
#![forbid(unsafe_code)]

use super::{RX_BUDGET, Service, Shared, TX_BUDGET, nic::Moved, policy::Turns};
use crate::{args::ServiceMode, sys};
use std::{
    os::fd::AsRawFd,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// How long it looks for frames before it sleeps.
const SPIN: Duration = Duration::from_micros(5);

/// Serves whenever the rings are handed over, for ever.
pub(super) fn serve(shared: &Shared) {
    loop {
        sys::poll(&[shared.control.as_raw_fd()], None);
        let _ = shared.control.read();
        if shared.threaded.load(Ordering::SeqCst) {
            let mut service = shared.lock();
            let turns = own(shared, &mut service);
            service.sleeps.learn(turns.batches);
            service.nics.iter().for_each(|nic| nic.set_threaded(false));
        }
    }
}

/// Serves until the rings are taken back.
fn own(shared: &Shared, service: &mut Service) -> Turns {
    let mut idle_since: Option<Instant> = None;
    let mut turns = Turns::default();
    while shared.threaded.load(Ordering::Relaxed) {
        let (sent, received) = round(shared, service);
        let now = Instant::now();
        if sent.frames + received.frames > 0 {
            idle_since = None;
            let many = turns.add(sent, received, service.hogs.any(now));
            if many
                && shared.mode != ServiceMode::Thread
                && shared.threaded.swap(false, Ordering::SeqCst)
            {
                shared.stats.counters.service_switches.add(1);
                break;
            }
            continue;
        }
        if now - *idle_since.get_or_insert(now) < SPIN {
            if turns.are_full() && !service.hogs.any(now) {
                // Whom the frames were for may wait for this processor.
                std::thread::yield_now();
                let back = Instant::now();
                service.hogs.yielded(back - now, back);
            } else {
                std::hint::spin_loop();
            }
        } else {
            sleep(shared, service);
            idle_since = None;
        }
    }
    turns
}

fn round(shared: &Shared, service: &mut Service) -> (Moved, Moved) {
    let (mut sent, mut received) = (Moved::default(), Moved::default());
    for nic in &mut service.nics {
        sent += nic.send(shared, TX_BUDGET);
        received += nic.receive(shared, RX_BUDGET);
    }
    (sent, received)
}

fn sleep(shared: &Shared, service: &mut Service) {
    service.nics.iter_mut().for_each(|nic| nic.arm());
    // The second look: whatever came before the fence in `arm` is seen now, and whatever comes
    // after it kicks.
    let (sent, received) = round(shared, service);
    if sent.frames + received.frames == 0 {
        let mut fds = vec![shared.control.as_raw_fd(), shared.kick.as_raw_fd()];
        for nic in &mut service.nics {
            if nic.rings.is_some() && !nic.is_gone() && !nic.starved() {
                fds.push(nic.tap.as_raw_fd());
            }
        }
        let ready = sys::poll(&fds, None);
        if ready & 1 != 0 {
            // A call that is over, or that ends this tenure: it must not keep the thread awake.
            let _ = shared.control.read();
        }
        if ready & 2 != 0 {
            let _ = shared.kick.read();
            shared.stats.counters.kicks.add(1);
        }
    }
    service.nics.iter_mut().for_each(|nic| nic.disarm());
}
