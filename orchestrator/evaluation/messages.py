"""The evaluator's lines of JSON, read into records; any other line is malformed."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.evaluations import (
    CheckpointReached,
    Evaluation,
    EvaluationEnded,
    Measurement,
    Report,
    RulerComparison,
    SeedDone,
    SeedResult,
)
from orchestrator.core.records import Status
from orchestrator.core.text import clean, one_line
from orchestrator.evaluation.framework_file import PROTOCOL
from orchestrator.evaluation.seed_replays import take_replays

_FAILURES = frozenset({Status.INVALID, Status.REJECTED, Status.CRASH})
_NOT_IN_REPORT = frozenset({"score", "flags"})
"""Entries of the result that are fields of `Evaluation`."""


class MalformedError(Exception):
    """A message that the protocol does not allow here."""


@dataclass(frozen=True)
class Serving:
    """The evaluator has started."""

    resumes: bool
    """Whether it accepts the results of seeds measured before."""
    compares: bool
    """Whether it compares a candidate's environment with another one's."""
    keeps: bool = False
    """Whether it writes out trained weights and films."""


@dataclass(frozen=True)
class Episode:
    """A training episode of a seed has ended."""

    seed: int
    number: int
    """Counted from 1."""


@dataclass(frozen=True)
class Refused:
    """The request was wrong: a fault of the evaluator or of this daemon, not of the candidate."""

    reason: str
    is_worlds_fault: bool = False
    """Whether the user's own world is at fault."""


@dataclass(frozen=True)
class NothingMeasured:
    """The evaluation was stopped before its first seed was finished."""


Message = Episode | CheckpointReached | SeedDone | EvaluationEnded | NothingMeasured | Refused


def read_serving(line: bytes) -> Serving:
    """Read the first line of an evaluator.

    Raises:
        MalformedError: it is another message, or another protocol.
    """
    message = _parse(line)
    if message.get("event") != "serving" or message.get("protocol") != PROTOCOL:
        raise MalformedError(f"it does not serve protocol {PROTOCOL}: {_quoted(line)}")
    return Serving(
        resumes=message.get("resumes") is True,
        compares=message.get("compares") is True,
        keeps=message.get("keeps") is True,
    )


def read_message(line: bytes, what: Measurement) -> Message:
    """Read a line of an evaluation.

    Raises:
        MalformedError: it is no JSON, or not as the protocol demands.
    """
    message = _parse(line)
    try:
        return _READERS[message["event"]](message, what)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        fault = f"{type(error).__name__}: {one_line(str(error))}"
        raise MalformedError(f"{fault} in {_quoted(line)}") from error


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"no JSON: {_quoted(line)}") from error
    if not isinstance(message, dict):
        raise MalformedError(f"no JSON object: {_quoted(line)}")
    return message


def _quoted(line: bytes) -> str:
    return one_line(line[:200].decode(errors="replace"))


def _episode(message: Mapping[str, Any], what: Measurement) -> Episode:
    return Episode(_seed(message["seed"], what), _integer(message["episode"]))


def _checkpoint(message: Mapping[str, Any], what: Measurement) -> CheckpointReached:
    return CheckpointReached(what.order[0], _curve(message["curve"]))


def _seed_done(message: Mapping[str, Any], what: Measurement) -> SeedDone:
    seed = _seed(message["seed"], what)
    return SeedDone(
        SeedResult(
            seed,
            _number(message["value"]),
            _number(message["solve_rate"]),
            _curve(message["curve"]),
            purpose=what.purpose_of(seed),
            compared=_comparison(message.get("compared"), what),
        ),
        resume=_text_or_none(message.get("resume")),
    )


def _failure(message: Mapping[str, Any], what: Measurement) -> EvaluationEnded:
    status = Status(message["kind"])
    if status not in _FAILURES:
        raise ValueError(f"{status} is no failure of a candidate")
    score, seed = message.get("score"), message.get("seed")
    failed: tuple[SeedResult, ...] = ()
    if seed is not None:
        seed = _seed(seed, what)
        failed = (SeedResult(seed, None, purpose=what.purpose_of(seed)),)
    return EvaluationEnded(
        Evaluation(
            status,
            score=None if score is None else _number(score),
            reason=clean(str(message["reason"]), 2000),
            details=clean(str(message["details"])),
            withheld=clean(str(message.get("withheld", ""))),
            seeds=failed,
        )
    )


