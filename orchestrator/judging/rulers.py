"""What a challenger changed in the environment: observation, reward, dynamics, success, horizon.

Returns are only comparable under the same ruler. Whether the ruler is the same is measured by the
evaluator, which plays the same actions from the same seeds in both environments. Pure.
"""

import ast
import functools
import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.candidate_mode import has_environment
from orchestrator.core.evaluations import Measurement, RulerComparison, SeedResult
from orchestrator.core.python_source import dump_source, parse_source
from orchestrator.core.records import Files
from orchestrator.core.text import counted

OBSERVATION, REWARD = "observation", "reward"
DYNAMICS, SUCCESS, HORIZON = "dynamics", "success", "horizon"
_ANOTHER_TASK = frozenset({DYNAMICS, SUCCESS, HORIZON})
_NAMES_TRAIN = re.compile(r"\btrain\b")
"""As in `referee.candidate_files`, which gives an environment train.py in evaluation by this alone:
one that would read it under another name finds nothing there."""
_SAME_RATIO = 1e-3
"""Largest relative difference of two seeds' reward ratios that count as one."""


# -- the same code ---------------------------------------------------------------------------------


def same_environment(one: Files, other: Files) -> bool:
    """Do two candidates have the same environment, apart from comments, docstrings and layout?

    One whose text has the word `train` may depend on train.py, so then that is compared too.
    """
    return environment_id(one) == environment_id(other)


@functools.lru_cache(maxsize=16)
def environment_id(files: Files) -> str:
    """Return a hash of all code that the environment depends on.

    Candidates in the user's own world have none, and so all have the same one.
    """
    if not has_environment(files.env):
        return "the user's world"
    code = [plain_code(files.env) or files.env]
    if _NAMES_TRAIN.search(files.env):
        code.append(plain_code(files.train) or files.train)
    return hashlib.sha256("\n".join(code).encode(errors="surrogatepass")).hexdigest()


@functools.lru_cache(maxsize=32)  # most challengers leave env.py alone
def plain_code(text: str) -> str | None:
    """Return code without comments, docstrings and layout; None if it does not parse."""
    try:
        tree = parse_source(text)
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                # A string that stands alone does nothing, a docstring or not.
                node.body = [  # type: ignore[attr-defined]
                    statement for statement in body if not _is_plain_text(statement)
                ]
        return dump_source(tree)
    except SyntaxError:
        return None


def _is_plain_text(statement: object) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def marked(result: SeedResult, plan: Measurement) -> SeedResult:
    """Return the result of a seed with what its comparison is with, if one was asked for."""
    if plan.compared_with is None:
        return result
    compared = result.compared
    if compared is not None:
        compared = replace(compared, environment=environment_id(plan.compared_with))
    return replace(result, compared=compared, is_comparison_asked=True)


def is_usable(result: SeedResult, plan: Measurement) -> bool:
    """Does a seed that was measured before serve this plan?

    It may have been compared with an incumbent that is none any more, or with nothing.
    """
    if plan.compared_with is None:
        return True
    if result.compared is None:
        return result.is_comparison_asked  # by an evaluator that can't
    return result.compared.environment == environment_id(plan.compared_with)


# -- what was measured -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Totals:
    """Comparisons of all seeds together."""

    episodes: int
    observations: int
    rewards: int
    ends: int
    successes: int
    reward_ratio: float | None


def comparisons(results: Sequence[SeedResult]) -> list[RulerComparison]:
    """Return the comparisons that were made."""
    return [result.compared for result in results if result.compared is not None]


def changed(results: Sequence[SeedResult], *, is_other_horizon: bool = False) -> tuple[str, ...]:
    """Return the names of what differs in any of these results, in a fixed order.

    Args:
        results: the challenger's.
        is_other_horizon: whether its horizon is known to be another.
    """
    total = _totals(comparisons(results))
    found = {
        OBSERVATION: total.observations > 0,
        REWARD: total.rewards > 0,
        DYNAMICS: total.ends > 0,
        SUCCESS: total.successes > total.ends,
        HORIZON: is_other_horizon,
    }
    return tuple(name for name, is_changed in found.items() if is_changed)


def is_other_task(names: Collection[str]) -> bool:
    """Are episodes of another length or success, so that no returns are comparable?"""
    return not _ANOTHER_TASK.isdisjoint(names)


def sentences(results: Sequence[SeedResult], *, horizon: str | None = None) -> tuple[str, ...]:
    """Return what was measured, a line for each name, for people and agents.

    Args:
        results: the challenger's.
        horizon: how its horizon differs, None if it does not.
    """
    total = _totals(comparisons(results))
    ratio = total.reward_ratio
    factor = "" if ratio is None else f", all {ratio:.3g} times as large"
    said = {
        OBSERVATION: f"differs in {_of(total.observations, total)}",
        REWARD: f"differs in {_of(total.rewards, total)}{factor}",
        DYNAMICS: f"{_of(total.ends, total)} end at another step",
        SUCCESS: f"{_of(total.successes, total)} succeed at another step or in one environment "
        "alone",
        HORIZON: horizon or "",
    }
    names = changed(results, is_other_horizon=horizon is not None)
    return tuple(f"{name}: {said[name]}" for name in names)


def equal_parts(results: Sequence[SeedResult]) -> str:
    """Return what was compared and is the same in all episodes, empty where nothing was."""
    total = _totals(comparisons(results))
    same = {
        "observations": not total.observations,
        "rewards": not total.rewards,
        "ends": not total.ends,
        "successes": not total.successes,
    }
    names = [name for name, is_same in same.items() if is_same]
    if not total.episodes or not names:
        return ""
    return f"{', '.join(names)}, in all {counted(total.episodes, 'episode')} played in both"


def _of(count: int, total: _Totals) -> str:
    return f"{count} of {total.episodes} episodes played with the same actions"


def _totals(compared: Sequence[RulerComparison]) -> _Totals:
    return _Totals(
        episodes=sum(one.episodes for one in compared),
        observations=sum(one.observations for one in compared),
        rewards=sum(one.rewards for one in compared),
        ends=sum(one.ends for one in compared),
        successes=sum(one.successes for one in compared),
        reward_ratio=_common_ratio([one.reward_ratio for one in compared if one.rewards]),
    )


def _common_ratio(ratios: Sequence[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio is not None]
    if not known or len(known) < len(ratios):
        return None
    if max(known) - min(known) > _SAME_RATIO * abs(known[0]):
        return None
    return known[0]
