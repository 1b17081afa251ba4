"""What the judge and the ladder are worth: `python -m benchmarks.judge.end_to_end`.

Daemons search the same example with the embedded optuna agent until each has used the same time:
ours as it is shipped, the public loop's way (`judge.rule: naive`, the first rung for ever), and
that with losers stopped early. They run at the same time, each with one worker, so that a busy
machine slows all alike. Time is evaluator seconds, and `--wait` seconds for each proposal: these
are charged, not waited for, so nothing is measured while an agent thinks. What each ends with is
then trained anew on seeds that none has seen, at the first rung and at the top of the example's
ladder. With two cores and the defaults: about an hour; `--add` for parts.
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
from orchestrator.core.records import ADOPTED, Files, Rung, Status
from orchestrator.daemon.new_workspace import initialise
from orchestrator.judging.reference import validate, validated
from orchestrator.planning.state import replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace

ARMS = {
    "ours": (),
    "public": ("judge.rule=naive", "budget.ladder=[[12, 8]]"),
    "stops": (
        "judge.proposals=cheap", "judge.cheap.seeds=2", "judge.cheap.drop=[-1.45]",
        "judge.cheap.adopt=0", "judge.cheap.adopt_early=0", "judge.cheap.back=-1000",
        "judge.cheap.back_to_published=-1000", "judge.cheap.lead_every=1000",
        "judge.cheap.lead_seeds=2", "judge.cheap.proof_share=1e-9", "budget.ladder=[[12, 8]]",
    ),
}  # fmt: skip
"""Settings of each. *stops*: whatever earns more on two seeds leads at once and for good, a loser
is stopped by its curve or after one seed, nothing is proven; what it ends with is its lead."""
NAMES = {"ours": "ours", "public": "public loop", "stops": "public loop, losers stopped"}
_DEAR_FROM = 4.0
"""Seconds that are charged for a proposal from which ours takes its numbers for dear ones."""
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
    proof_share: float | None = None
    """Share of the evaluator's time that trials and references took."""
    wait_s: float = 0.0
    """What was charged for each proposal, in seconds."""


