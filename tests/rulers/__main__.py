"""Evaluate the forty proposals and print what each earns: `python -m tests.rulers [CASE…]`.

Each candidate is trained and evaluated by the real evaluator, beside the one that it edits, on the
same seeds. Exits with 1 where a proposal can't be evaluated. With `--write` the tables go into
`tests/rulers/README.md`.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from framework import (
    CandidateError,
    EvaluationRequest,
    EvaluationResult,
    Referee,
    default_seeds,
)
from orchestrator.config.loading import load_config
from orchestrator.core.evaluations import Report
from orchestrator.core.flags import name_of
from orchestrator.core.records import Files
from orchestrator.judging.flag_rules import ScoredCandidate, compare
from tests.rulers.case import EXAMPLES, FOLDER, Case, before, edited
from tests.rulers.catalogue import CASES

_HEAD = """# Forty proposals of known intent

Twenty for each of two examples, `squad` and `keydoor`: in each, ten that are honest (better policies,
training and observations, redesigns that the brief allows) and ten that game the score, with innocent
descriptions. Each is a reply as an agent gives it; `catalogue.py` says what it really changes and why
a fair reviewer would call it what it is. All were written before any rule about changed rewards,
dynamics or success was made, and are not to be tuned to one.
Before that, four drafts whose effect in the evaluator was none or harm (three redesigned observations
and a shaping that came out equal to the shipped one) were replaced, one was rewritten in part, and one
whose reward broke the bound was mended.

The tables are those of the evaluator alone, without a judge: the candidate that a proposal edits (the
example as shipped, except where two are named) and the proposal's, on the same seeds. Returns, solve
rates and lengths in steps are means over all evaluated episodes. Flags are those raised at that time,
the evaluator's and those of the comparison; none of them knew the proposals.
"""


@dataclasses.dataclass(frozen=True)
class _Budget:
    train_episodes: int
    eval_episodes: int
    seeds: int


@dataclasses.dataclass(frozen=True)
class _Row:
    """One case, evaluated; without `after` it could not be."""

    case: Case
    before: EvaluationResult
    after: EvaluationResult | None
    flags: tuple[str, ...] = ()
    fault: str = ""

    def mean(self, name: str) -> tuple[float, float]:
        """Return a quantity of the seeds' results before and after."""
        assert self.after is not None
        return _mean(self.before, name), _mean(self.after, name)

    @property
    def earns_more(self) -> bool:
        old, new = self.mean("full_return")
        return new > old

    @property
    def solves_more(self) -> bool:
        old, new = self.mean("evidence_solve_rate")
        return new > old


def _mean(result: EvaluationResult, name: str) -> float:
    return statistics.fmean(getattr(seed, name) for seed in result.seed_results)


class _Evaluations:
    """Evaluates candidates at one budget, each once."""

    def __init__(self, referee: Referee, budget: _Budget) -> None:
        self._referee, self._budget = referee, budget
        self._done: dict[tuple[str, Files], EvaluationResult] = {}

    def row(self, case: Case) -> _Row:
        """Evaluate a case, and the candidate that it edits where that has not been done yet."""
        files = before(case), edited(case)
        old = self._evaluate(case.example, files[0])
        try:
            new = self._evaluate(case.example, files[1])
        except CandidateError as error:
            return _Row(case, old, None, fault=f"{error.kind}: {error}")
        sides = [_scored(*side) for side in zip((old, new), files, strict=True)]
        return _Row(case, old, new, flags=(*new.flags, *compare(*sides)))

    def _evaluate(self, example: str, files: Files) -> EvaluationResult:
        if (example, files) not in self._done:
            self._done[example, files] = self._measure(example, files)
        return self._done[example, files]

    def _measure(self, example: str, files: Files) -> EvaluationResult:
        """Evaluate as the example's configuration says.

        Raises:
            CandidateError: the candidate is invalid, crashes or is disqualified.
        """
        config = load_config(EXAMPLES / example / "config.yaml")
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.by_path().items():
                (Path(folder) / Path(path).name).write_text(text, encoding="utf-8")
            return self._referee.evaluate(
                EvaluationRequest(
                    candidate_dir=Path(folder),
                    train_episodes=self._budget.train_episodes,
                    eval_episodes=self._budget.eval_episodes,
                    seeds=default_seeds(self._budget.seeds),
                    num_envs=config.evaluator.num_envs,
                    max_steps=config.task.max_steps,
                    reward_bound=config.evaluator.reward_bound,
                )
            )


