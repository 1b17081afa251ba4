"""The documented schema of `config.yaml` and its loader.

`--set a.b=value` beats `AUTORL_A__B=value` beats the file; all are parsed and checked alike
(`sources.py` reads them). All errors are reported at once, with their lines.
"""

import difflib
import itertools
import math
import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from orchestrator.config.endpoints import AgentConfig, ReviewConfig
from orchestrator.config.notify import NotifyConfig
from orchestrator.config.section import Positive, PositiveNumber, Section, TimeoutSeconds
from orchestrator.config.several_agents import FOR_ALL, turn_takers
from orchestrator.core.flags import DEFAULT_VETO, FORMER_NAMES, MEANINGS
from orchestrator.core.records import Rung


class BudgetConfig(Section):
    """The training and evaluation budget of an experiment, and when it grows."""

    ladder: Annotated[list[tuple[int, int]], Field(strict=False)] = Field(default=[
        (12, 8), (32, 8), (64, 12), (128, 16), (256, 24), (512, 48), (1000, 100),
    ])  # fmt: skip
    max_train_episodes: Annotated[int, Field(ge=2, le=1000)] = 1000
    max_eval_episodes: Annotated[int, Field(ge=1, le=100)] = 100
    patience: Positive | None = 30
    patience_unlearnt: Positive | None = 6
    """Scored experiments at a rung at which nothing is solved and nothing learnt, before the run
    climbs to where learning may be possible; None: never."""
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


class EvaluatorConfig(Section):
    """Training and scoring of a candidate. A run keeps the values it began with."""

    framework: str = "framework.py"
    seed_count: Annotated[int, Field(ge=1, le=64)] = 2
    num_envs: Annotated[int, Field(ge=1, le=65536)] = 32
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    path: Literal["fused", "torch"] = "fused"
    """What trains policies: fused arithmetic where it knows them, or torch in any case."""
    workers: Positive | None = None
    slots: Positive = 1
    """Evaluations at a time; more where cores or GPUs allow."""
    timeout_s: TimeoutSeconds = 1800.0
    memory_mb: Annotated[int, Field(ge=256, le=2**24)] | None = 8192
    reward_bound: Annotated[float, Field(gt=0, le=1e100)] = 10.0  # squares of sums stay numbers


class EngineConfig(Section):
    """Experiments in flight."""

    lanes: Annotated[int, Field(ge=1, le=64)] | None = None
    """Experiments in flight, from proposal to verdict. None: as many as `evaluator.slots`, and one
    more with an agent that takes time, so that it proposes while other candidates are evaluated."""


class TaskConfig(Section):
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


class SearchNumbers(Section):
    """How the lead moves, and how many seeds that takes. Gains are in standard errors."""

    seeds: Annotated[int, Field(ge=1, le=64)]
    """Most seeds of a challenger; the default ones are always among them."""
    drop: Annotated[list[float], Field(min_length=1)]
    """Gain over the lead below which a challenger is dropped after 1, 2, ... seeds; the last one
    holds for all further seeds."""
    adopt: float
    """Gain above which it becomes the lead after all its seeds."""
    adopt_early: float = 3.0
    """And after fewer."""
    back: float = -1.0
    """Gain over the former lead, on seeds that chose neither, below which the lead goes back."""
    back_to_published: float = -0.5
    """And over the published candidate."""
    lead_every: Positive
    """Challengers to each further seed of the lead."""
    lead_seeds: Annotated[int, Field(ge=2, le=1000)]
    """Most seeds of the lead before its trial."""
    proof_share: Annotated[float, Field(gt=0, le=1)]
    """Largest share of the evaluator's time that trials and claims take; further seeds of the lead,
    without which no challenger is judged, are not among them."""


def cheap_proposals() -> SearchNumbers:
    """Return the numbers as shipped where a proposal costs little."""
    return SearchNumbers(
        seeds=3, drop=[0.0, 0.3], adopt=0.0, lead_every=5, lead_seeds=24, proof_share=0.3
    )


def dear_proposals() -> SearchNumbers:
    """Return the numbers as shipped where the agent takes its time."""
    return SearchNumbers(
        seeds=5,
        drop=[-0.8, -0.8, -0.3],
        adopt=0.0,
        back_to_published=-1.0,
        lead_every=3,
        lead_seeds=24,
        proof_share=0.3,
    )


