"""Memory and processes run out: for a candidate, for the evaluator, for the daemon itself."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config.schema import Config
from orchestrator.core.errors import ShortageError
from orchestrator.core.evaluations import Evaluation, Measurement
from orchestrator.core.records import Files, Rung, Status
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.store.workspace import Workspace
from sandbox import Tier
from tests import candidates
from tests.conftest import REPOSITORY, Cli
from tests.fakes import QuietHost
from tests.reliability.helpers import assert_whole, keeps, script, wait_until

MIB = 1024 * 1024
LIMIT_MB = 1024
RUNG = Rung(2, 2)


def goes_on(_event: object) -> bool:
    """Follow an evaluation and end nothing."""
    return True


def limit(pid: int, kind: int, value: int) -> tuple[int, int]:
    """Set a limit of a running process; return what it was."""
    usual = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (value, usual[1]))
    return usual


def data_mb(pid: int) -> int:
    """Return the private memory that counts towards RLIMIT_DATA."""
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmData")
    ]
    return int(line.split()[1]) // 1024


# -- the evaluator ---------------------------------------------------------------------------------


class PatientHost(QuietHost):
    """A host that remembers what was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for: list[str] = []

    def wait(self, reason: str, seconds: float) -> None:
        self.waited_for += [reason] if reason else []


class Referee:
    """The real evaluator, its workers unconfined, with candidates of a tiny task."""

    def __init__(self, workspace: Workspace) -> None:
        config = Config.model_validate(
            {
                "evaluator": {"memory_mb": LIMIT_MB, "seed_count": 1, "num_envs": 2, "workers": 1},
                "task": {"max_steps": 5},
            }
        )
        self.host: QuietHost = PatientHost()
        self.adapter = LocalEvaluator(
            workspace.root, config, key=b"k" * 32, scratch=workspace.state / "work", tier=Tier.OFF
        )

    def evaluate(self, greed: str = "") -> Evaluation:
        """Evaluate a candidate whose policy is greedy when it is built."""
        place = "def build_policy(obs_space, action_space):\n"
        assert place in candidates.TRAIN
        train = candidates.TRAIN.replace(place, f"{place}    {greed or 'pass'}\n")
        return self.adapter.evaluate(
            Files(candidates.ENV, train), Measurement(RUNG, (101,)), "1", self.host, goes_on
        )

    @property
    def pid(self) -> int:
        """The evaluator's process."""
        assert self.adapter._child is not None
        return self.adapter._child._process.pid

    @property
    def server(self) -> int:
        """The worker server's process."""
        (pid,) = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(pid)


@pytest.fixture
def referee(starter: Workspace) -> Iterator[Referee]:
    referee = Referee(starter)
    yield referee
    referee.adapter.close()


@pytest.mark.parametrize(
    "greed",
    [
        "hog = [bytearray(2**26) for _ in range(100)]",
        "hog = torch.zeros(2**30)",
        "import mmap; hog = mmap.mmap(-1, 2**31); [hog.write(bytes(2**20)) for _ in range(2048)]",
    ],
    ids=["bytes", "tensor", "shared"],
)
def test_a_candidate_over_its_memory_crashes_with_a_clear_line(
    referee: Referee, greed: str
) -> None:
    """The line names the limit and its setting; the same evaluator scores the next candidate."""
    good = referee.evaluate().score
    first = referee.pid
    evaluation = referee.evaluate(greed)
    assert evaluation.status is Status.CRASH
    assert "memory_mb" in evaluation.reason
    assert str(LIMIT_MB) in evaluation.reason
    assert good is not None
    assert referee.evaluate().score == good
    assert referee.pid == first


@pytest.mark.parametrize("who", ["pid", "server"])
def test_an_evaluator_out_of_memory_is_followed_by_a_fresh_one(referee: Referee, who: str) -> None:
    """Its own memory ends, or its worker server's: the same candidate gets the score it deserves."""
    good = referee.evaluate().score
    first, starved = referee.pid, getattr(referee, who)
    limit(starved, resource.RLIMIT_DATA, MIB)
    assert referee.evaluate().score == good
    assert referee.pid != first
    assert not Path(f"/proc/{starved}").exists()
    assert isinstance(referee.host, PatientHost)
    assert referee.host.waited_for == []  # at once


