//! The service thread: polls taps and rings while it owns them.
#![forbid(unsafe_code)]

use super::{RX_BUDGET, Service, Shared, TX_BUDGET};
use crate::sys;
use std::{
    os::fd::AsRawFd,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// How long it spins before it sleeps.
const SPIN: Duration = Duration::from_micros(5);
/// Frames a round, averaged over about 16 rounds, above which the vCPU's thread does better.
const MANY: usize = 12;

/// Serves whenever the rings are handed over, for ever.
pub(super) fn serve(shared: &Shared) {
    loop {
        sys::poll(&[shared.control.as_raw_fd()], None);
        let _ = shared.control.read();
        if shared.threaded.load(Ordering::SeqCst) {
            let mut service = shared.lock();
            own(shared, &mut service);
            service.nics.iter().for_each(|nic| nic.set_threaded(false));
        }
    }
}

fn own(shared: &Shared, service: &mut Service) {
    let mut idle_since: Option<Instant> = None;
    let mut average = 0;
    while shared.threaded.load(Ordering::Relaxed) {
        let frames = round(shared, service);
        if frames > 0 {
            idle_since = None;
            average = (average * 15 + frames * 16) / 16;
            if average > MANY * 16 && shared.threaded.swap(false, Ordering::SeqCst) {
                shared.stats.counters.service_switches.add(1);
                return;
            }
            continue;
        }
        match idle_since {
            None => idle_since = Some(Instant::now()),
            Some(since) if since.elapsed() < SPIN => std::hint::spin_loop(),
            Some(_) => {
                sleep(shared, service);
                idle_since = None;
            }
        }
    }
}

fn round(shared: &Shared, service: &mut Service) -> usize {
    let serve =
        |nic: &mut super::Nic| nic.send(shared, TX_BUDGET) + nic.receive(shared, RX_BUDGET).frames;
    service.nics.iter_mut().map(serve).sum()
}

fn sleep(shared: &Shared, service: &mut Service) {
    service.nics.iter_mut().for_each(|nic| nic.arm());
    // The second look: whatever came before the fence in `arm` is seen now, and whatever comes
    // after it kicks.
    if round(shared, service) == 0 {
        let mut fds = vec![shared.control.as_raw_fd(), shared.kick.as_raw_fd()];
        for nic in &mut service.nics {
            if nic.rings.is_some() && !nic.is_gone() && !nic.starved() {
                fds.push(nic.tap.as_raw_fd());
            }
        }
        let ready = sys::poll(&fds, None);
        if ready & 2 != 0 {
            let _ = shared.kick.read();
            shared.stats.counters.kicks.add(1);
        }
    }
    service.nics.iter_mut().for_each(|nic| nic.disarm());
}
