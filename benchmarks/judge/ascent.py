"""A run up the budget ladder on a model task: the daemon's decisions, on returns that are drawn.

What to do next, when to climb and what to keep is decided by the functions that the daemon calls,
on the same records; only the agent, the training and the clock are made up.
"""

import math
import re
import statistics
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.judge.returns import SEED, Candidate, Source
from benchmarks.judge.rules import LAST_CONFIRMATIONS, LAST_REFERENCES, SEED_COUNT
from benchmarks.judge.simulate import Changes
from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.records import Experiment, Rung, SeedReturn, Status, Verdict
from orchestrator.judging.incumbent import UNMEASURED, Standing, challenge, standing
from orchestrator.judging.reference import default_seeds
from orchestrator.judging.sequential_test import detectable, judge, judge_naively
from orchestrator.planning.ladder import rung_above
from orchestrator.planning.planner import (
    MeasureIncumbent,
    RunBaseline,
    RunChallenge,
    Step,
    next_step,
)
from orchestrator.planning.state import RunState

LADDER = BudgetConfig().rungs
EPISODES = 20_000
"""Training episodes of a run, all seeds of all candidates together, where nothing else is said."""

BETTER, WORSE = 0.1, 0.3
"""Shares of the proposals; the others change nothing."""
GAIN, LOSS = 0.5, 0.5
"""Mean size of a step of the level; gains are divided by 1 + level."""
_EARLY_EPISODES, _EXPONENT = 3.0, 0.25
_NOISE, _NOISE_EXPONENT, _LEAST_NOISE = 0.141, 0.85, 0.01

_NAMED = re.compile(r"\(budget\.(\w+)\)$")
_TAG = "simulated"


# -- the task --------------------------------------------------------------------------------------


def true_score(level: float, rung: Rung) -> float:
    """Return the mean return of a candidate of this level: a power law in what it has learnt.

    One of its episodes is worth exp(level) of the first candidate's, whose level is 0.
    """
    learnt = math.exp(level) * rung.train_episodes / _EARLY_EPISODES
    return 1 - math.pow(1 + learnt, -_EXPONENT)


def noise(rung: Rung) -> float:
    """Return the standard deviation of one seed's return: 0.141 at 12 episodes, 0.034 at 64."""
    longer = rung.train_episodes / LADDER[0].train_episodes
    return max(_NOISE * math.pow(longer, -_NOISE_EXPONENT), _LEAST_NOISE)


@dataclass(frozen=True)
class Learner:
    """A candidate of known level."""

    level: float
    draws: Candidate
    """Of mean 0 and standard deviation 1, or as heteroscedastic returns have it."""

    def train(self, rung: Rung, seeds: Sequence[int]) -> list[float]:
        """Return its returns on these seeds, on which it was not trained before."""
        mean, sd = true_score(self.level, rung), noise(rung)
        return [mean + sd * value for value in self.draws.on(seeds)]


class Agent:
    """Proposes; the same steps in a run, whatever decides on them.

    Args:
        kind: how the returns are distributed.
        run: number of the run.
        count: most proposals.
    """

    def __init__(self, kind: str, run: int, count: int) -> None:
        rng = np.random.default_rng([SEED, zlib.crc32(b"proposals"), run])
        self._chances = rng.random(count).tolist()
        self._sizes = rng.standard_exponential(count).tolist()
        self._source = Source(kind, "ladder", run, count + 1)
        self._count = 0

    def first(self) -> Learner:
        """Return the candidate that the run begins with."""
        return self._learner(0, 0.0)

    def propose(self, incumbent: Learner) -> Learner:
        """Return a change of the incumbent: mostly no better or worse, now and then better."""
        chance, size = self._chances[self._count], self._sizes[self._count]
        self._count += 1
        level = incumbent.level
        if chance < BETTER:
            level += GAIN * size / (1 + max(level, 0.0))
        elif chance < BETTER + WORSE:
            level -= LOSS * size
        return self._learner(self._count, level)

    def _learner(self, index: int, level: float) -> Learner:
        plain = Candidate(0.0, 1.0, [], self._source)
        return Learner(level, self._source.challenger(index, plain, 0.0))


# -- the run ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Climb:
    """A rung that was left."""

    rung: Rung
    why: str
    """The key of the config's `budget` section that its reason names."""
    gauge: float | None = None
    """What the watched condition looks at, as it was then."""


