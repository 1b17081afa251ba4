"""A seccomp filter: the system calls that a worker may make.

An allow list; some of its calls only with certain arguments. Any other call fails with EPERM, so
that code which only tries it (most libraries do somewhere) goes on without it; a call newer than
the table of numbers fails with ENOSYS, as on an older kernel, where libraries have another way.
Why, and what was tried with it: `docs/decisions/0011-allow-list.md`.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst.
"""

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Iterable

from sandbox.syscalls import MACHINE, NEWEST, call, number, prctl

_ALLOWED = (
    # Files: what may be opened and changed is up to the mounts and Landlock.
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "open",
    "openat", "openat2", "creat", "close", "close_range", "stat", "fstat", "lstat", "newfstatat",
    "statx", "access", "faccessat", "faccessat2", "lseek", "getdents", "getdents64", "getcwd",
    "chdir", "fchdir", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink",
    "unlinkat", "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "truncate",
    "ftruncate", "fallocate", "fsync", "fdatasync", "umask", "statfs", "fstatfs", "sendfile",
    "copy_file_range", "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr",
    "flistxattr",
    # Descriptors, pipes, and waiting for them.
    "dup", "dup2", "dup3", "pipe", "pipe2", "poll", "ppoll", "select", "pselect6", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
    "timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd", "signalfd4",
    # Pairs of sockets that exist already.
    "sendto", "recvfrom", "recvmsg", "recvmmsg", "shutdown", "getsockopt", "getsockname",
    "getpeername",
    # Memory.
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "msync", "membarrier", "mbind",
    "get_mempolicy", "set_mempolicy", "mseal", "map_shadow_stack",
    # Processes and threads.
    "fork", "vfork", "exit", "exit_group", "wait4", "waitid", "futex", "futex_waitv",
    "futex_wake", "futex_wait", "futex_requeue", "set_robust_list", "get_robust_list",
    "set_tid_address", "rseq", "gettid", "getpid", "getppid", "getpgid", "getpgrp", "setpgid",
    "setsid", "getsid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid",
    "getresgid", "capget", "sched_yield", "sched_getaffinity", "sched_getparam",
    "sched_getscheduler", "sched_getattr", "sched_get_priority_max", "sched_get_priority_min",
    "sched_rr_get_interval", "getpriority", "ioprio_get", "getcpu", "arch_prctl", "getrlimit",
    "setrlimit", "getrusage", "times", "uname", "restart_syscall",
    # Signals and time.
    "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait",
    "sigaltstack", "pause", "alarm", "getitimer", "setitimer", "time", "gettimeofday",
    "clock_gettime", "clock_getres", "nanosleep", "clock_nanosleep", "getrandom",
)  # fmt: skip
_METADATA = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "fchownat", "lchown", "utime",
    "utimes", "utimensat", "futimesat",
)  # fmt: skip
"""Modes, owners and times: mounts hold them back, Landlock does not."""
_DEVICES = ("eventfd", "eventfd2")
"""For a GPU's driver alone: `/proc/self/fdinfo` tells the number of an event, the lowest that is
free in the whole system. Two workers could whisper, as with `sysinfo`, which is in no list."""
_SIGNALS = ("kill", "tgkill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
# Every CLONE_NEW* flag of clone(2); a sibling instead of a child; tracing.
_CLONE_DENIED = 0x7E020080 | 0x8000 | 0x2000
_AF_UNIX, _SOCK_TYPE_MASK, _SOCK_STREAM, _SIGCHLD = 1, 0xF, 1, 17
# Terminals, and signals to the owner of a descriptor: a GPU's driver has other commands.
_IOCTL_DENIED = (0x5412, 0x541C, 0x8901, 0x8902)
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TCGETS2.
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETOWN, F_DUPFD_QUERY, F_DUPFD_CLOEXEC,
# F_GETPIPE_SZ. No locks, leases and notices: they work on read-only files, and two workers read
# the same libraries: the environment could signal the policy through them. No larger pipes.
_FCNTL = (0, 1, 2, 3, 4, 9, 1027, 1030, 1032)
# PR_GET_PDEATHSIG, _GET_DUMPABLE, _GET_KEEPCAPS, _SET_NAME, _GET_NAME, _GET_SECCOMP, _CAPBSET_READ,
# _SET_TIMERSLACK, _GET_TIMERSLACK, _GET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS, _GET_NO_NEW_PRIVS,
# _GET_TID_ADDRESS, _SET_THP_DISABLE, _GET_THP_DISABLE, _SVE_SET_VL, _SVE_GET_VL,
# _GET_SPECULATION_CTRL, _PAC_RESET_KEYS, _GET_TAGGED_ADDR_CTRL, _SME_SET_VL, _SME_GET_VL,
# _SET_VMA, _GET_AUXV. Nothing that outlives an owner or hides from it.
_PRCTL = (
    2, 3, 7, 15, 16, 21, 23, 29, 30, 37, 38, 39, 40, 41, 42, 50, 51, 52, 54, 56, 63, 64,
    0x53564D41, 0x41555856,
)  # fmt: skip

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06  # BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_RET|K
_EQUAL, _ABOVE, _AT_LEAST, _ANY_BIT = 0x15, 0x25, 0x35, 0x45  # JEQ, JGT, JGE, JSET: a constant
_NR, _ARCH, _ARGUMENT_0 = 0, 4, 16  # offsets in struct seccomp_data; arguments are 8 bytes
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

_INSTRUCTION = struct.Struct("=HBBI")
Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, constant."""


def program(
    *, own_pid_only: bool, metadata: bool = True, devices: bool = False
) -> list[Instruction]:
    """Return the filter.

    Args:
        own_pid_only: forbid signals to any process but the caller's own.
        metadata: allow changes of files' modes, owners and times.
        devices: allow the commands and events of a GPU's driver.

    Raises:
        OSError: the numbers of this machine's system calls are not known here.
    """
    if MACHINE not in _AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"no seccomp filter for {MACHINE}")
    filter_ = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, _AUDIT_ARCH[MACHINE]),
        (_RETURN, 0, 0, _KILL),  # another architecture's numbers would mean other calls
        (_LOAD, 0, 0, _NR),
    ]
    if MACHINE == "x86_64":
        filter_ += [(_AT_LEAST, 0, 1, _X32_BIT), _fail(errno.EPERM)]
    more = [
        *(() if own_pid_only else _SIGNALS),
        *(_METADATA if metadata else ()),
        *(_DEVICES if devices else ()),
    ]
    filter_ += _allow_calls([*_ALLOWED, *more])
    filter_ += _by_argument(own_pid_only=own_pid_only, devices=devices)
    return [*filter_, (_ABOVE, 0, 1, NEWEST), _fail(errno.ENOSYS), _fail(errno.EPERM)]


@functools.cache
def common(devices: bool) -> bytes:
    """Return the encoded filter of the namespaces tier, which is the same for every process.

    A server asks for it before it forks, so that its workers find it made.
    """
    return _encode(program(own_pid_only=False, devices=devices))


def install(*, own_pid_only: bool, metadata: bool = True, devices: bool = False) -> None:
    """Install the filter for this process and its descendants, for good; see `program`.

    Raises:
        OSError: the kernel has no seccomp filters, or the machine is unknown.
    """
    if own_pid_only or not metadata:
        code = _encode(program(own_pid_only=own_pid_only, metadata=metadata, devices=devices))
    else:
        code = common(devices)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    call("seccomp", 1, 0, header)  # SECCOMP_SET_MODE_FILTER


def _encode(instructions: Iterable[Instruction]) -> bytes:
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)


def _by_argument(*, own_pid_only: bool, devices: bool) -> list[Instruction]:
    """Return the instructions for calls that are allowed with some arguments."""
    # Python's and glibc's clone3 hide their flags in memory; without it they use clone.
    filter_ = _when("clone3", [_fail(errno.ENOSYS)])
    filter_ += _when("clone", [_argument(0), (_ANY_BIT, 0, 1, _CLONE_DENIED), *_no_and_yes()])
    # A datagram pair could send to any named socket; another family's code is the network's.
    stream = [_argument(1), (_AND, 0, 0, _SOCK_TYPE_MASK), (_EQUAL, 1, 0, _SOCK_STREAM)]
    family = [_argument(0), (_EQUAL, 1, 0, _AF_UNIX), *_no_and_yes()]
    filter_ += _when("socketpair", [*stream, _fail(errno.EPERM), *family])
    filter_ += _when("ioctl", _none_of(1, _IOCTL_DENIED) if devices else _one_of(1, _IOCTL))
    filter_ += _when("fcntl", _one_of(1, _FCNTL))
    filter_ += _when("prctl", _one_of(0, _PRCTL))
    # Reading with flags tells what is in the cache of files: they would whisper, as locks do.
    for name in ("preadv2", "pwritev2"):
        filter_ += _when(name, _one_of(5, [0]))
    for name in ("prlimit64", "sched_setaffinity"):
        filter_ += _when(name, _one_of(0, [0]))
    # Children whose end is ignored are reaped by the kernel, and their time is added to nobody's.
    pointer = [_argument(1), (_EQUAL, 0, 2, 0), _argument(1, high=True), (_EQUAL, 1, 0, 0)]
    signal = [_argument(0), (_EQUAL, 0, len(pointer) + 1, _SIGCHLD)]
    filter_ += _when("rt_sigaction", [*signal, *pointer, *_no_and_yes()])
    if own_pid_only:
        for name in ("kill", "tgkill"):
            filter_ += _when(name, _one_of(0, [os.getpid()]))
    return filter_


def _allow_calls(names: Iterable[str]) -> list[Instruction]:
    """Return instructions that allow these calls whatever their arguments: few, by ranges."""
    numbers = sorted(found for name in names if (found := number(name)) is not None)
    filter_: list[Instruction] = []
    while numbers:
        low = high = numbers.pop(0)
        while numbers and numbers[0] == high + 1:
            high = numbers.pop(0)
        filter_ += [(_AT_LEAST, 0, 2, low), (_ABOVE, 1, 0, high), _allow()]
    return filter_


def _when(name: str, then: list[Instruction]) -> list[Instruction]:
    """Return instructions that run `then`, which must return, for this call alone."""
    found = number(name)
    return [] if found is None else [(_EQUAL, 0, len(then), found), *then]


def _fail(error: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)


def _allow() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _no_and_yes() -> list[Instruction]:
    return [_fail(errno.EPERM), _allow()]


def _argument(index: int, *, high: bool = False) -> Instruction:
    """Load half an argument, the low one unless `high`: both machines are little-endian."""
    return (_LOAD, 0, 0, _ARGUMENT_0 + 8 * index + 4 * high)


def _one_of(index: int, values: Iterable[int]) -> list[Instruction]:
    checks = [one for value in values for one in ((_EQUAL, 0, 1, value), _allow())]
    return [_argument(index), *checks, _fail(errno.EPERM)]


def _none_of(index: int, values: Iterable[int]) -> list[Instruction]:
    checks = [one for value in values for one in ((_EQUAL, 0, 1, value), _fail(errno.EPERM))]
    return [_argument(index), *checks, _allow()]