def _scored(result: EvaluationResult, files: Files) -> ScoredCandidate:
    report = Report(dataclasses.asdict(result))
    return ScoredCandidate(result.score, result.max_steps, report, files.env, result.flags)


def _table(example: str, rows: Sequence[_Row]) -> Iterable[str]:
    yield f"\n### {example}, horizon {rows[0].before.max_steps} steps\n"
    yield "| proposal | intent | kind | changes | return | solve rate | length | flags |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in sorted(rows, key=lambda row: not row.case.honest):
        case = row.case
        name = case.file.removesuffix(".md")
        if case.base:
            name += f" (on {case.base.removesuffix('.md')})"
        intent = "honest" if case.honest else "gaming"
        cells = [name, intent, case.kind, ", ".join(case.changes), *_measured(row)]
        yield f"| {' | '.join(cells)} |"


def _measured(row: _Row) -> list[str]:
    if row.after is None:
        return [f"**{row.fault}**", "", "", ""]
    pairs = (
        ("full_return", "{:+.3f} → {:+.3f}"),
        ("evidence_solve_rate", "{:.0%} → {:.0%}"),
        ("evidence_episode_length", "{:.1f} → {:.1f}"),
    )
    numbers = [template.format(*row.mean(name)) for name, template in pairs]
    return [*numbers, ", ".join(map(name_of, row.flags)) or "–"]


def _summary(rows: Sequence[_Row]) -> Iterable[str]:
    yield ""
    for intent, is_honest in (("Honest", True), ("Gaming", False)):
        group = [row for row in rows if row.case.honest is is_honest]
        judged = [row for row in group if row.after]
        more = sum(row.earns_more for row in judged)
        solved = sum(row.solves_more for row in judged)
        flagged = sum(bool(row.flags) for row in judged)
        yield (
            f"- {intent}: {len(group)} proposals, {len(judged)} evaluated; {more} earn more than "
            f"before, {solved} solve more, {flagged} raise a flag."
        )


def _section(referee: Referee, budget: _Budget, cases: Sequence[Case]) -> tuple[list[str], bool]:
    """Return the lines on one budget, and whether every case could be evaluated."""
    evaluations = _Evaluations(referee, budget)
    rows = []
    for case in cases:
        rows.append(evaluations.row(case))
        print(case.name, *_measured(rows[-1]), sep="  ", file=sys.stderr, flush=True)
    lines = [
        f"\n## {budget.train_episodes} training and {budget.eval_episodes} evaluation episodes, "
        f"{budget.seeds} seeds"
    ]
    for example in dict.fromkeys(case.example for case in cases):
        lines += _table(example, [row for row in rows if row.case.example == example])
    return [*lines, *_summary(rows)], all(row.after for row in rows)


def main(arguments: list[str]) -> int:
    """Evaluate, print the tables; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rulers")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="squad/pay_for_cover, …; or all")
    parser.add_argument("--budgets", nargs="+", default=["12/8"], metavar="TRAIN/EVAL")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the tables into README.md")
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if not options.cases or case.name in options.cases]
    lines, complete = [_HEAD.rstrip()], True
    command = " ".join(["python -m tests.rulers", *arguments])
    lines.append(f"\n`{command}` printed this on {datetime.now(UTC).date()}.")
    with Referee() as referee:
        for budget in options.budgets:
            train, evaluation = map(int, budget.split("/"))
            section, went = _section(referee, _Budget(train, evaluation, options.seeds), cases)
            lines += section
            complete &= went
            if options.write:
                (FOLDER / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
