"""The message to the checker that plays a candidate for some confined steps, and its answer. Pure.

The checker is `python -m referee.check`; the start asks it, and a coding agent by `./check`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.records import Files
from orchestrator.core.text import one_line

LIMIT_S = 20.0
"""How long the candidate may take."""
START_S = 120.0
"""How long the checker may take besides: it imports torch."""
_PROBLEM_CHARS = 500


@dataclass(frozen=True)
class CheckSettings:
    """What the checker must know of a run besides the candidate and the user's world."""

    sandbox: str
    """How candidates are confined, a `sandbox.Tier`."""
    num_envs: int
    max_steps: int | None
    device: str
    reward_bound: float
    precision: str
    path: str
    memory_mb: int | None


def check_message(settings: CheckSettings, files: Files, world: Mapping[str, str] | None) -> bytes:
    """Return what the checker reads from its standard input."""
    message = {
        **vars(settings),
        "files": {"env.py": files.env, "train.py": files.train},
        "world": None if world is None else dict(world),
        "limit_s": LIMIT_S,
    }
    return json.dumps(message).encode()


def read_problems(answer: str) -> list[str]:
    """Return all that is wrong with the candidate, a line each.

    Raises:
        ValueError: it is no answer of the checker.
    """
    try:
        problems = json.loads(answer)["problems"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no answer of the checker: {error}") from error
    return [one_line(str(problem), _PROBLEM_CHARS) for problem in problems]
