//! Keeps the service thread off the vCPU's processor: a guest that polls there never gives it
//! away, while a peer on another one waits for the thread anyway.
#![forbid(unsafe_code)]

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
    unistd::Pid,
};

/// The calling thread.
const SELF: Pid = Pid::from_raw(0);

/// The processor that the calling thread runs on, if that can be told.
pub(super) fn processor() -> Option<usize> {
    sched_getcpu().ok()
}

/// Where the calling thread may run.
#[derive(Debug)]
pub(super) struct Apart {
    /// What the tender was started with.
    allowed: Option<CpuSet>,
    off: Option<usize>,
}

impl Apart {
    /// Wherever the calling thread may run now.
    pub(super) fn new() -> Apart {
        Apart { allowed: sched_getaffinity(SELF).ok(), off: None }
    }

    /// Leaves `processor` to the vCPU, if there is another one. Where that fails the scheduler goes
    /// on choosing, so that nothing but time is lost.
    pub(super) fn keep_off(&mut self, processor: Option<usize>) {
        if processor == self.off {
            return;
        }
        self.off = processor;
        if let Some(others) = self.allowed.and_then(|allowed| without(allowed, processor)) {
            let _ = sched_setaffinity(SELF, &others);
        }
    }
}

/// The processors of `allowed` but for one; all of them if there is no other.
fn without(allowed: CpuSet, processor: Option<usize>) -> Option<CpuSet> {
    let mut others = allowed;
    if let Some(processor) = processor {
        others.unset(processor).ok()?;
    }
    let any = (0..CpuSet::count()).any(|n| others.is_set(n) == Ok(true));
    Some(if any { others } else { allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(of: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        of.iter().for_each(|n| set.set(*n).unwrap());
        set
    }

    #[test]
    fn the_vcpus_processor_is_left_to_it_unless_there_is_no_other() {
        assert_eq!(without(set(&[0, 1, 5]), Some(1)), Some(set(&[0, 5])));
        assert_eq!(without(set(&[0, 5]), Some(1)), Some(set(&[0, 5])));
        assert_eq!(without(set(&[1]), Some(1)), Some(set(&[1])));
        assert_eq!(without(set(&[0, 1]), None), Some(set(&[0, 1])));
    }

    #[test]
    fn a_thread_moves_away_and_may_come_back() {
        let thread = std::thread::spawn(|| {
            let mut apart = Apart::new();
            let allowed = sched_getaffinity(SELF).unwrap();
            let mine = processor();
            apart.keep_off(mine);
            assert_eq!(Some(sched_getaffinity(SELF).unwrap()), without(allowed, mine));
            apart.keep_off(None);
            assert_eq!(sched_getaffinity(SELF).unwrap(), allowed);
        });
        thread.join().unwrap();
    }
}
