"""What the judge and the ladder are worth: `python -m benchmarks.judge.end_to_end`.

Two daemons search the same example with the embedded optuna agent until each has used the same
evaluator seconds: ours as it is shipped, and the public loop's way (`judge.rule: naive`, the first
rung for ever). They run at the same time, each with one worker, so that a busy machine slows both
alike. What each ends with is then trained anew on seeds that neither has seen, at the first rung
and at the top of the example's ladder. With two cores and the defaults: about 45 minutes.
"""

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import describe
from framework import EvaluationRequest, Referee
from orchestrator.config.loading import load_config
from orchestrator.core.errors import LedgerError
from orchestrator.core.records import Files, Rung, Status
from orchestrator.daemon.new_workspace import initialise
from orchestrator.judging.reference import validate
from orchestrator.planning.state import replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace

ARMS = {
    "ours": (),
    "public": ("judge.rule=naive", "budget.ladder=[[12, 8]]"),
}
_POLL_S = 0.25
_LONGEST_S = 10.0
"""Times the budget after which a run is ended in any case."""
_FINAL_SEEDS = 900_001
"""Seeds from here on are used for nothing else."""


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    example: str
    arm: str
    run: int
    experiments: int
    keeps: int
    evaluator_s: float
    rung: str
    first_rung: float
    """Mean return of the final candidate over fresh seeds, at the first rung."""
    top_rung: float
    """Likewise at the top of the example's ladder."""
    claimed: float | None
    """What the run itself says of it at the first rung; None if it was never evaluated there."""


def main() -> None:
    """Run the pairs, print the table, save it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="pairs an example")
    parser.add_argument("--seconds", type=float, default=200.0, help="evaluator seconds a run")
    parser.add_argument("--examples", nargs="+", default=["keydoor", "trading"])
    parser.add_argument(
        "--seeds", type=int, nargs=2, default=(48, 16),
        help="fresh seeds for the final candidates, at first and top rung",
    )  # fmt: skip
    parser.add_argument("--save", type=Path, help="write the outcomes as JSON")
    parser.add_argument(
        "--add", action="store_true", help="to those in that file, made with the same options"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and take the daemons along
    print(f"{describe()}; {args.seconds:g} evaluator seconds a run, one worker each\n")
    outcomes = _saved(args.save) if args.add else []
    first = 1 + max((outcome.run for outcome in outcomes), default=-1)
    with tempfile.TemporaryDirectory() as folder:
        for run in range(first, first + args.runs):
            for example in args.examples:
                place = Path(folder) / f"{example}-{run}"
                for outcome in _pair(place, example, run, args.seconds, args.seeds):
                    outcomes.append(outcome)
                    print(_line(outcome), flush=True)
                if args.save:
                    rows = [asdict(outcome) for outcome in outcomes]
                    args.save.write_text(json.dumps(rows, indent=1) + "\n")
    print()
    print("\n".join([*table(outcomes), "", *claims(outcomes)]))


def _tag(run: int) -> str:
    """Return the name of a pair's runs: the search begins elsewhere with each."""
    return f"end{run}"


def _saved(path: Path) -> list[Outcome]:
    return [Outcome(**row) for row in json.loads(path.read_text())]


def _pair(
    place: Path, example: str, run: int, seconds: float, seeds: Sequence[int]
) -> Iterator[Outcome]:
    """Run both arms at once; measure what each ends with."""
    spaces = {}
    for arm in ARMS:
        initialise(place / arm, example)
        spaces[arm] = Workspace(place / arm)
    with contextlib.ExitStack() as stack:
        daemons = {
            arm: stack.enter_context(_daemon(spaces[arm], _tag(run), ARMS[arm])) for arm in ARMS
        }
        deadline = time.monotonic() + seconds * _LONGEST_S
        running = set(ARMS)
        while running and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            for arm in sorted(running):
                if daemons[arm].poll() is not None or _used_s(spaces[arm], _tag(run)) >= seconds:
                    _stop(spaces[arm])
                    daemons[arm].wait()
                    running.remove(arm)
                    # The other one must not gain from a core that is free now.
    for arm, workspace in spaces.items():
        yield _outcome(workspace, example, arm, run, seeds)


