"""A run, read from the ledger for every report."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.diff import unified_diff
from orchestrator.core.errors import UserError
from orchestrator.core.evaluations import Purpose, SeedResult
from orchestrator.core.experiments import Accept, Experiment, LeadMove, Seconds
from orchestrator.core.flags import name_of
from orchestrator.core.records import Tokens
from orchestrator.core.scores import NO_SCORE, how_far, stopped_score
from orchestrator.core.text import counted, did_you_mean, one_line
from orchestrator.judging.candidate_evidence import FRESH
from orchestrator.judging.reference import Validated, is_saturated, of_time, validated
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.standing import LeadStanding, lead_standing
from orchestrator.planning.state import RunState, replay
from orchestrator.reporting.course import Course, LeadOutcome, course
from orchestrator.store.ledger import Ledger
from orchestrator.store.results_tsv import History, own_description
from orchestrator.store.runs import Run
from orchestrator.store.search_evidence import search_evidence
from orchestrator.store.workspace import Workspace

SATURATED = (
    "every held-out seed of the published candidate scores the same, with all episodes solved: "
    "perhaps nothing is left to gain at this budget (not proven; a harder task would tell more)"
)
_TAGS_SHOWN = 20

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class RunView:
    """A run, as recorded."""

    run: Run
    experiments: list[Experiment]
    state: RunState
    foreign: list[dict[str, str]]
    """Rows of results.tsv that are not ours."""
    references: Mapping[int, list[SeedResult]]
    """Results of leads and published candidates on fresh seeds, by experiment."""
    moves: Sequence[LeadMove | Accept] = ()
    """Moves of the lead and the user's overrides, in their order."""
    standing: LeadStanding | None = None
    """How the lead stands; None where the published candidate leads."""
    known_course: Course | None = None
    """How both moved, where the reader has followed them already."""

    @property
    def seed_count(self) -> int | None:
        """The number of default seeds, if it is recorded."""
        count: int | None = self.run.evaluator.get("evaluator.seed_count")
        return count

    @property
    def is_saturated(self) -> bool:
        """Do the published candidate's seeds all score the same, with every episode solved?"""
        n = (self.state.incumbent and self.state.incumbent.scored_by) or 0
        return is_saturated(of_time(n, self.references.get(n, [])))

    @property
    def accepts(self) -> list[Accept]:
        """The user's overrides, in their order."""
        return [move for move in self.moves if isinstance(move, Accept)]

    @property
    def accepted_at(self) -> dict[int, str]:
        """When the user published which experiments (the last time)."""
        return {accept.n: accept.created_at for accept in self.accepts}

    def validated(self, n: int | None) -> Validated | None:
        """Return the validated score of the candidate that `n` scored, None if not measured."""
        return validated(n or 0, self.references.get(n or 0, []))

    @functools.cached_property
    def course(self) -> Course:
        """How the published candidate and the lead moved."""
        return self.known_course or course(self.experiments, self.moves)

    @functools.cached_property
    def spent(self) -> tuple[Tokens, float | None, Seconds]:
        """Tokens, dollars (None where none are known) and seconds of all experiments together."""
        tokens = [e.tokens for e in self.experiments]
        costs = [e.cost_usd for e in self.experiments if e.cost_usd is not None]
        seconds = [e.seconds for e in self.experiments]
        return (
            Tokens(
                _sum(each.input for each in tokens),
                _sum(each.cached for each in tokens),
                _sum(each.output for each in tokens),
                _sum(each.reasoning for each in tokens),
            ),
            _sum(costs),
            Seconds(
                sum(each.agent for each in seconds),
                sum(each.evaluator for each in seconds),
                sum(each.overhead for each in seconds),
            ),
        )

    def became(self, n: int) -> LeadOutcome | None:
        """Return what became of an experiment that took the lead; None while it leads."""
        return self.course.outcomes.get(n)


def _sum(values: Iterable[N | None]) -> N | None:
    """Return the sum of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def open_ledger(workspace: Workspace) -> Ledger:
    """Open the workspace's ledger.

    Raises:
        UserError: nothing has run here yet.
    """
    if not workspace.ledger.exists():
        raise UserError(f"nothing has run in {workspace.root} yet: `autorl-daemon start`")
    return Ledger(workspace.ledger)


def read_run(workspace: Workspace, ledger: Ledger, tag: str | None = None) -> RunView:
    """Read a run, by default the one that recorded something last.

    Raises:
        UserError: there is no such run.
    """
    run = find_run(ledger, tag) if tag is not None else ledger.last_run()
    if run is None:
        raise UserError("there is no run here yet: `autorl-daemon start`")
    experiments = list(ledger.experiments(run.tag))
    own = {own_description(experiment) for experiment in ledger.experiments()}
    foreign = History(workspace.root, own.__contains__).read()
    moves = ledger.moves(run.tag)
    state = replay(ledger.endings(run.tag), moves)
    standing = None
    if state.leads:
        rules = judging_rules(run)
        standing = lead_standing(search_evidence(ledger, run.tag, state, rules), rules)
    return RunView(run, experiments, state, foreign, ledger.references(run.tag), moves, standing)


def judging_rules(run: Run) -> JudgingRules:
    """Return the rules that a run's daemon works with, those as shipped where none is recorded."""
    running = RunningConfig.from_json(run.config)
    config = running.config if running else Config()
    return JudgingRules(config.judge, config.evaluator.seed_count)


