"""The outcome of `sim check`, and how it is put together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simverse.conformance import ConformanceError

NUM_ENVS = 8
"""Sub-environments that are checked."""


@dataclass(frozen=True)
class Outcome:
    """The result of a check, as lines for a person."""

    is_good: bool
    lines: list[str]


def caught(problems: list[str], check: Callable[[], Any]) -> Any:
    """Return what a check returns; None if it finds problems, which are added to those given."""
    try:
        return check()
    except ConformanceError as error:
        problems += [" ".join(problem.split()) for problem in error.problems]
    except SystemExit as error:
        problems.append(f"it ends the program: SystemExit({error.code})")
    return None


def blame(name: str, problems: list[str]) -> Outcome:
    """Return the outcome of a check that found these problems."""
    lines = list(dict.fromkeys(problems))
    count = f"{len(lines)} problem{'' if len(lines) == 1 else 's'}"
    return Outcome(False, [f"{name}: {count}", *(f"  {line}" for line in lines)])
