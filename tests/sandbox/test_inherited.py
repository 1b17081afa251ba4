"""What a starter leaves behind does no harm: ignored signals, closed streams, umasks."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import Tier
from sandbox.probe import examine
from tests.sandbox.tiers import skip_without

_REPORT = """
import json, os, signal, subprocess, sys
from sandbox import settle
settle()
print("said")
child = subprocess.run([sys.executable, "-c", "import sys; print('heard', file=sys.stderr)"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
pipe = os.pipe()
facts = {
    "chld": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
    "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "pipe": min(pipe), "umask": os.umask(0), "child": child.stderr.decode(),
}
with open(sys.argv[1], "w") as file:
    json.dump(facts, file)
"""


def settled(tmp_path: Path, before: str, *, closed: str = "") -> dict[str, object]:
    """Run the report in a process that inherits what `before` sets up; return its facts."""
    file, code = tmp_path / "facts", tmp_path / "code.py"
    code.write_text(_REPORT)
    start = (
        f"import os, signal, sys\n{before}\n"
        f"os.execv(sys.executable, [sys.executable, {str(code)!r}, {str(file)!r}])"
    )
    line = f'exec "$0" -c "$1" {closed}'
    subprocess.run(
        ["sh", "-c", line, sys.executable, start], check=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent)},
    )  # fmt: skip
    facts: dict[str, object] = json.loads(file.read_text())
    return facts


@pytest.mark.parametrize(
    "before",
    [
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGCHLD, signal.SIGTERM})",
        "os.umask(0o777)",
    ],
)
def test_signals_and_the_umask_are_put_right(tmp_path: Path, before: str) -> None:
    """Children can be waited for, signals arrive, and files belong to who made them."""
    facts = settled(tmp_path, before)
    assert facts["chld"] is True
    assert facts["blocked"] == []
    assert int(str(facts["umask"])) & 0o700 == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_occupied(tmp_path: Path, closed: str) -> None:
    """No pipe gets the number of a standard stream, and a child's output arrives."""
    facts = settled(tmp_path, "pass", closed=closed)
    assert int(str(facts["pipe"])) > 2
    assert facts["child"] == "heard\n"


@pytest.mark.parametrize("tier", [Tier.NAMESPACES, Tier.REDUCED])
def test_the_probe_works_from_a_long_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tier: Tier
) -> None:
    """A path longer than a socket's address is no reason not to confine."""
    skip_without(tier)
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    found = examine((tier,))
    assert (found.tier, found.problem) == (tier, None)


def test_a_long_folder_does_not_blunt_the_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There too an unconfined worker reaches the socket that is planted."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert "connect to a unix socket" in examine((Tier.OFF,)).reached


def test_a_fault_of_the_probe_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the probe can't plant its files, nothing is said of the system's confinement."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    found = examine()
    assert found.fault is not None
    assert found.problem is not None
    assert found.problem.startswith("confinement could not be tested: ")
    assert "gone" in found.problem


def test_a_worker_server_works_with_ignored_children() -> None:
    """Started where SIGCHLD is ignored, the probe holds as anywhere."""
    skip_without(Tier.REDUCED)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert examine((Tier.REDUCED,)).problem is None
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_server_started_without_streams_answers() -> None:
    """As `python train.py >&- 2>&-` starts one: its socket is no standard stream."""
    code = (
        "import os, sys\nfrom sandbox import Tier, WorkerServer\n"
        "out = os.dup(1)\nos.closerange(0, 3)\n"
        "with WorkerServer(preload=[], environment=os.environ, tier=Tier.OFF) as server:\n"
        "    server.wait_ready()\nos.write(out, b'ready')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout == b"ready"
