"""The embedded search: what it tunes, what it leaves alone, and that it searches."""

import ast
import math
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.optuna_search import (
    NOTHING_TO_TUNE,
    OptunaAgent,
    Tunable,
    find_tunables,
    with_values,
)
from orchestrator.core.errors import AgentFinishedError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Attempt, Files, Reply, Rung, Status
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.reply import read_reply
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from tests.conftest import REPOSITORY

ENV = "def create_env(): ...\n"
FUNCTIONS = "\n\ndef build_policy(): ...\n\n\ndef training_overrides(): ...\n"
TRAIN = "LR = 3e-4  # Adam's\nHIDDEN: int = 32\nGAMMA = 0.99\n" + FUNCTIONS
Trial = tuple[str, float]


def brief(train: str = TRAIN, ordinal: int = 1) -> Brief:
    return Brief(ordinal=ordinal, program="", files=Files(ENV, train), rung=Rung(12, 8), lead=1)


def propose(train: str = TRAIN, ordinal: int = 1, trials: Sequence[Trial] = ()) -> Reply:
    reply = OptunaAgent(lambda _: trials).propose(brief(train, ordinal))
    assert reply is not None
    return reply


def proposed(train: str = TRAIN, ordinal: int = 1, trials: Sequence[Trial] = ()) -> str:
    """Return the train.py that is proposed, read as the daemon reads it."""
    return read_reply(propose(train, ordinal, trials), Files(ENV, train)).files.train


def values(train: str) -> dict[str, float]:
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(train).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


# -- what is tuned ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "kind", "low", "high"),
    [
        ("HIDDEN = 32", "int", 8, 128),
        ("LAYERS = 1", "int", 1, 4),
        ("HIDDEN: int = 32", "int", 8, 128),
        ("LR = 3e-4", "log", 3e-5, 3e-3),
        ("LR: float = 3e-4", "log", 3e-5, 3e-3),
        ("SCALE = 2.0", "log", 0.2, 20.0),
        ("WEIGHT_DECAY = 0.01", "log", 0.001, 0.1),
        ("GAMMA = 0.99", "discount", 0.9, 0.999),
        ("gae_lambda = 0.95", "discount", 0.5, 0.995),
        ("MOMENTUM = 0.5", "discount", 0.0, 0.95),
        ("LR = 3e-4  # range: 1e-5..1e-3", "log", 1e-5, 1e-3),
        ("LR = 3e-4  # Adam's, range: 1e-5 .. 1e-3, see the paper", "log", 1e-5, 1e-3),
        ("HIDDEN = 32  # range: 15.5..64.9", "int", 16, 64),
        ("LAYERS = 0  # range: 0..3", "int", 0, 3),
        ("OFFSET = -3  # range: -5..5", "int", -5, 5),
        ("BIAS = -0.5  # range: -1..1", "linear", -1.0, 1.0),
        ("BIAS = 0.0  # range: -1..1", "linear", -1.0, 1.0),
        ("MIX = 0.5  # range: 0..1", "linear", 0.0, 1.0),
        ("GAMMA = 0.99  # range: 0.9..1", "discount", 0.9, 1 - 1e-6),
        ("HALF = .5  # range: .1...9", "log", 0.1, 0.9),
        ("UPDATE_STEPS = 4  # range: 1..8", "int", 1, 8),
        ("N = 8  # range: 1..8", "int", 1, 8),
        ("N = 1  # range: 1..8", "int", 1, 8),
        ("LR = +3e-4", "log", 3e-5, 3e-3),
        ("LR = (\n    3e-4\n)  # range: 1e-5..1e-3", "log", 1e-5, 1e-3),
        ("'\x0c \u2028'\nLR = 3e-4  # range: 1e-5..1e-3", "log", 1e-5, 1e-3),
    ],
)
def test_constants_are_found_with_their_space(
    line: str, kind: str, low: float, high: float
) -> None:
    """Ints, positive floats, discounts and declared ranges each get the space that suits them."""
    (found,) = find_tunables(f"import x\n{line}\n{FUNCTIONS}")
    assert found.kind == kind
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    "line",
    [
        "SEED = 7",
        "SEEDS = 3",
        "RANDOM_SEED = 7",
        "MAX_STEPS = 100",
        "MAXSTEPS = 100",
        "HORIZON = 20",
        "EPISODE_STEPS = 20",
        "EPISODE_LENGTH = 20",
        "LOG_PATH = 5",
        "VERSION = 2",
        "DEBUG = True",
        "NAME = 'x'",
        "NOTHING = None",
        "ZERO = 0",
        "NEGATIVE = -3",
        "BIAS = -0.5",
        "NULL = 0.0",
        "IMAGINARY = 2j",
        "PAIR = (1, 2)",
        "SUM = 1 + 2",
        "NEG_INF = -1e30",
        "HUGE = 1e300",
        "INF = 1e999",
        "BIG = 1000000000000000000000000",
        "A = B = 5",
        "A, B = 5, 6",
        "a.b = 5",
        "a[0] = 5",
        "LIMIT: int",
        "NOT = not 5",
        "X = {[]: 1}",
        "LR = 1e-3\nLR = 2e-3",
        "LR = 1e-3\nif LR:\n    LR = 2e-3",
        "LR = 1e-3\nfor LR in []: pass",
        "LR = 1e-3\nLR += 1",
        "if True:\n    LR = 1e-3",
        "class A:\n    LR = 1e-3",
        "def f():\n    LR = 1e-3",
        "HIDDEN = 32  # range: 64..128",
        "ONE = 1  # range: 1..1.5",
        "MIX = 2.0  # range: 3..4",
    ],
)
def test_what_is_no_hyper_parameter_is_left_out(line: str) -> None:
    """Seeds, horizons, paths, texts, booleans, what is set twice, and what has no room stay."""
    assert find_tunables(f"{line}\n{FUNCTIONS}") == []


