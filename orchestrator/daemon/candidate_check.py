"""Plays a run's first candidate for a few confined steps before the run starts."""

import subprocess
import sys

from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.core.records import Status
from orchestrator.core.text import one_line
from orchestrator.daemon.start_checks import StartRequest
from orchestrator.evaluation.confinement import choose_tier
from orchestrator.proposals.conformance import (
    LIMIT_S,
    START_S,
    CheckSettings,
    check_message,
    read_problems,
)
from orchestrator.store.ledger import Ledger
from sandbox import Tier

CHECKER = (sys.executable, "-P", "-m", "referee.check")


def is_due(request: StartRequest) -> bool:
    """Return whether the start would evaluate the working tree's candidate as its baseline."""
    if not request.workspace.ledger.exists():
        return True
    with Ledger(request.workspace.ledger) as ledger:
        return not any(e.status is Status.BASELINE for e in ledger.endings(request.tag))


def check_settings(config: Config, tier: Tier) -> CheckSettings:
    """Return what the checker must know of a run."""
    evaluator = config.evaluator
    return CheckSettings(
        sandbox=tier.value,
        num_envs=evaluator.num_envs,
        max_steps=config.task.max_steps,
        device=evaluator.device,
        reward_bound=evaluator.reward_bound,
        precision=evaluator.precision,
        path=evaluator.path,
        memory_mb=evaluator.memory_mb,
    )


def check_candidate(request: StartRequest) -> str | None:
    """Check that the evaluator can train the candidate; return why that could not be found out.

    Raises:
        UserError: it can't, naming every mistake, a line each; or candidates can't be confined.
    """
    settings = check_settings(request.config, choose_tier(request.config))
    try:
        done = subprocess.run(
            CHECKER, input=check_message(settings, request.baseline, request.world).decode(),
            capture_output=True, text=True, errors="replace", check=True,
            timeout=LIMIT_S + START_S,
        )  # fmt: skip
        problems = read_problems(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", None) or str(error)
        last = (str(said).strip().splitlines() or ["it said nothing"])[-1]
        return f"the candidate could not be checked: {one_line(last, 300)}"
    if problems:
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        is_world = all(problem.startswith("task/") for problem in problems)
        what = (
            "the world in task/ can't be played" if is_world else "candidate/ can't be the baseline"
        )
        lines = [f"{what}, {count}:"]
        lines += [f"  {problem}" for problem in problems]
        raise UserError("\n".join(lines))
    return None