def test_an_evaluator_out_of_memory_amid_a_launch_ends(referee: Referee) -> None:
    """A thread that can't begin would be waited for without end: by its starter, and at the end."""
    good = referee.evaluate().score
    for delay_ms in range(6, 36, 6):  # idle workers are launched after an evaluation
        time.sleep(delay_ms / 1000)
        first = referee.pid
        limit(first, resource.RLIMIT_DATA, MIB)
        assert referee.evaluate().score == good
        assert referee.pid != first


def test_a_worker_server_that_is_killed_is_not_the_candidates_fault(referee: Referee) -> None:
    """As the kernel's killer would, in the middle of a training: a fresh one scores it."""
    good = referee.evaluate().score
    first, told = referee.pid, []

    class Killing(QuietHost):
        def wait(self, reason: str, seconds: float) -> None:
            if not told:
                told.append(os.kill(referee.server, signal.SIGKILL))

    referee.host = Killing()
    assert referee.evaluate("import time; time.sleep(0.5)").score == good
    assert told
    assert referee.pid != first


def test_an_evaluator_that_came_up_and_can_not_for_now_is_a_fault_that_passes(
    stubbed: Workspace,
) -> None:
    """There is no memory for a fresh one: nobody is blamed; with memory again it is scored."""
    framework = stubbed.root / "framework.py"
    framework.write_text(framework.read_text() + "\n")
    text = framework.read_text().replace(
        "import json\n", "import json\nROOM = bytearray(2**32)\n", 1
    )
    framework.write_text(text)
    adapter = LocalEvaluator(
        stubbed.root, Config(), key=b"k" * 32, scratch=stubbed.state / "work", tier=Tier.OFF
    )

    def evaluate() -> Evaluation:
        files = Files("", "SCORE = 1.0\n")
        return adapter.evaluate(files, Measurement(RUNG, (101, 138)), "1", QuietHost(), goes_on)

    assert evaluate().score == 1.0
    adapter.close()
    usual = limit(os.getpid(), resource.RLIMIT_DATA, (data_mb(os.getpid()) + 512) * MIB)
    try:
        with pytest.raises(ShortageError, match="MemoryError"):
            evaluate()
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, usual)
    assert evaluate().score == 1.0
    adapter.close()


class MemoryGroup:
    """A control group whose memory the kernel limits, and kills for."""

    def __init__(self, limit_mb: int) -> None:
        first = Path("/sys/fs/cgroup/memory")
        self._is_first = first.is_dir()
        self._folder = (first if self._is_first else first.parent) / f"autorl-test-{os.getpid()}"
        try:
            self._folder.mkdir()
            self.limit(limit_mb)
        except OSError as error:
            self.close()
            pytest.skip(f"no control group for memory can be had here: {error}")

    def limit(self, limit_mb: int) -> None:
        """Set the limit."""
        name = "memory.limit_in_bytes" if self._is_first else "memory.max"
        (self._folder / name).write_text(str(limit_mb * MIB))

    def run(self, *command: str, cwd: Path) -> None:
        """Run a command in it; what that starts is in it too."""
        inside = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', self._folder / "cgroup.procs"]
        subprocess.run([*inside, *command], cwd=cwd, check=True)

    def kills(self) -> int:
        """Return how many processes the kernel has killed in it."""
        name = "memory.oom_control" if self._is_first else "memory.events"
        lines = (self._folder / name).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def close(self) -> None:
        """Remove it, and whoever is left in it."""
        if not self._folder.exists():
            return
        for _ in range(100):
            pids = (self._folder / "cgroup.procs").read_text().split()
            for pid in map(int, pids):
                os.kill(pid, signal.SIGKILL)
            if not pids:
                break
            time.sleep(0.05)
        self._folder.rmdir()


