"""The tables of the judge on the real evaluator."""

import math
from collections.abc import Callable, Sequence

from benchmarks.judge.real_noops import Noops
from benchmarks.judge.real_planted import Planted


def interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Clopper and Pearson 1934), by bisection."""

    def tail(p: float, counts: range) -> float:
        return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in counts)

    def solve(at_least: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if at_least(middle) else (middle, high)
        return (low + high) / 2

    lower = solve(lambda p: tail(p, range(successes, trials + 1)) >= 0.025) if successes else 0.0
    upper = solve(lambda p: tail(p, range(successes + 1)) <= 0.025) if successes < trials else 1.0
    return lower, upper


def _share(successes: int, trials: int) -> str:
    low, high = interval(successes, trials)
    return f"{successes} of {trials} ({low:.1%} to {high:.1%})"


def tables(noops: Sequence[Noops], planted: Sequence[Planted]) -> list[str]:
    """Return both tables as Markdown."""
    lines = [
        "| no-ops on | rule | false keeps (95 % interval) | seeds each, trained to the end "
        "| gain it reports | leads | luck shared |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in noops:
        shared = "" if row.shared is None else f"{row.shared:.2f} over {row.shared_seeds} seeds"
        lines.append(
            f"| {row.example} | {row.rule} | {_share(row.keeps, row.experiments)} | "
            f"{row.evaluations:.1f} | {row.claimed:+.1%} | {row.leads} | {shared} |"
        )
    for rule in dict.fromkeys(row.rule for row in noops):
        rows = [row for row in noops if row.rule == rule]
        keeps, experiments = sum(row.keeps for row in rows), sum(row.experiments for row in rows)
        lines.append(f"| all | {rule} | {_share(keeps, experiments)} | | | | |")
    best, stopped = sum(row.best for row in noops), sum(row.stopped for row in noops)
    best += sum(row.challengers for row in planted)
    stopped += sum(row.stopped for row in planted)
    lines += ["", f"Winners that their curves would have stopped: {_share(stopped, best)}."]
    lines += [
        "",
        "| planted gain | example | took the lead (95 % interval) | seeds each | gain measured "
        "| would have been stopped early |",
        "|---|---|---|---|---|---|",
    ]
    for each in planted:
        low, high = interval(each.led, each.challengers)
        lines.append(
            f"| {each.gain_sd:g} sd | {each.example} | {each.led} of {each.challengers} "
            f"({low:.0%} to {high:.0%}) | {each.evaluations:.1f} | {each.measured_sd:.2f} sd | "
            f"{each.stopped} |"
        )
    return lines


def pooled(noops: Sequence[Noops], planted: Sequence[Planted]) -> list[str]:
    """Return what several runs say together, as Markdown."""
    lines = ["| together | kept, or took the lead (95 % interval) |", "|---|---|"]
    for rule in dict.fromkeys(row.rule for row in noops):
        rows = [row for row in noops if row.rule == rule]
        keeps, experiments = sum(row.keeps for row in rows), sum(row.experiments for row in rows)
        lines.append(f"| no-ops, {rule} | {_share(keeps, experiments)} |")
    for gain_sd in sorted({row.gain_sd for row in planted}):
        some = [row for row in planted if row.gain_sd == gain_sd]
        led, challengers = sum(row.led for row in some), sum(row.challengers for row in some)
        lines.append(f"| planted {gain_sd:g} sd | {_share(led, challengers)} |")
    return lines
