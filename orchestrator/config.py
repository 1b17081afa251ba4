"""The documented schema of `config.yaml` and its loader.

`--set a.b=value` beats `AUTORL_A__B=value` beats the file; all are parsed and checked alike. YAML's
traps are closed: booleans are `true` and `false` alone, `1e-4` is a number, times are text, and a
key that is unknown or stands twice is an error. All errors are reported at once, with their lines.
"""

import difflib
import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from orchestrator.errors import UserError
from orchestrator.records import Rung

ENVIRONMENT_PREFIX = "AUTORL_"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Positive = Annotated[int, Field(ge=1)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class Prices(_Section):
    """US dollars per million tokens, as of the day you wrote them down."""

    input: Annotated[float, Field(ge=0)]
    cached: Annotated[float, Field(ge=0)] | None = None
    """None charges cached input like other input."""
    output: Annotated[float, Field(ge=0)]


class AgentConfig(_Section):
    """Who proposes the experiments."""

    backend: Literal["auto", "openai", "optuna", "scripted"] = "auto"
    model: str | None = None
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: PositiveSeconds = 300.0
    max_repairs: Annotated[int, Field(ge=0, le=2)] = 2
    context_tokens: Annotated[int, Field(ge=2000)] = 64_000
    max_output_tokens: Positive | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    prices: Prices | None = None
    scripted_dir: str | None = None


class BudgetConfig(_Section):
    """How much training an experiment gets, and when it gets more."""

    ladder: Annotated[list[tuple[int, int]], Field(min_length=1, strict=False)] = [
        (12, 8), (32, 8), (64, 12), (128, 16), (256, 24), (512, 48), (1000, 100),
    ]  # fmt: skip
    max_train_episodes: Annotated[int, Field(ge=2, le=1000)] = 1000
    max_eval_episodes: Annotated[int, Field(ge=1, le=100)] = 100
    patience: Positive = 12
    min_keeps: Positive = 4

    @field_validator("ladder", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, list) or not all(
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and all(type(number) is int for number in pair)
            for pair in value
        ):
            raise ValueError("must be a list of [train_episodes, eval_episodes] pairs")
        return [tuple(pair) for pair in value]

    @field_validator("ladder")
    @classmethod
    def _climbs(cls, value: list[tuple[int, int]]) -> list[tuple[int, int]]:
        for train, evaluate in value:
            if not (2 <= train <= 1000 and 1 <= evaluate <= 100):
                raise ValueError(
                    f"[{train}, {evaluate}] is beyond the evaluator's caps "
                    "(2 to 1000 training, 1 to 100 evaluation episodes)"
                )
        for low, high in itertools.pairwise(value):
            if not (low[0] <= high[0] and low[1] <= high[1] and low != high):
                raise ValueError(f"must climb, but {list(low)} is followed by {list(high)}")
        return value

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs within both caps, lowest first."""
        return tuple(
            Rung(*pair)
            for pair in self.ladder
            if pair[0] <= self.max_train_episodes and pair[1] <= self.max_eval_episodes
        )


class EvaluatorConfig(_Section):
    """How a candidate is trained and scored. A run keeps to the values it began with."""

    framework: str = "framework.py"
    seed_count: Annotated[int, Field(ge=1, le=64)] = 2
    num_envs: Annotated[int, Field(ge=1, le=65536)] = 32
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    precision: Literal["fp32"] = "fp32"
    workers: Positive | None = None
    timeout_s: PositiveSeconds = 1800.0
    memory_mb: Annotated[int, Field(ge=256)] | None = 8192
    reward_bound: PositiveSeconds = 10.0


class TaskConfig(_Section):
    """What the human fixes about the task."""

    max_steps: Annotated[int, Field(ge=1, le=100_000)] | None = None


class JudgeConfig(_Section):
    """What counts as better."""

    rule: Literal["naive"] = "naive"
    min_effect: Annotated[float, Field(ge=0)] = 0.0


class LimitsConfig(_Section):
    """When a run ends by itself; None for never."""

    experiments: Positive | None = None
    hours: PositiveSeconds | None = None
    tokens: Positive | None = None
    cost_usd: PositiveSeconds | None = None
    without_keep: Positive | None = None
    consecutive_failures: Positive | None = 20


class LogsConfig(_Section):
    """What is written to `logs/`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    max_mb: Annotated[float, Field(gt=0)] = 20.0


class Config(_Section):
    """Everything in `config.yaml`."""

    agent: AgentConfig = AgentConfig()
    budget: BudgetConfig = BudgetConfig()
    evaluator: EvaluatorConfig = EvaluatorConfig()
    task: TaskConfig = TaskConfig()
    judge: JudgeConfig = JudgeConfig()
    sandbox: Literal["auto", "off"] = "auto"
    limits: LimitsConfig = LimitsConfig()
    logs: LogsConfig = LogsConfig()


# What a contract names and this version does not do yet: refused by name, never ignored.
_LATER = {
    "agent.backend": {"codex", "claude", "opencode", "aider", "command"},
    "evaluator.precision": {"bf16"},
    "judge.rule": {"sound"},
    "judge.alpha": None,
    "judge.max_evaluations": None,
}

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """Where values come from: one file or one setting, as a tree with a place for each path."""

    values: Mapping[str, Any]
    places: Mapping[Path_, str]


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
        _read_yaml(text, path.name, problems),
        *_from_environment(environment, problems),
        *_from_settings(settings, problems),
    ]:
        _merge(merged, source.values)
        places.update(source.places)
    problems += _later(merged, places)
    config = _validated(merged, places, problems)
    if config is None or problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return config


