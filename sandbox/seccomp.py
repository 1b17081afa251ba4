"""A seccomp filter: the system calls that a worker may not make.

A deny list, because torch needs many calls and they change; what it leaves open is limited by the
namespaces and Landlock. A denied call fails with EPERM, so that code which only tries it (most
libraries do somewhere) continues without it.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst.
"""

import ctypes
import errno
import os
import struct

from sandbox.syscalls import MACHINE, call, number, prctl

_DENIED = (
    # The network, and sockets of any other family.
    "socket", "connect", "bind", "listen", "accept", "accept4",
    # Other programs, and other processes: their memory, descriptors and limits.
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
    "kcmp", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "move_pages", "migrate_pages",
    "setpriority", "ioprio_set", "sched_setscheduler", "sched_setparam", "sched_setattr",
    # Namespaces and mounts.
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "mknod", "mknodat",
    "open_by_handle_at", "name_to_handle_at", "fanotify_init", "quotactl",
    # Memory and queues that outlive the process.
    "shmget", "semget", "msgget", "mq_open", "add_key", "keyctl", "request_key",
    # Locks and watches work on read-only files, and two workers read the same libraries: the
    # environment could signal the policy through them. (Leases and dnotify: see fcntl.)
    "flock", "inotify_init", "inotify_init1", "inotify_add_watch",
    # Parts of the kernel with a history of vulnerabilities, which no worker needs.
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "kexec_load", "kexec_file_load", "init_module", "finit_module",
    "delete_module", "reboot", "swapon", "swapoff", "acct", "syslog", "personality", "vhangup",
    "iopl", "ioperm", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "sethostname", "setdomainname",
)  # fmt: skip
_DENIED_SIGNALS = ("rt_sigqueueinfo", "rt_tgsigqueueinfo", "tkill")

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag of clone(2)
_SOCK_TYPE_MASK, _SOCK_STREAM = 0xF, 1
_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
_F_SETLEASE, _F_NOTIFY = 1024, 1026

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06  # BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_RET|K
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45  # BPF_JMP with JEQ, JGE, JSET and a constant
_NR, _ARCH, _ARGUMENT_0 = 0, 4, 16  # offsets in struct seccomp_data; arguments are 8 bytes
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, constant."""


def program(*, own_pid_only: bool) -> list[Instruction]:
    """Return the filter. `own_pid_only` forbids signals to any process but the caller's own.

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
    for name in _DENIED + (_DENIED_SIGNALS if own_pid_only else ()):
        filter_ += _when(name, [_fail(errno.EPERM)])
    # Python's and glibc's clone3 hide their flags in memory; without it they use clone.
    filter_ += _when("clone3", [_fail(errno.ENOSYS)])
    filter_ += _when("clone", _unless_any(0, _NEW_NAMESPACES))
    # A datagram pair could still send to any named socket; a stream pair can't.
    filter_ += _when("socketpair", _only(1, _SOCK_STREAM, mask=_SOCK_TYPE_MASK))
    filter_ += _when("ioctl", _none_of(1, _TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP))
    for name in ("prlimit64", "sched_setaffinity"):
        filter_ += _when(name, _only(0, 0))
    commands = [_F_SETLEASE, _F_NOTIFY]
    if own_pid_only:
        for name in ("kill", "tgkill"):
            filter_ += _when(name, _only(0, os.getpid()))
        # A descriptor can be made to send signals to its "owner".
        commands += [_F_SETOWN, _F_SETSIG, _F_SETOWN_EX]
    filter_ += _when("fcntl", _none_of(1, *commands))
    return [*filter_, _allow()]


def install(*, own_pid_only: bool) -> None:
    """Install the filter for this process and its descendants, for good.

    Raises:
        OSError: the kernel has no seccomp filters, or the machine is unknown.
    """
    instructions = program(own_pid_only=own_pid_only)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    call("seccomp", 1, 0, header)  # SECCOMP_SET_MODE_FILTER


def _when(name: str, then: list[Instruction]) -> list[Instruction]:
    """Return instructions that run `then`, which must return, for this call alone."""
    found = number(name)
    return [] if found is None else [(_EQUAL, 0, len(then), found), *then]


def _fail(error: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)


def _allow() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _argument(index: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENT_0 + 8 * index)  # its low half: both machines are little-endian


def _unless_any(index: int, bits: int) -> list[Instruction]:
    return [_argument(index), (_ANY_BIT, 0, 1, bits), _fail(errno.EPERM), _allow()]


def _only(index: int, value: int, mask: int = 0xFFFFFFFF) -> list[Instruction]:
    return [
        _argument(index),
        (_AND, 0, 0, mask),
        (_EQUAL, 1, 0, value),
        _fail(errno.EPERM),
        _allow(),
    ]


def _none_of(index: int, *values: int) -> list[Instruction]:
    checks = [one for value in values for one in ((_EQUAL, 0, 1, value), _fail(errno.EPERM))]
    return [_argument(index), *checks, _allow()]
