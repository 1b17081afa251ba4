"""A small ptrace tracer: it sees every state-changing system call of a process and its children.

A seccomp filter in the traced process stops it at entry of just these calls, so that everything
else runs at full speed. The call has not happened yet when it is seen, and never does if its process
is killed there. Linux on x86-64 and AArch64; nothing to install.
"""

import contextlib
import ctypes
import os
import platform
import signal
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

# name: its numbers on x86-64 and AArch64 (None: not there).
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "write": (1, 64), "pwrite64": (18, 68), "writev": (20, 66), "ftruncate": (77, 46),
    "fsync": (74, 82), "fdatasync": (75, 83), "fchmod": (91, 52), "fallocate": (285, 47),
    "open": (2, None), "openat": (257, 56), "creat": (85, None), "truncate": (76, 45),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None),
    "unlink": (87, None), "unlinkat": (263, 35), "link": (86, None), "linkat": (265, 37),
    "symlink": (88, None), "symlinkat": (266, 36), "chmod": (90, None), "fchmodat": (268, 53),
}  # fmt: skip
_BY_DESCRIPTOR = {
    "write", "pwrite64", "writev", "ftruncate", "fsync", "fdatasync", "fchmod", "fallocate",
}  # fmt: skip
# Which arguments are (folder, path); a path alone is argument 0.
_PATH = dict.fromkeys(
    ("openat", "mkdirat", "unlinkat", "fchmodat", "renameat", "renameat2", "linkat"), (0, 1)
) | {"symlink": (None, 1), "symlinkat": (1, 2)}
_NEW_PATH = {
    "rename": (None, 1), "link": (None, 1),
    "renameat": (2, 3), "renameat2": (2, 3), "linkat": (2, 3),
}  # fmt: skip
_FLAGS_ARGUMENT = {"open": 1, "openat": 2}
# machine: (column above, what seccomp calls it, number of the call `seccomp`).
_MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}

_WALL = 0x40000000
_CONT, _SEIZE, _LISTEN, _GET_SYSCALL_INFO = 7, 0x4206, 0x4208, 0x420E
_EVENT_SECCOMP, _EVENT_STOP = 7, 128
# Follow forks, vforks and threads; stop where the filter says; if the tracer ends, so do they.
_OPTIONS = 0x2 | 0x4 | 0x8 | 0x80 | 0x100000
_SET_NO_NEW_PRIVS, _SET_MODE_FILTER = 38, 1
_ALLOW, _TRACE = 0x7FFF0000, 0x7FF00000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


@dataclass(frozen=True)
class Call:
    """A system call that is about to happen."""

    process: int
    is_root: bool
    """Made by the traced process itself, not by something it started."""
    name: str
    path: str
    """The file it changes; of a rename or link, the old name."""
    new_path: str = ""
    """The new name of a rename or link."""

    def describe(self, root: Path) -> str:
        """Return it as a line, with paths relative to a folder."""
        paths = [p.removeprefix(f"{root}/") for p in (self.path, self.new_path) if p]
        return f"{self.name} {' -> '.join(paths)}"


def why_not() -> str | None:
    """Return why nothing can be traced here, or None."""
    if platform.machine() not in _MACHINES:
        return f"no table of system calls for {platform.machine()}"
    seen: list[str] = []
    try:
        trace(lambda: _unlink("/nonexistent/x"), lambda call: seen.append(call.name),
              [Path("/nonexistent")], on_exit=lambda _pid, _code: None)  # fmt: skip
    except OSError as error:
        return f"ptrace is not possible here: {error}"
    return None if seen else "seccomp filters have no effect here"


def _unlink(path: str) -> int:
    with contextlib.suppress(OSError):
        os.unlink(path)
    return 0


def trace(
    work: Callable[[], int],
    on_call: Callable[[Call], object],
    paths: Collection[Path],
    *,
    on_exit: Callable[[int, int], object],
) -> None:
    """Run `work` in a forked process; report each call that changes certain files.

    It returns when the process and everything it started has ended. What is traced can't be let go
    any earlier: the filter's calls fail where there is no tracer.

    Args:
        work: runs in the child; its integer is the exit code.
        on_call: called before each call happens; it may kill processes.
        paths: files, and folders with all below them; calls on others are not reported.
        on_exit: called with the child's pid and exit code (negative: a signal) once it has ended.

    Raises:
        OSError: tracing is not possible here.
    """
    child = _start(work)
    while True:
        try:
            task, status = os.waitpid(-1, _WALL)
        except ChildProcessError:
            return
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if task == child:
                on_exit(child, os.waitstatus_to_exitcode(status))
            continue
        event, stopped_by = status >> 16, os.WSTOPSIG(status)
        if event == _EVENT_SECCOMP and (call := _call(task, child)) and _is_below(call, paths):
            on_call(call)
        if event == _EVENT_STOP and stopped_by != signal.SIGTRAP:
            _ptrace(_LISTEN, task, 0)  # a stop signal: it stays stopped until it is continued
        else:
            _ptrace(_CONT, task, 0 if event else stopped_by)


