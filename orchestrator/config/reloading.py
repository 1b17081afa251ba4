"""A changed configuration: what takes effect in a run, what needs a restart or a new run. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from orchestrator.config.endpoints import AgentConfig
from orchestrator.config.schema import BudgetConfig, Config
from orchestrator.core.records import Rung

_NOW = (
    "agent", "agents", "agents_by", "budget", "engine", "integrity", "limits", "logs", "notify",
    "review",
)  # fmt: skip
"""Sections that nothing depends on beyond the next step."""
_SCORES = frozenset(
    f"evaluator.{key}"
    for key in (
        "framework",
        "seed_count",
        "num_envs",
        "device",
        "precision",
        "path",
        "reward_bound",
    )
)
"""Keys of `evaluator` that scores depend on."""
_LADDER = "budget.ladder"


class TakesEffect(StrEnum):
    """When a changed key takes effect."""

    NOW = "now"
    RESTART = "restart"
    NEW_RUN = "new run"


@dataclass(frozen=True)
class Change:
    """One key of the configuration that has changed."""

    key: str
    old: object
    new: object
    takes_effect: TakesEffect

    def __str__(self) -> str:
        """Return the change as people read it."""
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)}"

    @property
    def cure(self) -> str:
        """What a person can do about it while the run is going."""
        if self.takes_effect is TakesEffect.NOW:
            return "`autorl-daemon reload` takes the change up"
        if self.takes_effect is TakesEffect.RESTART:
            return "needs `autorl-daemon stop`, then `start`"
        if self.key == _LADDER:  # a start does not refuse it
            return "a run keeps what it began with: put it back, or `start --tag NEW`"
        return (
            f"this run keeps {_shown(self.old)}: put it back, or the run can't be resumed "
            "(`start --tag NEW` begins another)"
        )


@dataclass(frozen=True)
class RunningConfig:
    """The configuration that a daemon works with, and what it was read from besides the file."""

    config: Config
    settings: tuple[str, ...] = ()
    """Those of `--set`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables that set keys."""
    problem: str | None = None
    """Why the last reload was refused, None if it was not."""

    def as_json(self) -> str:
        """Return it as the ledger has it."""
        facts = {
            "config": self.config.model_dump(mode="json"),
            "settings": self.settings,
            "environment": dict(self.environment),
            "problem": self.problem,
        }
        return json.dumps(facts, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> Self | None:
        """Return what `as_json` wrote; None without one, or if another version wrote it."""
        if text is None:
            return None
        facts = json.loads(text)
        try:
            config = Config.model_validate_json(json.dumps(facts["config"]))
        except ValueError:
            return None
        return cls(config, tuple(facts["settings"]), facts["environment"], facts["problem"])

    def refused(self, problem: str) -> Self:
        """Return the same configuration, once a reload was refused."""
        return replace(self, problem=problem)


def changes(old: Config, new: Config, rung: Rung | None) -> list[Change]:
    """Return the keys that differ.

    Args:
        old: what the daemon works with.
        new: what was read now.
        rung: the run's budget; None before its first baseline.
    """
    found = []
    for (key, before), after in zip(_values(old).items(), _values(new).values(), strict=True):
        if before != after:
            found.append(Change(key, before, after, _takes_effect(key, old, new, rung)))
    return found


def effective(old: Config, new: Config, rung: Rung | None) -> Config:
    """Return the old configuration with those changes that take effect at once."""
    for change in changes(old, new, rung):
        if change.takes_effect is TakesEffect.NOW:
            section, _, key = change.key.partition(".")
            before = getattr(old, section)
            changed = before.model_copy(update={key: change.new}) if key else change.new
            old = old.model_copy(update={section: changed})
    return old


def _takes_effect(key: str, old: Config, new: Config, rung: Rung | None) -> TakesEffect:
    section = key.partition(".")[0]
    if key in _SCORES or section == "task":
        return TakesEffect.NEW_RUN
    if key == _LADDER and rung and _used(old.budget, rung) != _used(new.budget, rung):
        return TakesEffect.NEW_RUN
    return TakesEffect.NOW if section in _NOW else TakesEffect.RESTART


def _used(budget: BudgetConfig, rung: Rung) -> list[tuple[int, int]]:
    """Return the rungs of the ladder up to the current one."""
    return [pair for pair in budget.ladder if pair <= tuple(rung)]


def _values(config: Config) -> dict[str, object]:
    """Return every key with its value: `{"limits.hours": None, "sandbox": "auto"}`."""
    values: dict[str, object] = {}
    for name in Config.model_fields:
        section = getattr(config, name)
        keys = getattr(type(section), "model_fields", None)
        if keys is None:
            values[name] = section
        else:
            values |= {f"{name}.{key}": getattr(section, key) for key in keys}
    return values


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, AgentConfig):
        return str(value.model_dump(exclude_defaults=True))
    return str(value)
