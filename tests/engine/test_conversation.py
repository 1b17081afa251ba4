"""The conversation with the agent through the engine: code shown, lessons, what a brief gathers."""

from collections.abc import Mapping

import pytest

from orchestrator.core.records import Files, Reply, Status
from orchestrator.engine.engine import Engine
from orchestrator.proposals.agent_events import Replied
from tests.engine.conftest import TAG, Lab
from tests.engine.test_lanes import TellingAgent, turns
from tests.fakes import QuietMonitor, reply


def engine(lab: Lab, script: Mapping[str, str], **sections: object) -> Engine:
    """Return an engine over a script whose files have names."""
    made = lab.engine(**sections)  # type: ignore[arg-type]
    for name, text in script.items():
        (lab.script / f"{name}.md").write_text(text)
    return made


# -- show ------------------------------------------------------------------------------------------


def test_code_is_shown_in_the_same_conversation(lab: Lab) -> None:
    """Its answer is evaluated as the same experiment, and nothing counts as a failure."""
    worse, better = lab.train(SCORE=-1.0), lab.train(SCORE=1.0)
    script = {"0001": reply(worse), "0002": "show: #2, #9", "0002.show-1": reply(better)}
    engine(lab, script, agent={"max_repairs": 0}).run()
    assert lab.statuses() == ["baseline", "discard", "keep"]
    assert [attempt.shows for attempt in lab.briefs[2].attempts] == [(2, 9)]
    answer = lab.prompt(2)
    assert f"candidate/train.py of #2:\n```python\n{worse}```" in answer
    assert "candidate/env.py: equal to the current one." in answer
    assert "#9: there is no finished experiment" in answer
    folder = lab.root / "logs" / "experiments" / "3"
    assert (folder / "reply.md").read_text() == "show: #2, #9"
    assert (folder / "reply.show-1.md").read_text() == reply(better)
    assert [failure for _, failure in lab.ledger.replies(3)] == [None, None]


def test_showing_leaves_the_repairs_as_they_are(lab: Lab) -> None:
    """Two failures are repaired before and after a request, and the third ends the experiment."""
    script = {
        "0001": "nothing", "0001.repair-1": "show: #1", "0001.show-1": "nothing again",
        "0001.repair-2": reply(lab.train(SCORE=1.0)),
    }  # fmt: skip
    engine(lab, script).run()
    assert lab.statuses() == ["baseline", "keep"]
    assert [bool(attempt.shows) for attempt in lab.briefs[3].attempts] == [False, True, False]


def test_the_fourth_request_is_a_failure_that_says_so(lab: Lab) -> None:
    """And may be repaired like any other."""
    script = {"0001": "show: #1"} | {f"0001.show-{k}": "show: #1" for k in (1, 2, 3)}
    script |= {"0001.repair-1": reply(lab.train(SCORE=1.0))}
    engine(lab, script).run()
    assert lab.statuses() == ["baseline", "keep"]
    assert "code was shown 3 times already" in lab.briefs[-2].attempts[-1].error


def test_a_request_without_a_further_answer_is_invalid(lab: Lab) -> None:
    """The reason says what was asked for."""
    engine(lab, {"0001": "show: #1, #2"}).run()
    assert lab.statuses() == ["baseline", "invalid"]
    invalid = lab.ledger.experiment(2)
    assert invalid is not None
    assert "asked to see #1, #2 and had no further answer" in invalid.reason


def test_a_restart_finds_the_conversation(lab: Lab) -> None:
    """A daemon that ends while the evaluation runs asks nothing twice, and shows the same code."""
    script = {"0001": reply(lab.train(SCORE=-1.0)), "0002": "show: #2",
              "0002.show-1": "nothing", "0002.repair-1": reply(lab.train(SCORE=3.0))}  # fmt: skip
    first = engine(lab, script)
    for _ in range(10_000):
        lane = next((lane for lane in first.lanes if lane.n == 3), None)
        if lane is not None and lane.session is not None:
            break
        assert first.turn() is None
    before = list(lab.briefs)
    lab.evaluator.cancel("3")
    second = engine(lab, script)
    second.run()
    assert lab.statuses() == ["baseline", "discard", "keep"]
    assert len(lab.ledger.replies(3)) == 3
    assert [len(brief.attempts) for brief in before] == [0, 0, 1, 2]
    assert lab.briefs[len(before) :][0].ordinal == 3  # of #3 nothing was asked again


