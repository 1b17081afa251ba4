"""One run of the real engine with an agent, and what its leads are worth on fresh seeds."""

import contextlib
import select
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.agents.arms import ARMS, Task
from framework import EvaluationRequest, Referee
from orchestrator.core.clock import now
from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Files, Rung
from orchestrator.daemon.new_workspace import initialise
from orchestrator.daemon.start_checks import check_start, evaluator_settings
from orchestrator.daemon.wiring import wire
from orchestrator.engine.engine import Engine
from orchestrator.evaluation.confinement import choose_tier
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace

FINAL_SEEDS = 900_001
"""Seeds from here on are used for nothing else."""
_MOVES = frozenset({"experiment finished", "lead went back", "lead proven"})


@dataclass(frozen=True)
class Point:
    """A run after one of its proposals, or of its moves of the lead."""

    proposals: int
    seconds: float
    """Of the evaluator's, those for the lead's own seeds included."""
    lead: int
    """The experiment that made what leads."""


@dataclass
class _Watch:
    """The port `Monitor`: ends the run once it is enough, and notes its points."""

    enough: Callable[[Point], bool]
    point: Callable[[], Point | None]
    points: list[Point] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def show(self, facts: Mapping[str, object]) -> None:
        """Nobody looks."""

    def beat(self) -> None:
        """Nobody looks."""

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Note where the run is, and what went wrong."""
        if event in _MOVES and (point := self.point()):
            self.points.append(point)
        if level in {"warning", "error"}:
            self.trouble.append(f"{event}: {facts}")

    def now(self) -> str:
        """Return the time."""
        return now()

    def end_asked(self) -> StopReason | None:
        """End the run once it has had enough."""
        if self.points and self.enough(self.points[-1]):
            return StopReason(StopKind.LIMIT, "enough")
        return None

    def reload_asked(self) -> bool:
        """Nobody sends a signal."""
        return False

    def wait(self, descriptors: Iterable[int], timeout_s: float) -> None:
        """Wait until a descriptor is readable or the time is up."""
        select.select([*descriptors], [], [], timeout_s)


@dataclass(frozen=True)
class Course:
    """What one run has come to, point by point."""

    points: list[Point]
    files: dict[int, Files]
    """Of every candidate that led."""
    trouble: list[str]

    def after_proposals(self, count: int) -> Point:
        """Return where it was when so many proposals had ended."""
        found = [point for point in self.points if point.proposals <= count]
        return found[-1] if found else self.points[0]

    def after_seconds(self, seconds: float) -> Point:
        """Return where it was when so many of the evaluator's seconds were used."""
        found = [point for point in self.points if point.seconds <= seconds]
        return found[-1] if found else self.points[0]


@dataclass(frozen=True)
class Entrant:
    """An agent on a task, with the draws of one seed."""

    task: Task
    arm: str
    seed: int
    rung: Rung


def play(place: Path, entrant: Entrant, secret: Path, enough: Callable[[Point], bool]) -> Course:
    """Run an agent from the task's baseline until it is enough, or it has no more proposals.

    Args:
        place: where its workspace is made.
        entrant: the agent.
        secret: a ledger that has recorded nothing but the secret of the environments' seeds.
        enough: whether the run is to be ended.
    """
    task, rung, tag = entrant.task, entrant.rung, f"seed{entrant.seed}"
    workspace = made(place, task)
    settings = (
        "agent.backend=optuna", "review.enabled=off", "limits.consecutive_failures=null",
        f"budget.ladder=[[{rung.train_episodes}, {rung.eval_episodes}]]", *task.settings,
    )  # fmt: skip
    request = check_start(workspace, tag, settings)
    workspace.make_folders()
    shutil.copy(secret, workspace.ledger)
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(Ledger(workspace.ledger))
        run = Run(tag, request.parent, evaluator_settings(request), now())
        ledger.create_run(run)
        engine: Engine | None = None

        def point() -> Point | None:
            lead = engine.run_record.state.lead if engine else None
            if engine is None or lead is None:
                return None
            own_s = sum(e.seconds.evaluator for e in ledger.experiments(tag))
            spent_s = own_s + ledger.reference_seconds(tag)[0]
            return Point(engine.run_record.state.counted, spent_s, lead.n)

        watch = _Watch(enough, point)
        parts = wire(
            request, ledger=ledger, run=run, store=GitStore(workspace.root), monitor=watch,
            tier=choose_tier(request.config),
        )  # fmt: skip
        stack.callback(parts.evaluator.close)
        agent = ARMS[entrant.arm](task, lambda at: ledger.trials(tag, at), tag)
        engine = Engine(replace(parts, agent=agent, lanes=1))
        engine.run()
        files = {p.lead: ledger.files(p.lead) for p in watch.points}
    known = {n: each for n, each in files.items() if each is not None}
    return Course(watch.points, known, watch.trouble)


def made(place: Path, task: Task) -> Workspace:
    """Make the workspace of a run."""
    initialise(place, task.example)
    workspace = Workspace(place)
    for path, text in task.start.by_path().items():
        (place / path).write_text(text, encoding="utf-8")
    if task.brief is not None:
        workspace.program.write_text(task.brief, encoding="utf-8")
    return workspace


@dataclass(frozen=True)
class Worth:
    """A candidate on fresh seeds, by the reward and the success of the task's baseline."""

    gain: float
    """Mean return, minus the baseline's on the same seeds."""
    solved: float


@dataclass
class Measure:
    """Trains candidates on the fresh seeds; the same one once."""

    task: Task
    folder: Path
    rung: Rung
    seeds: int
    _known: dict[Files, tuple[float, float]] = field(default_factory=dict)

    def worth(self, files: Files) -> Worth:
        """Return what a candidate is worth."""
        value, solved = self._value(files)
        return Worth(value - self._value(self.task.start)[0], solved)

    def _value(self, files: Files) -> tuple[float, float]:
        if files not in self._known:
            self._known[files] = self._evaluated(files)
        return self._known[files]

    def _evaluated(self, files: Files) -> tuple[float, float]:
        workspace = made(self.folder / str(len(self._known)), self.task)
        config = check_start(
            workspace, "final", ("agent.backend=optuna", *self.task.settings)
        ).config
        for path, text in files.by_path().items():
            (workspace.root / path).write_text(text, encoding="utf-8")
        start = self.task.start
        before = {"env.py": start.env, "train.py": start.train}
        with Referee() as referee:
            result = referee.evaluate(
                EvaluationRequest(
                    candidate_dir=workspace.root / "candidate",
                    train_episodes=self.rung.train_episodes,
                    eval_episodes=self.rung.eval_episodes,
                    seeds=tuple(range(FINAL_SEEDS, FINAL_SEEDS + self.seeds)),
                    max_steps=config.task.max_steps,
                    reward_bound=config.evaluator.reward_bound,
                    compare_with=before if start.env != files.env else None,
                )
            )
        values, solved = [], []
        for seed in result.seed_results:
            there = seed.compared
            values.append(seed.full_return if there is None else there.return_there)
            solved.append(seed.evidence_solve_rate if there is None else there.solve_rate_there)
        return statistics.fmean(values), statistics.fmean(solved)