class JudgeConfig(Section):
    """Lead and proof. docs/judgement.md has the effect of the numbers on error rates."""

    rule: Literal["sound", "naive"] = "sound"
    """`sound`: lead and proof. `naive`: the higher score is kept."""
    alpha: Annotated[float, Field(ge=1e-6, le=0.2)] = 0.01
    """Probability that a trial publishes a lead that is no better than the published candidate."""
    min_effect: Effect = 0.0
    """Smallest gain to publish: score points, or standard deviations of one seed as in `0.5sd`."""
    max_evaluations: Annotated[int, Field(ge=4, le=1000)] = 40
    """Most seeds of a lead in its trial."""
    reference_first: Annotated[int, Field(ge=2, le=1000)] = 4
    """Seeds of the published candidate at the first look of a trial; later it has the lead's."""
    early_stop: Annotated[float, Field(ge=1e-6, le=0.5)] | None = 0.02
    """Probability not to be dropped below which training stops; None: never."""
    proposals: Literal["auto", "cheap", "dear"] = "auto"
    """Which of the two sets of numbers holds; `auto` decides by `dear_from`."""
    dear_from: PositiveNumber = 4.0
    """Agent's time for a proposal, in times of a seed, from which proposals are dear."""
    cheap: SearchNumbers = Field(default_factory=cheap_proposals)
    """Where a proposal costs little beside its evaluation."""
    dear: SearchNumbers = Field(default_factory=dear_proposals)
    """Where the agent takes its time: each proposal is looked at more closely."""

    def smallest_effect(self, sd: float) -> float:
        """Return `min_effect` in score points; `sd` is the standard deviation of one seed."""
        return in_points(self.min_effect, sd)

    @field_validator("cheap", "dear", mode="before")
    @classmethod
    def _others_as_shipped(cls, value: object, info: ValidationInfo) -> object:
        """Fill in the numbers that a config leaves out."""
        shipped = cheap_proposals() if info.field_name == "cheap" else dear_proposals()
        return {**shipped.model_dump(), **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _fits_the_rule(self) -> Self:
        if self.rule == "naive" and isinstance(self.min_effect, str):
            raise ValueError(
                "judge.min_effect must be a number with judge.rule naive, which estimates no "
                "standard deviation"
            )
        return self


class IntegrityConfig(Section):
    """Flags that veto a keep."""

    veto: list[str] = Field(default=list(DEFAULT_VETO))

    @field_validator("veto")
    @classmethod
    def _are_flags(cls, value: list[str]) -> list[str]:
        value = [FORMER_NAMES.get(name, name) for name in value]
        unknown = [name for name in value if name not in MEANINGS]
        if unknown:
            close = difflib.get_close_matches(unknown[0], MEANINGS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(MEANINGS)}"
            raise ValueError(f"unknown flag {unknown[0]!r}; {hint}")
        return value


class LimitsConfig(Section):
    """Limits that end a run; None for no limit."""

    experiments: Positive | None = None
    hours: PositiveNumber | None = None
    tokens: Positive | None = None
    """Input and output tokens. No call is made that might pass it; likewise `cost_usd`."""
    cost_usd: PositiveNumber | None = None
    without_keep: Positive | None = None
    consecutive_failures: Positive | None = 20
    min_free_mb: PositiveNumber | None = 200.0
    """Not an end: the run waits while less disk space is free."""


class LogsConfig(Section):
    """The logs in `logs/`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    max_mb: Annotated[float, Field(gt=0)] = 20.0
    experiments_max_mb: PositiveNumber | None = 2000.0
    """Of `logs/experiments/`: the oldest folders are removed, never an accepted experiment's."""


class Config(Section):
    """Everything in `config.yaml`."""

    agent: AgentConfig = AgentConfig()
    agents: list[AgentConfig] = Field(default=[])
    """Several agents in place of `agent`, whose `max_repairs` and `lessons_every` hold for all."""
    agents_by: Literal["weights", "gain_per_hour", "gain_per_usd"] = "weights"
    """How the next agent is chosen: by the weights, or by what each has gained so far."""
    budget: BudgetConfig = BudgetConfig()
    evaluator: EvaluatorConfig = EvaluatorConfig()
    engine: EngineConfig = EngineConfig()
    task: TaskConfig = TaskConfig()
    judge: JudgeConfig = JudgeConfig()
    integrity: IntegrityConfig = IntegrityConfig()
    review: ReviewConfig = ReviewConfig()
    sandbox: Literal["auto", "off"] = "auto"
    limits: LimitsConfig = LimitsConfig()
    logs: LogsConfig = LogsConfig()
    notify: NotifyConfig = NotifyConfig()

    @field_validator("agents")
    @classmethod
    def _take_turns(cls, value: list[AgentConfig]) -> list[AgentConfig]:
        return turn_takers(value)

    @property
    def proposers(self) -> tuple[AgentConfig, ...]:
        """The agents that propose: those of `agents`, or else `agent`."""
        both = {name: getattr(self.agent, name) for name in FOR_ALL}
        return tuple(entry.model_copy(update=both) for entry in self.agents) or (self.agent,)

    @property
    def each_alone(self) -> "tuple[Config, ...]":
        """For each agent that proposes, the configuration as if it were the only one."""
        alone: dict[str, object] = {"agents": []}
        return tuple(self.model_copy(update=alone | {"agent": one}) for one in self.proposers)
