"""The server process: import once, fork a worker on request, end it on request.

Started as `python -m sandbox.server FD MODULE[:FUNCTION]…`, FD being a stream socket to the owner.
It answers one request at a time and stays single-threaded, so that forking is safe. When the owner
is gone, it ends every worker and itself.

A worker in namespaces needs two forks: a process that moves to new namespaces, whose child is
process 1 of the new PID namespace. The first one ends at once and the server, which adopts orphans,
becomes the worker's parent: so it can wait for it, and the worker dies with it.
"""

import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from sandbox import namespaces
from sandbox.channel import Channel
from sandbox.confinement import Confinement, Tier, close_descriptors, confine, limit, readable_paths
from sandbox.memory import demand_memory
from sandbox.prctl import adopt_orphans, die_with_parent, end_children

_END_POLL_S = 0.005
_REQUEST_BYTES = 64 * 1024
_LEAST_MEMORY_MB = 128


def main(arguments: list[str]) -> None:
    """Preload, report ready, and serve until the owner is gone."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    adopt_orphans()
    # An interrupt at the terminal is for the owner: this process ends when the owner does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in arguments[1:]:
        entry = _resolve(name) if ":" in name else importlib.import_module(name)
        if callable(entry):
            entry()
    replies = Channel(control)
    replies.send({"ready": True})
    readable = readable_paths()
    workers: dict[int, str | None] = {}
    try:
        while request := _next_request(control):
            message, descriptors = request
            if message["do"] == "launch":
                pid, folder = _launch(message, descriptors, readable)
                if pid is not None:
                    workers[pid] = folder
                replies.send({"pid": pid})
            else:
                folder = workers.pop(message["pid"])
                replies.send(_end(message["pid"], message["grace_s"], folder, set(workers)))
    finally:
        for pid in tuple(workers):
            folder = workers.pop(pid)
            _end(pid, 0.0, folder, set(workers))


def _next_request(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next request and its descriptors, or None when the owner is gone.

    The owner waits for each answer before its next request, so one read is one request.
    """
    try:
        text, descriptors, _, _ = socket.recv_fds(control, _REQUEST_BYTES, 2)
    except OSError:
        return None
    return (json.loads(text), list(descriptors)) if text else None


def _launch(
    message: dict[str, Any], descriptors: Sequence[int], readable: Sequence[str]
) -> tuple[int | None, str | None]:
    """Fork a worker; return its pid, None if it could not be made, and its folder to remove."""
    demand_memory(_LEAST_MEMORY_MB)  # or end: short memory must not look like the candidate's fault
    confinement = Confinement(**message["confinement"])
    in_namespaces = confinement.tier == Tier.NAMESPACES
    folder = None if in_namespaces else tempfile.mkdtemp(prefix="worker-")
    start_read, start_write = os.pipe()
    pid_read, pid_write = os.pipe()
    child = os.fork()
    if not child:
        os.close(start_write)
        _become_worker(message, confinement, descriptors, readable, folder, start_read, pid_write)
    for descriptor in (*descriptors, start_read, pid_write):
        os.close(descriptor)
    pid: int | None = child
    if in_namespaces:
        told = os.read(pid_read, 32)
        os.waitpid(child, 0)  # from now on the worker's parent is this process
        pid = int(told) if told else None
    os.close(pid_read)
    if pid is not None:
        with contextlib.suppress(BrokenPipeError):
            os.write(start_write, b"!")
    os.close(start_write)
    return pid, folder


def _become_worker(  # noqa: PLR0917 - passed through two forks
    message: dict[str, Any],
    confinement: Confinement,
    descriptors: Sequence[int],
    readable: Sequence[str],
    folder: str | None,
    start: int,
    pid_write: int,
) -> NoReturn:
    status = 1
    channel_fd, output_fd = descriptors
    try:
        os.dup2(output_fd, 1)
        os.dup2(output_fd, 2)
        if confinement.tier == Tier.NAMESPACES:
            namespaces.enter()
            if worker := os.fork():
                os.write(pid_write, str(worker).encode())
                os._exit(0)
        close_descriptors([channel_fd, start])
        if os.read(start, 1):  # nothing: the server is gone
            os.close(start)
            status = _run_worker(message["entry"], confinement, readable, folder, channel_fd)
    except BaseException:  # noqa: BLE001 - the worker's last output; the process ends here
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _run_worker(
    entry: str,
    confinement: Confinement,
    readable: Sequence[str],
    folder: str | None,
    channel_fd: int,
) -> int:
    # A session of its own, so that one signal reaches its descendants.
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    function = _resolve(entry)
    limit(confinement)
    confine(confinement, readable, folder)
    # Last, because a change of user undoes it.
    die_with_parent()
    channel = Channel(socket.socket(fileno=channel_fd))
    channel.send({"confined": True})
    function(channel)
    return 0


def _resolve(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    resolved: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return resolved


def _end(pid: int, grace_s: float, folder: str | None, others: set[int]) -> dict[str, Any]:
    """Wait up to `grace_s`, then kill the worker's session; reap it and all that escaped from it.

    In a PID namespace the kernel kills everything else with process 1. `folder` is removed.
    """
    deadline = time.monotonic() + grace_s
    while True:
        reaped, status, usage = os.wait4(pid, os.WNOHANG)
        if reaped or time.monotonic() >= deadline:
            break
        time.sleep(_END_POLL_S)
    # Its session outlives it if children are left there.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if not reaped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # it may not have reached its setsid yet
        _, status, usage = os.wait4(pid, 0)
    end_children(others)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    killed = os.WIFSIGNALED(status)
    unit = 1024 if sys.platform == "linux" else 1024 * 1024  # ru_maxrss: KiB there, bytes on macOS
    return {
        "code": None if killed else os.WEXITSTATUS(status),
        "signal": os.WTERMSIG(status) if killed else None,
        "peak_memory_mb": usage.ru_maxrss / unit,
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