@dataclass(frozen=True)
class Ascent:
    """What one run came to."""

    experiments: tuple[int, ...]
    """By rung of the ladder; baselines and references are none."""
    episodes: tuple[int, ...]
    """Training episodes by rung, baselines and references included."""
    on_incumbents: int
    """Those of baselines and references."""
    keeps: int
    no_better: int
    """Challengers that were no better than their incumbent."""
    false_keeps: int
    """Of those."""
    climbs: tuple[Climb, ...]
    rung: Rung
    """At the end."""
    score: float
    """The final incumbent's true one at the top of the ladder."""
    stayed_at: float | None
    """The most that the watched condition looked at without a climb."""


@dataclass
class _Account:
    """What is counted on the way."""

    experiments: list[int] = field(default_factory=lambda: [0] * len(LADDER))
    episodes: list[int] = field(default_factory=lambda: [0] * len(LADDER))
    on_incumbents: int = 0
    no_better: int = 0
    false_keeps: int = 0
    climbs: list[Climb] = field(default_factory=list)
    stayed_at: float | None = None


@dataclass(frozen=True)
class Expedition:
    """A run of so many training episodes."""

    rule: str = "sound"
    kind: str = "normal"
    budget: Changes = ()
    """To the defaults of the config's `budget` section."""
    changes: Changes = ()
    """To those of its `judge` section."""
    episodes: int = EPISODES
    proposal_episodes: int = 0
    """What the agent's time for one proposal is worth in training episodes."""
    watched: str | None = None
    """A condition of `budget` to watch: at what it climbs, and up to what it stays."""

    def simulate(self, run: int) -> Ascent:
        """Play one run."""
        return _Run(self, run).play()


