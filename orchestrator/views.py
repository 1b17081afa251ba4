"""What `status`, `results`, `show`, `plot` and `logs` say: from ledger and heartbeat alone."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.config import Config
from orchestrator.confinement import sandbox_state
from orchestrator.decide import RunState, replay
from orchestrator.errors import UserError
from orchestrator.integrity import name_of
from orchestrator.journal import ForeignRows, own_description, unified_diff
from orchestrator.ledger import Ledger, Run
from orchestrator.lock import holder
from orchestrator.records import Experiment, Phase, Rung, SeedReturn, Tokens
from orchestrator.reference import Validated, validate
from orchestrator.workspace import Workspace

LOST_AFTER_S = 30.0
"""A running daemon whose heartbeat is older than this is hung."""


@dataclass(frozen=True)
class RunView:
    """A run as the ledger tells it."""

    run: Run
    experiments: list[Experiment]
    state: RunState
    foreign: list[dict[str, str]]
    """Rows of results.tsv that are not ours."""
    references: Mapping[int, list[SeedReturn]]
    """What accepted candidates came to on seeds that chose nothing, by experiment."""

    def validated(self, n: int | None) -> Validated | None:
        """Return the validated score of what experiment `n` scored, None if not measured."""
        seeds = self.references.get(n or 0, [])
        return validate([seed.value for seed in seeds if seed.value is not None])


def open_ledger(workspace: Workspace) -> Ledger:
    """Open the workspace's ledger.

    Raises:
        UserError: nothing has run here yet.
    """
    if not workspace.ledger.exists():
        raise UserError(f"nothing has run in {workspace.root} yet: `autorl-daemon start`")
    return Ledger(workspace.ledger)


def read_run(workspace: Workspace, ledger: Ledger, tag: str | None = None) -> RunView:
    """Read a run, by default the one that recorded something last.

    Raises:
        UserError: there is no such run.
    """
    run = ledger.run(tag) if tag else ledger.last_run()
    if run is None:
        raise UserError(f"there is no run {tag or ''} here yet: `autorl-daemon start`")
    experiments = list(ledger.experiments(run.tag))
    own = {own_description(experiment) for experiment in ledger.experiments()}
    foreign = ForeignRows(workspace.root / "results.tsv", own.__contains__).read()
    state = replay(experiments, ledger.accepts(run.tag))
    return RunView(run, experiments, state, foreign, ledger.references(run.tag))


def status(
    workspace: Workspace, config: Config, *, lost_after_s: float = LOST_AFTER_S
) -> dict[str, Any]:
    """Return what `status --json` prints."""
    pid = holder(workspace.lock)
    live = _live(workspace) if pid else {}
    disk = _disk_fault(workspace)
    document: dict[str, Any] = {
        "running": pid is not None,
        "pid": pid,
        "tag": live.get("tag"),
        "phase": live.get("phase", Phase.STOPPED.value),
        "reason": disk or live.get("reason") or None,
        "next_try_at": live.get("next_try_at"),
        "experiment": live.get("experiment"),
        "description": live.get("description"),
        "progress": live.get("progress"),
        "agent": live.get("agent"),
        "started_at": live.get("started_at"),
        "heartbeat_at": live.get("heartbeat_at"),
        "hung": pid is not None and disk is None and _silent_s(live) > lost_after_s,
        "requests": [],
        "sandbox": sandbox_state(live.get("sandbox"), config),
        "rung_correlation": None,  # of 0.1's budget.screen_below; scripts may look for the field
        "workspace": str(workspace.root),
    }
    if not workspace.ledger.exists():
        return document | _no_run()
    with Ledger(workspace.ledger) as ledger:
        run = (ledger.run(live["tag"]) if live.get("tag") else None) or ledger.last_run()
        if run is None:
            return document | _no_run()
        view = read_run(workspace, ledger, run.tag)
        if pid:
            document["requests"] = [request.kind for request in ledger.requests()]
    return document | _of_run(view, config)


def _of_run(view: RunView, config: Config) -> dict[str, Any]:
    state, last = view.state, view.experiments[-1] if view.experiments else None
    rung = state.rung or config.budget.rungs[0]
    tokens = Tokens()
    for experiment in view.experiments:
        tokens = tokens.plus(experiment.tokens)
    scored_by = state.incumbent.scored_by if state.incumbent else None
    scored = next((e for e in view.experiments if e.n == scored_by), None)
    costs = [e.cost_usd for e in view.experiments if e.cost_usd is not None]
    return {
        "tag": view.run.tag,
        "branch": f"autorl/{view.run.tag}",
        "agent": last.agent if last else None,
        "rung": rung._asdict(),
        "incumbent": state.incumbent.n if state.incumbent else None,
        "incumbent_flags": list(scored.flags) if scored else [],
        "best_score": state.incumbent.score if state.incumbent else None,
        **_validated(view.validated(scored_by)),
        "baseline_score": state.baseline_score,
        "experiments": {status.value: count for status, count in state.by_status.items()},
        "tokens": asdict(tokens),
        "cost_usd": sum(costs) if costs else None,
        "stop_reason": view.run.stop_reason,
        "run_started_at": view.run.created_at,
    }


def _no_run() -> dict[str, Any]:
    return {
        "branch": None,
        "rung": None,
        "incumbent": None,
        "incumbent_flags": [],
        "best_score": None,
        **_validated(None),
        "baseline_score": None,
        "experiments": {},
        "tokens": asdict(Tokens()),
        "cost_usd": None,
        "stop_reason": None,
    }


def _validated(known: Validated | None) -> dict[str, Any]:
    return {
        "validated_score": known and known.score,
        "validated_interval": [known.low, known.high] if known else None,
        "validated_seeds": known.seeds if known else 0,
    }


def _live(workspace: Workspace) -> dict[str, Any]:
    for _ in range(5):  # it may be read while it is written
        with contextlib.suppress(OSError, ValueError):
            facts: dict[str, Any] = json.loads(workspace.live.read_text(encoding="utf-8"))
            return facts
    return {}


def _silent_s(live: dict[str, Any]) -> float:
    """Return how long ago the daemon last showed that it is alive, by a clock that never jumps."""
    beat_s: float | None = live.get("beat_s")
    return 0.0 if beat_s is None else time.monotonic() - beat_s


def _disk_fault(workspace: Workspace) -> str | None:
    """Return what keeps the daemon from showing anything, None if it can."""
    with contextlib.suppress(OSError):
        if os.statvfs(workspace.state).f_flag & os.ST_RDONLY:
            return "the disk is read-only: the run goes on by itself once it is writable"
    return None


def results(ledger: Ledger, tag: str | None) -> list[dict[str, Any]]:
    """Return what `results --json` prints."""
    references: dict[str, Mapping[int, list[SeedReturn]]] = {}
    documents = []
    for experiment in ledger.experiments(tag):
        if experiment.tag not in references:
            references[experiment.tag] = ledger.references(experiment.tag)
        seeds = references[experiment.tag].get(experiment.n, [])
        documents.append(result(experiment, seeds))
    return documents


def result(experiment: Experiment, reference: Sequence[SeedReturn]) -> dict[str, Any]:
    """Return one element of `results --json`."""
    return {
        "experiment": experiment.n,
        "commit": experiment.commit,
        "parent": experiment.parent,
        "status": experiment.status.value,
        "score": experiment.score,
        "scores_by_seed": {str(seed): s for seed, s in experiment.scores_by_seed.items()},
        "train_episodes": experiment.rung.train_episodes,
        "eval_episodes": experiment.rung.eval_episodes,
        "max_steps": experiment.max_steps,
        "agent": experiment.agent,
        "description": experiment.description,
        "rationale": experiment.rationale,
        "seconds": asdict(experiment.seconds),
        "tokens": asdict(experiment.tokens),
        "flags": list(experiment.flags),
        "reason": experiment.reason,
        "created_at": experiment.created_at,
        "tag": experiment.tag,
        "verdict": dict(experiment.verdict),
        **_validated(validate([seed.value for seed in reference if seed.value is not None])),
    }


def of_role(evidence: Sequence[SeedReturn], role: str) -> list[SeedReturn]:
    """Return the seeds that were evaluated for one purpose."""
    return [seed for seed in evidence if seed.role == role]


def find_experiment(ledger: Ledger, n: int) -> Experiment:
    """Return a finished experiment. Raises `UserError` if there is none of that number."""
    experiment = ledger.experiment(n)
    if experiment is None:
        raise UserError(f"there is no finished experiment {n}: see `autorl-daemon results`")
    return experiment


def diff(ledger: Ledger, experiment: Experiment) -> str:
    """Return an experiment's change against the candidate it started from."""
    after = ledger.files(experiment.n)
    before = ledger.files_at(experiment.parent) if experiment.parent else None
    if after is None or before is None or experiment.is_baseline:
        return ""
    return "".join(unified_diff(before, after))


