"""Shared fixtures: workspaces with real git, and the command line as a person calls it.

Every test has one marker that says what it costs, so that one can choose (`pytest -m unit`): the one
at the test itself, or by its folder or file, or `unit`.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from orchestrator.core.errors import NotRunningError, UserError
from orchestrator.daemon import requests
from orchestrator.daemon.new_workspace import initialise
from orchestrator.store.workspace import Workspace, find_workspace

REPOSITORY = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"

COSTS = ("unit", "system", "long", "attacks", "crash", "bench")
COST_BY_PLACE = {
    "attacks": "attacks",
    "crash": "crash",
    "benchmarks": "bench",
    # Sweeps, and what waits for minutes: CI runs them, README's line does not.
    "daemon/test_candidate_check.py": "long",
    "daemon/test_world_start.py": "long",
    "engine/test_lanes.py": "long",
    "evaluation/test_memory.py": "long",
    "evaluation/test_resume.py": "long",
    "examples/test_learning.py": "long",
    "fuzz": "long",
    "parity/test_scores.py": "long",
    "parity/test_scripted_run.py": "long",
    "referee/test_gpus.py": "long",
    "referee/test_old_workspaces.py": "long",
    "referee/test_resume.py": "long",
    "reliability/test_disk.py": "long",
    "reliability/test_memory.py": "long",
    "reliability/test_resumes.py": "long",
    "reliability/test_service.py": "long",
    "reliability/test_surroundings.py": "long",
    "real_agents": "long",
    "rulers": "long",
    "sandbox/test_inherited.py": "long",
    "simverse/test_env_suite.py": "long",
    "simverse/test_learning.py": "long",
    "transcripts": "long",
    "web/test_long_run.py": "long",
    # Daemons, trainings, or many processes.
    "web/test_browser.py": "system",
    "web/test_serving.py": "system",
    "e2e": "system",
    "reliability": "system",
    "sandbox": "system",
    "agents/test_check_desk.py": "system",
    "agents/test_command_line.py": "system",
    "agents/test_command_line_confined.py": "system",
    "agents/test_command_line_faults.py": "system",
    "agents/test_process.py": "system",
    "agents/test_program_check.py": "system",
    "agents/test_reviewer.py": "system",
    "evaluation/test_local.py": "system",
    "evaluation/test_slot.py": "system",
    "referee/test_comparison.py": "system",
    "referee/test_learning.py": "system",
    "referee/test_evaluation.py": "system",
    "referee/test_flags_raised.py": "system",
    "referee/test_referee.py": "system",
    "referee/test_watched.py": "system",
    "referee/test_world_faults.py": "system",
    "referee/test_service.py": "system",
    "simverse/test_ppo_options.py": "system",
    "simverse/test_ppo_training.py": "system",
    "simverse/test_profile.py": "system",
    "referee/test_world_and_candidate.py": "system",
    "simverse/test_sim_cli.py": "system",
    "simverse/test_resume.py": "system",
    "simverse/test_sim_train.py": "system",
    "simverse/test_warm_up.py": "system",
    "simverse/test_world_workspaces.py": "system",
    "store/test_branch.py": "system",
    "store/test_git.py": "system",
    "test_train.py": "system",
}
"""By folder or file below `tests/`; a test with one of the fixtures below is `system`."""

OF_SYSTEMS = {"cli", "_workspaces", "serve"}
"""Fixtures that start the command line, run git, or listen on a port."""

# Whether a test passes depends neither on the machine's speed nor on what is drawn today; with
# TESTS_LONG=1 the examples are other ones at each run.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=not os.environ.get("TESTS_LONG"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

# Whatever the environment says, modules are kept compiled: pytest rewrites those of the tests, which
# takes each of its processes seconds, and every `autorl-daemon` that a test calls reads ours.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def examples(most: int) -> int:
    """How many examples hypothesis draws: a third of the long form's, always the same ones."""
    return most if os.environ.get("TESTS_LONG") else most // 3


