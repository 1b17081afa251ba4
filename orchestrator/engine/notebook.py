"""Reads from the ledger what prompts show of single experiments: numbers, changes, code.

An experiment that has ended does not change, so what is read of one is kept, of as many as a prompt
may show.
"""

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from orchestrator.core.evaluations import Purpose, Report, SeedResult
from orchestrator.core.experiments import Experiment
from orchestrator.core.flags import NO_TASK, name_of
from orchestrator.core.records import PUBLISHED, Files, Rung, Status
from orchestrator.judging.reference import of_time, validate
from orchestrator.proposals.brief import Comparison, Exhibit
from orchestrator.proposals.code_shown import short_diff
from orchestrator.proposals.measurements import Interval, Measurements, read_measurements
from orchestrator.proposals.record_lines import gain_text, is_promising, z_of
from orchestrator.store.ledger import Ledger

T = TypeVar("T")

DIFFS_SHOWN = 100
"""The last so many endings have their change in the history, as far as it has room."""
MOST_EXHIBITS = 8
MOST_NAMED = 6
_KEPT_IN_MIND = 400
_NAMED = re.compile(r"#(\d{1,9})\b")
_TESTED = {Purpose.SCREEN, Purpose.CONFIRM}
_IN_FULL = PUBLISHED | {Status.LEAD}
_RAN = {Status.DISCARD, Status.REJECTED}


class Notebook:
    """What is shown of single experiments of one run."""

    def __init__(self, ledger: Ledger, tag: str) -> None:
        self._ledger, self._tag = ledger, tag
        self._experiments: dict[int, Experiment | None] = {}
        self._files: dict[int, Files | None] = {}
        self._solved: dict[int, tuple[float | None, float | None, int]] = {}
        self._diffs: dict[int, str] = {}

    def experiment(self, n: int) -> Experiment | None:
        """Return a finished experiment with its whole report."""
        return _kept(self._experiments, n, self._ledger.experiment, most=4)

    def files(self, n: int) -> Files | None:
        """Return the files of a finished experiment."""
        return _kept(self._files, n, self._ledger.files, most=2 * MOST_EXHIBITS)

    def known(self, scored: Experiment | None, published_by: int) -> Measurements | None:
        """Return what is known of the lead.

        Args:
            scored: the experiment that scored it at this rung.
            published_by: the one that scored the published candidate, whose seeds are the fresh
                ones.
        """
        if scored is None:
            return None
        held_out = of_time(published_by, self._ledger.reference(scored.n, scored.rung))
        mean = validate([seed.value for seed in held_out if seed.value is not None])
        interval = Interval(mean.score, mean.low, mean.high) if mean else None
        return read_measurements(scored, held_out, interval)

    def last_measured(self, history: Sequence[Experiment]) -> Measurements | None:
        """Return what was measured of the last experiment that was evaluated to its end."""
        for shown in reversed(history):
            if shown.status in _IN_FULL | _RAN:
                experiment = self.experiment(shown.n)
                return read_measurements(experiment) if experiment else None
        return None

    def author_of(
        self, files: Files, lead: int | None, history: Sequence[Experiment]
    ) -> int | None:
        """Return whose files these are, where they are not the lead's.

        While nothing is a task yet, a proposal begins with the latest attempt's files.
        """
        if lead is None or self.files(lead) == files:
            return None
        for shown in reversed(history[-DIFFS_SHOWN:]):
            if shown.commit is not None and self._ledger.files(shown.n) == files:
                return shown.n
        return None

    def comparisons(self, history: Sequence[Experiment]) -> dict[int, Comparison]:
        """Return each experiment of the history beside what it was judged against."""
        found = {}
        for index, experiment in enumerate(history):
            is_recent = index >= len(history) - DIFFS_SHOWN
            is_shown = is_recent or _is_adopted(experiment) or is_promising(experiment)
            before, after, seeds = self._solve_rates(experiment)
            diff = self._diff(experiment) if is_shown else ""
            if after is not None or diff:
                found[experiment.n] = Comparison(before, after, seeds, diff)
        return found

    def exhibits(
        self, history: Sequence[Experiment], current: Files, notes: Iterable[str]
    ) -> tuple[Exhibit, ...]:
        """Return the experiments whose code is shown: those that notes name, and promising ones."""
        found: dict[int, Exhibit] = {}
        named = dict.fromkeys(int(n) for note in notes for n in _NAMED.findall(note))
        for n in list(named)[-MOST_NAMED:]:
            if exhibit := self._exhibit(n, "named in a note of the human"):
                found[n] = exhibit
        for experiment in self._promising(history):
            if len(found) >= MOST_EXHIBITS:
                break
            if experiment.n not in found and (
                exhibit := self._exhibit(experiment.n, _why_shown(experiment))
            ):
                found[experiment.n] = exhibit
        return tuple(exhibit for exhibit in found.values() if exhibit.files not in {None, current})

    def asked(self, numbers: Iterable[int]) -> tuple[Exhibit, ...]:
        """Return the experiments that the agent asked to see, as far as there are such."""
        asked = (self._exhibit(n, "as you asked", measured=True) for n in dict.fromkeys(numbers))
        return tuple(exhibit for exhibit in asked if exhibit is not None)

    def _exhibit(self, n: int, why: str, *, measured: bool = False) -> Exhibit | None:
        experiment = self.experiment(n)
        if experiment is None or experiment.tag != self._tag:
            return None
        numbers = read_measurements(experiment) if measured else None
        return Exhibit(slim(experiment), self.files(n), why, numbers)

    def _promising(self, history: Sequence[Experiment]) -> list[Experiment]:
        """Return experiments that may be worth another look, the best first.

        Those against the last lead come before older ones. While nothing is a task yet, every
        attempt that ran is one, the latest first.
        """
        no_task = {e.n for e in history if any(name_of(flag) == NO_TASK for flag in e.flags)}
        accepted = [
            e.ended for e in history if (e.is_baseline or _is_adopted(e)) and e.n not in no_task
        ]
        since = max(accepted, default=0)
        promising = [experiment for experiment in history if is_promising(experiment)]
        promising.sort(key=lambda e: (e.ended > since, z_of(e) or 0.0), reverse=True)
        if no_task and not accepted:
            promising += reversed([experiment for experiment in history if _has_run(experiment)])
        return promising

    def _solve_rates(self, experiment: Experiment) -> tuple[float | None, float | None, int]:
        return _kept(self._solved, experiment.n, lambda _: self._read_solve_rates(experiment))

    def _read_solve_rates(self, experiment: Experiment) -> tuple[float | None, float | None, int]:
        """Return the solve rates before and after, over the seeds that both were measured on."""
        scored_by = experiment.verdict.get("incumbent")
        if scored_by is None:
            return None, None, 0
        rates = _rates(self._ledger.evidence(experiment.n), experiment.rung, _TESTED)
        others = _rates(self._ledger.evidence(scored_by), experiment.rung, set(Purpose))
        both = rates.keys() & others.keys()
        if not both:
            return None, statistics.fmean(rates.values()) if rates else None, 0
        return (
            statistics.fmean(others[seed] for seed in sorted(both)),
            statistics.fmean(rates[seed] for seed in sorted(both)),
            len(both),
        )

    def _diff(self, experiment: Experiment) -> str:
        return _kept(self._diffs, experiment.n, lambda _: self._read_diff(experiment))

    def _read_diff(self, experiment: Experiment) -> str:
        if experiment.is_baseline or experiment.commit is None or experiment.parent is None:
            return ""
        after = self._ledger.files(experiment.n)
        before = self._ledger.files_at(experiment.parent)
        return short_diff(before, after) if before and after else ""


