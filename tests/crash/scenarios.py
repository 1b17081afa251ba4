"""What the daemon is killed in the middle of: workspaces with an experiment to go, or several."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.main import main
from orchestrator.daemon.new_workspace import initialise
from orchestrator.store.workspace import Workspace
from tests.conftest import DATA, git
from tests.fakes import reply

TAG = "t"
_BASELINE = "SCORE = 0.0\n"
_ONE_RUNG, _TWO_RUNGS = "[[12, 8]]", "[[12, 8], [32, 8]]"
_CONFIG = """\
sandbox: "off"
agent: {{backend: {backend}, scripted_dir: script, model: m}}
budget: {{ladder: {ladder}, min_keeps: 1, patience: 50}}
judge:
  max_evaluations: 4
  reference_first: 4
  min_effect: {min_effect}
  proposals: cheap
  cheap: {{seeds: 3, drop: [0.3], adopt: 0.5, lead_every: 10, lead_seeds: 16, proof_share: 1.0}}
evaluator: {{slots: {slots}}}
engine: {{lanes: {lanes}}}
"""


_OTHER_REWARD = {
    "episodes": 64, "observations": 0, "rewards": 64, "ends": 0, "successes": 0,
    "reward_ratio": None, "return_there": 0.0, "solve_rate_there": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Proposal:
    """What the agent proposes for one experiment, and what may become of it."""

    ends: tuple[str, ...]
    """The statuses with which it may end; which of them may hang on what else is in flight."""
    constants: str
    """Constants of the candidate that the reply proposes, or `show: #1`, a request to see code."""
    repair: str | None = None
    """Those of the reply that follows if the first one fails."""
    env: str = ""
    """What it puts before the baseline's env.py; empty where that does not change."""

    @property
    def replies(self) -> tuple[str, ...]:
        """The constants of each reply."""
        return (self.constants,) if self.repair is None else (self.constants, self.repair)


@dataclass(frozen=True)
class Scenario:
    """A workspace's past, and the experiments that follow."""

    name: str
    past: tuple[Proposal, ...] | None = ()
    """What was tried before, after a baseline; None: nothing has run."""
    proposals: tuple[Proposal, ...] = ()
    ladder: str = _ONE_RUNG
    by_model: bool = field(default=False)
    """The replies come from an HTTP endpoint, which counts what it is asked."""
    compares: bool = field(default=False)
    """The evaluator compares environments."""
    resumes: bool = field(default=True)
    """The evaluator takes seeds as measured; if not, it trains them again after a kill."""
    proves: tuple[bool, bool] = (True, True)
    """Whether a lead may be proven, in the past and in what follows."""
    lanes: int = 1
    slots: int = 1
    every: int = 1
    """Of all its points one in so many is a case in the long form."""

    @property
    def script(self) -> tuple[Proposal, ...]:
        """All proposals, those of the past first."""
        return (*(self.past or ()), *self.proposals)


# The last proposal of a run that a limit ends, or its lanes, may lead unproven.
SCENARIOS = (
    Scenario("baseline", past=None),
    Scenario("keep", proposals=(Proposal(("keep",), "SCORE = 1.0"),)),
    Scenario(
        "lead",
        proposals=(Proposal(("lead",), "SCORE = 1.0"), Proposal(("lead",), "SCORE = 2.0")),
        proves=(False, False),
    ),
    Scenario(
        "rollback",
        past=(Proposal(("lead",), "SCORE = 1.0"),),
        proposals=(
            Proposal(("discard",), "SCORE = 2.0\nFRESH = -3.0"),
            Proposal(("lead",), "SCORE = 1.5"),
        ),
        proves=(False, False),
    ),
    Scenario(
        "promotion",
        past=(Proposal(("keep",), "SCORE = 1.0"), Proposal(("keep",), "SCORE = 2.0")),
        proposals=(Proposal(("discard",), "SCORE = -1.0"),),
        proves=(False, True),
    ),
    Scenario("discard", proposals=(Proposal(("discard",), "SCORE = -1.0"),), resumes=False),
    Scenario("crash", proposals=(Proposal(("crash",), 'DO = "crash"'),)),
    Scenario(
        "repair",
        proposals=(Proposal(("lead",), 'DO = "crash"', "SCORE = 1.0"),),
        by_model=True,
    ),
    Scenario(
        "show",
        proposals=(Proposal(("lead",), "show: #1", "SCORE = 1.0"),),
        by_model=True,
    ),
    Scenario("review", proposals=(Proposal(("lead",), "SCORE = 1.0"),), by_model=True),
    Scenario(
        "another reward, and a review",
        past=(Proposal(("keep",), "SCORE = 0.5"),),
        proposals=(
            Proposal(
                ("keep",),
                f"SCORE = 1.0\nCOMPARED = {json.dumps(_OTHER_REWARD | {'return_there': 1.5})}",
                env="X = 1",
            ),
            Proposal(
                ("discard",),
                f"SCORE = 0.9\nCOMPARED = {json.dumps(_OTHER_REWARD | {'return_there': 0.5})}",
                env="X = 2",
            ),
        ),
        by_model=True,
        compares=True,
        every=2,
    ),
    Scenario("rung", past=(Proposal(("keep",), "SCORE = 1.0"),), ladder=_TWO_RUNGS),
    Scenario(
        "three lanes",
        proposals=(
            Proposal(("keep", "lead", "discard", "invalid"), "SCORE = 1.0"),
            Proposal(("keep", "lead"), 'DO = "crash"', "SCORE = 2.0"),
            Proposal(("keep", "lead", "discard", "invalid"), "SCORE = 1.0"),  # the same code
            Proposal(("discard",), "SCORE = -1.0"),
        ),
        lanes=3,
        every=2,
    ),
    Scenario(
        "three lanes, two slots",
        proposals=(
            Proposal(("keep", "lead", "discard"), "SCORE = 1.0"),
            Proposal(("keep", "lead", "discard"), "SCORE = 0.5"),
            Proposal(("crash",), 'DO = "crash"'),
            Proposal(("keep", "lead"), "SCORE = 2.0"),
        ),
        ladder=_TWO_RUNGS,
        lanes=3,
        slots=2,
        every=2,
    ),
    Scenario(
        "three lanes, a model",
        proposals=(
            Proposal(("keep", "lead", "discard"), 'DO = "crash"', "SCORE = 1.0"),
            Proposal(("keep", "lead", "discard"), "SCORE = 0.5", "SCORE = 0.25"),
            Proposal(("keep", "lead", "discard"), "SCORE = 0.5", "SCORE = 0.25"),  # the same code
        ),
        by_model=True,
        lanes=3,
        slots=2,
        every=4,
    ),
)


