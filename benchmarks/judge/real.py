"""The judge on the real evaluator: `python -m benchmarks.judge.real`.

On two examples at 12/8, with real training:

- *no-ops*: a daemon is given 200 experiments, by the scripted agent, whose only change is a setting
  moved by less than one percent: by nature it can't matter on average, yet each trains to other
  returns. What is kept, or proven by a trial, is false; that the lead moves costs nothing. Once
  with `judge.rule: sound`, once with `naive`.
- *planted*: 40 challengers with a known gain. Their environment pays a bonus at the first step of
  each episode, whatever the policy does, of one or two spreads of the baseline's seeds. Each is
  judged against the same lead: does it take the lead?
- *early stopping*: how many of the planted ones would have been stopped by their learning curves;
  and of the best 30 % of the naive run's trainings on each default seed, none of which was stopped,
  how many would have been for not becoming one of these.

It also says how far candidates share the luck of a seed. With two cores and the defaults it takes
about 20 minutes.
"""

import argparse
import contextlib
import json
import math
import os
import re
import select
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.machine import describe
from orchestrator.config.loading import load_config
from orchestrator.config.schema import JudgeConfig
from orchestrator.core.errors import EvaluatorError
from orchestrator.core.evaluations import (
    CheckpointReached,
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    Measurement,
    SeedDone,
    SeedResult,
)
from orchestrator.core.records import JUDGED, TRAIN_PATH, Files, Rung, Status
from orchestrator.daemon.new_workspace import initialise
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.judging.candidate_evidence import (
    SearchEvidence,
    candidate_evidence,
    gathered,
)
from orchestrator.judging.challenger_test import challenger_test
from orchestrator.judging.early_stopping import LearningCurve, checkpoints, judge_curve
from orchestrator.judging.reference import default_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.seed_correlation import pairs_of, seed_correlation
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from sandbox import Tier
from tests.fakes import write_script

RUNG = Rung(12, 8)
STARTS = {"trading": ("LEARNING_RATE", "2e-3")}
"""As shipped it hardly learns at this rung, and two policies that never trade score the same."""
_TAG = "real"
_SEED_COUNT = 2
_CURVES = 50
"""Learning curves that the daemon looks back at."""
_BEST = 0.3
"""Share of the trainings on a seed that count as its best."""
_SETTINGS = ("LEARNING_RATE", "CLIP_EPSILON", "ENTROPY_COEF")
_BONUS = """

# Planted by the benchmark: a bonus at an episode's first step, whatever the policy does.
_create_unplanted = create_env


def create_env(*args, **kwargs):
    env = _create_unplanted(*args, **kwargs)
    step, reset = env.step, env.reset
    first = torch.ones(env.num_envs, dtype=torch.bool)

    def planted_reset(*a, **k):
        first.fill_(True)
        return reset(*a, **k)

    def planted_step(actions):
        obs, reward, done, info = step(actions)
        bonus = {bonus!r} * first.to(reward.dtype)
        first.copy_(done.reshape(-1).bool())
        return obs, reward + bonus.reshape(reward.shape), done, info

    env.step, env.reset = planted_step, planted_reset
    return env
"""


@dataclass(frozen=True)
class Noops:
    """What came of experiments that can't matter."""

    example: str
    rule: str
    experiments: int
    keeps: int
    evaluations: float
    """Seeds evaluated an experiment, those of leads and published candidates included."""
    claimed: float
    """Gain that the run reports, as a share of its baseline: nothing was gained."""
    leads: int = 0
    """Challengers that took the lead; not for `naive`."""
    shared: float | None = None
    """Correlation of leads' and published candidates' returns on one seed; not for `naive`."""
    shared_seeds: int = 0
    """On so many different ones."""
    best: int = 0
    """Trainings that ended among the best of their seed; only for `naive`, which stops none."""
    stopped: int = 0
    """Those of them that their learning curves would have stopped early."""


@dataclass(frozen=True)
class Planted:
    """What came of challengers with a known gain."""

    example: str
    gain_sd: float
    """In standard deviations of the lead's seeds."""
    challengers: int
    led: int
    """Those that took the lead."""
    evaluations: float
    measured_sd: float
    """Mean gain over all their seeds, in the same unit: what the bonus really was worth."""
    stopped: int
    """Those that their learning curves would have stopped early."""