def _start(work: Callable[[], int]) -> int:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.close(write)
            os.read(read, 1)  # until it is traced
            os.close(read)
            _install_filter()
            code = work()
        finally:
            os._exit(code)
    os.close(read)
    done = _libc.ptrace(_SEIZE, child, None, _OPTIONS)
    error = ctypes.get_errno()
    if done != 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.close(write)
    if done != 0:
        raise OSError(error, os.strerror(error))
    return child


def _ptrace(request: int, task: int, data: int) -> None:
    """Make a request; a task that was killed meanwhile is none to worry about."""
    _libc.ptrace(request, task, None, data)


def _call(task: int, child: int) -> Call | None:
    """Return the call a task has stopped at; None if it was killed or no file is concerned."""
    info = ctypes.create_string_buffer(96)
    if _libc.ptrace(_GET_SYSCALL_INFO, task, len(info), info) <= 0:
        return None
    number, *arguments = struct.unpack_from("=7Q", info, 24)
    column = _MACHINES[platform.machine()][0]
    name = next(name for name, numbers in _CALLS.items() if numbers[column] == number)
    try:
        process = _thread_group(task)
        if name in _BY_DESCRIPTOR:
            path = os.readlink(f"/proc/{task}/fd/{arguments[0]}")
            return Call(process, process == child, name, path)
        path = _path(task, arguments, *_PATH.get(name, (None, 0)))
        new = _path(task, arguments, *_NEW_PATH[name]) if name in _NEW_PATH else ""
        return Call(process, process == child, name, path, new)
    except OSError:
        return None


def _thread_group(task: int) -> int:
    status = Path(f"/proc/{task}/status").read_text()
    return int(status.partition("Tgid:")[2].split()[0])


def _path(task: int, arguments: list[int], folder: int | None, path: int) -> str:
    with open(f"/proc/{task}/mem", "rb", buffering=0) as memory:
        memory.seek(arguments[path])
        chunk = memory.read(4096 - arguments[path] % 4096)  # up to the page's end, so it is there
        if b"\0" not in chunk:
            chunk += memory.read(4096)
    name = os.fsdecode(chunk.partition(b"\0")[0])
    descriptor = ctypes.c_int(arguments[folder]).value if folder is not None else -100
    base = f"/proc/{task}/cwd" if descriptor == -100 else f"/proc/{task}/fd/{descriptor}"
    return os.path.normpath(os.path.join(os.readlink(base), name))


def _is_below(call: Call, paths: Collection[Path]) -> bool:
    return any(
        name == str(path) or name.startswith(f"{path}/")
        for name in (call.path, call.new_path)
        for path in paths
    )


def _install_filter() -> None:
    """Have these calls, and opens that create or empty a file, stop for the tracer."""
    column, machine, seccomp_call = _MACHINES[platform.machine()]
    load, equal, any_bit, give = 0x20, 0x15, 0x45, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, machine), (give, 0, 0, _ALLOW), (load, 0, 0, 0)]
    for name, numbers in _CALLS.items():
        number = numbers[column]
        if number is None:
            continue
        if name in _FLAGS_ARGUMENT:
            flags = 16 + 8 * _FLAGS_ARGUMENT[name]
            program += [
                (equal, 0, 4, number), (load, 0, 0, flags),
                (any_bit, 0, 1, os.O_CREAT | os.O_TRUNC), (give, 0, 0, _TRACE), (give, 0, 0, _ALLOW),
            ]  # fmt: skip
        else:
            program += [(equal, 0, 1, number), (give, 0, 0, _TRACE)]
    program.append((give, 0, 0, _ALLOW))
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    filters = ctypes.create_string_buffer(code)
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(program), ctypes.addressof(filters))
    )
    _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.syscall(seccomp_call, _SET_MODE_FILTER, 0, header) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
