//! System-call filters, one a role. What a role does not need kills the process.
#![forbid(unsafe_code)]

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs the guest and serves its hypercalls.
    Vcpu,
    /// Serves rings.
    Rings,
    /// Waits for signals.
    Signals,
}

/// Calls that only some configurations need.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    /// The directory in which a core file may be created.
    pub(crate) core_dir: Option<i32>,
}

/// Flags that a core file is created with: never an existing file.
pub(crate) const CREATE: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;

/// What every thread needs: memory, locks, clocks, messages, the end.
const COMMON: [c_long; 20] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

const KVM_RUN: u64 = 0xae80;
const KVM_GET_REGS: u64 = 0x8090_ae81;
const KVM_GET_SREGS: u64 = 0x8138_ae83;
const TUNSETOFFLOAD: u64 = 0x4004_54d0;

/// Confines the calling thread to what `role` needs, for good.
pub(crate) fn install(role: Role, calls: Calls) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("could not filter system calls: {e}");
    let filter = filter(role, calls).map_err(|e| failed(&e))?;
    let program = BpfProgram::try_from(filter).map_err(|e| failed(&e))?;
    apply_filter(&program).map_err(|e| failed(&e))
}

fn filter(role: Role, calls: Calls) -> Result<SeccompFilter, seccompiler::BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        COMMON.into_iter().map(|call| (call, Vec::new())).collect();
    let mut any = |calls: &[c_long]| rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    // What tells how a mapping may be used is its third argument: never as code.
    any(match role {
        Role::Vcpu => &[
            libc::SYS_readv,
            libc::SYS_ppoll,
            libc::SYS_pread64,
            libc::SYS_pwrite64,
            libc::SYS_getcpu,
        ],
        Role::Rings => &[libc::SYS_readv, libc::SYS_ppoll],
        Role::Signals => &[libc::SYS_rt_sigtimedwait, libc::SYS_ppoll],
    });
    // The statistics are written in place.
    if role != Role::Rings {
        any(&[libc::SYS_pwrite64, libc::SYS_ftruncate]);
    }
    let data_only = when(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?;
    rules.insert(libc::SYS_mmap, vec![data_only.clone()]);
    rules.insert(libc::SYS_mprotect, vec![data_only]);
    let requests: &[u64] = match role {
        Role::Vcpu => &[KVM_RUN, KVM_GET_REGS, KVM_GET_SREGS, TUNSETOFFLOAD],
        Role::Rings => &[],
        Role::Signals => &[TUNSETOFFLOAD],
    };
    if !requests.is_empty() {
        let requests = requests.iter().map(|request| when(1, SeccompCmpOp::Eq, *request));
        rules.insert(libc::SYS_ioctl, requests.collect::<Result<_, _>>()?);
    }
    // The service thread keeps off the vCPU's processor, among those that both may use.
    let own = || when(0, SeccompCmpOp::Eq, 0);
    if role != Role::Signals {
        rules.insert(libc::SYS_sched_getaffinity, vec![own()?]);
    }
    if role == Role::Rings {
        rules.insert(libc::SYS_sched_setaffinity, vec![own()?]);
    }
    if let Some(dir) = calls.core_dir.filter(|_| role == Role::Vcpu) {
        let here = SeccompCondition::new(0, Dword, SeccompCmpOp::Eq, dir as u64)?;
        let fresh = SeccompCondition::new(2, Dword, SeccompCmpOp::Eq, CREATE as u64)?;
        rules.insert(libc::SYS_openat, vec![SeccompRule::new(vec![here, fresh])?]);
    }
    let arch = TargetArch::x86_64;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)
}

fn when(arg: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(arg, Qword, op, value)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKS: [(&str, fn()); 4] = [
        ("file", || drop(std::fs::File::open("/etc/hostname"))),
        ("socket", || drop(std::net::UdpSocket::bind("127.0.0.1:0"))),
        ("program", || drop(std::process::Command::new("true").status())),
        ("memory", || drop(std::hint::black_box(vec![1u8; 10 << 20]))),
    ];

    /// Runs this test again as a child that confines itself and does `work`; the signal that
    /// ended it.
    fn confined(role: &str, work: &str) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "confine::filter::tests::what_a_role_does_not_need_kills"]);
        let status = child.env("CONFINE", format!("{role} {work}")).output().unwrap().status;
        assert!(status.success() || status.signal().is_some(), "{role} {work}: {status}");
        status.signal()
    }

    #[test]
    fn what_a_role_does_not_need_kills() {
        let roles = [("vcpu", Role::Vcpu), ("rings", Role::Rings), ("signals", Role::Signals)];
        if let Ok(asked) = std::env::var("CONFINE") {
            let (role, work) = asked.split_once(' ').unwrap();
            let role = roles.iter().find(|(name, _)| *name == role).unwrap().1;
            let work = WORKS.iter().find(|(name, _)| *name == work).unwrap().1;
            nix::sys::prctl::set_no_new_privs().unwrap();
            install(role, Calls::default()).unwrap();
            work();
            std::process::exit(0);
        }
        for (role, _) in roles {
            for (work, _) in WORKS {
                let expected = (work != "memory").then_some(libc::SIGSYS);
                assert_eq!(confined(role, work), expected, "{role} {work}");
            }
        }
    }
}