class _Run:
    """The daemon's loop, without a daemon."""

    def __init__(self, setting: Expedition, run: int) -> None:
        self._setting = setting
        self._rules = JudgeConfig(**{"rule": setting.rule, **dict(setting.changes)})
        self._budget = BudgetConfig(**dict(setting.budget))
        # An episode is an hour to the daemon: when they are used up it ends.
        self._limits = LimitsConfig(hours=setting.episodes)
        most = setting.episodes // LADDER[0].train_episodes
        self._agent = Agent(setting.kind, run, most)
        self._incumbent = self._agent.first()
        self._state = RunState()
        self._references: dict[Rung, dict[int, list[SeedReturn]]] = {}
        self._screens: dict[int, list[SeedReturn]] = {}
        self._confirmations: dict[Rung, list[tuple[int, int, float]]] = {}
        self._known = UNMEASURED
        self._next = 1
        self._left = setting.episodes
        self._account = _Account()

    def play(self) -> Ascent:
        """Do what the daemon would do next, until it says that the run is over."""
        while True:
            step = next_step(
                self._state, self._budget, self._limits, hours=self._setting.episodes - self._left,
                rules=self._rules, known=self._known, seed_count=SEED_COUNT,
            )  # fmt: skip
            self._watch(step)
            match step:
                case RunBaseline(rung, why):
                    self._baseline(rung, why)
                case MeasureIncumbent():
                    self._measure(step)
                case RunChallenge(rung):
                    self._challenge(rung)
                case _:
                    return self._outcome()

    def _baseline(self, rung: Rung, why: str) -> None:
        returns = self._incumbent.train(rung, default_seeds(SEED_COUNT))
        if not self._pays(rung, len(returns), for_incumbent=True):
            return
        if self._state.rung is not None:
            named = _NAMED.search(why)
            assert named is not None, "every reason to climb names a key"
            gauge = self._gauge()
            self._account.climbs.append(Climb(self._state.rung, named[1], gauge))
        self._record(rung, Status.BASELINE, returns)

    def _measure(self, step: MeasureIncumbent) -> None:
        returns = self._incumbent.train(step.rung, step.seeds)
        if not self._pays(step.rung, len(returns), for_incumbent=True):
            return
        measured = self._references.setdefault(step.rung, {}).setdefault(step.n, [])
        measured += [
            SeedReturn(seed, value, solve_rate=min(max(value, 0.0), 1.0), role="reference")
            for seed, value in zip(step.seeds, returns, strict=True)
        ]
        self._known = self._standing()

    def _challenge(self, rung: Rung) -> None:
        self._left -= min(self._setting.proposal_episodes, self._left)
        challenger = self._agent.propose(self._incumbent)
        verdict, returns = self._judged(challenger, rung)
        if not self._pays(rung, len(returns), for_incumbent=False):
            return
        self._account.experiments[LADDER.index(rung)] += 1
        is_better = challenger.level > self._incumbent.level
        self._account.no_better += not is_better
        if verdict.status is Status.KEEP:
            self._account.false_keeps += not is_better
            self._incumbent = challenger
        self._record(rung, verdict.status, returns)

    def _judged(self, challenger: Learner, rung: Rung) -> tuple[Verdict, list[float]]:
        """Train a challenger on as many seeds as its verdict takes."""
        returns: list[float] = []
        seeds = default_seeds(SEED_COUNT)
        if self._rules.rule == "naive":
            incumbent, effect = self._state.incumbent, self._rules.min_effect
            assert incumbent is not None
            assert not isinstance(effect, str), "refused by the config"
            returns = challenger.train(rung, seeds)
            by_seed = dict(zip(seeds, returns, strict=True))
            return judge_naively(incumbent.scores_by_seed, by_seed, min_effect=effect), returns
        n = self._next
        met = challenge(self._known, n, self._rules, SEED_COUNT)
        seeds += met.more_seeds
        verdict = None
        while verdict is None:
            returns += challenger.train(rung, seeds[len(returns) : len(returns) + 1])
            verdict = judge(met.yardstick, returns, self._rules, seed_count=SEED_COUNT)
        self._confirmations.setdefault(rung, []).extend(
            (n, *pair) for pair in zip(met.more_seeds, returns[SEED_COUNT:], strict=False)
        )
        return verdict, returns

    def _record(self, rung: Rung, status: Status, returns: Sequence[float]) -> None:
        """Record an experiment as the daemon does: its score is that of the default seeds."""
        n = self._next
        self._next += 1
        by_seed = dict(zip(default_seeds(SEED_COUNT), returns, strict=False))
        self._screens[n] = [SeedReturn(seed, value) for seed, value in by_seed.items()]
        experiment = Experiment(
            n, _TAG, status is Status.BASELINE, status, rung, "model", commit=str(n),
            score=statistics.fmean(by_seed.values()),
            scores_by_seed=by_seed,
        )  # fmt: skip
        before, self._state = self._state, self._state.after(experiment)
        if self._state.incumbent != before.incumbent:
            self._known = self._standing()

    def _standing(self) -> Standing:
        incumbent, rung = self._state.incumbent, self._state.rung
        if self._rules.rule == "naive" or incumbent is None or rung is None:
            return UNMEASURED
        n = incumbent.scored_by
        assert n is not None
        references = self._references.get(rung, {})
        last = {number: references[number] for number in list(references)[-LAST_REFERENCES:]}
        pairs = self._confirmations.get(rung, [])[-LAST_CONFIRMATIONS:]
        return standing(last, n, self._screens[n], pairs)

    def _pays(self, rung: Rung, seeds: int, *, for_incumbent: bool) -> bool:
        """Pay for a training; what there is not enough left for is cut off and comes to nothing."""
        cost = rung.train_episodes * seeds
        paid = min(cost, self._left)
        self._left -= paid
        self._account.episodes[LADDER.index(rung)] += paid
        self._account.on_incumbents += paid if for_incumbent else 0
        return paid == cost

    def _watch(self, step: Step) -> None:
        """Note what the watched condition looks at where the run could climb and does not."""
        if self._setting.watched is None or not isinstance(step, RunChallenge):
            return
        gauge = self._gauge()
        if gauge is not None and rung_above(step.rung, self._budget):
            so_far = self._account.stayed_at
            self._account.stayed_at = gauge if so_far is None else max(so_far, gauge)

    def _gauge(self) -> float | None:
        match self._setting.watched:
            case "min_keeps":
                return self._state.keeps_at_rung
            case "patience":
                return self._state.since_keep_at_rung
            case "max_solve_rate":
                return self._known.solve_rate
            case "climb_when_blind":
                return detectable(
                    self._known.sd, self._rules, seed_count=SEED_COUNT, luck=self._known.luck
                )
        return None

    def _outcome(self) -> Ascent:
        account, rung = self._account, self._state.rung
        assert rung is not None
        return Ascent(
            tuple(account.experiments), tuple(account.episodes), account.on_incumbents,
            self._state.by_status.get(Status.KEEP, 0), account.no_better, account.false_keeps,
            tuple(account.climbs), rung, true_score(self._incumbent.level, LADDER[-1]),
            account.stayed_at,
        )  # fmt: skip


def only(condition: str, value: object) -> Changes:
    """Return the changes to `budget` with which no other condition makes a run climb."""
    off = {"patience": None, "min_keeps": None, "max_solve_rate": None, "climb_when_blind": False}
    return tuple({**off, condition: value}.items())


FIRST_RUNG: Changes = (("max_train_episodes", LADDER[0].train_episodes),)
