"""The documented schema of `config.yaml` and its loader.

`--set a.b=value` beats `AUTORL_A__B=value` beats the file; all are parsed and checked alike
(`sources.py` reads them). All errors are reported at once, with their lines.
"""

import difflib
import itertools
import math
import re
import urllib.parse
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from orchestrator.core.flags import DEFAULT_VETO, MEANINGS
from orchestrator.core.records import Rung


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Positive = Annotated[int, Field(ge=1)]
PositiveNumber = Annotated[float, Field(gt=0)]
# Timeouts are bounded (eleven days), so that every clock can represent them.
TimeoutSeconds = Annotated[float, Field(gt=0, le=1e6)]


class Prices(_Section):
    """US dollars per million tokens, as of the day you wrote them down."""

    input: Annotated[float, Field(ge=0)]
    cached: Annotated[float, Field(ge=0)] | None = None
    """None charges cached input like other input."""
    output: Annotated[float, Field(ge=0)]


class AgentConfig(_Section):
    """The agent that proposes experiments."""

    backend: Literal["auto", "openai", "optuna", "scripted"] = "auto"
    model: str | None = None
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: TimeoutSeconds = 300.0
    max_repairs: Annotated[int, Field(ge=0, le=2)] = 2
    context_tokens: Annotated[int, Field(ge=2000, le=10_000_000)] = 64_000
    max_output_tokens: Positive | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    prices: Prices | None = None
    scripted_dir: str | None = None

    @field_validator("model")
    @classmethod
    def _is_name(cls, value: str | None) -> str | None:
        if value is not None and not (value.strip() and value.isprintable()):
            raise ValueError(f"must be a name, not {value!r}")
        return value

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and not _is_web_address(value):
            raise ValueError(f"must be an address like https://host/v1, not {value!r}")
        return value

    @field_validator("api_key_env")
    @classmethod
    def _is_variable_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            # The value is not printed: it may be the key itself.
            raise ValueError("must be the name of an environment variable, never the key itself")
        return value