Cli = Callable[..., "subprocess.CompletedProcess[str]"]

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30
"""The tests' folders take a small part of it; a container's 64 MB are too few."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep the folders of unit and system tests in memory where there is room.

    Every ledger and ref is written durably, thousands of times, and on a disk most of the time is
    waiting for it. Other tests stay on it: attacks fill the memory's folder.
    `--basetemp` and PYTEST_DEBUG_TEMPROOT name another place.
    """
    is_small = config.option.markexpr.strip() in {"unit", "system", "unit or system"}
    has_room = os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free > ROOM
    if is_small and has_room:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto`: one more than there are cores, for many tests wait for a clock or a process.

    Unit tests alone do not, and each worker takes seconds to import them all.
    """
    cores = os.cpu_count() or 1
    return cores if config.option.markexpr.strip() == "unit" else cores + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, unread, a file that has no test of the chosen costs: each worker imports the rest.

    Only for a choice like `-m "unit or system"`, and of files that the command does not name.
    """
    chosen = set(config.option.markexpr.split(" or "))
    if not chosen <= set(COSTS) or not collection_path.match("test_*.py"):
        return None
    if any(collection_path.name in argument for argument in config.args):
        return None
    costs = {_cost_of_place(collection_path)} - {None} or {"unit", "system"}
    text = collection_path.read_text(encoding="utf-8")
    is_chosen = costs & chosen or any(f"mark.{cost}" in text for cost in chosen)
    return None if is_chosen else True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test the marker of its cost, before tests are chosen by it.

    CI runs one or two tests of a kind; the others are the long form.
    """
    is_long = os.environ.get("TESTS_LONG")
    skip = pytest.mark.skip(reason="the long form: set TESTS_LONG=1")
    for item in items:
        if "long_form" in item.keywords and not is_long:
            item.add_marker(skip)
        if not any(item.get_closest_marker(cost) for cost in COSTS):
            item.add_marker(getattr(pytest.mark, _cost(item)))


def _cost(item: pytest.Item) -> str:
    if cost := _cost_of_place(item.path):
        return cost
    return "unit" if OF_SYSTEMS.isdisjoint(getattr(item, "fixturenames", ())) else "system"


def _cost_of_place(file: Path) -> str | None:
    path = file.relative_to(Path(__file__).parent)
    return COST_BY_PLACE.get(str(path)) or COST_BY_PLACE.get(path.parts[0])


def _without_the_developers(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Hide the developer's keys, settings and git configuration."""
    for name in list(os.environ):
        is_network = name.lower().endswith("_proxy") or name.startswith("SSL_CERT_")
        if name.startswith(("AUTORL_", "OPENAI_", "GIT_")) or is_network:
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / "no-gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees what is the developer's own."""
    _without_the_developers(monkeypatch, tmp_path)


def git(folder: Path, *arguments: str) -> str:
    """Run git as the user would; return what it prints."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="session")
def _workspaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the workspaces that tests get copies of: making one takes many processes of git."""
    folder = tmp_path_factory.mktemp("workspaces")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _without_the_developers(monkeypatch, folder)
        for name in ("starter", "stubbed"):
            initialise(folder / name, None)
        stubbed = folder / "stubbed"
        (stubbed / "framework.py").write_bytes((DATA / "stub_framework.py").read_bytes())
        train = stubbed / "candidate" / "train.py"
        train.write_text("SCORE = 0.0\n" + train.read_text())
        git(stubbed, "commit", "--all", "--message", "a stub evaluator")
    return folder


def _copy(workspace: Path, root: Path) -> Workspace:
    shutil.copytree(workspace, root, symlinks=True)
    git(root, "update-index", "--refresh")  # as git had left it: it knows files by their numbers
    return Workspace(root)


@pytest.fixture
def starter(_workspaces: Path, tmp_path: Path) -> Workspace:
    """A fresh workspace with the real evaluator and the starter canvas."""
    return _copy(_workspaces / "starter", tmp_path / "workspace")


@pytest.fixture
def stubbed(_workspaces: Path, tmp_path: Path) -> Workspace:
    """A workspace whose evaluator obeys constants in the candidate (see `stub_framework.py`)."""
    return _copy(_workspaces / "stubbed", tmp_path / "workspace")


@pytest.fixture
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cli]:
    """Call `autorl-daemon` in a process of its own; daemons left running are ended.

    A start checks its candidate only where the test says `check=True`: that takes seconds, and with
    a stub evaluator nothing is trained.
    """
    folders: set[Path] = set()

    def call(
        *arguments: str, cwd: Path, timeout_s: float = 60, check: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        folders.add(cwd)
        if arguments[0] == "start" and not check:
            arguments = (*arguments, "--no-check")
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env=os.environ | environment,
        )

    yield call
    for folder in folders:
        nothing = (UserError, NotRunningError, FileNotFoundError)
        with contextlib.suppress(*nothing), contextlib.chdir(folder):
            requests.terminate(find_workspace(None))