def test_an_evaluator_that_the_kernel_kills_for_memory_is_tried_again_later(
    stubbed: Workspace, tmp_path: Path
) -> None:
    """Killed twice at once, it is waited for, in sight; with memory again the score is as ever."""
    script(stubbed, tmp_path / "script", count=2, sleep_s=0.5)
    first = tmp_path / "script" / "0001.md"
    first.write_text(first.read_text().replace("SCORE = 1\n", "SCORE = 1\nHOG_MB = 600\n"))
    group = MemoryGroup(limit_mb=300)
    try:
        group.run(sys.executable, "-m", "orchestrator", "start", "--tag", "t", cwd=stubbed.root)
        waiting = wait_until(stubbed, lambda s: s["phase"] == "waiting")
        assert "exit code -9" in waiting["reason"]
        assert group.kills() >= 1
        group.limit(2000)
        ended = wait_until(stubbed, lambda s: s["stop_reason"] and not s["running"])
        assert ended["experiments"] == {"baseline": 1, "keep": 2}
    finally:
        group.close()
    assert_whole(stubbed)


# -- the daemon ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_daemon_without_memory_waits(
    stubbed: Workspace, tmp_path: Path, cli: Cli, kind: str
) -> None:
    """Not a page more for the daemon or what it starts: it waits, in sight, and then goes on."""
    script(stubbed, tmp_path / "script")
    cli("start", "--tag", "t", cwd=stubbed.root)
    running = wait_until(stubbed, lambda s: keeps(s) >= 1)
    usual = limit(running["pid"], getattr(resource, kind), MIB)
    waiting = wait_until(stubbed, lambda s: s["phase"] == "waiting")
    assert "goes on by itself" in waiting["reason"]
    time.sleep(3)
    starved = wait_until(stubbed, lambda s: s["phase"] == "waiting")
    assert not starved["hung"]
    assert keeps(starved) <= keeps(waiting) + 1
    resource.prlimit(running["pid"], getattr(resource, kind), usual)
    back = wait_until(stubbed, lambda s: keeps(s) >= keeps(starved) + 2)
    assert back["pid"] == running["pid"]
    assert set(back["experiments"]) == {"baseline", "keep"}
    cli("stop", "--now", cwd=stubbed.root)
    assert_whole(stubbed)


NOBODY = 65_533


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def as_ordinary_user(folder: Path) -> list[str]:
    """Return the words before a command that have it run as a user whom RLIMIT_NPROC binds."""
    if os.getuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv, and limits on processes don't bind root")
    subprocess.run(["chown", "-R", str(NOBODY), folder], check=True)
    # Python may lie in root's home: what may be read stays as it is.
    keep = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *keep]


def test_a_daemon_that_can_start_no_process_waits(stubbed: Workspace, open_folder: Path) -> None:
    """Every fork is refused: no experiment is used up, and the run goes on when they are not."""
    script(stubbed, open_folder / "script")
    workspace = Workspace(open_folder / "workspace")
    shutil.move(stubbed.root, workspace.root)
    words = as_ordinary_user(open_folder)
    daemon = subprocess.Popen(
        [*words, sys.executable, "-m", "orchestrator", "start", "--foreground", "--tag", "t"],
        cwd=workspace.root, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    usual = re.sub("^-1$", "unlimited", str(resource.getrlimit(resource.RLIMIT_NPROC)[0]))

    def limit_processes(soft: str) -> None:
        command = ["prlimit", f"--pid={daemon.pid}", f"--nproc={soft}:"]
        subprocess.run([*words, *command], check=True)  # only the same user may

    try:
        running = wait_until(workspace, lambda s: keeps(s) >= 1)
        limit_processes("0")
        waiting = wait_until(workspace, lambda s: s["phase"] == "waiting")
        assert "Resource temporarily unavailable" in waiting["reason"]
        time.sleep(2)
        starved = wait_until(workspace, lambda s: s["phase"] == "waiting")
        assert keeps(starved) <= keeps(running) + 1
        limit_processes(usual)
        back = wait_until(workspace, lambda s: keeps(s) >= keeps(starved) + 2)
        assert set(back["experiments"]) == {"baseline", "keep"}
        daemon.terminate()
        daemon.wait(timeout=10)
    finally:
        daemon.kill()
        daemon.wait()
    if words:
        subprocess.run(["chown", "-R", str(os.getuid()), open_folder], check=True)
    assert_whole(workspace)
