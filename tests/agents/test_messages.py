"""What passes between the daemon and an agent's process arrives as it was sent."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.messages import (
    JobEvent,
    JobFailed,
    brief_line,
    event_line,
    question_line,
    read_brief,
    read_event,
    read_question,
    read_settings,
    settings_line,
)
from orchestrator.agents.workplace import Workplace
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment, Lessons, Seconds
from orchestrator.core.records import Attempt, Files, Reply, Rung, Status, Tokens
from orchestrator.core.reviews import ReviewRequest
from orchestrator.proposals.agent_events import (
    AgentBlocked,
    AgentFinished,
    AgentWaits,
    NothingToAdd,
    Replied,
)
from orchestrator.proposals.brief import Aside, Brief, Comparison, Exhibit, Standing
from orchestrator.proposals.conformance import CheckSettings
from orchestrator.proposals.measurements import Interval, Measurements, RewardPart, SeedScore
from orchestrator.proposals.prompt import Message
from orchestrator.proposals.review_prompt import ReviewBrief
from tests.conftest import examples

# Any text: halves of surrogate pairs (in the right order, too), line ends of all kinds, NUL.
TEXT = st.text(st.characters() | st.sampled_from('\ud83d\ude00\n\r\u2028\x00\\"'), max_size=12)
COUNT = st.none() | st.integers(0, 10**12)
NUMBER = st.floats(allow_nan=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FACTS = st.dictionaries(TEXT, JSON, max_size=3)
RUNG = st.builds(Rung, st.integers(1, 1000), st.integers(1, 100))
TOKENS = st.builds(Tokens, COUNT, COUNT, COUNT, COUNT)


def tuples(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=3).map(tuple)


EXPERIMENT = st.builds(
    Experiment,
    n=st.integers(1), tag=TEXT, is_baseline=st.booleans(), status=st.sampled_from(Status),
    rung=RUNG, agent=TEXT, description=TEXT, rationale=TEXT, parent=st.none() | TEXT,
    commit=st.none() | TEXT, score=st.none() | NUMBER,
    scores_by_seed=st.dictionaries(st.integers(0), NUMBER, max_size=3),
    max_steps=COUNT, report=st.builds(Report, FACTS), flags=tuples(TEXT), reason=TEXT,
    details=TEXT, verdict=FACTS, seconds=st.builds(Seconds, NUMBER, NUMBER, NUMBER),
    tokens=TOKENS, cost_usd=st.none() | NUMBER, created_at=TEXT, finished_at=TEXT,
    ended=st.integers(0), proven_at=st.none() | TEXT,
)  # fmt: skip
MAYBE = st.none() | NUMBER
SEED_SCORE = st.builds(SeedScore, NUMBER, MAYBE)
PART = st.builds(RewardPart, tuples(NUMBER), NUMBER, NUMBER, NUMBER)
MEASUREMENTS = st.builds(
    Measurements,
    n=st.integers(1), default_seeds=tuples(st.tuples(st.integers(0), SEED_SCORE)),
    held_out=tuples(SEED_SCORE), interval=st.none() | st.builds(Interval, NUMBER, NUMBER, NUMBER),
    curve=tuples(NUMBER), episode_length=MAYBE, max_steps=COUNT, random_return=MAYBE,
    parameters=COUNT, train_s=MAYBE, env_steps=COUNT,
    learning=st.dictionaries(TEXT, tuples(NUMBER), max_size=2),
    reward_parts=st.dictionaries(TEXT, PART, max_size=2),
)  # fmt: skip
EXHIBIT = st.builds(
    Exhibit, EXPERIMENT, st.none() | st.builds(Files, TEXT, TEXT), TEXT, st.none() | MEASUREMENTS
)
STANDING = st.builds(
    Standing, st.integers(1), MAYBE, MAYBE, MAYBE, st.integers(0), st.booleans(), TEXT
)
BRIEF = st.builds(
    Brief,
    ordinal=st.integers(1), program=TEXT, files=st.builds(Files, TEXT, TEXT), rung=RUNG,
    lead=st.integers(1), history=tuples(EXPERIMENT), foreign=tuples(TEXT),
    notes=tuples(TEXT), attempts=tuples(st.builds(Attempt, TEXT, TEXT, tuples(st.integers(1)))),
    task_max_steps=COUNT, lead_flags=tuples(TEXT), veto=tuples(TEXT), num_envs=COUNT,
    seed_count=COUNT, files_of=COUNT, known=st.none() | MEASUREMENTS,
    last=st.none() | MEASUREMENTS, standing=st.none() | STANDING, in_flight=tuples(TEXT),
    comparisons=st.dictionaries(
        st.integers(0), st.builds(Comparison, MAYBE, MAYBE, st.integers(0), TEXT), max_size=3
    ),
    asides=tuples(st.builds(Aside, st.integers(0), TEXT, st.booleans())),
    exhibits=tuples(EXHIBIT), asked=tuples(EXHIBIT),
    lessons=st.none() | st.builds(Lessons, TEXT, st.integers(0), TEXT, TEXT),
    lessons_due=st.booleans(),
)  # fmt: skip
EVENT: st.SearchStrategy[JobEvent] = st.one_of(
    st.builds(
        Replied,
        st.builds(Reply, TEXT, TOKENS, st.none() | NUMBER, TEXT),
        tuples(st.builds(Message, TEXT, TEXT)),
    ),
    st.just(NothingToAdd()),
    st.builds(AgentFinished, TEXT),
    st.builds(AgentBlocked, TEXT),
    st.builds(AgentWaits, TEXT, NUMBER),
    st.builds(JobFailed, TEXT),
)


@settings(max_examples=examples(100), deadline=None)
@given(BRIEF)
def test_a_brief_arrives_as_it_was_sent(brief: Brief) -> None:
    """Any brief is one line, and the same brief when it is read."""
    line = brief_line(brief)
    assert line.index(b"\n") == len(line) - 1
    assert read_brief(line) == brief
    assert isinstance(read_brief(line).rung, Rung)


@settings(deadline=None)
@given(EVENT)
def test_an_event_arrives_as_it_was_sent(event: JobEvent) -> None:
    """Any event is one line, and the same event when it is read."""
    line = event_line(event)
    assert line.index(b"\n") == len(line) - 1
    assert read_event(line) == event


@pytest.mark.parametrize("text", ["\ud83d\ude00", "\U0001f600", "\ud800"])
def test_surrogates_are_not_joined(text: str) -> None:
    """Two halves stay two characters, and a whole one stays whole."""
    assert read_event(event_line(AgentBlocked(text))) == AgentBlocked(text)


@pytest.mark.parametrize("text", ["", "a\nb", "\ud800", "\ud83d\ude00", "\U0001f600", "\x00\u2028"])
def test_a_question_arrives_as_what_it_is(text: str) -> None:
    """A brief for a proposal, or one for a review: with the same texts, whatever they hold."""
    files = Files(text, text)
    request = ReviewRequest(files, Files(text, "x"), text, text, ("reward",), (text, text), True)
    review = ReviewBrief(text, request)
    assert read_question(question_line(review)) == review
    assert question_line(review).count(b"\n") == 1
    brief = read_question(question_line(Brief(1, text, files, Rung(12, 8), 1)))
    assert isinstance(brief, Brief)
    assert (brief.program, brief.files) == (text, files)


def test_what_a_process_works_with_arrives() -> None:
    """A configuration, and for a program where it works and how its files are checked."""
    config = AgentConfig(backend="codex", extra={"top_p": [0.9, {"x": None}]}, args=["é"])
    check = CheckSettings("namespaces", 8, None, "cpu", 1.0, "fp32", "fused", 2048)
    for place in (
        None,
        Workplace("/w", "/w/.autorl", "/w/logs"),
        Workplace("/w", "/w/.autorl", "/w/logs", ("python", "-m", "x"), check),
    ):
        line = settings_line(config, place)
        assert line.count(b"\n") == 1
        assert read_settings(line) == (config, place)


def test_a_number_that_is_none_arrives() -> None:
    """Reports may hold NaN, which JSON does not know and Python's does."""
    experiment = Experiment(
        1, "t", True, Status.BASELINE, Rung(12, 8), "openai:m", report=Report({"x": math.nan})
    )
    brief = Brief(1, "", Files("", ""), Rung(12, 8), 1, history=(experiment,))
    assert math.isnan(read_brief(brief_line(brief)).history[0].report.facts["x"])


@pytest.mark.parametrize(
    "line",
    [b"", b"Traceback", b"[]", b"5", b"null", b"{}", b'{"event": "shrugged"}', b'{"event": []}',
     b'{"event": "blocked"}', b'{"event": "blocked", "reason": "x", "more": 1}', b"\xff\xfe",
     b'{"event": "replied", "reply": {"text": "x"}}', b'{"event": "replied", "reply": 5, "sent": []}',
     b'{"event": "replied", "reply": {"text": "x", "tokens": {}}, "sent": ["x"]}'],
)  # fmt: skip
def test_what_is_no_event_is_refused(line: bytes) -> None:
    """A line of something else is never taken for an event."""
    with pytest.raises(ValueError, match=r"."):
        read_event(line)


def test_the_lines_are_json() -> None:
    """Anybody can read them."""
    assert json.loads(event_line(AgentWaits("busy", 2.0))) == {
        "event": "waits", "reason": "busy", "seconds": 2.0, "may_be_billed": False
    }  # fmt: skip