@pytest.mark.parametrize("declared", ["8..1", "1..", "a..b", "1,8", "1..inf", "-1e30..1e30", ""])
def test_unreadable_range_is_no_range(declared: str) -> None:
    """A range that can't be read is ignored, and the usual space holds."""
    (found,) = find_tunables(f"LAYERS = 4  # range: {declared}\n{FUNCTIONS}")
    assert (found.low, found.high) == (1, 16)


@pytest.mark.parametrize("example", ["keydoor", "squad", "trading"])
def test_examples_have_much_to_tune(example: str) -> None:
    """Every shipped example offers the search at least six constants, with their declared ranges."""
    train = (REPOSITORY / "examples" / example / "candidate" / "train.py").read_text()
    found = find_tunables(train)
    assert len(found) >= 6
    assert {tunable.name for tunable in found} == set(
        re.findall(r"^(\w+) = .*range:", train, re.MULTILINE)
    )


# -- nothing to tune -------------------------------------------------------------------------------


def test_starter_canvas_has_nothing_to_tune() -> None:
    """On the starter canvas the search ends at once with the contract's words."""
    starter = (REPOSITORY / "candidate" / "train.py").read_text()
    with pytest.raises(AgentFinishedError) as caught:
        propose(starter)
    assert str(caught.value) == NOTHING_TO_TUNE == "nothing to tune"


@pytest.mark.parametrize("train", [FUNCTIONS, "", "def (", "\0"])
def test_file_without_constants_has_nothing_to_tune(train: str) -> None:
    """A file without a constant, or one that does not parse, ends the search."""
    with pytest.raises(AgentFinishedError, match=r"^nothing to tune$"):
        propose(train)


def test_exhausted_space_ends_the_search() -> None:
    """When every value in range was tried, the search says so, and does not repeat itself."""
    train = "LAYERS = 2  # range: 1..3\n" + FUNCTIONS
    trials = [(train, 0.1), (train.replace("= 2", "= 3"), 0.2)]
    assert values(proposed(train, trials=trials)) == {"LAYERS": 1}
    trials.append((train.replace("= 2", "= 1"), 0.3))
    with pytest.raises(
        AgentFinishedError, match=r"^nothing to tune: every value in range was tried$"
    ):
        propose(train, trials=trials)


# -- the edit --------------------------------------------------------------------------------------

