"""A run as Prometheus reads it: the text format, version 0.0.4. Pure.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "autorl_"


def metrics_text(status: Mapping[str, Any]) -> str:
    """Return what `status --json` has of numbers; one that is unknown is left out."""
    lines: list[str] = []
    for name, kind, what, samples in _metrics(status):
        known = [
            (labels, value)
            for labels, value in samples
            if value is not None and math.isfinite(value)
        ]
        if known:
            lines += [f"# HELP {_PREFIX}{name} {what}", f"# TYPE {_PREFIX}{name} {kind}"]
            lines += [f"{_PREFIX}{name}{labels} {float(value)!r}" for labels, value in known]
    return "\n".join(lines) + "\n"


Samples = list[tuple[str, float | None]]


def _metrics(status: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Samples]]:
    """Yield each metric: name, kind, what it is, and its values with their labels."""
    run = _labels(tag=status["tag"] or "")

    def one(value: Any) -> Samples:
        return [(run, None if value is None else float(value))]

    def many(label: str, values: Mapping[str, Any]) -> Samples:
        return [
            (
                _labels(tag=status["tag"] or "", **{label: key}),
                None if value is None else float(value),
            )
            for key, value in values.items()
        ]

    interval = status["validated_interval"] or [None, None]
    lead, rung, tokens = status["lead"] or {}, status["rung"] or {}, status["tokens"]
    yield "running", "gauge", "Whether a daemon runs.", one(status["running"])
    phases = {status["phase"]: 1}
    yield "phase", "gauge", "What the daemon is doing.", many("phase", phases)
    yield "published_experiment", "gauge", "What is published.", one(status["incumbent"])
    yield (
        "published_return", "gauge", "Its mean return over held-out seeds.",
        one(status["validated_score"]),
    )  # fmt: skip
    bounds = dict(zip(("low", "high"), interval, strict=True))
    yield (
        "published_return_bound",
        "gauge",
        "Of its 95 % confidence interval.",
        many("bound", bounds),
    )
    yield "lead_gain", "gauge", "Estimated gain of the lead over it.", one(lead.get("gain"))
    yield (
        "lead_probability_better", "gauge", "Probability that the lead is better.",
        one(lead.get("probability_better")),
    )  # fmt: skip
    yield "budget_train_episodes", "gauge", "Training episodes.", one(rung.get("train_episodes"))
    yield (
        "experiments_total", "counter", "Experiments that have ended, by verdict.",
        many("status", status["experiments"]),
    )  # fmt: skip
    yield "lanes", "gauge", "Experiments in flight.", one(len(status["lanes"]))
    yield "seconds_total", "counter", "Where time went.", many("where", status["seconds"] or {})
    yield "tokens_total", "counter", "Tokens of models, by kind.", many("kind", tokens)
    yield "cost_usd_total", "counter", "US dollars, as far as known.", one(status["cost_usd"])


def _labels(**labels: str) -> str:
    shown = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return f"{{{shown}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