@contextlib.contextmanager
def _daemon(
    workspace: Workspace, tag: str, settings: Sequence[str]
) -> "Iterator[subprocess.Popen[bytes]]":
    common = ("agent.backend=optuna", "evaluator.workers=1", "limits.consecutive_failures=null")
    command = [
        sys.executable, "-m", "orchestrator", "start", "--foreground", "--tag", tag,
        *(f"--set={setting}" for setting in (*common, *settings)),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=workspace.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _stop(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "orchestrator", "stop", "--now"]
    subprocess.run(command, cwd=workspace.root, capture_output=True, check=False)


def _used_s(workspace: Workspace, tag: str) -> float:
    """Return the evaluator seconds a run has used, references included."""
    if not workspace.ledger.exists():
        return 0.0
    with contextlib.suppress(LedgerError, sqlite3.Error), Ledger(workspace.ledger) as ledger:
        own = sum(experiment.seconds.evaluator for experiment in ledger.experiments(tag))
        references = ledger.references(tag).values()
        return own + sum(seed.seconds or 0.0 for seeds in references for seed in seeds)
    return 0.0


def _outcome(
    workspace: Workspace, example: str, arm: str, run: int, seeds: Sequence[int]
) -> Outcome:
    with Ledger(workspace.ledger) as ledger:
        experiments = list(ledger.experiments(_tag(run)))
        state = replay(ledger.endings(_tag(run)), ledger.accepts(_tag(run)))
        assert state.incumbent is not None
        files = ledger.files(state.incumbent.n)
        assert files is not None
        rungs = load_config(workspace.config, environment={}).budget.rungs
        claimed = claim(ledger, _tag(run), files, rungs[0])
    first, top = (
        _measured(workspace, files, rung, count)
        for rung, count in zip((rungs[0], rungs[-1]), seeds, strict=True)
    )
    return Outcome(
        example, arm, run, state.counted,
        sum(e.status is Status.KEEP for e in experiments),
        round(_used_s(workspace, _tag(run)), 1), str(state.rung), first, top, claimed,
    )  # fmt: skip


def claim(ledger: Ledger, tag: str, files: Files, rung: Rung) -> float | None:
    """Return what `results` prints of a candidate at a rung: validated score, else naive score."""
    for experiment in ledger.experiments(tag):
        accepted = experiment.status in {Status.BASELINE, Status.KEEP}
        if accepted and experiment.rung == rung and ledger.files(experiment.n) == files:
            validated = validate(
                [s.value for s in ledger.reference(experiment.n, rung) if s.value is not None]
            )
            return validated.score if validated else experiment.score
    return None


def _measured(workspace: Workspace, files: Files, rung: Rung, count: int) -> float:
    """Train a candidate on fresh seeds at a rung; return its mean return."""
    config = load_config(workspace.config, environment={})
    folder = workspace.state / "final"
    (folder / "candidate").mkdir(parents=True, exist_ok=True)
    for path, text in files.by_path().items():
        (folder / path).write_text(text)
    with Referee() as referee:
        result = referee.evaluate(
            EvaluationRequest(
                candidate_dir=folder / "candidate",
                train_episodes=rung.train_episodes,
                eval_episodes=rung.eval_episodes,
                seeds=tuple(range(_FINAL_SEEDS, _FINAL_SEEDS + count)),
                max_steps=config.task.max_steps,
                reward_bound=config.evaluator.reward_bound,
            )
        )
    return statistics.fmean(seed.full_return for seed in result.seed_results)


def _line(outcome: Outcome) -> str:
    return (
        f"{outcome.example:<9} run {outcome.run} {outcome.arm:<7} {outcome.experiments:>4} "
        f"experiments, {outcome.keeps:>2} kept, at {outcome.rung:>6} after "
        f"{outcome.evaluator_s:6.1f} s: {outcome.first_rung:.4f} at the first rung, "
        f"{outcome.top_rung:.4f} at the top"
    )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the table as Markdown: both arms, and the paired difference with its interval."""
    lines = [
        "| example | measured at | public loop | ours | gain (95 % interval) | ours ahead |",
        "|---|---|---|---|---|---|",
    ]
    for example in dict.fromkeys(outcome.example for outcome in outcomes):
        for name, field in (("first rung", "first_rung"), ("top rung", "top_rung")):
            ours, public = (
                {o.run: getattr(o, field) for o in outcomes if (o.example, o.arm) == (example, arm)}
                for arm in ("ours", "public")
            )
            gains = [ours[run] - public[run] for run in sorted(ours.keys() & public.keys())]
            mean = validate(gains)
            interval = f" ({mean.low:+.3f} to {mean.high:+.3f})" if mean else ""
            lines.append(
                f"| {example} | {name} | {statistics.fmean(public.values()):.3f} | "
                f"{statistics.fmean(ours.values()):.3f} | {statistics.fmean(gains):+.3f}{interval} "
                f"| {sum(gain > 0 for gain in gains)} of {len(gains)} |"
            )
    return lines


def claims(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what the runs say of their last candidates at the first rung, and what is true."""
    lines = [
        "| example | run by | proposals | keeps | says | is worth | says too much by (95 %) |",
        "|---|---|---|---|---|---|---|",
    ]
    for example in dict.fromkeys(outcome.example for outcome in outcomes):
        for arm, name in (("public", "public loop"), ("ours", "ours")):
            runs = [o for o in outcomes if (o.example, o.arm) == (example, arm)]
            pairs = [(o.claimed, o.first_rung) for o in runs if o.claimed is not None]
            if not pairs:
                continue
            proposals = statistics.fmean(o.experiments for o in runs)
            keeps = statistics.fmean(o.keeps for o in runs)
            says, true = (statistics.fmean(values) for values in zip(*pairs, strict=True))
            excess = validate([claimed - worth for claimed, worth in pairs])
            interval = f" ({excess.low:+.3f} to {excess.high:+.3f})" if excess else ""
            lines.append(
                f"| {example} | {name} | {proposals:.0f} | {keeps:.1f} | {says:.3f} | {true:.3f} "
                f"| {says - true:+.3f}{interval} |"
            )
    return lines


if __name__ == "__main__":
    main()