def _is_web_address(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text
    return is_plain and port_is_fine and parts.scheme in {"http", "https"} and bool(parts.hostname)


class BudgetConfig(_Section):
    """The training and evaluation budget of an experiment, and when it grows."""

    ladder: Annotated[list[tuple[int, int]], Field(strict=False)] = [
        (12, 8), (32, 8), (64, 12), (128, 16), (256, 24), (512, 48), (1000, 100),
    ]  # fmt: skip
    max_train_episodes: Annotated[int, Field(ge=2, le=1000)] = 1000
    max_eval_episodes: Annotated[int, Field(ge=1, le=100)] = 100
    patience: Positive | None = 30
    min_keeps: Positive | None = 4
    max_solve_rate: Annotated[float, Field(gt=0, le=1)] | None = None

    @field_validator("ladder", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if (
            not isinstance(value, list)
            or not value
            or not all(
                isinstance(pair, list | tuple)
                and len(pair) == 2
                and all(type(number) is int for number in pair)
                for pair in value
            )
        ):
            raise ValueError(
                "must be a list of [train_episodes, eval_episodes] pairs, at least one"
            )
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
    """Training and scoring of a candidate. A run keeps the values it began with."""

    framework: str = "framework.py"
    seed_count: Annotated[int, Field(ge=1, le=64)] = 2
    num_envs: Annotated[int, Field(ge=1, le=65536)] = 32
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: Positive | None = None
    slots: Positive = 1
    """Evaluations at a time; more where cores or GPUs allow."""
    timeout_s: TimeoutSeconds = 1800.0
    memory_mb: Annotated[int, Field(ge=256, le=2**24)] | None = 8192
    reward_bound: Annotated[float, Field(gt=0, le=1e100)] = 10.0  # squares of sums stay numbers


class EngineConfig(_Section):
    """Experiments in flight."""

    lanes: Annotated[int, Field(ge=1, le=64)] | None = None
    """Experiments in flight, from proposal to verdict. None: as many as `evaluator.slots`, and one
    more with an agent that takes time, so that it proposes while other candidates are evaluated."""


class TaskConfig(_Section):
    """Properties of the task that the user fixes."""

    max_steps: Annotated[int, Field(ge=1, le=100_000)] | None = None


_IN_SPREADS = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*sd")


def _effect(value: object) -> object:
    """Check an effect: score points, or a multiple of the standard deviation such as `0.5sd`."""
    is_number = type(value) in {int, float} and 0 <= float(str(value)) < math.inf
    if is_number or (isinstance(value, str) and _IN_SPREADS.fullmatch(value)):
        return value
    raise ValueError(
        "must be a number from 0 on, or a multiple of the standard deviation across seeds, such "
        "as 0.5sd"
    )


Effect = Annotated[float | str, BeforeValidator(_effect)]


def in_points(effect: float | str, sd: float) -> float:
    """Return an effect in score points, where one seed's return has this standard deviation."""
    if isinstance(effect, str):
        return float(effect.removesuffix("sd")) * sd
    return effect


class JudgeConfig(_Section):
    """The test of challengers. docs/judgement.md has the effect of each number on error rates."""

    rule: Literal["sound", "naive"] = "sound"
    """`sound`: a sequential test on fresh seeds. `naive`: the higher score is kept."""
    alpha: Annotated[float, Field(ge=1e-6, le=0.2)] = 0.002
    """Probability that the test keeps a challenger that is no better, if it reaches the test."""
    min_effect: Effect = 0.0
    """Smallest gain to keep: score points, or standard deviations of one seed as in `0.5sd`."""
    screen: Annotated[float, Field(ge=1e-6, le=1 - 1e-6)] = 0.3
    """One-sided p-value over the default seeds below which a challenger reaches the test."""
    group_size: Annotated[int, Field(ge=1, le=64)] = 4
    """Fresh seeds between two looks of the test."""
    max_evaluations: Annotated[int, Field(ge=2, le=200)] = 40
    """Most seeds of one challenger, the default ones included."""
    futility: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability of a keep at the last look below which the test stops."""
    early_stop: Annotated[float, Field(ge=1e-6, le=0.5)] | None = 0.02
    """Probability to pass the screening below which training stops; None: never."""
    reference: Annotated[int, Field(ge=8, le=1000)] = 48
    """Most seeds on which the incumbent is measured."""
    reference_first: Annotated[int, Field(ge=8, le=1000)] = 12
    """Seeds on which it is measured before its first challenger."""
    reference_step: Annotated[int, Field(ge=0, le=1000)] = 1
    """Further seeds before each later challenger."""

    def smallest_effect(self, sd: float) -> float:
        """Return `min_effect` in score points; `sd` is the standard deviation of one seed."""
        return in_points(self.min_effect, sd)

    @model_validator(mode="after")
    def _fits_the_rule(self) -> Self:
        if self.rule == "naive" and isinstance(self.min_effect, str):
            raise ValueError(
                "judge.min_effect must be a number with judge.rule naive, which estimates no "
                "standard deviation"
            )
        return self


class IntegrityConfig(_Section):
    """Flags that veto a keep."""

    veto: list[str] = list(DEFAULT_VETO)

    @field_validator("veto")
    @classmethod
    def _are_flags(cls, value: list[str]) -> list[str]:
        unknown = [name for name in value if name not in MEANINGS]
        if unknown:
            close = difflib.get_close_matches(unknown[0], MEANINGS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(MEANINGS)}"
            raise ValueError(f"unknown flag {unknown[0]!r}; {hint}")
        return value


class LimitsConfig(_Section):
    """Limits that end a run; None for no limit."""

    experiments: Positive | None = None
    hours: PositiveNumber | None = None
    tokens: Positive | None = None
    cost_usd: PositiveNumber | None = None
    without_keep: Positive | None = None
    consecutive_failures: Positive | None = 20
    min_free_mb: PositiveNumber | None = 200.0
    """Not an end: the run waits while less disk space is free."""


class LogsConfig(_Section):
    """The logs in `logs/`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    max_mb: Annotated[float, Field(gt=0)] = 20.0
    experiments_max_mb: PositiveNumber | None = 2000.0
    """Of `logs/experiments/`: the oldest folders are removed, never an accepted experiment's."""


class Config(_Section):
    """Everything in `config.yaml`."""

    agent: AgentConfig = AgentConfig()
    budget: BudgetConfig = BudgetConfig()
    evaluator: EvaluatorConfig = EvaluatorConfig()
    engine: EngineConfig = EngineConfig()
    task: TaskConfig = TaskConfig()
    judge: JudgeConfig = JudgeConfig()
    integrity: IntegrityConfig = IntegrityConfig()
    sandbox: Literal["auto", "off"] = "auto"
    limits: LimitsConfig = LimitsConfig()
    logs: LogsConfig = LogsConfig()