def sentence(experiment: Experiment) -> str:
    """Return an experiment as one line for people."""
    score = "—" if experiment.score is None else f"{experiment.score:.4f}"
    what = experiment.description or experiment.reason
    status, rung = experiment.status.value, str(experiment.rung)
    mark = f"  [{flag_names(experiment)}]" if experiment.flags else ""
    return f"#{experiment.n:<4} {status:<9} {rung:>8}  {score:>9}  {what}{mark}"


def flag_names(experiment: Experiment) -> str:
    """Return what an experiment is flagged for, without the details."""
    return ", ".join(dict.fromkeys(name_of(flag) for flag in experiment.flags))


def running_best(experiments: list[Experiment]) -> list[tuple[int, float, Rung]]:
    """Return (experiment, best score so far, rung) wherever the best changed, rung by rung."""
    return [
        (experiment.n, experiment.score, experiment.rung)
        for experiment in experiments
        if experiment.status.value in {"baseline", "keep"} and experiment.score is not None
    ]


def log_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of the log, looking into rotated files as needed."""
    lines: list[str] = []
    for suffix in ("", ".1", ".2", ".3"):
        file = Path(f"{path}{suffix}")
        if not file.exists() or len(lines) >= count:
            break
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines() + lines
    return lines[-count:] if count else []


def follow(path: Path, poll_s: float = 0.25) -> Iterator[str]:
    """Yield lines as they are appended, across rotation, for ever."""
    file = path.open(encoding="utf-8", errors="replace") if path.exists() else None
    if file:
        file.seek(0, 2)
    partial = ""
    while True:
        chunk = file.readline() if file else ""
        if chunk:
            partial += chunk
            if partial.endswith("\n"):
                yield partial.rstrip("\n")
                partial = ""
            continue
        if path.exists() and (file is None or path.stat().st_ino != _inode(file)):
            if file:
                file.close()
            file = path.open(encoding="utf-8", errors="replace")
            continue
        time.sleep(poll_s)


def _inode(file: Any) -> int:
    return os.fstat(file.fileno()).st_ino
