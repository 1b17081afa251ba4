"""Merge the sources of the configuration and validate them, naming every wrong key at once."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)

from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.config.schema import Config
from orchestrator.config.several_agents import misplaced
from orchestrator.config.sources import (
    ENVIRONMENT_PREFIX,
    MOST_BYTES,
    Path_,
    Source,
    dotted,
    from_environment,
    from_file,
    from_settings,
    merge,
)
from orchestrator.core.errors import UserError
from orchestrator.core.text import did_you_mean, one_line, without_passwords

_MOST_PROBLEMS = 100
# Keys of earlier versions, and why they were removed: refused by name too.
_REMOVED = {
    "budget.climb_when_blind": "it had no effect by default",
    "budget.screen_below": "no measurement showed that it helps",
    "judge.prefer_simpler": "many small losses add up",
    **dict.fromkeys(
        (
            "judge.screen",
            "judge.group_size",
            "judge.futility",
            "judge.reference",
            "judge.reference_step",
        ),
        "lead and proof need no such number; see docs/judgement.md",
    ),
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
    text = _read(path)
    problems: list[str] = []
    merged: dict[str, Any] = {}
    places: dict[Path_, str] = {}
    of_settings: list[str] = []
    outer, inner = from_file(text, path.name, problems), from_settings(settings, of_settings)
    keys = _key_variables(environment, [outer, *inner])
    between = from_environment(environment, problems, keys)
    problems += of_settings
    for source in [outer, *between, *inner]:
        merge(merged, source.values)
        places.update(source.places)
        problems += _removed(merged, places)
    for key, why in misplaced(merged):
        problems.append(f"{_place(key, places)}: {dotted(key)}: {why}")
    config = _validated(merged, places, problems)
    if config is None or problems:
        lines = list(dict.fromkeys(one_line(problem, 500) for problem in problems))
        more = [f"and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
        raise UserError("\n".join(lines[:_MOST_PROBLEMS] + more))
    return config


def _read(path: Path) -> str:
    """Return the file's text. Raises `UserError`."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would be waited for
            raise UserError(f"{path} can't be read: it is no regular file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path} can't be read: it is larger than {MOST_BYTES // 1024} KiB")
        text = content.decode()
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing (is another branch checked out?): put it back, or "
            "`autorl-daemon init` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _key_variables(environment: Mapping[str, str], sources: Sequence[Source]) -> set[str]:
    """Return the variables that hold a key: no settings, though `AUTORL_API_KEY` looks like one."""
    names: list[object] = []
    for section in ("agent", "review"):
        names.append(environment.get(f"{ENVIRONMENT_PREFIX}{section.upper()}__API_KEY_ENV"))
        sections = [source.values.get(section) for source in sources]
        names += [inner.get("api_key_env") for inner in sections if isinstance(inner, dict)]
    for source in sources:
        entries = source.values.get("agents")
        for entry in entries if isinstance(entries, list) else ():
            names.append(entry.get("api_key_env") if isinstance(entry, dict) else None)
    return {name for name in names if isinstance(name, str)}


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
    return config


def _problem(fault: dict[str, Any], places: Mapping[Path_, str]) -> str:
    path: Path_ = tuple(fault["loc"])
    place = _place(path, places)
    if fault["type"] == "extra_forbidden":
        keys = _keys_of(path[:-1])
        hint = did_you_mean(str(path[-1]), keys) or f"known: {', '.join(keys)}"
        return f"{place}: {dotted(path)}: unknown key; {hint}"
    if fault["type"] == "model_type":
        fault["msg"] = "must be a section, with its keys below"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    got = (
        ""
        if fault["type"] in {"value_error", "missing"}
        else f", not {without_passwords(repr(fault['input']))}"
    )
    return f"{place}: {dotted(path)}: {message}{one_line(got, 100)}"


def _place(path: Path_, places: Mapping[Path_, str]) -> str:
    """Return where a key stands, or the section around it."""
    sizes = range(len(path), 0, -1)
    return next((places[path[:size]] for size in sizes if path[:size] in places), "config")


def _keys_of(path: Path_) -> list[str]:
    model: Any = Config
    for part in path:
        if isinstance(part, int):  # an entry of `agents`
            model = AgentConfig
            continue
        annotation = model.model_fields[part].annotation
        model = annotation if hasattr(annotation, "model_fields") else Prices
    return list(model.model_fields)


def _sections() -> set[str]:
    return {name for name in Config.model_fields if name != "sandbox"}