def main() -> None:
    """Run everything, print the tables, save them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", nargs="+", default=["keydoor", "trading"])
    parser.add_argument("--noops", type=int, default=200)
    parser.add_argument("--planted", type=int, default=40, help="an example, half of each size")
    parser.add_argument("--save", type=Path, help="write the figures as JSON")
    parser.add_argument(
        "--tables", type=Path, nargs="+", help="only print what these files hold, and their sum"
    )
    args = parser.parse_args()
    if args.tables:
        saved = [_saved(path) for path in args.tables]
        for path, outcomes in zip(args.tables, saved, strict=True):
            print("\n".join([f"## {path.name}", "", *tables(*outcomes), ""]))
        all_noops = [row for rows, _ in saved for row in rows]
        all_planted = [row for _, rows in saved for row in rows]
        print("\n".join(pooled(all_noops, all_planted)))
        return
    print(f"{describe()}; rung {RUNG}\n")
    noops: list[Noops] = []
    planted: list[Planted] = []
    with tempfile.TemporaryDirectory() as folder:
        for example in args.examples:
            for rule in ("sound", "naive"):
                workspace = _workspace(Path(folder) / f"{example}-{rule}", example)
                noops.append(_run_noops(workspace, example, rule, args.noops))
                print(noops[-1], flush=True)
                if rule == "sound":
                    for outcome in _plant(workspace, example, args.planted):
                        planted.append(outcome)
                        print(outcome, flush=True)
            if args.save:
                rows = {
                    "noops": [asdict(row) for row in noops],
                    "planted": [asdict(row) for row in planted],
                }
                args.save.write_text(json.dumps(rows, indent=1) + "\n")
    print()
    print("\n".join(tables(noops, planted)))


def _saved(path: Path) -> tuple[list[Noops], list[Planted]]:
    rows = json.loads(path.read_text())
    return [Noops(**row) for row in rows["noops"]], [Planted(**row) for row in rows["planted"]]


def _workspace(folder: Path, example: str) -> Workspace:
    initialise(folder, example)
    workspace = Workspace(folder)
    train = folder / TRAIN_PATH
    name, value = STARTS.get(example, ("", ""))
    text, count = re.subn(
        rf"^({name} = )\S+", rf"\g<1>{value}", train.read_text(), count=1, flags=re.MULTILINE
    )
    assert count == (example in STARTS)
    train.write_text(text)
    return workspace


# -- no-ops ----------------------------------------------------------------------------------------


def _run_noops(workspace: Workspace, example: str, rule: str, count: int) -> Noops:
    files = workspace.candidate()
    texts = [_nudged(files.train, k) for k in range(1, count + 1)]
    script = write_script(workspace.root / "script", [_reply(text) for text in texts])
    settings = (
        "agent.backend=scripted", f"agent.scripted_dir={script}", f"judge.rule={rule}",
        "budget.ladder=[[12, 8]]",
    )  # fmt: skip
    command = [
        sys.executable, "-m", "orchestrator", "start", "--foreground", "--tag", _TAG,
        *(f"--set={setting}" for setting in settings),
    ]  # fmt: skip
    subprocess.run(
        command, cwd=workspace.root, check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    with Ledger(workspace.ledger) as ledger:
        experiments = [e for e in ledger.experiments(_TAG) if not e.is_baseline]
        baseline = next(e for e in ledger.experiments(_TAG) if e.is_baseline)
        references = ledger.references(_TAG)
        kept = [e for e in experiments if e.status is Status.KEEP]
        assert all(e.status in JUDGED for e in experiments)
        last = kept[-1] if kept else baseline
        used = sum(e.verdict["evaluations"] for e in experiments)
        used += sum(len(seeds) for seeds in references.values())
        if rule == "naive":
            before, after = baseline.score or 0.0, last.score or 0.0
        else:
            before, after = (
                statistics.fmean(s.value for s in references[e.n] if s.value is not None)
                if e.n in references
                else e.score or 0.0
                for e in (baseline, last)
            )
        correlation = _evidence(ledger).correlation
        stops = [_early_stops(_trained(ledger, seed, count)) for seed in default_seeds(_SEED_COUNT)]
    is_sound = rule == "sound"
    return Noops(
        example, rule, len(experiments), len(kept), used / len(experiments), after / before - 1,
        sum(e.took_lead for e in experiments), correlation.observed if is_sound else None,
        correlation.seeds if is_sound else 0,
        *([0, 0] if is_sound else map(sum, zip(*stops, strict=True))),
    )  # fmt: skip


def _trained(ledger: Ledger, seed: int, count: int = _CURVES) -> list[SeedResult]:
    """Return candidates' results on a seed, with their curves, the first one first."""
    return ledger.curves(_TAG, RUNG, seed, count)[::-1]


