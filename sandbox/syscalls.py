"""Linux system calls without a Python function, through libc's `syscall`."""

import ctypes
import os
import platform

_libc = ctypes.CDLL(None, use_errno=True)
_held = ctypes.PyDLL(None, use_errno=True)

MACHINE = platform.machine()
_COLUMN = {"x86_64": 0, "aarch64": 1}.get(MACHINE)

_TABLE = """
access 21 - | alarm 37 - | arch_prctl 158 - | brk 12 214 | capget 125 90 | capset 126 91
chdir 80 49 | chmod 90 - | chown 92 - | clock_getres 229 114 | clock_gettime 228 113
clock_nanosleep 230 115 | clone 56 220 | clone3 435 435 | close 3 57 | close_range 436 436
copy_file_range 326 285 | creat 85 - | dup 32 23 | dup2 33 - | dup3 292 24 | epoll_create 213 -
epoll_create1 291 20 | epoll_ctl 233 21 | epoll_pwait 281 22 | epoll_pwait2 441 441
epoll_wait 232 - | eventfd 284 - | eventfd2 290 19 | exit 60 93 | exit_group 231 94
faccessat 269 48 | faccessat2 439 439 | fallocate 285 47 | fchdir 81 50 | fchmod 91 52
fchmodat 268 53 | fchmodat2 452 452 | fchown 93 55 | fchownat 260 54 | fcntl 72 25
fdatasync 75 83 | fgetxattr 193 10 | flistxattr 196 13 | fork 57 - | fstat 5 80 | fstatfs 138 44
fsync 74 82 | ftruncate 77 46 | futex 202 98 | futex_requeue 456 456 | futex_wait 455 455
futex_waitv 449 449 | futex_wake 454 454 | futimesat 261 - | get_mempolicy 239 236
get_robust_list 274 100 | getcpu 309 168 | getcwd 79 17 | getdents 78 - | getdents64 217 61
getegid 108 177 | geteuid 107 175 | getgid 104 176 | getgroups 115 158 | getitimer 36 102
getpeername 52 205 | getpgid 121 155 | getpgrp 111 - | getpid 39 172 | getppid 110 173
getpriority 140 141 | getrandom 318 278 | getresgid 120 150 | getresuid 118 148
getrlimit 97 163 | getrusage 98 165 | getsid 124 156 | getsockname 51 204 | getsockopt 55 209
gettid 186 178 | gettimeofday 96 169 | getuid 102 174 | getxattr 191 8 | ioctl 16 29
ioprio_get 252 31 | kill 62 129 | landlock_add_rule 445 445 | landlock_create_ruleset 444 444
landlock_restrict_self 446 446 | lchown 94 - | lgetxattr 192 9 | link 86 - | linkat 265 37
listxattr 194 11 | llistxattr 195 12 | lseek 8 62 | lstat 6 - | madvise 28 233
map_shadow_stack 453 453 | mbind 237 235 | membarrier 324 283 | memfd_create 319 279
mkdir 83 - | mkdirat 258 34 | mmap 9 222 | mount 165 40 | mount_setattr 442 442
mprotect 10 226 | mremap 25 216 | mseal 462 462 | msync 26 227 | munmap 11 215
nanosleep 35 101 | newfstatat 262 79 | open 2 - | openat 257 56 | openat2 437 437 | pause 34 -
pipe 22 - | pipe2 293 59 | pivot_root 155 41 | poll 7 - | ppoll 271 73 | prctl 157 167
pread64 17 67 | preadv 295 69 | preadv2 327 286 | prlimit64 302 261 | process_vm_readv 310 270
pselect6 270 72 | ptrace 101 117 | pwrite64 18 68 | pwritev 296 70 | pwritev2 328 287
read 0 63 | readlink 89 - | readlinkat 267 78 | readv 19 65 | recvfrom 45 207 | recvmmsg 299 243
recvmsg 47 212 | rename 82 - | renameat 264 38 | renameat2 316 276 | restart_syscall 219 128
rmdir 84 - | rseq 334 293 | rt_sigaction 13 134 | rt_sigpending 127 136 | rt_sigprocmask 14 135
rt_sigqueueinfo 129 138 | rt_sigreturn 15 139 | rt_sigsuspend 130 133 | rt_sigtimedwait 128 137
rt_tgsigqueueinfo 297 240 | sched_get_priority_max 146 125 | sched_get_priority_min 147 126
sched_getaffinity 204 123 | sched_getattr 315 275 | sched_getparam 143 121
sched_getscheduler 145 120 | sched_rr_get_interval 148 127 | sched_setaffinity 203 122
sched_yield 24 124 | seccomp 317 277 | select 23 - | sendfile 40 71 | sendto 44 206
set_mempolicy 238 237 | set_robust_list 273 99 | set_tid_address 218 96 | setitimer 38 103
setpgid 109 154 | setrlimit 160 164 | setsid 112 157 | shutdown 48 210 | sigaltstack 131 132
signalfd 282 - | signalfd4 289 74 | socketpair 53 199 | stat 4 - | statfs 137 43 | statx 332 291
symlink 88 - | symlinkat 266 36 | sysinfo 99 179 | tgkill 234 131 | time 201 -
timerfd_create 283 85 | timerfd_gettime 287 87 | timerfd_settime 286 86 | times 100 153
tkill 200 130 | truncate 76 45 | umask 95 166 | umount2 166 39 | uname 63 160 | unlink 87 -
unlinkat 263 35 | unshare 272 97 | utime 132 - | utimensat 280 88 | utimes 235 - | vfork 58 -
wait4 61 260 | waitid 247 95 | write 1 64 | writev 20 66
"""
"""Name, number on x86_64, number on aarch64; `-` where that machine has no such call."""

NEWEST = 469
"""The newest call that was looked at for this table, whether it is in it or not (Linux 6.17)."""


def _numbers() -> dict[str, tuple[int | None, int | None]]:
    rows = [row.split() for line in _TABLE.strip().splitlines() for row in line.split("|")]
    return {
        name: (None if x86 == "-" else int(x86), None if arm == "-" else int(arm))
        for name, x86, arm in rows
    }


NUMBERS = _numbers()


def number(name: str) -> int | None:
    """Return a call's number on this machine, None if it has none or the machine is unknown."""
    return None if _COLUMN is None else NUMBERS[name][_COLUMN]


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call; pointers are bytes or buffers.

    Raises:
        OSError: the kernel refused; or there is no such call on this machine.
    """
    found = number(name)
    if found is None:
        raise OSError(38, f"{name} is not known on {MACHINE}")
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(found), *converted)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def fork_with(flags: int) -> int:
    """Fork as `os.fork` does, with more flags of clone(2); for a process with one thread.

    The C library's own record of the thread's number is the parent's in the child, until that forks
    again in the usual way.

    Raises:
        OSError: the kernel refused.
    """
    found = number("clone")
    if found is None:
        raise OSError(38, f"clone is not known on {MACHINE}")
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    # Through `PyDLL`, which keeps the interpreter's lock.
    result: int = _held.syscall(ctypes.c_long(found), ctypes.c_long(flags | 17), None, None, 0, 0)
    error = ctypes.get_errno()
    if result == 0:
        python.PyOS_AfterFork_Child()
        return 0
    python.PyOS_AfterFork_Parent()
    if result < 0:
        raise OSError(error, f"clone: {os.strerror(error)}")
    return result


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    """Call `prctl`. Raises `OSError` if the kernel refuses."""
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(third), 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")