LAYOUT = '''\
"""Doc."""
# a comment
LR=3e-4   # Adam's, range: 1e-5..1e-2

HIDDEN  :  int = 32 ; NAME = "x"  # two in a line
GAMMA = (
    0.99  # inside
)
if True:
    OTHER = 5
TEXT = """
LR = 3e-4
```
"""
'''


def test_everything_else_stays_to_the_letter() -> None:
    """Comments, blanks, semicolons and texts are kept; only numbers of constants change."""
    train = f"{LAYOUT}{FUNCTIONS}\n\n\n"
    new = proposed(train)
    before, rest = train.split("3e-4", 1)
    between, rest = rest.split("32", 1)
    inside, after = rest.split("0.99", 1)
    assert re.fullmatch(r"[\d.e-]+".join(map(re.escape, (before, between, inside, after))), new)
    assert new != train


def test_windows_line_ends_are_kept() -> None:
    """A file with CRLF keeps it."""
    train = (LAYOUT + FUNCTIONS).replace("\n", "\r\n")
    assert proposed(train).count("\r\n") == train.count("\n")


@pytest.mark.parametrize(("end", "mark"), [("\r", ""), ("\n", "\ufeff"), ("\r\n", "\ufeff")])
def test_line_ends_and_byte_order_mark_are_kept(end: str, mark: str) -> None:
    """Constants are found and set in a file as Python reads it, and all else stays."""
    source = mark + "A = 1.0  # é\nB = (\n  2.0\n)\nC: float = -3.0; D = 4\n".replace("\n", end)
    expected = source.replace("1.0", "0.5").replace("2.0", "0.25").replace("-3.0", "7.5")
    assert with_values(source, {"A": 0.5, "B": 0.25, "C": 7.5}) == expected
    (found, *_) = find_tunables(source)
    assert (found.name, found.value) == ("A", 1.0)


HOSTILE = {
    "large hexadecimal": "X = 0x" + "f" * 4000,
    "deep": "X = " + "-" * 50_000 + "1",
    "long sum": "X = 1" + "+1" * 50_000,
    "many hashes": "X = 1.0  " + "#" * 200_000,
    "many ranges": "X = 1.0  # " + "range: " * 30_000,
    "long range": "X = 1.0  # range: " + "1" * 200_000,
    "blank range": "X = 1.0  # range:" + " " * 200_000,
    "long fraction": "X = 1." + "1" * 200_000,
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=list(HOSTILE))
def test_no_source_ends_or_delays_the_search(line: str) -> None:
    """The daemon's own process reads train.py: nothing in it may raise, or take long."""
    began = time.process_time()
    found = {tunable.name for tunable in find_tunables(f"LR = 0.5\n{line}\n{FUNCTIONS}")}
    assert found <= {"LR", "X"}
    assert time.process_time() - began < 5


def test_unchanged_values_keep_their_spelling() -> None:
    """A constant that is not given a new value is not even written anew."""
    assert with_values("A = 1_000\nB = 1e-3\n", {"B": 0.5}) == "A = 1_000\nB = 0.5\n"


def test_inner_names_are_not_touched() -> None:
    """Names of functions and classes that happen to be equal stay as they are."""
    source = "LR = 1.0\n\n\ndef f(LR=5):\n    LR = 6\n\n\nclass A:\n    LR = 7\n"
    assert with_values(source, {"LR": 2.0}) == source.replace("1.0", "2.0")


def test_description_says_what_it_is() -> None:
    """The description names optuna and the changes, old and new, and no idea is claimed."""
    reply = propose()
    first, second = reply.text.splitlines()[:2]
    assert re.fullmatch(r"description: optuna: (\w+ \S+ -> \S+(, )?)+(\+\d+ more)?", first)
    assert "a sample of the TPE search over 3 constants" in second
    assert "no idea behind it" in second
    assert OptunaAgent(lambda _: []).name == "optuna"


def test_search_has_no_second_thoughts() -> None:
    """The search never repairs: it would only draw again."""
    failed = replace(brief(), attempts=[Attempt("reply", "error")])
    assert OptunaAgent(lambda _: []).propose(failed) is None


# -- the search ------------------------------------------------------------------------------------