def _early_stops(results: Sequence[SeedResult]) -> tuple[int, int]:
    """Return how many ended among the best, and how many of these would have been stopped."""
    early_stop = JudgeConfig().early_stop
    assert early_stop is not None
    curves = [LearningCurve(row.curve, row.value) for row in results if row.value is not None]
    finals = sorted(curve.final for curve in curves)
    needed = finals[int(len(finals) * (1 - _BEST))]
    best = stopped = 0
    for index, curve in enumerate(curves):
        if curve.final >= needed:
            earlier = curves[max(index - _CURVES, 0) : index]
            best += 1
            stopped += any(
                judge_curve(
                    curve.curve[:at],
                    earlier,
                    needed,
                    early_stop,
                    train_episodes=RUNG.train_episodes,
                )
                for at in checkpoints(RUNG.train_episodes)
            )
    return best, stopped


def _evidence(ledger: Ledger) -> SearchEvidence:
    """Return what a run of no-ops knows of its baseline, as if nothing had taken the lead."""
    baseline = candidate_evidence(1, 1, ledger.at_rung(1, RUNG), 1)
    references = ledger.references(_TAG)
    return replace(
        gathered(baseline, (), ledger.references_of_time(_TAG, RUNG, 1), {}, {}),
        correlation=seed_correlation(pairs_of(references, published_by=0)),
        eval_episodes=RUNG.eval_episodes,
    )


