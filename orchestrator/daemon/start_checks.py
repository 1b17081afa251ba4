"""The checks of a start: every error of the user's is found here, and nothing is changed."""

import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from orchestrator.agents.choice import choose_backend, review_settings
from orchestrator.agents.optuna_search import find_tunables
from orchestrator.agents.several import FREE, by_name, chosen_line, make_agents
from orchestrator.agents.unused_keys import unused_keys
from orchestrator.agents.worst_case import why_unpriced
from orchestrator.config.loading import load_config
from orchestrator.config.schema import Config
from orchestrator.core.clock import default_tag
from orchestrator.core.errors import UserError
from orchestrator.core.records import Files
from orchestrator.evaluation.framework_file import (
    WORLD,
    check_framework,
    check_knows_worlds,
    hashes,
    world_hash,
)
from orchestrator.reporting.changed import edited, edited_note
from orchestrator.store.branch import obstacle_to, tag_fault
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.results_tsv import anothers_file
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace


@dataclass(frozen=True)
class StartRequest:
    """A start that has been checked."""

    workspace: Workspace
    config: Config
    tag: str
    baseline: Files
    parent: str
    settings: tuple[str, ...] = ()
    """Those of `--set`."""
    world: Mapping[str, str] | None = None
    """The modules of the user's own world, where there is one."""


def check_start(workspace: Workspace, tag: str | None, settings: Iterable[str]) -> StartRequest:
    """Check everything that a start needs; change nothing.

    Raises:
        UserError: one clear line on the error.
    """
    settings = tuple(settings)
    config = load_config(workspace.config, settings=settings)
    tag = tag or default_tag()
    store = GitStore(workspace.root)
    if fault := tag_fault(tag, store):
        raise UserError(fault)
    if not workspace.program.is_file():
        raise UserError(f"{workspace.program} is missing: write the brief for the agent there")
    workspace.check_folders()
    request = StartRequest(
        workspace, config, tag, workspace.candidate(), store.head(), settings, workspace.world()
    )
    branch = f"refs/heads/autorl/{tag}"
    if folder := store.checked_out_in(branch):
        raise UserError(
            f"autorl/{tag} is checked out in {folder}, and the daemon would move it under you: "
            "`git switch` to another branch there, or start another run with --tag"
        )
    if obstacle := obstacle_to(tag, store):
        raise UserError(obstacle)
    existing = None
    if workspace.ledger.exists():
        with Ledger(workspace.ledger) as ledger:
            existing = ledger.run(tag)
    if existing is None and store.read(branch):
        raise UserError(
            f"branch autorl/{tag} exists already and is no run of this workspace: choose --tag"
        )
    if existing is not None and (why := why_not_resumed(existing, request)):
        raise UserError(why)
    framework = workspace.root / config.evaluator.framework
    check_framework(framework)
    if request.world is not None:
        check_knows_worlds(framework)
    make_agents(config, workspace.root, tag, lambda _rung: [])
    review_settings(config)
    check_costs(config)
    return request


def check_costs(config: Config) -> None:
    """Check that a limit on cost can be kept. Raises `UserError`; also if a reviewer can't be."""
    reviewer = review_settings(config)
    if not config.limits.cost_usd:
        return
    for name, one in by_name(config):
        backend, _ = choose_backend(one)
        needed = None if backend in FREE else why_unpriced(one.agent, "agent")
        if needed:
            whose = f" (agents, {name})" if config.agents else ""
            raise UserError(f"limits.cost_usd needs {needed}{whose}")
    if reviewer is not None and (needed := why_unpriced(reviewer, "review")):
        raise UserError(f"limits.cost_usd needs {needed}")


def evaluator_settings(request: StartRequest) -> dict[str, Any]:
    """Return everything that scores depend on besides the candidate and the rung."""
    evaluator = request.config.evaluator
    return {
        "evaluator.seed_count": evaluator.seed_count,
        "evaluator.num_envs": evaluator.num_envs,
        "evaluator.device": evaluator.device,
        "evaluator.precision": evaluator.precision,
        "evaluator.path": evaluator.path,
        "evaluator.reward_bound": evaluator.reward_bound,
        "task.max_steps": request.config.task.max_steps,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "torch": importlib.metadata.version("torch"),
        "numpy": importlib.metadata.version("numpy"),
        **hashes(request.workspace.root / evaluator.framework, request.workspace.task),
        **({} if request.world is None else {WORLD: world_hash(request.world)}),
    }


def why_not_resumed(run: Run, request: StartRequest) -> str | None:
    """Return why a start can't resume a run: its scores would not compare; None if it can."""
    settings = evaluator_settings(request)
    names = run.evaluator.keys() | settings.keys()
    changed = sorted(name for name in names if run.evaluator.get(name) != settings.get(name))
    if not changed:
        return None
    shown = "; ".join(
        f"{name}: {_short(run.evaluator.get(name))} -> {_short(settings.get(name))}"
        for name in changed
    )
    return (
        f"the evaluator has changed since run {run.tag} began ({shown}), and scores before and "
        "after can't be compared: change it back, or begin a new run with --tag"
    )


def _short(value: object) -> str:
    text = str(value)
    return text[:8] if len(text) == 64 else text


def start_notes(request: StartRequest) -> list[str]:
    """Return notes on a start, a line each: the agent, and anything unexpected."""
    lines = [chosen_line(request.config), *unused_keys(request.config)]
    if request.world is not None:
        lines.append("task: the world in task/world.py, which no candidate can touch")
    if what := anothers_file(request.workspace.root / "results.tsv"):
        lines.append(f"note: results.tsv {what}; this run's rows go to logs/results.tsv")
    last = None
    known = False
    if request.workspace.ledger.exists():
        with Ledger(request.workspace.ledger) as ledger:
            last, run = ledger.last_run(), ledger.run(request.tag)
            known = run is not None
            if former := ledger.moved_from(request.workspace.root):
                lines.append(
                    f"note: this workspace was at {former} and is now at {request.workspace.root}; "
                    "a `service` must be installed again, all else goes on as before"
                )
            if run is not None and edited(request.workspace, ledger, run):
                lines.append(f"note: {edited_note(request.tag)}")
    if last is not None and not known:
        lines.append(
            "note: a new run from the candidate in the working tree; "
            f"`start --tag {quote(last.tag)}` resumes {last.tag} instead"
        )
    is_search = {choose_backend(one)[0] for one in request.config.each_alone} == {"optuna"}
    if is_search and not known and not find_tunables(request.baseline.train):
        lines.append(
            "note: candidate/train.py has no numeric constant for the embedded search to tune, so "
            "the run ends after its baseline: configure a model (agent.model), or name some, as in "
            "`LEARNING_RATE = 3e-3  # range: 3e-4..3e-2`"
        )
    return lines
