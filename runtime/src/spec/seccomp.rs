//! The system calls a container may make: Docker's default allow-list for a container with the default capabilities.
//! A table of facts: what is not named is refused with EPERM. Names a processor lacks are passed over by libseccomp.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};

use crate::error::Error;

/// Processes, memory, signals, time, scheduling of one's own.
const PROCESS: &str = "alarm arch_prctl brk capget capset clock_adjtime clock_adjtime64 clock_getres \
    clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 adjtimex chroot execve \
    execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake getcpu getegid \
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid \
    getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid \
    get_thread_area gettid gettimeofday getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self madvise map_shadow_stack membarrier memfd_create memfd_secret \
    mincore mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mremap mseal munlock munlockall munmap nanosleep \
    pause pidfd_open pidfd_send_signal pkey_alloc pkey_free pkey_mprotect prctl prlimit64 process_mrelease \
    process_vm_readv process_vm_writev ptrace remap_file_pages restart_syscall rseq rt_sigaction rt_sigpending \
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 \
    rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min \
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid \
    setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid set_thread_area set_tid_address setuid setuid32 \
    sigaltstack signalfd signalfd4 sigprocmask sigreturn sysinfo tgkill time timer_create timer_delete \
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime \
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill ugetrlimit umask uname vfork wait4 waitid waitpid";

/// Files and directories.
const FILES: &str = "access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 \
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown \
    fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 \
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat \
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat \
    listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat \
    msync name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read \
    readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir setxattr setxattrat \
    splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 \
    unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev";

/// Waiting, pipes, sockets, messages, shared memory.
const COMMUNICATION: &str = "accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait \
    epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 getpeername getsockname getsockopt io_cancel io_destroy \
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ipc listen mq_getsetattr mq_notify mq_open \
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd \
    _newselect pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 recv recvfrom recvmmsg recvmmsg_time64 \
    recvmsg select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto \
    setsockopt shmat shmctl shmdt shmget shutdown socketpair";

/// Linux, BSD and 32-bit personalities, and asking which one it is.
const PERSONALITIES: [u64; 5] = [0, 8, 0x20000, 0x20008, 0xffff_ffff];
/// Every `CLONE_NEW…` flag there was when the list was made: new namespaces need CAP_SYS_ADMIN, which nobody has here.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// Kinds of sockets: local ones, IPv4, IPv6, netlink, packets. All others are refused: of AF_ALG (CVE-2026-31431, a write into
/// the page cache of any file that can be read) and AF_VSOCK (the host of a virtual machine) Docker's list says so, too; the
/// rest are protocols whose code no container needs and that has had holes.
const FAMILIES: [libc::c_int; 5] =
    [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// The filter as the kernel takes it: `sock_filter` after `sock_filter`, eight bytes each.
///
/// Compiling takes libseccomp 20 ms, more than all else of a container's start, and gives the same every time: so it is
/// done once a daemon and handed to the shims. (The container library would compile it for every container, apply none
/// to further processes, and take a masked comparison's mask from the wrong one of its two values.)
pub(crate) fn program() -> Result<Vec<u8>, Error> {
    compile().map_err(|error| Error::Io {
        what: "compile the system call filter".to_owned(),
        source: io::Error::other(error.to_string()),
    })
}

fn compile() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut filter = ScmpFilterContext::new(ScmpAction::Errno(libc::EPERM))?;
    for arch in architectures() {
        filter.add_arch(*arch)?;
    }
    let lists = [PROCESS, FILES, COMMUNICATION];
    for name in lists.iter().flat_map(|list| list.split_whitespace()) {
        if let Ok(call) = ScmpSyscall::from_name(name) {
            filter.add_rule(ScmpAction::Allow, call)?;
        }
    }
    let first = |op, value| [ScmpArgCompare::new(0, op, value)];
    let allow = ScmpAction::Allow;
    let call = ScmpSyscall::from_name;
    for family in FAMILIES {
        let family = u64::try_from(family).expect("families are small numbers");
        let same = first(ScmpCompareOp::Equal, family);
        filter.add_rule_conditional(allow, call("socket")?, &same)?;
    }
    // Of i386 programs: what it is to open lies in memory, where a filter cannot look. Said not to be there, so that C
    // libraries use the calls of Linux 4.3 in its place.
    if let Ok(bundled) = call("socketcall") {
        filter.add_rule(ScmpAction::Errno(libc::ENOSYS), bundled)?;
    }
    let no_namespace = first(ScmpCompareOp::MaskedEqual(CLONE_NAMESPACES), 0);
    filter.add_rule_conditional(allow, call("clone")?, &no_namespace)?;
    // Says to the C library: use `clone`, whose flags a filter can see.
    filter.add_rule(ScmpAction::Errno(libc::ENOSYS), call("clone3")?)?;
    for personality in PERSONALITIES {
        let same = first(ScmpCompareOp::Equal, personality);
        filter.add_rule_conditional(allow, call("personality")?, &same)?;
    }
    let memory = rustix::fs::memfd_create("skein-filter", rustix::fs::MemfdFlags::CLOEXEC)?;
    filter.export_bpf(&memory)?;
    let mut file = File::from(memory);
    file.rewind()?;
    let mut program = Vec::new();
    file.read_to_end(&mut program)?;
    Ok(program)
}

fn architectures() -> &'static [ScmpArch] {
    match std::env::consts::ARCH {
        "x86_64" => &[ScmpArch::X8664, ScmpArch::X86, ScmpArch::X32],
        "aarch64" => &[ScmpArch::Aarch64, ScmpArch::Arm],
        _ => &[ScmpArch::Native],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_named_twice_and_none_that_escapes() {
        let mut names: Vec<&str> =
            [PROCESS, FILES, COMMUNICATION].iter().flat_map(|l| l.split_whitespace()).collect();
        for bad in
            ["mount", "unshare", "setns", "keyctl", "bpf", "io_uring_setup", "reboot", "kexec_load"]
        {
            assert!(!names.contains(&bad), "{bad}");
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        let program = program().unwrap();
        assert!(program.len().is_multiple_of(8) && program.len() > 1000);
    }
}
