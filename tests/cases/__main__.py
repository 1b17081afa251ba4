"""Run the tests behind every case and print the table: `python -m tests.cases [--write]`.

Exits with 1 where a case has no test, or a test of it doesn't pass. With `--write` the table also
goes into `tests/cases/README.md`.
"""

import sys
from pathlib import Path

import pytest

from tests.cases import command_line, confinement, endpoints, files, referee, replies, systems
from tests.cases.case import Case

_AREAS = (replies, endpoints, systems, files, referee, confinement, command_line)
_ROOT = Path(__file__).parent.parent.parent
_HEAD = """# Cases met outside, before and after

What went wrong when others tried version 0.1.0 (993ce74), and what happens now. Printed by
`python -m tests.cases`, which runs the tests behind each row.
"""


class _Outcomes:
    """Plugin of pytest that remembers how each test ended."""

    def __init__(self) -> None:
        self.by_test: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember an outcome under the test's id, parameters left out."""
        if report.when == "call" or report.outcome != "passed":
            test = report.nodeid.partition("[")[0]
            self.by_test.setdefault(test, set()).add(report.outcome)

    def of(self, case: Case) -> str:
        """Return `passed`, `skipped`, `failed` or `missing` for all tests of a case."""
        seen = [self.by_test.get(test.partition("[")[0], {"missing"}) for test in case.tests]
        outcomes = set().union(*seen) if seen else {"missing"}
        for worst in ("missing", "failed", "skipped"):
            if worst in outcomes:
                return worst
        return "passed"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(area: str, cases: tuple[Case, ...], outcomes: _Outcomes) -> list[str]:
    lines = [f"\n## {area}\n", "| case | 0.1.0 | now |", "|---|---|---|"]
    for case in cases:
        outcome = outcomes.of(case)
        after = case.after if outcome == "passed" else f"**{outcome}**"
        lines.append(f"| {_cell(case.name)} | {_cell(case.before)} | {_cell(after)} |")
    return lines


def main(arguments: list[str]) -> int:
    """Run the tests, print the table and the counts; return the exit code."""
    tests = sorted({test for area in _AREAS for case in area.CASES for test in case.tests})
    outcomes = _Outcomes()
    options = ["-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:randomly"]
    if tests:  # with none, pytest would run them all
        pytest.main([*options, *(str(_ROOT / test) for test in tests)], plugins=[outcomes])
    lines = [_HEAD.rstrip()]
    for area in _AREAS:
        lines += _table((area.__doc__ or "").strip().rstrip("."), area.CASES, outcomes)
    words = [outcomes.of(case) for area in _AREAS for case in area.CASES]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    lines += [f"\n{len(words)} cases: {counts}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if "--write" in arguments:
        (_ROOT / "tests" / "cases" / "README.md").write_text(text)
    return 0 if set(words) == {"passed"} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
