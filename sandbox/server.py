"""The server process: import once, fork a worker on request, end it on request.

Started as `python -m sandbox.server FD MODULE[:FUNCTION]…`, FD being a stream socket to the owner.
It answers one request at a time and stays single-threaded, so that forking is safe. When the owner
is gone, it ends every worker and itself.

Each worker is the child of an init of its own (`sandbox.init`), which is the server's child.
"""

import contextlib
import gc
import importlib
import itertools
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sandbox import cgroup, init, namespaces
from sandbox.channel import Channel
from sandbox.confinement import (
    PROCESSES,
    Confinement,
    Tier,
    close_descriptors,
    confine,
    limit,
    prepare,
    readable_paths,
)
from sandbox.huge_pages import use_huge_pages
from sandbox.inherited import settle
from sandbox.memory import demand_memory
from sandbox.prctl import adopt_orphans, end_children

_REPORT_TIMEOUT_S = 15.0
_REQUEST_BYTES = 64 * 1024
_LEAST_MEMORY_MB = 128
_GROUPS = itertools.count()


@dataclass(frozen=True)
class _Running:
    """A worker as this process knows it."""

    pid: int
    """Of its init."""
    leash: socket.socket
    folder: str | None
    """Its private folder, to remove when it has ended."""
    group: cgroup.Group | None
    """Its control group, where there is one."""
    number: int
    """The lowest that no other live worker had when it was made."""


@dataclass(frozen=True)
class _Order:
    """What the processes of a worker to be made must know."""

    entry: str
    confinement: Confinement
    channel_fd: int
    output_fd: int
    readable: Sequence[str]
    folder: str | None
    group: cgroup.Group | None
    owner: tuple[int, int]
    """User and group that started the server."""
    user: int | None
    """Who the worker becomes if that is root; None without namespaces."""


def main(arguments: list[str]) -> None:
    """Preload, report ready, and serve until the owner is gone."""
    settle()
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
    _settle_memory()  # while the owner prepares its first request
    readable = readable_paths()
    groups = cgroup.parent_of_workers()
    if groups is not None:
        cgroup.remove_stale(groups)
    workers: dict[int, _Running] = {}
    try:
        while request := _next_request(control):
            message, descriptors = request
            if message["do"] == "launch":
                taken = {running.number for running in workers.values()}
                number = next(free for free in itertools.count() if free not in taken)
                started = _launch(message, descriptors, readable, groups, number)
                if started is not None:
                    workers[started.pid] = started
                folder = started and started.folder
                replies.send({"pid": started and started.pid, "folder": folder})
            else:
                running = workers.pop(message["pid"])
                replies.send(_end(running, message["grace_s"], set(workers)))
    finally:
        for running in workers.values():  # all at once, before the first one is waited for
            running.leash.shutdown(socket.SHUT_WR)
        while workers:
            _, running = workers.popitem()
            _end(running, 0.0, set(workers))


def _settle_memory() -> None:
    """Make this process's memory cheap to fork and to use in what is forked.

    A garbage collection writes to every object that it looks at, and so has a worker copy the whole
    heap: what there is now is not looked at again.
    """
    gc.collect()
    gc.freeze()
    use_huge_pages()


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
    message: dict[str, Any],
    descriptors: Sequence[int],
    readable: Sequence[str],
    groups: Path | None,
    number: int,
) -> _Running | None:
    """Fork a worker and its init; None if they could not be made."""
    demand_memory(_LEAST_MEMORY_MB)  # or end: short memory must not look like the candidate's fault
    settings = message["confinement"]
    confinement = Confinement(**settings | {"devices": tuple(settings["devices"])})
    prepare(confinement, readable)
    in_namespaces = confinement.tier == Tier.NAMESPACES
    folder = None if in_namespaces else tempfile.mkdtemp(prefix="worker-")
    group = None if groups is None else _make_group(groups, confinement)
    leash, theirs = socket.socketpair()
    order = _Order(
        entry=message["entry"],
        confinement=confinement,
        channel_fd=descriptors[0],
        output_fd=descriptors[1],
        readable=readable,
        folder=folder,
        group=group,
        owner=(os.getuid(), os.getgid()),  # the child can't tell in a user namespace of its own
        user=namespaces.user_of_worker(number) if in_namespaces else None,
    )
    try:
        pid = namespaces.fork() if in_namespaces else os.fork()
    except OSError as error:
        os.write(order.output_fd, str(error).encode())
        pid = None
    if pid == 0:
        leash.close()
        _become_worker(order, theirs)
    theirs.close()
    for descriptor in descriptors:
        os.close(descriptor)
    if pid is None:
        leash.close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if group is not None:
            group.remove()
        return None
    return _Running(pid, leash, folder, group, number)


def _make_group(groups: Path, confinement: Confinement) -> cgroup.Group | None:
    name = f"{os.getpid()}-{next(_GROUPS)}"
    # Temporary files count there, and are limited by themselves.
    limit_mb = confinement.memory_mb and confinement.memory_mb + confinement.tmp_mb * 5 // 4
    return cgroup.make(groups, name, memory_mb=limit_mb, processes=PROCESSES + 1)


def _become_worker(order: _Order, leash: socket.socket) -> NoReturn:
    status = 1
    try:
        os.dup2(order.output_fd, 1)
        os.dup2(order.output_fd, 2)
        close_descriptors([order.channel_fd, leash.fileno()])
        if order.group is not None:
            order.group.join()
        if order.user is not None:
            namespaces.map_user(*order.owner)
        init.fork_worker(leash, order.user)
        status = _run_worker(order)
    except BaseException:  # noqa: BLE001 - the worker's last output; the process ends here
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _run_worker(order: _Order) -> int:
    # A session of its own, so that one signal reaches its descendants.
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    function = _resolve(order.entry)
    limit(order.confinement)
    confine(order.confinement, order.readable, order.folder, order.user)
    channel = Channel(socket.socket(fileno=order.channel_fd))
    channel.send({"confined": True})
    function(channel)
    return 0


def _resolve(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    resolved: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return resolved


def _end(running: _Running, grace_s: float, others: set[int]) -> dict[str, Any]:
    """Wait up to `grace_s`, then have the init end the worker and all it started; reap the init.

    An init that doesn't answer is killed: in a PID namespace the kernel kills everything else with
    it, without one the rest comes to this process, which adopts orphans. The folder is removed.
    """
    report = init.read_report(running.leash, grace_s) if grace_s else None
    if report is None:
        with contextlib.suppress(OSError):
            running.leash.shutdown(socket.SHUT_WR)
        report = init.read_report(running.leash, _REPORT_TIMEOUT_S)
    if report is None:
        os.kill(running.pid, signal.SIGKILL)
    os.waitpid(running.pid, 0)
    running.leash.close()
    end_children(others)
    why = ""
    if running.group is not None:
        why = running.group.why_killed()
        running.group.remove()
    if running.folder is not None:
        shutil.rmtree(running.folder, ignore_errors=True)
    if report is None:
        report = init.Report(signal.SIGKILL, 0.0, 0.0)
    killed = os.WIFSIGNALED(report.status)
    return {
        "code": None if killed else os.WEXITSTATUS(report.status),
        "signal": os.WTERMSIG(report.status) if killed else None,
        "peak_memory_mb": report.peak_memory_mb,
        "cpu_s": report.cpu_s,
        "why": why,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