def _is_adopted(experiment: Experiment) -> bool:
    """Did it take the lead, or was it published at once?"""
    return experiment.took_lead or experiment.status is Status.KEEP


def _has_run(experiment: Experiment) -> bool:
    return not experiment.is_baseline and experiment.status in _RAN


def _why_shown(experiment: Experiment) -> str:
    if not is_promising(experiment):
        return "an attempt at a task"
    return f"promising, but did not take the lead: {gain_text(experiment)}"


def slim(experiment: Experiment) -> Experiment:
    """Return an experiment with the solve rate alone of its report."""
    return replace(experiment, report=Report({"mean_solve_rate": experiment.report.solve_rate}))


def _rates(seeds: Iterable[SeedResult], rung: Rung, purposes: set[Purpose]) -> dict[int, float]:
    return {
        seed.seed: seed.solve_rate
        for seed in seeds
        if seed.rung == rung and seed.purpose in purposes and seed.solve_rate is not None
    }


def _kept(cache: dict[int, T], n: int, read: Callable[[int], T], most: int = _KEPT_IN_MIND) -> T:
    """Return what is known of an experiment, read at most once while it is kept in mind."""
    if n in cache:
        cache[n] = cache.pop(n)  # the latest used last
        return cache[n]
    found = read(n)
    if found is not None:  # it may end yet
        cache[n] = found
    while len(cache) > most:
        del cache[next(iter(cache))]
    return found