def main() -> None:
    """Run the pairs, print the table, save it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="pairs an example")
    parser.add_argument("--seconds", type=float, default=200.0, help="seconds a run")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds charged a proposal")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
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
    print(
        f"{describe()}; {args.seconds:g} seconds a run, {args.wait:g} a proposal, one worker each\n"
    )
    outcomes = _saved(args.save) if args.add else []
    first = 1 + max((outcome.run for outcome in outcomes), default=-1)
    with tempfile.TemporaryDirectory() as folder:
        for run in range(first, first + args.runs):
            for example in args.examples:
                place = Path(folder) / f"{example}-{run}"
                terms = Terms(tuple(args.arms), args.seconds, args.wait, tuple(args.seeds))
                for outcome in _pair(place, example, run, terms):
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


@dataclass(frozen=True)
class Terms:
    """What all runs have in common."""

    arms: tuple[str, ...]
    seconds: float
    wait_s: float
    seeds: tuple[int, ...]
    """Fresh seeds for the final candidates, at first and top rung."""

    def settings(self, arm: str) -> tuple[str, ...]:
        """Return the configuration of an arm."""
        is_dear = arm == "ours" and self.wait_s >= _DEAR_FROM
        return (*ARMS[arm], "judge.proposals=dear") if is_dear else ARMS[arm]


def _pair(place: Path, example: str, run: int, terms: Terms) -> Iterator[Outcome]:
    """Run all arms at once; measure what each ends with."""
    spaces = {}
    for arm in terms.arms:
        initialise(place / arm, example)
        spaces[arm] = Workspace(place / arm)
    with contextlib.ExitStack() as stack:
        daemons = {
            arm: stack.enter_context(_daemon(space, _tag(run), terms.settings(arm)))
            for arm, space in spaces.items()
        }
        deadline = time.monotonic() + terms.seconds * _LONGEST_S
        running = set(spaces)
        while running and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            for arm in sorted(running):
                used = _used_s(spaces[arm], _tag(run), terms.wait_s)
                if daemons[arm].poll() is not None or used >= terms.seconds:
                    _stop(spaces[arm])
                    daemons[arm].wait()
                    running.remove(arm)
                    # The others must not gain from a core that is free now.
    for arm, workspace in spaces.items():
        yield _outcome(workspace, example, arm, run, terms)


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


def _used_s(workspace: Workspace, tag: str, wait_s: float) -> float:
    """Return the time a run has used: evaluator seconds, and what is charged for proposals."""
    if not workspace.ledger.exists():
        return 0.0
    with contextlib.suppress(LedgerError, sqlite3.Error), Ledger(workspace.ledger) as ledger:
        experiments = ledger.experiments(tag)
        own = sum(experiment.seconds.evaluator for experiment in experiments)
        proposals = sum(not experiment.is_baseline for experiment in experiments)
        return own + ledger.reference_seconds(tag)[0] + wait_s * proposals
    return 0.0


def _outcome(workspace: Workspace, example: str, arm: str, run: int, terms: Terms) -> Outcome:
    with Ledger(workspace.ledger) as ledger:
        experiments = list(ledger.experiments(_tag(run)))
        state = replay(ledger.endings(_tag(run)), ledger.moves(_tag(run)))
        last = state.lead if arm == "stops" else state.incumbent
        assert last is not None
        files = ledger.files(last.n)
        assert files is not None
        rungs = load_config(workspace.config, environment={}).budget.rungs
        claimed = claim(ledger, _tag(run), files, rungs[0])
        reference_s, proof_s = ledger.reference_seconds(_tag(run))
        evaluator_s = sum(e.seconds.evaluator for e in experiments) + reference_s
    first, top = (
        _measured(workspace, files, rung, count)
        for rung, count in zip((rungs[0], rungs[-1]), terms.seeds, strict=True)
    )
    return Outcome(
        example, arm, run, state.counted,
        sum(e.took_lead if arm == "stops" else e.status is Status.KEEP for e in experiments),
        round(evaluator_s, 1), str(state.rung), first, top, claimed,
        proof_s / evaluator_s if evaluator_s else None, terms.wait_s,
    )  # fmt: skip


def claim(ledger: Ledger, tag: str, files: Files, rung: Rung) -> float | None:
    """Return what `results` prints of a candidate at a rung: validated score, else naive score."""
    for experiment in ledger.experiments(tag):
        accepted = experiment.status in {Status.BASELINE, *ADOPTED}
        if accepted and experiment.rung == rung and ledger.files(experiment.n) == files:
            claimed = validated(experiment.n, ledger.reference(experiment.n, rung))
            return claimed.score if claimed else experiment.score
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
    """Return the table as Markdown: ours beside another, the paired difference, its interval."""
    lines = [
        "| example | measured at | against | that | ours | gain (95 % interval) | ours ahead |",
        "|---|---|---|---|---|---|---|",
    ]
    others = [arm for arm in ARMS if arm != "ours" and any(o.arm == arm for o in outcomes)]
    for example in dict.fromkeys(outcome.example for outcome in outcomes):
        for arm in others:
            for name, field in (("first rung", "first_rung"), ("top rung", "top_rung")):
                ours, other = (
                    {
                        o.run: getattr(o, field)
                        for o in outcomes
                        if (o.example, o.arm) == (example, each)
                    }
                    for each in ("ours", arm)
                )
                gains = [ours[run] - other[run] for run in sorted(ours.keys() & other.keys())]
                mean = validate(gains)
                interval = f" ({mean.low:+.3f} to {mean.high:+.3f})" if mean else ""
                lines.append(
                    f"| {example} | {name} | {NAMES[arm]} | {statistics.fmean(other.values()):.3f} "
                    f"| {statistics.fmean(ours.values()):.3f} | {statistics.fmean(gains):+.3f}"
                    f"{interval} | {sum(gain > 0 for gain in gains)} of {len(gains)} |"
                )
    return lines


def claims(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what the runs say of their last candidates at the first rung, and what is true."""
    lines = [
        "| example | run by | proposals | keeps | says | is worth | says too much by (95 %) |",
        "|---|---|---|---|---|---|---|",
    ]
    for example in dict.fromkeys(outcome.example for outcome in outcomes):
        for arm, name in (*list(NAMES.items())[1:], ("ours", NAMES["ours"])):
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