def _result(message: Mapping[str, Any], what: Measurement) -> EvaluationEnded:
    result = message["result"]
    scored = result["seed_results"]
    more = result.pop("more_results")
    replay, other_replays = take_replays(scored)
    score = _number(result["score"])
    _check_numbers(result)
    return EvaluationEnded(
        Evaluation(
            None,
            # A mean over some of the seeds can't be compared with other scores.
            score=score if len(scored) == len(what.seeds) else None,
            scores_by_seed={
                _seed(seed["seed"], what): _number(seed["eval_return"]) for seed in scored
            },
            max_steps=_integer(result["max_steps"]),
            report=Report({k: v for k, v in result.items() if k not in _NOT_IN_REPORT}),
            flags=tuple(one_line(flag) for flag in result["flags"]),
            replay=replay,
            other_replays=other_replays,
            seeds=tuple(_reported(seed, what) for seed in (*scored, *more)),
        )
    )


def _check_numbers(report: Mapping[str, Any]) -> None:
    """Raise if a number anywhere in a report is not finite: statistics of it would fail later."""
    unread: list[Any] = [report]
    while unread:
        value = unread.pop()
        if isinstance(value, dict):
            unread += value.values()
        elif isinstance(value, list):
            unread += value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            _number(value)


def _reported(result: Mapping[str, Any], what: Measurement) -> SeedResult:
    seed = _seed(result["seed"], what)
    return SeedResult(
        seed,
        _number(result["full_return"]),
        _number(result["evidence_solve_rate"]),
        _curve(result["train_returns"]),
        purpose=what.purpose_of(seed),
        compared=_comparison(result.get("compared"), what),
    )


def _comparison(value: object, what: Measurement) -> RulerComparison | None:
    if value is None:
        return None
    if what.compared_with is None:
        raise ValueError("no comparison was asked for")
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.50} is no comparison")
    episodes = _integer(value["episodes"])
    if episodes < 1:
        raise ValueError(f"{episodes} episodes were compared")
    ratio = value["reward_ratio"]
    return RulerComparison(
        episodes=episodes,
        observations=_share_of(episodes, value["observations"]),
        rewards=_share_of(episodes, value["rewards"]),
        ends=_share_of(episodes, value["ends"]),
        successes=_share_of(episodes, value["successes"]),
        reward_ratio=None if ratio is None else _number(ratio),
        return_there=_number(value["return_there"]),
        solve_rate_there=_rate(value["solve_rate_there"]),
    )


def _nothing_measured(_message: Mapping[str, Any], _what: Measurement) -> NothingMeasured:
    return NothingMeasured()


def _refused(message: Mapping[str, Any], _what: Measurement) -> Refused:
    return Refused(clean(str(message["reason"]), 2000), message["event"] == "world")


_READERS: Mapping[str, Callable[[Mapping[str, Any], Measurement], Message]] = {
    "episode": _episode,
    "checkpoint": _checkpoint,
    "seed": _seed_done,
    "result": _result,
    "failure": _failure,
    "enough": _nothing_measured,
    "refused": _refused,
    "world": _refused,
}


def _seed(value: object, what: Measurement) -> int:
    seed = _integer(value)
    if seed not in what.order:
        raise ValueError(f"seed {seed} was not asked for")
    return seed


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r:.50} is no integer")
    return value


def _share_of(whole: int, value: object) -> int:
    part = _integer(value)
    if not 0 <= part <= whole:
        raise ValueError(f"{part} of {whole} episodes")
    return part


def _rate(value: object) -> float:
    rate = _number(value)
    if not 0 <= rate <= 1:
        raise ValueError(f"{rate} is no share")
    return rate


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"{value!r:.50} is no finite number")
    return value


def _curve(value: object) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.50} is no list")
    return tuple(_number(entry) for entry in value)


def _text_or_none(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r:.50} is no text")
    return value
