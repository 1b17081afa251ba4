"""Does the run stall, or does it repeat itself? Told to the agent. Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import FAILED, Status
from orchestrator.proposals.brief import Brief

STALLED = 8
"""Experiments in a row none of which took the lead."""
_LOOKED_AT = 6
_ALIKE = 0.6
"""Shared share of the words of two descriptions."""
_REPEATED = 3
_SMALL_WORDS = frozenset("a an the of to and with for in on by at from as is it its than".split())


def warnings(brief: Brief) -> str:
    """Return a section that says how the run stalls or repeats itself, empty if it does not."""
    since = _since_lead(brief)
    lines = [*_stall(since), *_failures(since), *_alike(since)]
    if not lines:
        return ""
    return "# How the run goes\n\n" + "\n".join(f"- {line}" for line in lines)


def _since_lead(brief: Brief) -> Sequence[Experiment]:
    """Return the proposals since the lead or the budget changed last, aborted ones left out."""
    since: list[Experiment] = []
    accepted_at = max((aside.after_ended for aside in brief.asides if aside.is_accept), default=0)
    for experiment in brief.history:
        if experiment.is_baseline or experiment.took_lead or experiment.status is Status.KEEP:
            since = []
        elif experiment.status is not Status.ABORTED and experiment.ended > accepted_at:
            since.append(experiment)
    return since


def _stall(since: Sequence[Experiment]) -> list[str]:
    if len(since) < STALLED:
        return []
    return [
        f"Nothing took the lead in the last {len(since)} experiments. Another variation of the "
        "same kind is unlikely to help: ask what holds the policy back, and try a kind of idea "
        "that the record does not show as failed."
    ]


def _failures(since: Sequence[Experiment]) -> list[str]:
    failed = []
    for experiment in reversed(since):
        if experiment.status not in FAILED:
            break
        failed.append(experiment)
    if len(failed) < _REPEATED:
        return []
    kinds = Counter(f"{e.status}: {e.reason.partition(':')[0][:40]}" for e in failed)
    most, count = kinds.most_common(1)[0]
    often = f" ({count} of them {most})" if count > 1 else ""
    return [
        f"The last {len(failed)} experiments were not even judged{often}. Make the next one small "
        "and safe: run it through in your head, shapes included."
    ]


def _alike(since: Sequence[Experiment]) -> list[str]:
    recent = since[-_LOOKED_AT:]
    words = {experiment.n: _words(experiment.description) for experiment in recent}
    for experiment in reversed(recent):
        alike = [n for n in words if _are_alike(words[n], words[experiment.n])]
        if len(alike) >= _REPEATED:
            named = ", ".join(f"#{n}" for n in alike)
            return [f"{named} try nearly the same thing. It was answered: do something else."]
    return []


def _are_alike(one: frozenset[str], two: frozenset[str]) -> bool:
    return len(one & two) > _ALIKE * len(one | two) if one and two else False


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z_]{2,}|\d+(?:\.\d+)?", text.lower())) - _SMALL_WORDS