def find_run(ledger: Ledger, tag: str) -> Run:
    """Return a run by its tag. Raises `UserError`, naming the runs there are, if there is none."""
    run = ledger.run(tag)
    if run is None:
        tags = [run.tag for run in ledger.runs()]
        hint = did_you_mean(tag, tags)
        known = f"; there are {', '.join(tags[-_TAGS_SHOWN:])}" if tags else " yet"
        more = f" and {len(tags) - _TAGS_SHOWN} older ones" if len(tags) > _TAGS_SHOWN else ""
        raise UserError(f"there is no run {tag!r} here{known}{more}{hint and '; '}{hint}")
    return run


def of_purpose(seeds: Sequence[SeedResult], purpose: Purpose) -> list[SeedResult]:
    """Return the seeds that were evaluated for one purpose."""
    return [seed for seed in seeds if seed.purpose is purpose]


def fresh_of(seeds: Sequence[SeedResult]) -> list[SeedResult]:
    """Return the results on seeds that did not choose the candidate."""
    return [s for s in seeds if s.purpose in FRESH or s.purpose is Purpose.AUDIT]


def find_experiment(ledger: Ledger, n: int) -> Experiment:
    """Return a finished experiment. Raises `UserError` if there is none of that number."""
    experiment = ledger.experiment(n)
    if experiment is None:
        raise UserError(f"there is no finished experiment {n}: see `autorl-daemon results`")
    return experiment


def candidate_diff(ledger: Ledger, experiment: Experiment) -> str:
    """Return an experiment's change against the candidate it started from."""
    after = ledger.files(experiment.n)
    before = ledger.files_at(experiment.parent) if experiment.parent else None
    if after is None or before is None or experiment.is_baseline:
        return ""
    return "".join(unified_diff(before, after))


def sentence(experiment: Experiment, seed_count: int | None = None) -> str:
    """Return an experiment as one line of text.

    Args:
        experiment: what has ended.
        seed_count: the run's number of default seeds, if it is known.
    """
    score, stopped = experiment.score, stopped_score(experiment)
    shown = stopped if score is None else score
    number = NO_SCORE if shown is None else f"{shown:.4f}"
    what = experiment.description or experiment.reason
    if stopped is not None:
        what = f"({how_far(experiment, seed_count)})  {what}"
    status, rung = experiment.status.value, str(experiment.rung)
    mark = f"  [{flag_names(experiment)}]" if experiment.flags else ""
    line = f"#{experiment.n:<4} {status:<9} {rung:>8}  {number:>9}  "
    return line + one_line(f"{what}{mark}", 1000)


def flag_names(experiment: Experiment) -> str:
    """Return the names of an experiment's flags, without the details."""
    return ", ".join(dict.fromkeys(name_of(flag) for flag in experiment.flags))


def review_text(experiment: Experiment) -> str | None:
    """Return what a reviewer said, None where none is configured."""
    review = experiment.review
    if review is None:
        return None
    if "none" in review:
        return f"unreviewed: {review['none']}"
    return f"{review['opinion']}, by {review['by']}: {review['reason']}"


def validated_document(mean: Validated | None) -> dict[str, Any]:
    """Return the fields of a validated score, with its 95 % confidence interval."""
    return {
        "validated_score": mean and mean.score,
        "validated_interval": [mean.low, mean.high] if mean else None,
        "validated_seeds": mean.seeds if mean else 0,
    }


def with_interval(score: float, low: float, high: float, seeds: int) -> str:
    """Return a validated score with its confidence interval."""
    if low == high:
        return f"{score:.4f} on each of {counted(seeds, 'held-out seed')}, so without an interval"
    return f"{score:.4f}, 95 % CI {low:.4f} to {high:.4f}, {counted(seeds, 'held-out seed')}"


def with_half(score: float, high: float) -> str:
    """Return a validated score with half of its 95 % confidence interval."""
    half = high - score
    return f"{score:.4f} ± {half:.4f}" if half else f"{score:.4f} on every seed"


def number_text(value: float | None) -> str:
    """Return a score, or a dash where there is none."""
    return "—" if value is None else f"{value:.4f}"