def test_every_proposal_is_new() -> None:
    """Proposals differ from the current file and from each other, from experiment to experiment."""
    seen = [TRAIN]
    for ordinal in range(1, 16):
        seen.append(proposed(ordinal=ordinal, trials=[(train, 0.0) for train in seen]))
    assert len(set(seen)) == len(seen)


def test_restart_goes_on_where_it_was() -> None:
    """The same ordinal and ledger lead to the same proposal in a new process; the next ordinal not."""
    trials = [(TRAIN, 0.1), (proposed(), 0.2)]
    assert proposed(ordinal=2, trials=trials) == proposed(ordinal=2, trials=trials)
    assert proposed(ordinal=2, trials=trials) != proposed(ordinal=3, trials=trials)


def test_each_run_searches_elsewhere() -> None:
    """Two runs from the same candidate don't make the same proposals; one and the same run does."""

    def first(tag: str) -> str:
        reply = OptunaAgent(lambda _: [], tag).propose(brief())
        assert reply is not None
        return reply.text

    assert first("nov22") == first("nov22")
    assert len({first(f"nov{day}") for day in range(1, 9)}) == 8


CHANGED = {
    "new constant": TRAIN.replace("GAMMA", "CLIP = 0.2\nGAMMA"),
    "constant gone": TRAIN.replace("GAMMA = 0.99\n", ""),
    "other kind": TRAIN.replace("HIDDEN: int = 32", "HIDDEN: float = 2.5"),
    "other range": TRAIN.replace("# Adam's", "# range: 1e-4..1e-3"),
    "text": TRAIN.replace("0.99", "'high'"),
    "far away": TRAIN.replace("3e-4", "1e6"),
    "negative": TRAIN.replace("3e-4", "-1.0"),
    "discount of one": TRAIN.replace("0.99", "1.5"),
    "zero": TRAIN.replace("= 32", "= 0"),
    "no python": "def (",
    "nothing": "",
}


@pytest.mark.parametrize("other", CHANGED.values(), ids=list(CHANGED))
def test_changed_space_does_not_break_the_search(other: str) -> None:
    """Trials of a file with other constants or values out of reach are ignored, either way round."""
    trials = [(TRAIN, 0.1), (other, 0.9), (TRAIN.replace("32", "33"), 0.3)] * 4
    assert values(proposed(TRAIN, 9, trials)).keys() == values(TRAIN).keys()
    if find_tunables(other):
        known = trials if other != CHANGED["negative"] else trials[:1]
        assert propose(other, 9, known).text.startswith("description: optuna: ")


def test_proposals_stay_in_declared_ranges() -> None:
    """Rounding to four digits never leaves a declared range."""
    train = "LR = 0.00123456  # range: 0.00123451..0.00123459\nN = 5  # range: 4..6\n" + FUNCTIONS
    for ordinal in range(1, 13):
        found = values(proposed(train, ordinal))
        assert 0.00123451 <= found["LR"] <= 0.00123459
        assert 4 <= found["N"] <= 6


TUNABLES = st.builds(
    lambda kind, low, share, width: Tunable("X", low + share * width, low, low + width, kind),
    st.sampled_from(["log", "linear"]),
    st.floats(1e-6, 1e6),
    st.floats(0, 1),
    st.floats(1e-3, 1e6),
) | st.builds(
    lambda low, share: Tunable("X", low + share * (1 - 1e-6 - low), low, 1 - 1e-6, "discount"),
    st.floats(0, 0.99),
    st.floats(0, 1),
)


@settings(deadline=None)
@given(TUNABLES, st.floats(0, 1))
def test_space_and_code_agree(tunable: Tunable, share: float) -> None:
    """Every point of a space is a value within the bounds, and encodes back to about that point."""
    space = tunable.distribution()
    encoded = space.low + share * (space.high - space.low)  # type: ignore[attr-defined]
    value = tunable.decode(encoded)
    assert tunable.low <= value <= tunable.high
    assert tunable.encode(value) == pytest.approx(encoded, rel=2e-3, abs=2e-3)


