"""The filter on system calls, in real processes that put it on themselves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import seccomp, syscalls

HEADERS = {
    0: ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    1: ("/usr/include/asm-generic/unistd.h",),
}
_GENERIC = {"newfstatat": "fstatat"}
ATTEMPT = """
import errno, fcntl, os, signal, socket, sys
from sandbox import seccomp, syscalls
import ctypes
def raw(number):
    ctypes.set_errno(0)
    if ctypes.CDLL(None, use_errno=True).syscall(number) < 0:
        raise OSError(ctypes.get_errno(), "")
seccomp.install(own_pid_only={own_pid_only}, metadata={metadata})
try:
    {code}
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("done")
"""


def attempt(code: str, *, own_pid_only: bool, metadata: bool = True) -> str:
    """Return what a process under the filter gets for a line of code."""
    text = ATTEMPT.format(code=code, own_pid_only=own_pid_only, metadata=metadata)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize("own_pid_only", [True, False])
@pytest.mark.parametrize(
    ("code", "gets"),
    [
        ("socket.socket()", "EPERM"),
        ("socket.socket(socket.AF_UNIX)", "EPERM"),
        ("socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)", "EPERM"),
        ("socket.socketpair()", "done"),
        ("socket.socketpair(socket.AF_TIPC, socket.SOCK_STREAM)", "EPERM"),
        ("socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 9)", "EPERM"),
        ("socket.socketpair()[0].sendmsg([b'x'])", "EPERM"),
        ("os.memfd_create('x')", "EPERM"),
        ("os.eventfd(0)", "EPERM"),
        ("syscalls.call('sysinfo', ctypes.create_string_buffer(256))", "EPERM"),
        ("os.sysconf('SC_PHYS_PAGES')", "done"),
        ("os.cpu_count() or 1 / 0", "done"),
        ("syscalls.prctl(1, 0)", "EPERM"),
        ("syscalls.prctl(1, 9)", "EPERM"),
        ("syscalls.prctl(4, 0)", "EPERM"),
        ("syscalls.prctl(36, 1)", "EPERM"),
        ("syscalls.prctl(38, 1)", "done"),
        ("syscalls.call('clone', 0x8000 | 17, 0, 0, 0, 0) or os._exit(0)", "EPERM"),
        ("syscalls.call('clone', 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)", "EPERM"),
        ("syscalls.call('clone', 17, 0, 0, 0, 0) or os._exit(0)", "done"),
        ("syscalls.call('clone3', None, 0)", "ENOSYS"),
        ("raw(4000)", "ENOSYS"),
        ("raw(440)", "EPERM"),
        ("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "EPERM"),
        ("signal.signal(signal.SIGCHLD, signal.SIG_DFL)", "EPERM"),
        ("signal.getsignal(signal.SIGCHLD)", "done"),
        ("signal.signal(signal.SIGUSR1, signal.SIG_IGN)", "done"),
        ("fcntl.lockf(0, fcntl.LOCK_SH)", "EPERM"),
        ("fcntl.fcntl(0, fcntl.F_GETLK, bytes(32))", "EPERM"),
        ("fcntl.fcntl(0, 36, bytes(32))", "EPERM"),
        ("fcntl.fcntl(0, 37, bytes(32))", "EPERM"),
        ("fcntl.fcntl(os.pipe()[0], 1031, 1 << 20)", "EPERM"),
        ("os.posix_fadvise(0, 0, 0, os.POSIX_FADV_DONTNEED)", "EPERM"),
        ("os.preadv(os.open(os.__file__, 0), [bytearray(9)], 0, os.RWF_NOWAIT)", "EPERM"),
        ("os.preadv(os.open(os.__file__, 0), [bytearray(9)], 0)", "done"),
        ("os.isatty(0)", "done"),
        ("os.execv('/bin/true', ['true'])", "EPERM"),
        ("fcntl.ioctl(0, 0x5412, b'x')", "EPERM"),
        ("fcntl.flock(0, fcntl.LOCK_SH)", "EPERM"),
        ("fcntl.fcntl(0, 1024, 0)", "EPERM"),
        ("fcntl.fcntl(0, fcntl.F_GETFL)", "done"),
        ("os.kill(os.getpid(), 0)", "done"),
        ("os.waitpid(os.fork() or os._exit(0), 0)", "done"),
        ("os.sched_setaffinity(0, {0})", "done"),
        ("os.sched_setaffinity(os.getppid(), {0})", "EPERM"),
        ("__import__('resource').prlimit(os.getppid(), 7, (9, 9))", "EPERM"),
        ("__import__('resource').prlimit(0, 7, (99, 99))", "done"),
        ("t = __import__('threading').Thread(target=len, args='x'); t.start(); t.join()", "done"),
    ],
)
def test_what_is_denied_and_what_is_not(code: str, gets: str, *, own_pid_only: bool) -> None:
    """What crosses the border fails with EPERM; what torch and honest candidates need goes on."""
    assert attempt(code, own_pid_only=own_pid_only) == gets


@pytest.mark.parametrize(
    "code",
    [
        "os.kill(os.getppid(), 0)",
        "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)",
        "fcntl.fcntl(0, 8, os.getppid())",
        "os.kill(-1, 0)",
    ],
)
def test_signals_stay_inside_where_nothing_else_holds_them(code: str) -> None:
    """Without a PID namespace and Landlock's scopes the filter keeps signals to the process."""
    assert attempt(code, own_pid_only=True) == "EPERM"


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize(
    "code",
    [
        "os.chmod('{}', 0o600)", "os.fchmod(os.open('{}', 0), 0o600)", "os.utime('{}', (0, 0))",
        "os.chown('{}', -1, -1)", "os.lchown('{}', -1, -1)", "os.utime('{}')",
        "os.fchown(os.open('{}', 0), -1, -1)", "os.utime(os.open('{}', 0), (0, 0))",
    ],
)  # fmt: skip
def test_modes_owners_and_times_stay_where_nothing_else_holds_them(
    code: str, tmp_path: Path, *, metadata: bool
) -> None:
    """Landlock does not, so that without mounts of one's own the filter must."""
    file = tmp_path / "file"
    file.write_text("")
    found = attempt(code.format(file), own_pid_only=False, metadata=metadata)
    assert found == ("done" if metadata else "EPERM")


@pytest.mark.parametrize("column", HEADERS)
def test_the_numbers_are_the_kernels(column: int) -> None:
    """Every number is the one in the kernel's own header."""
    found = [Path(path) for path in HEADERS[column] if Path(path).exists()]
    if not found:
        pytest.skip("the kernel's headers are not installed")
    pattern = r"#define __NR(?:3264)?_(\w+)\s+(\d+)$"
    numbers = {name: int(n) for name, n in re.findall(pattern, found[0].read_text(), re.MULTILINE)}
    for name, pair in syscalls.NUMBERS.items():
        # The header may be older than the table; the generic one has another name for one of them.
        if (pair[column] or 0) <= max(numbers.values()):
            assert pair[column] == numbers.get(name, numbers.get(_GENERIC.get(name, ""))), name


def test_another_machine_is_told() -> None:
    """A machine whose numbers are not known gets no filter, and says so."""
    code = (
        "import platform; platform.machine = lambda: 'riscv64'\n"
        "from sandbox import seccomp\nseccomp.program(own_pid_only=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "no seccomp filter for riscv64" in done.stderr
    assert seccomp.program(own_pid_only=True) != seccomp.program(own_pid_only=False)
