"""No-ops with real training: a daemon is given experiments that can't matter."""

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.config.schema import JudgeConfig
from orchestrator.core.evaluations import SeedResult
from orchestrator.core.records import JUDGED, TRAIN_PATH, Rung, Status
from orchestrator.judging.candidate_evidence import SearchEvidence, candidate_evidence, gathered
from orchestrator.judging.early_stopping import LearningCurve, checkpoints, judge_curve
from orchestrator.judging.reference import default_seeds
from orchestrator.judging.seed_correlation import pairs_of, seed_correlation
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.fakes import write_script

RUNG = Rung(12, 8)
SEED_COUNT = 2
_TAG = "real"
_CURVES = 50
"""Learning curves that the daemon looks back at."""
_BEST = 0.3
"""Share of the trainings on a seed that count as its best."""
_SETTINGS = ("LEARNING_RATE", "CLIP_EPSILON", "ENTROPY_COEF")


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


def run_noops(workspace: Workspace, example: str, rule: str, count: int) -> Noops:
    """Let a daemon judge so many no-ops by a rule; return what came of them."""
    files = workspace.candidate()
    texts = [nudged(files.train, k) for k in range(1, count + 1)]
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
        correlation = evidence(ledger).correlation
        stops = [_early_stops(trained(ledger, seed, count)) for seed in default_seeds(SEED_COUNT)]
    is_sound = rule == "sound"
    return Noops(
        example, rule, len(experiments), len(kept), used / len(experiments), after / before - 1,
        sum(e.took_lead for e in experiments), correlation.observed if is_sound else None,
        correlation.seeds if is_sound else 0,
        *([0, 0] if is_sound else map(sum, zip(*stops, strict=True))),
    )  # fmt: skip


def trained(ledger: Ledger, seed: int, count: int = _CURVES) -> list[SeedResult]:
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


def evidence(ledger: Ledger) -> SearchEvidence:
    """Return what a run of no-ops knows of its baseline, as if nothing had taken the lead."""
    baseline = candidate_evidence(1, 1, ledger.at_rung(1, RUNG), 1)
    references = ledger.references(_TAG)
    return replace(
        gathered(baseline, (), ledger.references_of_time(_TAG, RUNG, 1), {}, {}),
        correlation=seed_correlation(pairs_of(references, published_by=0)),
        eval_episodes=RUNG.eval_episodes,
    )


def nudged(train: str, k: int) -> str:
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
