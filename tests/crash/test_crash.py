"""A short random version of `python -m tests.crash`, and the order of what reaches the disk."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.injector import Mode, Point, Rig
from tests.crash.model import Model, a_model
from tests.crash.scenarios import SCENARIOS, Scenario, imports
from tests.crash.tracer import why_not
from tests.reliability.helpers import lacking

_JOURNAL, _LEDGER = ".autorl/ledger.sqlite-journal", ".autorl/ledger.sqlite"


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    if reason := why_not():
        lacking(reason)
    imports()
    with a_model() as model:
        yield model


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_kill_anywhere_loses_nothing(scenario: Scenario, model: Model, tmp_path: Path) -> None:
    """Killed at random calls, and during the restart too, the run ends as if nothing had been."""
    # Other points each time only where somebody looks at what comes of it.
    seed = random.randrange(10**6) if os.environ.get("TESTS_LONG") else 7
    rng = random.Random(seed)
    rig = Rig(scenario, tmp_path, model)
    modes = [Mode.DAEMON, Mode.DAEMON, Mode.CALLER, Mode.ALL]
    if scenario.lanes > 1:  # each takes longer
        modes = [Mode.DAEMON, rng.choice([Mode.CALLER, Mode.ALL])]
    points = [Point(mode, (rng.choice(rig.points(mode)),)) for mode in modes]
    points.append(Point(Mode.DAEMON, tuple(rng.choices(rig.points(Mode.DAEMON), k=2))))
    for point in points:
        outcome = rig.kill(point)
        assert outcome.violations == [], (seed, point, outcome.kills)


@pytest.fixture
def calls(model: Model, tmp_path: Path) -> list[tuple[str, str, str]]:
    """What an experiment that is kept does to files: (call, path, new path), in order."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "keep")
    found = []
    for _, line in Rig(scenario, tmp_path, model).calls:
        name, _, paths = line.partition(" ")
        path, _, new_path = paths.partition(" -> ")
        found.append((name, path, new_path))
    return found


def test_a_power_cut_leaves_the_ledger_whole(calls: list[tuple[str, str, str]]) -> None:
    """The journal is on the disk before the ledger changes, the ledger before the journal goes."""
    journal_is_safe, ledger_is_safe, commits = True, True, 0
    for (name, path, _), following in zip(calls, [*calls[1:], ("", "", "")], strict=True):
        is_sync = name in {"fsync", "fdatasync"}
        if path == _JOURNAL:
            journal_is_safe = is_sync
        elif path == _LEDGER and name == "pwrite64":
            assert journal_is_safe
        if path == _LEDGER:
            ledger_is_safe = is_sync or name == "openat"
        if (name, path) == ("unlink", _JOURNAL):
            commits += 1
            assert ledger_is_safe
            assert following[:2] == ("fdatasync", ".autorl")
    assert commits >= 4


def test_a_ref_never_names_what_a_power_cut_can_take(calls: list[tuple[str, str, str]]) -> None:
    """Objects and their folders are on the disk before the verdict, the verdict before the refs."""
    unsafe: set[str] = set()
    verdict_at = max(i for i, call in enumerate(calls) if call[1].endswith("2/patch.diff"))
    refs = 0
    for i, (name, path, new_path) in enumerate(calls):
        if name == "fsync":
            unsafe.discard(path)
        elif new_path.startswith(".git/objects/"):
            unsafe |= {new_path, str(Path(new_path).parent)}
            assert i < verdict_at
        elif name == "write" and path.endswith(".lock"):
            unsafe.add(path)
        elif new_path.startswith(".git/refs/"):
            refs += 1
            assert i > verdict_at
            assert not unsafe
    assert refs == 3  # its own, the lead's, and the branch
    assert not unsafe