def _nudged(train: str, k: int) -> str:
    """Return train.py with one setting off by a little: other returns, the same on average."""
    name = _SETTINGS[k % len(_SETTINGS)]
    factor = 1 + 1e-4 * (1 + k // len(_SETTINGS)) * (-1) ** k

    def nudge(found: "re.Match[str]") -> str:
        return f"{found[1]}{float(found[2]) * factor!r}"

    text, count = re.subn(rf"^({name} = )(\S+)", nudge, train, count=1, flags=re.MULTILINE)
    assert count == 1
    return text


def _reply(train: str) -> str:
    return f"description: a setting moved by a little\n\n{TRAIN_PATH}\n````python\n{train}````\n"


# -- planted ---------------------------------------------------------------------------------------


def _plant(workspace: Workspace, example: str, count: int) -> Iterator[Planted]:
    """Judge challengers with a known gain against the baseline of the run of no-ops."""
    config = load_config(workspace.config, environment={})
    with Ledger(workspace.ledger) as ledger:
        key = ledger.key()
        search = _evidence(ledger)
        trained = _trained(ledger, default_seeds(1)[0])
    files = workspace.candidate()
    # The bonus may be larger than what a step may pay.
    bound = config.evaluator.model_copy(update={"reward_bound": 10.0})
    config = config.model_copy(update={"evaluator": bound})
    evaluator = LocalEvaluator(
        workspace.root, config, key=key, scratch=workspace.state / "planted", tier=Tier.NAMESPACES,
        slots=1,
    )  # fmt: skip
    sd, known = search.spread.sd, search.lead.known
    planting = _Planting(evaluator, config.judge, search, trained)
    with contextlib.closing(evaluator):
        for size in (1.0, 2.0):
            env = files.env + _BONUS.replace("{bonus!r}", repr(size * sd))
            rows = [
                planting.judged(Files(env, _nudged(files.train, k)), 5000 + int(size) * 100 + k)
                for k in range(count // 2)
            ]
            seeds = [value for row in rows for value in row.returns]
            gain = (statistics.fmean(seeds) - statistics.fmean(known.values())) / sd
            yield Planted(
                example, size, len(rows), sum(row.led for row in rows),
                statistics.fmean(len(row.returns) for row in rows), gain,
                sum(row.stopped for row in rows),
            )  # fmt: skip


@dataclass(frozen=True)
class _Row:
    led: bool
    stopped: bool
    returns: tuple[float, ...]


@dataclass(frozen=True)
class _Planting:
    """Judges one challenger after the other against the same lead."""

    evaluator: LocalEvaluator
    numbers: JudgeConfig
    search: SearchEvidence
    trained: Sequence[SeedResult]
    """Candidates trained to the end on the first default seed, for stopping early."""

    def judged(self, files: Files, n: int) -> _Row:
        """Evaluate and judge experiment `n`; its curves are judged too, but not acted upon."""
        patient = self.numbers.model_copy(update={"early_stop": None})
        test = challenger_test(self.search, RUNG, JudgingRules(patient, _SEED_COUNT))
        stopping = challenger_test(self.search, RUNG, JudgingRules(self.numbers, _SEED_COUNT))
        stopped, verdict = False, None
        results: list[SeedResult] = []
        for event in self._events(files, stopping.plan, str(n)):
            match event:
                case CheckpointReached(curve=curve):
                    stopped |= stopping.judge_curve(curve, self.trained) is not None
                    self.evaluator.go_on(str(n), wanted=True)
                case SeedDone(result=result):
                    results.append(result)
                    verdict = test.verdict(results)
                    self.evaluator.go_on(str(n), wanted=verdict is None)
                case EvaluationEnded(evaluation=evaluation):
                    assert evaluation.status is None, evaluation.reason
        assert verdict is not None
        returns = tuple(result.value for result in results if result.value is not None)
        return _Row(verdict.status is Status.LEAD, stopped, returns)

    def _events(self, files: Files, plan: Measurement, key: str) -> Iterator[EvaluatorEvent]:
        """Evaluate, and yield what happens until it has ended."""
        self.evaluator.begin(key, files, plan)
        while True:
            select.select([*self.evaluator.descriptors()], [], [], self.evaluator.timeout_s())
            for _, event in self.evaluator.poll():
                if isinstance(event, EvaluatorFailed):
                    raise EvaluatorError(event.reason)
                yield event
                if isinstance(event, EvaluationEnded):
                    return


# -- tables ----------------------------------------------------------------------------------------


def interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Clopper and Pearson 1934), by bisection."""

    def tail(p: float, counts: range) -> float:
        return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in counts)

    def solve(at_least: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if at_least(middle) else (middle, high)
        return (low + high) / 2

    lower = solve(lambda p: tail(p, range(successes, trials + 1)) >= 0.025) if successes else 0.0
    upper = solve(lambda p: tail(p, range(successes + 1)) <= 0.025) if successes < trials else 1.0
    return lower, upper


def _share(successes: int, trials: int) -> str:
    low, high = interval(successes, trials)
    return f"{successes} of {trials} ({low:.1%} to {high:.1%})"


def tables(noops: Sequence[Noops], planted: Sequence[Planted]) -> list[str]:
    """Return both tables as Markdown."""
    lines = [
        "| no-ops on | rule | false keeps (95 % interval) | seeds each, trained to the end "
        "| gain it reports | leads | luck shared |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in noops:
        shared = "" if row.shared is None else f"{row.shared:.2f} over {row.shared_seeds} seeds"
        lines.append(
            f"| {row.example} | {row.rule} | {_share(row.keeps, row.experiments)} | "
            f"{row.evaluations:.1f} | {row.claimed:+.1%} | {row.leads} | {shared} |"
        )
    for rule in dict.fromkeys(row.rule for row in noops):
        rows = [row for row in noops if row.rule == rule]
        keeps, experiments = sum(row.keeps for row in rows), sum(row.experiments for row in rows)
        lines.append(f"| all | {rule} | {_share(keeps, experiments)} | | | | |")
    best, stopped = sum(row.best for row in noops), sum(row.stopped for row in noops)
    best += sum(row.challengers for row in planted)
    stopped += sum(row.stopped for row in planted)
    lines += ["", f"Winners that their curves would have stopped: {_share(stopped, best)}."]
    lines += [
        "",
        "| planted gain | example | took the lead (95 % interval) | seeds each | gain measured "
        "| would have been stopped early |",
        "|---|---|---|---|---|---|",
    ]
    for each in planted:
        low, high = interval(each.led, each.challengers)
        lines.append(
            f"| {each.gain_sd:g} sd | {each.example} | {each.led} of {each.challengers} "
            f"({low:.0%} to {high:.0%}) | {each.evaluations:.1f} | {each.measured_sd:.2f} sd | "
            f"{each.stopped} |"
        )
    return lines


def pooled(noops: Sequence[Noops], planted: Sequence[Planted]) -> list[str]:
    """Return what several runs say together, as Markdown."""
    lines = ["| together | kept, or took the lead (95 % interval) |", "|---|---|"]
    for rule in dict.fromkeys(row.rule for row in noops):
        rows = [row for row in noops if row.rule == rule]
        keeps, experiments = sum(row.keeps for row in rows), sum(row.experiments for row in rows)
        lines.append(f"| no-ops, {rule} | {_share(keeps, experiments)} |")
    for gain_sd in sorted({row.gain_sd for row in planted}):
        some = [row for row in planted if row.gain_sd == gain_sd]
        led, challengers = sum(row.led for row in some), sum(row.challengers for row in some)
        lines.append(f"| planted {gain_sd:g} sd | {_share(led, challengers)} |")
    return lines


if __name__ == "__main__":
    main()
