"""What is simulated with several challengers in flight, and what the figures have to be."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.judge.lanes import InLanes
from benchmarks.judge.rates import (
    MOST_FALSE,
    Table,
    Target,
    average,
    error_rates,
    per,
    percent,
    probed,
    signed,
)
from benchmarks.judge.simulate import Night, Outcome, Rate, Simulator, mean, share

LANES = (1, 3)
LANES_KINDS = ("normal", "t(3)")
IDEAS, IDEAS_SD, COPIES = 10, 2.0, 2
IDEAS_KINDS = ("normal", "bimodal 20/80")

_LANES = """\
The sound rule, {runs:,} runs of 100 challengers that are no better, with one in flight and with
three, whose seeds are evaluated in a random order, by the daemon's own planner and experiment. With
one lane it is what the first table has. Kept at +1 and +2 sd: of challengers with that gain, put in
anywhere in the run.
"""


def lanes(simulator: Simulator) -> Table:
    """Show that challengers that are in flight together are judged as soundly as one by one."""
    keys = [(kind, width) for kind in LANES_KINDS for width in LANES]
    found = [
        simulator.play(InLanes(Night("sound", kind, probe_sd=gain), width) for kind, width in keys)
        for gain in (1.0, 2.0)
    ]
    rows = [
        {"returns": kind, "lanes": width, **error_rates(one), **probed(one), **probed(two, 2.0)}
        for (kind, width), one, two in zip(keys, *found, strict=True)
    ]
    return Table(
        "Several challengers in flight",
        _LANES.format(runs=simulator.runs),
        {
            "returns": str, "lanes": _number, "false keeps in 100": per(100),
            "evaluations each": average, "phantom gain": signed, "kept at +1 sd": percent,
            "kept at +2 sd": percent,
        },
        rows,
    )  # fmt: skip


_IDEAS = """\
Likewise, {runs:,} runs, but of 100 challengers {ideas} have a gain of +{gain:g} sd, evenly spread,
and each is followed by {copies} of the same true mean, as when several lanes have the same idea:
once one of the three is kept, the others are no better. A challenger counts by the incumbent of its
verdict, which need not be the one that it was proposed against. Ideas kept: of {ideas}. Begun anew:
tests of 100 challengers, because another one was kept meanwhile.
"""


def ideas(simulator: Simulator) -> Table:
    """Show what becomes of challengers whose incumbent changes before their verdict."""
    keys = [(kind, width) for kind in IDEAS_KINDS for width in LANES]
    night = Night(keeps=IDEAS, planted_sd=IDEAS_SD)
    settings = [InLanes(replace(night, kind=kind), width, COPIES) for kind, width in keys]
    rows = [
        {"returns": kind, "lanes": width, **error_rates(outcomes), **_improved(outcomes)}
        for (kind, width), outcomes in zip(keys, simulator.play(settings), strict=True)
    ]
    return Table(
        "The same idea from several lanes",
        _IDEAS.format(runs=simulator.runs, ideas=IDEAS, gain=IDEAS_SD, copies=COPIES),
        {
            "returns": str, "lanes": _number, "false keeps in 100": per(100),
            "evaluations each": average, "phantom gain": signed, "ideas kept": percent,
            "begun anew in 100": average,
        },
        rows,
    )  # fmt: skip


def _number(value: int) -> str:
    return str(value)


def _improved(outcomes: Sequence[Outcome]) -> dict[str, Rate]:
    kept = [outcome.better_kept for outcome in outcomes]
    anew = [100 * outcome.begun_anew / outcome.challengers for outcome in outcomes]
    return {"ideas kept": share(kept, [IDEAS for _ in outcomes]), "begun anew in 100": mean(anew)}


def lanes_targets(lanes: Table, ideas: Table) -> list[Target]:
    """Return what has to be reached with any number of lanes: the same as with one."""
    found = []
    named = {"no-ops": lanes, "ideas": ideas}
    for what, row in ((what, row) for what, table in named.items() for row in table.rows):
        name = f"{row['returns']}, {what}, lanes {row['lanes']}"
        rate = row["false keeps in 100"]
        found.append(Target(f"false keeps a no-op, {name}", rate, 0.0, MOST_FALSE))
        found.append(Target(f"phantom gain, {name}", row["phantom gain"], -0.02, 0.02))
    for row in lanes.rows:
        name = f"{row['returns']}, lanes {row['lanes']}"
        rate = row["evaluations each"]
        found.append(Target(f"evaluations a no-op, {name}", rate, 0.0, 6.0))
        found.append(Target(f"kept at +1 sd anywhere, {name}", row["kept at +1 sd"], 0.6, 1.0))
        found.append(Target(f"kept at +2 sd anywhere, {name}", row["kept at +2 sd"], 0.9, 1.0))
    return found