@pytest.mark.parametrize("answered", [1, 2])
def test_a_restart_between_two_turns_asks_the_same(lab: Lab, answered: int) -> None:
    """The question after a restart quotes what was said before it, and the same code."""
    script = {"0001": reply(lab.train(SCORE=-1.0)), "0002": "show: #2", "0002.show-1": "show: #1",
              "0002.show-2": reply(lab.train(SCORE=3.0))}  # fmt: skip
    first = engine(lab, script)
    while len(lab.ledger.replies(3)) < answered:
        assert first.turn() is None
    lab.briefs.clear()
    second = engine(lab, script)
    lab.until(second, 3)
    assert lab.statuses() == ["baseline", "discard", "keep"]
    assert [len(brief.attempts) for brief in lab.briefs[: 3 - answered]] == [*range(answered, 3)]
    again = lab.prompt(2 - answered)
    assert "show: #1" in again
    assert again.index("## Code of #2 (as you asked)") < again.index("## Code of #1 (as you asked)")


# -- failures --------------------------------------------------------------------------------------


def test_every_error_of_an_experiment_is_kept(lab: Lab) -> None:
    """The reason is the last one's; the details have the others, and the next prompt shows them."""
    script = {
        "0001": "nothing", "0001.repair-1": reply("def broken(:\n"),
        "0001.repair-2": "I cannot build on #3, please show its code.",
        "0002": reply(lab.train(SCORE=1.0)),
    }  # fmt: skip
    engine(lab, script).run()
    invalid = lab.ledger.experiment(2)
    assert invalid is not None
    assert invalid.reason.startswith("no_edit: ")
    assert "`show: #N`" in invalid.reason
    assert "1. no_edit: the reply holds no edit" in invalid.details
    assert "2. syntax_error: candidate/train.py line 1" in invalid.details
    assert "2. syntax_error" in lab.prompt(len(lab.briefs) - 2)


# -- what a brief gathers --------------------------------------------------------------------------


def test_a_brief_gathers_the_notebook(lab: Lab) -> None:
    """Numbers, the change, solve rates, promising code, notes in their place."""
    promising = lab.train(SCORE=-0.9, WIDTH=2)
    made = engine(lab, {"0001": reply(promising), "0002": reply(lab.train(SCORE=0.1))})
    lab.until(made, 2)
    lab.ledger.add_note("look at #2 again", "2026-11-22T03:04:06.000Z")
    made.run()
    brief = lab.briefs[1]
    assert brief.num_envs == 32
    assert brief.known is not None
    assert brief.known.n == 1
    comparison = brief.comparisons[2]
    assert "+WIDTH = 2" in comparison.diff
    assert (comparison.solved_after, brief.history[-1].n) == (0.5, 2)
    assert [aside.text for aside in brief.asides] == ["a note from the human: look at #2 again"]
    assert brief.asides[0].after_ended == 2
    assert [(e.experiment.n, e.why) for e in brief.exhibits] == [
        (2, "named in a note of the human")
    ]
    assert brief.exhibits[0].files == Files(lab.files.env, promising)
    assert brief.files_of is None


def test_attempts_at_a_task_are_not_lost(lab: Lab) -> None:
    """While the start is no task, the code of every attempt that ran is shown."""
    lab.files = Files(lab.files.env, lab.train(SCORE=0.0, FLAG="no task: nothing varies"))
    tries = [lab.train(SCORE=-n, FLAG="nondeterministic") for n in (1, 2)]
    lab.engine([reply(text) for text in tries]).run()
    shown = {exhibit.experiment.n: exhibit for exhibit in lab.briefs[2].exhibits}
    assert shown[2].files == Files(lab.files.env, tries[0])
    assert shown[2].why == "an attempt at a task"
    assert "the start is no task (nothing varies)" in lab.prompt(2)


def test_an_accept_stands_in_its_place(lab: Lab) -> None:
    """Between the endings before and after it, in every later prompt."""
    replies = [reply(lab.train(SCORE=-n)) for n in (1, 2, 3)]
    made = lab.engine(replies)
    lab.until(made, 2)
    lab.ledger.add_request("accept", "2", "now")
    made.run()
    text = lab.prompt(2)
    assert "experiment #2, accepted by the human" in text
    assert text.index("#2 discard") < text.index("(the human accepted #2") < text.index("#3 ")


# -- lessons ---------------------------------------------------------------------------------------


