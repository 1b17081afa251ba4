"""What the ratchet does and what it is worth: tables of simulated runs up the budget ladder."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.judge.ascent import (
    BETTER,
    EPISODES,
    FIRST_RUNG,
    GAIN,
    LADDER,
    LOSS,
    WORSE,
    Ascent,
    Expedition,
    noise,
    only,
    true_score,
)
from benchmarks.judge.rules import SEED_COUNT
from benchmarks.judge.simulate import Changes, Rate, Simulator, mean, share
from benchmarks.judge.tables import Row, Table, average, per, percent
from orchestrator.config.schema import BudgetConfig, JudgeConfig
from orchestrator.judging.sequential_test import detectable

KINDS = ("normal", "t(3)", "skewed left", "bimodal 50/50", "heteroscedastic")
WAYS: dict[str, tuple[str, Changes]] = {
    "ours: sound, ratchet": ("sound", ()),
    "sound, first rung": ("sound", FIRST_RUNG),
    "naive, ratchet": ("naive", ()),
    "public loop: naive, first rung": ("naive", FIRST_RUNG),
}
"""The rule, and changes to the config's `budget` section."""
OURS, *_, PUBLIC = WAYS
TOTALS = (EPISODES // 4, EPISODES, 4 * EPISODES)
PATIENCES = (6, 15, 30, 60, 100, None)
OTHER_PATIENCES = (15, 100)
PROPOSALS = (120, 600, 1800)
"""Training episodes that the agent's time for one proposal is worth: 5, 25 and 75 experiments."""
LEAST_EFFECT = 0.05
CONDITIONS: tuple[tuple[str, Any], ...] = (
    ("min_keeps", 2),
    ("patience", 12),
    ("max_solve_rate", 0.5),
    ("climb_when_blind", True),
)
"""Each on alone, with values that a run of `EPISODES` gets to see."""


def ladder(simulator: Simulator) -> Iterator[Table]:
    """Yield the ratchet's tables, of a twentieth of the simulator's runs."""
    fewer = _fewer(simulator)
    yield from _ways(fewer)
    yield _totals(fewer)
    yield _proposals(fewer)
    yield _conditions(fewer)


def _fewer(simulator: Simulator) -> Simulator:
    return dataclasses.replace(simulator, runs=max(math.ceil(simulator.runs / 20), 2))


# -- ours and the public loop's --------------------------------------------------------------------

_WAYS = """\
{runs:,} runs of {episodes:,} training episodes each, of all seeds of all candidates together, the
incumbent's included: as many as {public:,} experiments of the public loop at {first}. What the
agent's own time costs is left out, which favours whoever tries many things cheaply.

The model was chosen once, before any result. A candidate of level q scores 1 − (1 + e^q ·
episodes / 3)^−1/4 on average: the first has q = 0, and {start:.2f} at {first}, {end:.2f} at {top};
q = 1 has {next_start:.2f} and {next_end:.2f}. So all rungs rank candidates alike, which favours
staying low. One seed's sd is {low_sd:.3f} at {first} and {mid_sd:.3f} at {mid}, as was measured
once; the power law through both is continued, down to {top_sd:.2f}. Of the proposals {better:.0%}
raise q, by {gain:g} / (1 + q) on average, {worse:.0%} lower it, by {loss:g} on average (both
exponentially distributed), and the others change nothing. The learning curves, by which the daemon
may stop a loser earlier still, are not modelled.

False keeps: of 100 challengers that were no better. *Score*: the final incumbent's true one at
{top}; it began with {end:.4f}. *Ahead*: of the public loop, in the runs with the same proposals.
*On incumbents*: the share of the episodes that went into measuring incumbents. *Climbs*: a run's,
by the key of the config's `budget` section that the reason names. 95 % intervals in brackets.
"""


def _ways(simulator: Simulator) -> Iterator[Table]:
    """Compare the four ways; then show where two of them spend their episodes."""
    keys = [(kind, way) for kind in KINDS for way in WAYS]
    found = dict(zip(keys, simulator.play([_expedition(*key) for key in keys]), strict=True))
    rows = [
        {"returns": kind, "way": way, **_worth(found[kind, way], found[kind, PUBLIC])}
        for kind, way in keys
    ]
    first, mid, top = LADDER[0], LADDER[2], LADDER[-1]
    note = _WAYS.format(
        runs=simulator.runs, episodes=EPISODES,
        public=EPISODES // (SEED_COUNT * first.train_episodes), first=first, mid=mid, top=top,
        start=true_score(0, first), end=true_score(0, top), next_start=true_score(1, first),
        next_end=true_score(1, top), low_sd=noise(first), mid_sd=noise(mid), top_sd=noise(top),
        better=BETTER, worse=WORSE, gain=GAIN, loss=LOSS,
    )  # fmt: skip
    yield Table(
        "ladder", "The budget ladder: ours and the public loop's way", note,
        {
            "returns": str, "way": str, "experiments": average, "keeps": average,
            "false keeps": per(100), "on incumbents": percent, "score": _score, "ahead": _lead,
            "climbs": _counts,
        },
        rows,
    )  # fmt: skip
    yield _rungs({way: found[KINDS[0], way] for way in WAYS})


def _expedition(
    kind: str, way: str, episodes: int = EPISODES, proposal_episodes: int = 0
) -> Expedition:
    rule, budget = WAYS[way]
    return Expedition(rule, kind, budget, episodes=episodes, proposal_episodes=proposal_episodes)


def _worth(ascents: Sequence[Ascent], public: Sequence[Ascent]) -> Row:
    """Sum up runs, beside the public loop's."""
    leads = [own.score - other.score for own, other in zip(ascents, public, strict=True)]
    climbs = Counter(climb.why for ascent in ascents for climb in ascent.climbs)
    return {
        "experiments": mean([sum(ascent.experiments) for ascent in ascents]),
        "keeps": mean([ascent.keeps for ascent in ascents]),
        "false keeps": share(
            [ascent.false_keeps for ascent in ascents], [ascent.no_better for ascent in ascents]
        ),
        "on incumbents": mean([a.on_incumbents / sum(a.episodes) for a in ascents]),
        "score": mean([ascent.score for ascent in ascents]),
        "ahead": mean(leads),
        "climbs": {why: count / len(ascents) for why, count in sorted(climbs.items())},
    }


_RUNGS = """\
The runs above with {kind} returns, rung by rung. *Share*: of the run's training episodes.
*Reached*: share of the runs that climbed there. *Left for*: climbs from there, a run.
"""


def _rungs(found: dict[str, Sequence[Ascent]]) -> Table:
    """Show where the runs spend their episodes."""
    rows = []
    for way, ascents in found.items():
        for place, rung in enumerate(LADDER):
            if not any(ascent.episodes[place] for ascent in ascents):
                break
            reached = sum(ascent.rung >= rung for ascent in ascents)
            rows.append(
                {
                    "way": way, "rung": str(rung), "reached": share([reached], [len(ascents)]),
                    "experiments": mean([ascent.experiments[place] for ascent in ascents]),
                    "share": mean([a.episodes[place] / sum(a.episodes) for a in ascents]),
                    "left for": _left_for(ascents, place),
                }
            )  # fmt: skip
    return Table(
        "ladder-rungs", "Where the episodes go", _RUNGS.format(kind=KINDS[0]),
        {
            "way": str, "rung": str, "reached": percent, "experiments": average,
            "share": percent, "left for": _counts,
        },
        rows,
    )  # fmt: skip


def _left_for(ascents: Sequence[Ascent], place: int) -> dict[str, float]:
    climbs = [climb for ascent in ascents for climb in ascent.climbs]
    counts = Counter(climb.why for climb in climbs if climb.rung == LADDER[place])
    return {why: count / len(ascents) for why, count in sorted(counts.items())}


_TOTALS = """\
Normal returns, {runs:,} runs each, as above but for the training episodes of a run. *Rungs left*
is how often a run climbed.
"""


def _totals(simulator: Simulator) -> Table:
    """Compare the four ways where there is less or more to spend."""
    keys = [(total, way) for total in TOTALS for way in WAYS]
    settings = [_expedition(KINDS[0], way, total) for total, way in keys]
    found = dict(zip(keys, simulator.play(settings), strict=True))
    rows = [
        {
            "episodes": f"{total:,}", "way": way, **_worth(found[total, way], found[total, PUBLIC]),
            "rungs left": mean([len(ascent.climbs) for ascent in found[total, way]]),
        }
        for total, way in keys
    ]  # fmt: skip
    return Table(
        "ladder-totals", "The budget ladder, by what there is to spend",
        _TOTALS.format(runs=simulator.runs),
        {
            "episodes": str, "way": str, "experiments": average, "keeps": average,
            "rungs left": average, "score": _score, "ahead": _lead,
        },
        rows,
    )  # fmt: skip


_PATIENCE = """\
The sound rule with the ratchet, normal returns, {runs:,} runs each, all else by default; beside the
public loop's way with the same training episodes.
"""


def patience(simulator: Simulator) -> Table:
    """Show what the number that most climbs rest on does, varied alone; a twentieth of the runs."""
    simulator = _fewer(simulator)
    public = simulator.play([_expedition(KINDS[0], PUBLIC, total) for total in TOTALS])
    keys = [(total, value) for total in TOTALS for value in PATIENCES]
    settings = [Expedition(budget=(("patience", value),), episodes=total) for total, value in keys]
    beside = dict(zip(TOTALS, public, strict=True))
    rows = [
        {
            "episodes": f"{total:,}",
            "patience": _choice(value),
            **_worth(ascents, beside[total]),
            "rungs left": mean([len(ascent.climbs) for ascent in ascents]),
        }
        for (total, value), ascents in zip(keys, simulator.play(settings), strict=True)
    ]
    return Table(
        "ladder-patience", "`budget.patience`", _PATIENCE.format(runs=simulator.runs),
        {
            "episodes": str, "patience": str, "experiments": average, "keeps": average,
            "rungs left": average, "score": _score, "ahead": _lead,
        },
        rows,
    )  # fmt: skip


def _choice(value: int | None) -> str:
    mark = " (default)" if value == BudgetConfig().patience else ""
    return f"{'null' if value is None else value}{mark}"


_PROPOSALS = """\
The same with {episodes:,} training episodes a run, where the agent takes its time: each proposal
costs as much as so many experiments of the public loop at {first}. A language model that answers
in half a minute, beside evaluations of half a second, is at the lower end.
"""


def _proposals(simulator: Simulator) -> Table:
    """Compare the four ways, and other patience, where proposals cost something."""
    ways = [*WAYS, *(f"ours, patience {value}" for value in OTHER_PATIENCES)]
    episodes, experiment = TOTALS[-1], SEED_COUNT * LADDER[0].train_episodes
    settings = []
    for cost in PROPOSALS:
        settings += [_expedition(KINDS[0], way, episodes, cost) for way in WAYS]
        settings += [
            Expedition(budget=(("patience", value),), episodes=episodes, proposal_episodes=cost)
            for value in OTHER_PATIENCES
        ]
    keys = [(cost, way) for cost in PROPOSALS for way in ways]
    found = dict(zip(keys, simulator.play(settings), strict=True))
    rows = [
        {
            "a proposal": f"{cost // experiment} experiments", "way": way,
            **_worth(found[cost, way], found[cost, PUBLIC]),
            "rungs left": mean([len(ascent.climbs) for ascent in found[cost, way]]),
        }
        for cost, way in keys
    ]  # fmt: skip
    return Table(
        "ladder-proposals", "The budget ladder, by what a proposal costs",
        _PROPOSALS.format(episodes=episodes, first=LADDER[0]),
        {
            "a proposal": str, "way": str, "experiments": average, "keeps": average,
            "rungs left": average, "score": _score, "ahead": _lead,
        },
        rows,
    )  # fmt: skip


# -- each condition alone --------------------------------------------------------------------------

_CONDITIONS = """\
The sound rule, normal returns, {runs:,} runs of {episodes:,} training episodes, with one condition
on and `judge.min_effect: {effect:g}` where that is `climb_when_blind`. Each looks at one number:
`min_keeps` at the keeps at the rung, `patience` at the experiments since the last keep there,
`max_solve_rate` at the incumbent's solve rate (in the model a seed's return, between 0 and 1),
`climb_when_blind` at the smallest gain that is found, which is {blind:.3f} at {first} and
{seeing:.3f} at {second}. *Climbed at*: the least and the most it was at a climb. *Stayed up to*:
the most it was when a challenger was tried although there was a rung above. *Ended at*: shares of
the runs. What is looked at is measured: a rung that only just sees may seem blind, by the spread of
its first {seeds} seeds.
"""


def _conditions(simulator: Simulator) -> Table:
    """Show that each condition climbs when it says so, and only then."""
    settings = [Expedition(budget=only("climb_when_blind", False))]
    for name, value in CONDITIONS:
        changes = (("min_effect", LEAST_EFFECT),) if name == "climb_when_blind" else ()
        settings.append(Expedition(budget=only(name, value), changes=changes, watched=name))
    rows = [
        {"only": _label(setting), **_watched(ascents)}
        for setting, ascents in zip(settings, simulator.play(settings), strict=True)
    ]
    found = [detectable(noise(rung), JudgeConfig(), seed_count=SEED_COUNT) for rung in LADDER[:2]]
    note = _CONDITIONS.format(
        runs=simulator.runs, episodes=EPISODES, effect=LEAST_EFFECT, first=LADDER[0],
        second=LADDER[1], blind=found[0], seeing=found[1], seeds=JudgeConfig().reference_first,
    )  # fmt: skip
    return Table(
        "ladder-conditions", "Each reason to climb, alone", note,
        {
            "only": str, "climbs": _counts, "climbed at": _range, "stayed up to": _number,
            "ended at": _shares,
        },
        rows,
    )  # fmt: skip


def _label(setting: Expedition) -> str:
    if setting.watched is None:
        return "none"
    value = getattr(BudgetConfig(**dict(setting.budget)), setting.watched)
    return f"{setting.watched}: {str(value).lower()}"


def _watched(ascents: Sequence[Ascent]) -> Row:
    climbs = [climb for ascent in ascents for climb in ascent.climbs]
    gauges = [climb.gauge for climb in climbs if climb.gauge is not None]
    stays = [ascent.stayed_at for ascent in ascents if ascent.stayed_at is not None]
    ends = Counter(ascent.rung for ascent in ascents)
    return {
        "climbs": {
            why: count / len(ascents)
            for why, count in sorted(Counter(c.why for c in climbs).items())
        },
        "climbed at": (min(gauges), max(gauges)) if gauges else None,
        "stayed up to": max(stays, default=None),
        "ended at": {str(rung): count / len(ascents) for rung, count in sorted(ends.items())},
    }


# -- how it is shown -------------------------------------------------------------------------------


def _score(rate: Rate) -> str:
    return f"{rate.value:.4f} ({rate.low:.4f}–{rate.high:.4f})"


def _lead(rate: Rate) -> str:
    return f"{rate.value:+.4f} ({rate.low:+.4f} to {rate.high:+.4f})"


def _counts(counts: dict[str, float]) -> str:
    return ", ".join(f"{name} {count:.2f}" for name, count in counts.items()) or "–"


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0%}" for name, value in shares.items())


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _range(values: tuple[float, float] | None) -> str:
    return "–" if values is None else " to ".join(map(_number, values))