# -- reading ---------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of YAML 1.2: no yes/no booleans, no sexagesimal numbers, no dates."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"~|null|", "~n"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first, ""]
    )
# YAML 1.1 reads a leading zero as octal; people do not mean that.
_Loader.add_constructor(
    "tag:yaml.org,2002:int", lambda _loader, node: int(str(node.value).replace("_", ""))
)
_Loader.add_constructor(
    "tag:yaml.org,2002:float",
    lambda _loader, node: (
        math.nan
        if "nan" in node.value.lower()
        else float(node.value.lower().replace(".inf", "inf"))
    ),
)


def _read_yaml(text: str, name: str, problems: list[str]) -> Source:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Source({}, {})
        places: dict[Path_, str] = {}
        _walk(node, (), name, places, problems)
        values = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        problems.append(f"{where}: not YAML: {getattr(error, 'problem', None) or error}")
        return Source({}, {})
    finally:
        loader.dispose()
    if not isinstance(values, dict):
        problems.append(f"{name}: must be a mapping of sections, not {type(values).__name__}")
        return Source({}, {})
    return Source(values, places)


def _walk(
    node: yaml.Node, path: Path_, name: str, places: dict[Path_, str], problems: list[str]
) -> None:
    """Note the line of every key, and complain of keys that stand twice."""
    places[path] = f"{name}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _walk(child, (*path, index), name, places, problems)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            inner = (*path, str(key.value))
            if inner in places:
                line = key.start_mark.line + 1
                problems.append(f"{name}:{line}: {_dotted(inner)}: stands twice")
            _walk(child, inner, name, places, problems)
            places[inner] = f"{name}:{key.start_mark.line + 1}"


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> list[Source]:
    return [
        _setting(
            name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"),
            environment[name],
            name,
            problems,
        )
        for name in sorted(environment)
        if name.startswith(ENVIRONMENT_PREFIX)
    ]


def _from_settings(settings: Iterable[str], problems: list[str]) -> list[Source]:
    sources = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            problems.append(f"--set {setting}: must be KEY=VALUE, as in limits.experiments=20")
            continue
        sources.append(_setting(key.strip().split("."), value, f"--set {key.strip()}", problems))
    return sources


def _setting(keys: list[str], text: str, place: str, problems: list[str]) -> Source:
    value = _read_yaml(f"value: {text}", place, problems).values.get("value")
    tree: Any = value
    for key in reversed(keys):
        tree = {key: tree}
    places: dict[Path_, str] = {tuple(keys[: i + 1]): place for i in range(len(keys))}
    return Source(tree, places)


def _merge(base: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        below = base.get(key)
        if isinstance(value, Mapping) and (below is None or isinstance(below, dict)):
            base[key] = below = {} if below is None else below
            _merge(below, value)
        else:
            base[key] = value


# -- checking --------------------------------------------------------------------------------------


def _later(values: dict[str, Any], places: Mapping[Path_, str]) -> list[str]:
    """Name what is asked for and not built yet, and take it out so that it is named once."""
    problems = []
    for dotted, choices in _LATER.items():
        section, key = dotted.split(".")
        inner = values.get(section)
        if not isinstance(inner, dict) or key not in inner:
            continue
        if choices is None or inner[key] in choices:
            value = inner.pop(key)
            place = places.get((section, key), "config")
            what = dotted if choices is None else f"{dotted}: {value}"
            problems.append(f"{place}: {what}: not supported by this version yet; leave it out")
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
    place = next(
        (places[path[:size]] for size in range(len(path), 0, -1) if path[:size] in places), "config"
    )
    if fault["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
        return f"{place}: {_dotted(path)}: unknown key{hint}"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    got = "" if fault["type"] in {"value_error", "missing"} else f", not {fault['input']!r}"
    return f"{place}: {_dotted(path)}: {message}{got}"


def _known_keys(path: Path_) -> list[str]:
    model: Any = Config
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        model = annotation if hasattr(annotation, "model_fields") else Prices
    return list(model.model_fields)


def _sections() -> set[str]:
    return {name for name in Config.model_fields if name != "sandbox"}


def _dotted(path: Path_) -> str:
    return ".".join(str(part) for part in path)
