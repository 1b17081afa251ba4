"""The server process: import once, fork a worker on request, end it on request.

Started as `python -m sandbox.server FD MODULE[:FUNCTION]…`, FD being a stream socket to the owner.
It answers one request at a time and stays single-threaded, so that forking is safe. When the owner
goes, it ends every worker and itself.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from sandbox.channel import Channel
from sandbox.prctl import adopt_orphans, die_with_parent, end_children

_END_POLL_S = 0.005
_REQUEST_BYTES = 64 * 1024


def main(arguments: list[str]) -> None:
    """Preload, report ready, and serve until the owner is gone."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    adopt_orphans()
    # An interrupt at the terminal is for the owner: this process goes when the owner goes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in arguments[1:]:
        entry = _resolve(name) if ":" in name else importlib.import_module(name)
        if callable(entry):
            entry()
    replies = Channel(control)
    replies.send({"ready": True})
    workers: set[int] = set()
    try:
        while request := _next_request(control):
            message, descriptors = request
            if message["do"] == "launch":
                pid = _fork_worker(message, descriptors, control)
                workers.add(pid)
                replies.send({"pid": pid})
            else:
                workers.discard(message["pid"])
                replies.send(_end(message["pid"], message["grace_s"], workers))
    finally:
        for pid in tuple(workers):
            workers.discard(pid)
            _end(pid, 0.0, workers)


def _next_request(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next request and its descriptors, or None when the owner is gone.

    The owner waits for each answer before it asks again, so one read is one request.
    """
    try:
        text, descriptors, _, _ = socket.recv_fds(control, _REQUEST_BYTES, 2)
    except OSError:
        return None
    return (json.loads(text), list(descriptors)) if text else None


def _fork_worker(message: dict[str, Any], descriptors: list[int], control: socket.socket) -> int:
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    status = 1
    try:
        control.close()
        status = _run_worker(message, *descriptors)
    except BaseException:  # noqa: BLE001 - the worker's last words; the process ends here
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _run_worker(message: dict[str, Any], channel_fd: int, output_fd: int) -> int:
    # A session of its own, so that one signal reaches everything it starts.
    os.setsid()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output_fd, 1)
    os.dup2(output_fd, 2)
    os.close(output_fd)
    _limit(message["memory_mb"])
    _resolve(message["entry"])(Channel(socket.socket(fileno=channel_fd)))
    return 0


def _limit(memory_mb: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_mb is not None:
        # RLIMIT_DATA counts private writable memory; RLIMIT_AS would count torch's libraries too.
        size = memory_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _resolve(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    resolved: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return resolved


def _end(pid: int, grace_s: float, others: set[int]) -> dict[str, Any]:
    """Wait up to `grace_s`, then kill the worker's session; reap it and what escaped from it."""
    deadline = time.monotonic() + grace_s
    while True:
        reaped, status, usage = os.wait4(pid, os.WNOHANG)
        if reaped or time.monotonic() >= deadline:
            break
        time.sleep(_END_POLL_S)
    # Its session outlives it if it left children there.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if not reaped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # it may not have reached its setsid yet
        _, status, usage = os.wait4(pid, 0)
    end_children(others)
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