def with_lessons(text: str, lessons: str) -> str:
    return text.replace("rationale: because", f"rationale: because\nlessons:\n{lessons}\n")


def test_lessons_are_asked_for_kept_and_shown(lab: Lab) -> None:
    """After so many experiments; what comes unasked is not taken for any."""
    replies = [
        with_lessons(reply(lab.train(SCORE=-n)), f"- works: nothing after {n}") for n in range(1, 7)
    ]
    lab.engine(replies, agent={"lessons_every": 2}).run()
    assert [brief.lessons_due for brief in lab.briefs[:6]] == [False, False, True] * 2
    assert "a line `lessons:`" in lab.prompt(2)
    assert lab.briefs[2].lessons is None
    shown = lab.briefs[3].lessons
    assert shown is not None
    assert (shown.text, shown.after_n, shown.author) == ("- works: nothing after 3", 4, "scripted")
    assert "- works: nothing after 3" in lab.prompt(3)
    last = lab.ledger.lessons(TAG)
    assert last is not None
    assert last.text == "- works: nothing after 6"


def test_lessons_are_asked_for_again_until_they_come(lab: Lab) -> None:
    """An answer without them is evaluated like any other; never asked where none are wanted."""
    replies = [reply(lab.train(SCORE=-n)) for n in range(1, 6)]
    lab.engine(replies, agent={"lessons_every": 2}).run()
    assert [brief.lessons_due for brief in lab.briefs[:5]] == [False, False, True, True, True]


def test_no_lessons_are_asked_for_where_none_are_wanted(lab: Lab) -> None:
    """`agent.lessons_every: null`."""
    replies = [with_lessons(reply(lab.train(SCORE=-n)), "- x") for n in range(1, 13)]
    lab.engine(replies, agent={"lessons_every": None}).run()
    assert not any(brief.lessons_due for brief in lab.briefs)
    assert lab.ledger.lessons(TAG) is None


def test_a_humans_lessons_are_not_replaced_at_once(lab: Lab) -> None:
    """What a person wrote stays until lessons are due again."""
    replies = [with_lessons(reply(lab.train(SCORE=-n)), f"- by {n}") for n in range(1, 5)]
    made = lab.engine(replies, agent={"lessons_every": 2})
    lab.until(made, 3)
    lab.ledger.add_lessons(TAG, "- mine", "human", "now")
    made.run()
    assert [brief.lessons_due for brief in lab.briefs[:4]] == [False, False, False, False]
    shown = lab.briefs[-1].lessons
    assert shown is not None
    assert shown.text == "- mine"


class TickingMonitor(QuietMonitor):
    """A monitor whose clock goes on by a second each time."""

    ticks = 0

    def now(self) -> str:
        """Return a later time than before."""
        self.ticks += 1
        return f"2026-11-22T04:{self.ticks // 60:02}:{self.ticks % 60:02}.000Z"


def test_every_lane_that_was_asked_for_lessons_is_heard(lab: Lab) -> None:
    """The one that ends last replaces those of the other; a human's of meanwhile stay."""
    lab.monitor = TickingMonitor()
    agent = TellingAgent()
    made = lab.engine(proposer=agent, lanes=2, agent={"lessons_every": 1})

    def written(proposal: int, text: str) -> str | None:
        """Return the lessons once a proposal with these has ended."""
        answer = reply(lab.train(SCORE=-float(proposal)))
        told = Replied(Reply(with_lessons(answer, text) if text else answer))
        agent.news = [(f"proposal-{proposal}", told)]
        turns(made)
        known = lab.ledger.lessons(TAG)
        return known.text if known else None

    turns(made)
    assert written(1, "") is None
    assert written(2, "") is None
    assert written(3, "- by 3") == "- by 3"
    assert written(4, "- by 4") == "- by 4"
    lab.ledger.add_lessons(TAG, "- mine", "human", lab.monitor.now())
    assert written(5, "- by 5") == "- mine"


def test_lessons_of_a_reply_that_failed_are_kept(lab: Lab) -> None:
    """They are of the record, not of the edit."""
    replies = [reply(lab.train(SCORE=-1.0)), "lessons:\n- think before you write\n"]
    lab.engine(replies, agent={"lessons_every": 1}).run()
    assert lab.statuses()[-1] == Status.INVALID
    known = lab.ledger.lessons(TAG)
    assert known is not None
    assert known.text == "- think before you write"
