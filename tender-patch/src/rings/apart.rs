//! Keeps the service thread off the vCPU's processor: a guest that polls there never gives it
//! away, while a peer on another one waits for the thread anyway.
#![forbid(unsafe_code)]

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
    unistd::Pid,
};

/// The calling thread.
const SELF: Pid = Pid::from_raw(0);

/// Where the vCPU's thread may run, and where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    allowed: CpuSet,
    others: CpuSet,
}

/// The calling thread's, if that can be told. What its mask says is what the tender was started
/// with, or was moved to since.
pub(super) fn place() -> Option<Place> {
    let allowed = sched_getaffinity(SELF).ok()?;
    let others = without(allowed, sched_getcpu().ok()?)?;
    Some(Place { allowed, others })
}

/// Where the service thread may run.
#[derive(Debug)]
pub(super) struct Apart {
    /// What it was started with, or has chosen since.
    own: Option<CpuSet>,
    /// Where the vCPU was then.
    vcpu: Option<Place>,
}

impl Apart {
    /// Wherever the calling thread may run now.
    pub(super) fn new() -> Apart {
        Apart { own: sched_getaffinity(SELF).ok(), vcpu: None }
    }

    /// Leaves the vCPU's processor to it, if there is another one that both may use. A mask that
    /// somebody gave to this thread alone stays. Where that fails the scheduler goes on choosing,
    /// so that nothing but time is lost.
    pub(super) fn keep_off(&mut self, vcpu: Place) {
        if self.vcpu.replace(vcpu) == Some(vcpu) {
            return;
        }
        let now = sched_getaffinity(SELF).ok();
        if (now == self.own || now == Some(vcpu.allowed))
            && sched_setaffinity(SELF, &vcpu.others).is_ok()
        {
            self.own = Some(vcpu.others);
        }
    }
}

/// The processors of `allowed` but for one; all of them if there is no other.
fn without(allowed: CpuSet, processor: usize) -> Option<CpuSet> {
    let mut others = allowed;
    others.unset(processor).ok()?;
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
        assert_eq!(without(set(&[0, 1, 5]), 1), Some(set(&[0, 5])));
        assert_eq!(without(set(&[0, 5]), 1), Some(set(&[0, 5])));
        assert_eq!(without(set(&[1]), 1), Some(set(&[1])));
    }

    #[test]
    fn a_thread_moves_away_and_goes_with_the_vcpu_where_that_is_moved() {
        let thread = std::thread::spawn(|| {
            let mask = || sched_getaffinity(SELF).unwrap();
            let mut apart = Apart::new();
            let there = place().unwrap();
            apart.keep_off(there);
            assert_eq!(mask(), there.others);
            // Both are moved to one processor, and back.
            let cpus = (0..CpuSet::count()).filter(|n| there.allowed.is_set(*n) == Ok(true));
            for cpu in cpus {
                let one = Place { allowed: set(&[cpu]), others: set(&[cpu]) };
                sched_setaffinity(SELF, &one.allowed).unwrap();
                apart.keep_off(one);
                assert_eq!(mask(), one.allowed);
            }
            sched_setaffinity(SELF, &there.allowed).unwrap();
            apart.keep_off(there);
            assert_eq!(mask(), there.others);
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_mask_that_the_thread_was_given_alone_stays() {
        let thread = std::thread::spawn(|| {
            let mut apart = Apart::new();
            let there = place().unwrap();
            apart.keep_off(there);
            let mut cpus = 0..CpuSet::count();
            let Some(vcpus) = cpus.find(|n| there.others.is_set(*n) != there.allowed.is_set(*n))
            else {
                return;
            };
            let alone = set(&[vcpus]);
            sched_setaffinity(SELF, &alone).unwrap();
            apart.keep_off(Place { others: there.allowed, ..there });
            assert_eq!(sched_getaffinity(SELF).unwrap(), alone);
        });
        thread.join().unwrap();
    }
}
