"""The clock on the wall jumps, and the machine sleeps."""

import ast
import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import REPOSITORY, Cli
from tests.reliability.helpers import assert_whole, keeps, lacking, script, wait_until

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* Moves the wall clock by the seconds that a file holds; other clocks are the system's. */
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_REALTIME) {
        FILE *file = fopen(getenv("CLOCK_FILE"), "r");
        long seconds = 0;
        if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
        now->tv_sec += seconds;
    }
    return result;
}
"""


@pytest.fixture
def clock(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process whose wall clock obeys a file."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        lacking("no C compiler, to make a wall clock that jumps")
    assert compiler is not None
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "clock.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "clock.c", "-ldl"], check=True
    )
    return {"LD_PRELOAD": str(library), "CLOCK_FILE": str(tmp_path / "clock")}


def test_a_clock_that_jumps_moves_no_deadline(
    stubbed: Workspace, tmp_path: Path, cli: Cli, clock: dict[str, str]
) -> None:
    """A day on, then two back: nothing times out or hangs, and the order is that of the numbers."""
    script(stubbed, tmp_path / "script", sleep_s=0.3)
    file = Path(clock["CLOCK_FILE"])
    cli("start", "--tag", "t", "--set", "evaluator.timeout_s=60", cwd=stubbed.root, **clock)
    for count, seconds in ((1, 86_400), (3, -2 * 86_400)):
        wait_until(stubbed, lambda s, count=count: keeps(s) >= count)  # type: ignore[misc]
        file.write_text(str(seconds))
    ended = wait_until(stubbed, lambda s: keeps(s) >= 5)
    assert not ended["hung"]
    assert "timeout" not in ended["experiments"]
    cli("stop", "--now", cwd=stubbed.root)
    assert_whole(stubbed)
    rows = json.loads(cli("results", "--json", cwd=stubbed.root).stdout)
    assert [row["experiment"] for row in rows] == list(range(1, len(rows) + 1))
    times = [row["created_at"] for row in rows]
    assert times != sorted(times)  # the clock did jump
    with Ledger(stubbed.ledger) as ledger:
        run = ledger.run("t")
        assert run is not None
        assert run.seconds < 120


def test_a_machine_that_slept_goes_on(stubbed: Workspace, tmp_path: Path, cli: Cli) -> None:
    """All its processes stand still for a while, as in a suspend: afterwards all is as before."""
    script(stubbed, tmp_path / "script", sleep_s=0.3)
    cli("start", "--tag", "t", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: keeps(s) >= 1)
    children = Path(f"/proc/{running['pid']}/task/{running['pid']}/children").read_text().split()
    for kind in (signal.SIGSTOP, signal.SIGCONT):
        os.kill(running["pid"], kind)
        for pid in map(int, children):
            with contextlib.suppress(ProcessLookupError):  # a git command that has ended meanwhile
                os.kill(pid, kind)
        if kind == signal.SIGSTOP:
            subprocess.run(["sleep", "2"], check=True)
    wait_until(stubbed, lambda s: keeps(s) >= 3)
    cli("stop", "--now", cwd=stubbed.root)
    assert_whole(stubbed)


def test_no_deadline_counts_by_the_wall_clock() -> None:
    """`time.time` is called in one place: where a server names a date."""
    callers = set()
    for path in (REPOSITORY / "orchestrator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "time.time":
                callers.add(path.name)
    assert callers == {"openai_errors.py"}