Script = Sequence[tuple[str, ...]]
"""The replies of each proposal, repairs included. No two are the same, whatever their code."""


class Place:
    """A folder with the workspace, the evaluator's log and what the daemons print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / "work")
        self.root = self.workspace.root
        self.evaluations = folder / "evaluations.log"
        self.seeds = folder / "seeds.log"
        self.output = folder / "daemon.out"

    def copy(self, folder: Path) -> "Place":
        """Copy everything, times and links included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Place(folder)


def arrange(scenario: Scenario, folder: Path) -> Place:
    """Make the workspace as it is before the experiment, with work of the user's in progress."""
    place = Place(folder)
    folder.mkdir(parents=True)
    place.evaluations.touch()
    place.seeds.touch()
    root = place.root
    initialise(root, None)
    framework = (DATA / "stub_framework.py").read_text()
    assert "\nRESUMES = False\n" in framework
    framework = framework.replace("\nRESUMES = False\n", f"\nRESUMES = {scenario.resumes}\n")
    framework = framework.replace("\nCOMPARES = False\n", f"\nCOMPARES = {scenario.compares}\n")
    (root / "framework.py").write_text(framework)
    _configure(place, Scenario("the past", proves=(True, scenario.proves[0])))
    train = place.workspace.candidate().train
    (root / "candidate" / "train.py").write_text(f"{_BASELINE}{train}")
    (root / "script").mkdir()
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "a stub evaluator")
    texts = script(scenario, place)
    if scenario.past is not None:
        _write(root / "script", texts[: len(scenario.past)])
        environment = {"AUTORL_BUDGET__MIN_KEEPS": "50"}
        assert Run(place, environment).wait() == 0, place.output.read_text()
    _write(root / "script", texts)
    _configure(place, scenario)
    (root / "candidate" / "env.py").open("a").write("# not committed yet\n")
    (root / "staged.txt").write_text("staged")
    git(root, "add", "staged.txt")
    (root / "untracked.txt").write_text("untracked")
    return place


def _configure(place: Place, scenario: Scenario) -> None:
    backend = "openai" if scenario.by_model else "scripted"
    place.workspace.config.write_text(
        _CONFIG.format(
            backend=backend,
            ladder=scenario.ladder,
            slots=scenario.slots,
            lanes=scenario.lanes,
            min_effect=0.0 if scenario.proves[1] else 100.0,
        )
    )


def script(scenario: Scenario, place: Place) -> Script:
    """Return the replies of the past and of what follows, for a place that is arranged."""
    files = place.workspace.candidate()
    train = files.train.removeprefix(_BASELINE)
    return [
        tuple(
            _reply(
                f"try {number}.{k}: {constants}",
                constants,
                train,
                f"{proposal.env}\n{files.env}" if proposal.env else None,
            )
            for k, constants in enumerate(proposal.replies)
        )
        for number, proposal in enumerate(scenario.script, 1)
    ]


def _reply(description: str, constants: str, train: str, env: str | None) -> str:
    """Return an edit that sets constants, or a request to see code."""
    if constants.startswith("show: "):
        return f"description: {description}\n\n{constants}\n"
    return reply(f"{constants}\n{train}", env, description)


def _write(folder: Path, texts: Script) -> None:
    """Write replies as a scripted agent reads them."""
    for number, (first, *repairs) in enumerate(texts, 1):
        (folder / f"{number:04d}.md").write_text(first)
        for k, text in enumerate(repairs, 1):
            (folder / f"{number:04d}.repair-{k}.md").write_text(text)


def daemon(place: Place, environment: dict[str, str]) -> int:
    """Be the daemon, in a forked process: what `autorl-daemon start --foreground` runs."""
    os.setsid()
    os.chdir(place.root)
    output = os.open(place.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    sys.stdout = sys.stderr = os.fdopen(output, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [n for n in os.environ if n.startswith(("AUTORL_", "OPENAI_", "GIT_"))]:
        del os.environ[name]
    os.environ |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"} | environment
    return main(["start", "--no-check", "--foreground", "--tag", TAG])


class Run:
    """A daemon in a forked process: warm, so that no interpreter has to start."""

    def __init__(self, place: Place, environment: dict[str, str]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                code = daemon(place, environment)
            finally:
                os._exit(code)

    def wait(self, timeout_s: float = 60) -> int:
        """Return its exit code, -9 if it had to be killed for taking too long."""
        watchdog = threading.Timer(timeout_s, os.kill, (self.pid, signal.SIGKILL))
        watchdog.start()
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        finally:
            watchdog.cancel()


def imports() -> None:
    """Load what the daemon loads late, once for all forks."""
    import git.cmd
    import openai
    import structlog
    import tenacity

    del git, openai, structlog, tenacity
    subprocess.run(["git", "--version"], capture_output=True, check=True)
