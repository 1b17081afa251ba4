"""Merge the sources of the configuration and validate them, naming every wrong key at once."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)

from orchestrator.config.schema import Config, Prices
from orchestrator.config.sources import (
    Path_,
    dotted,
    from_environment,
    from_file,
    from_settings,
    merge,
)
from orchestrator.core.errors import UserError
from orchestrator.core.evaluations import LEAST_FRESH
from orchestrator.core.text import one_line

# Values for later versions: refused by name, never ignored.
_LATER = {
    "agent.backend": {"codex", "claude", "opencode", "aider", "command"},
}
# Keys of earlier versions, and why they were removed: refused by name too.
_REMOVED = {
    "budget.climb_when_blind": "it had no effect by default",
    "budget.screen_below": "no measurement showed that it helps",
    "judge.prefer_simpler": "many small losses add up",
}


def load_config(
    path: Path,
    *,
    environment: Mapping[str, str] | None = None,
    settings: Iterable[str] = (),
) -> Config:
    """Read and check the configuration.

    Args:
        path: the YAML file.
        environment: where `AUTORL_A__B` is looked up; default the process environment.
        settings: `a.b=value` strings of `--set`.

    Raises:
        UserError: naming every wrong key with its line, all at once.
    """
    environment = os.environ if environment is None else environment
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `autorl-daemon init` there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from None
    problems: list[str] = []
    merged: dict[str, Any] = {}
    places: dict[Path_, str] = {}
    for source in [
        from_file(text, path.name, problems),
        *from_environment(environment, problems),
        *from_settings(settings, problems),
    ]:
        merge(merged, source.values)
        places.update(source.places)
        problems += _removed(merged, places)
    problems += _later(merged, places)
    config = _validated(merged, places, problems)
    if config is None or problems:
        raise UserError("\n".join(dict.fromkeys(one_line(problem, 500) for problem in problems)))
    return config


def _later(values: dict[str, Any], places: Mapping[Path_, str]) -> list[str]:
    """Name each value that is not supported yet, and drop it so that it is named once."""
    problems = []
    for name, choices in _LATER.items():
        section, key = name.split(".")
        inner = values.get(section)
        if not isinstance(inner, dict) or key not in inner:
            continue
        value = inner[key]
        if isinstance(value, str) and value in choices:
            del inner[key]
            place = places.get((section, key), "config")
            what = f"{name}: {value}"
            problems.append(f"{place}: {what}: not supported by this version yet; leave it out")
    return problems


def _removed(values: dict[str, Any], places: Mapping[Path_, str]) -> list[str]:
    """Name every removed key, and drop it so that each place is named once."""
    problems = []
    for name, why in _REMOVED.items():
        section, key = name.split(".")
        inner = values.get(section)
        if isinstance(inner, dict) and key in inner:
            del inner[key]
            place = places[section, key]
            problems.append(f"{place}: {name}: was removed in 0.2 ({why}); leave it out")
    return problems


def _validated(
    values: dict[str, Any], places: Mapping[Path_, str], problems: list[str]
) -> Config | None:
    # An empty section (`limits:` and nothing below) means its defaults.
    values = {
        key: value for key, value in values.items() if value is not None or key not in _sections()
    }
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += [_problem(dict(fault), places) for fault in error.errors()]
        return None
    if not config.budget.rungs:
        place = places.get(("budget", "ladder"), places.get(("budget",), "config"))
        problems.append(f"{place}: budget.ladder: no rung lies within the caps of budget.max_*")
    rules = config.judge
    least = config.evaluator.seed_count + LEAST_FRESH
    if rules.rule == "sound" and rules.max_evaluations < least:
        place = places.get(("judge", "max_evaluations"), places.get(("evaluator",), "config"))
        problems.append(
            f"{place}: judge.max_evaluations: must be at least {least}: {LEAST_FRESH} beside those "
            f"of evaluator.seed_count ({config.evaluator.seed_count}), which only screen"
        )
    return config


def _problem(fault: dict[str, Any], places: Mapping[Path_, str]) -> str:
    path: Path_ = tuple(fault["loc"])
    place = next(
        (places[path[:size]] for size in range(len(path), 0, -1) if path[:size] in places), "config"
    )
    if fault["type"] == "extra_forbidden":
        keys = _keys_of(path[:-1])
        close = difflib.get_close_matches(str(path[-1]), keys, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(keys)}"
        return f"{place}: {dotted(path)}: unknown key{hint}"
    if fault["type"] == "model_type":
        fault["msg"] = "must be a section, with its keys below"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    got = "" if fault["type"] in {"value_error", "missing"} else f", not {fault['input']!r}"
    return f"{place}: {dotted(path)}: {message}{one_line(got, 100)}"


def _keys_of(path: Path_) -> list[str]:
    model: Any = Config
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        model = annotation if hasattr(annotation, "model_fields") else Prices
    return list(model.model_fields)


def _sections() -> set[str]:
    return {name for name in Config.model_fields if name != "sandbox"}