def score_of(train: str) -> float:
    """A smooth hill: best at LR 2e-3, HIDDEN 96, GAMMA 0.95; the start is well below it."""
    found = values(train.replace("HIDDEN: int", "HIDDEN"))
    distances = (
        math.log(found["LR"] / 2e-3),
        math.log(found["HIDDEN"] / 96),
        math.log((1 - found["GAMMA"]) / 0.05),
    )
    return -sum(distance**2 for distance in distances)


def test_search_climbs_a_hill() -> None:
    """Within 20 proposals, keeping what is better, most searches beat the start by far."""
    start = score_of(TRAIN)
    won = 0
    for run in range(5):
        best, trials = TRAIN, [(TRAIN, start)]
        for ordinal in range(1, 21):
            train = proposed(best, 100 * run + ordinal, trials)
            trials.append((train, score_of(train)))
            best = max(best, train, key=score_of)
        won += score_of(best) > 0.5 * start
    assert won >= 4


def test_search_learns_from_its_trials() -> None:
    """Having seen the hill, the search proposes better values than it does blindly."""
    blind = [proposed(ordinal=n) for n in range(1, 26)]
    trials = [(train, score_of(train)) for train in blind]
    informed = [proposed(ordinal=n, trials=trials) for n in range(101, 126)]
    assert sum(map(score_of, informed)) > sum(map(score_of, blind))


def test_trials_are_asked_for_the_rung() -> None:
    """Only experiments of the current rung teach the search."""
    asked: list[Rung] = []

    def trials(rung: Rung) -> list[Trial]:
        asked.append(rung)
        return []

    OptunaAgent(trials).propose(brief())
    assert asked == [Rung(12, 8)]


# -- what others have tried ------------------------------------------------------------------------


class Record:
    """A run's ledger, with experiments of several agents in it."""

    def __init__(self) -> None:
        self.ledger = Ledger(Path(":memory:"))
        self.ledger.create_run(Run("t", "p", {}, "then"))

    def add(self, agent: str, train: str, score: float) -> None:
        """Record an experiment that was scored, and discarded."""
        rung = Rung(12, 8)
        n = self.ledger.begin(
            "t", is_baseline=False, rung=rung, agent=agent, parent="p", when="then"
        )
        discarded = Experiment(n, "t", False, Status.DISCARD, rung, agent, score=score)
        self.ledger.finish(discarded, Files(ENV, train), f"fingerprint {n}")

    def propose(self, train: str, ordinal: int) -> str:
        """Return what the search proposes next."""
        search = OptunaAgent(lambda rung: self.ledger.trials("t", rung))
        reply = search.propose(brief(train, ordinal))
        assert reply is not None
        return read_reply(reply, Files(ENV, train)).files.train


@pytest.mark.parametrize("agent", ["openai:m", "codex", "human"])
def test_what_another_agent_has_tried_is_not_tried_again(agent: str) -> None:
    """Whoever it was: of three values one is left, then none."""
    record = Record()
    train = "N = 1  # range: 1..3\n" + FUNCTIONS
    record.add(agent, train.replace("N = 1", "N = 3"), 0.5)
    assert {values(record.propose(train, k))["N"] for k in range(1, 9)} == {2}
    # Another agent's other code counts too, as long as it has the constant.
    record.add(agent, train.replace("N = 1", "DEPTH = 9\nN = 2") + "# an idea\n", 0.4)
    with pytest.raises(AgentFinishedError, match="every value in range was tried"):
        record.propose(train, 9)


def test_the_search_learns_from_another_agents_scores() -> None:
    """Its proposals come nearer to where the other one's were good than without these."""
    train = "LR = 1e-3  # range: 1e-5..1e-1\n" + FUNCTIONS
    record = Record()
    best = 3e-2
    for k in range(40):
        rate = 10 ** (-5 + 4 * k / 39)
        score = -abs(math.log10(rate / best))
        record.add("openai:m", train.replace("1e-3 ", f"{rate:.4g} "), score)

    def distance(known: Record) -> float:
        rates = [values(known.propose(train, k))["LR"] for k in range(1, 16)]
        return statistics.median(abs(math.log10(rate / best)) for rate in rates)

    assert distance(record) < 0.5 * distance(Record())
