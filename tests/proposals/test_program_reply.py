"""A coding agent's turn as a reply: whatever it says, the files are read back as it left them."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import EditError
from orchestrator.core.records import Files, Reply
from orchestrator.proposals.program_reply import changed_reply, files_left_by, no_edit_reply
from orchestrator.proposals.reply import describe, lessons_in, read_reply
from orchestrator.proposals.show_requests import asked_to_show
from tests.conftest import examples

BEFORE = Files(
    "def create_env(config): pass\n",
    "def build_policy(o, a): pass\ndef training_overrides(**k): return {}\nLR = 1\n",
)
AFTER = replace(BEFORE, train=BEFORE.train.replace("LR = 1", "LR = 2"))


def read(message: str, after: Files = AFTER) -> tuple[str, str, Files]:
    text = changed_reply(message, BEFORE, after, has_world=False)
    proposal = read_reply(Reply(text), BEFORE)
    return proposal.description, proposal.rationale, proposal.files


def fault(text: str) -> str:
    with pytest.raises(EditError) as caught:
        read_reply(Reply(text), BEFORE)
    return f"{caught.value.code}: {caught.value}"


def test_a_turn_that_was_ended_is_told() -> None:
    """What it had changed counts, and whoever reads the record knows that it was not done."""
    text = changed_reply(
        "description: d\nrationale: r", BEFORE, AFTER, has_world=False, ended="not over after 9 s"
    )
    proposal = read_reply(Reply(text), BEFORE)
    assert proposal.rationale == "r\n(the turn was ended before it was over: not over after 9 s)"
    assert proposal.files == AFTER


@pytest.mark.parametrize(
    ("message", "description", "rationale"),
    [
        ("description: d\nrationale: r\nmore", "d", "r\nmore"),
        ("Done.\n\n**description:** d\n**rationale:** r", "d", "r"),
        ("I doubled the rate.\nIt helps.", "I doubled the rate.", ""),
        ("", "(no description)", ""),
        ("description: a\n\nNo, better:\ndescription: b\nrationale: r", "a", "r"),
        ("description: d\nrationale: see\n```\ncode\n```\nthe end", "d", "see\nthe end"),
        ("description: d\nrationale: in\ncandidate/train.py\n```\nx", "d", "in"),
        ("<think>no</think>description: d", "(no description)", ""),
        ("description: <think> d\nrationale: <|channel|>analysis", "‹think> d", "<|channel|>analysis"),
    ],
)  # fmt: skip
def test_the_last_message_describes(message: str, description: str, rationale: str) -> None:
    """Its words are kept as far as they can be mistaken for nothing else."""
    found = read(message)
    assert found[2] == AFTER
    if "channel" not in message and "think>no" not in message:
        assert found[:2] == (description, rationale)


@given(st.text(), st.sampled_from(["", "description: ", "rationale: x\n", "</think>", "```\n"]))
@settings(max_examples=examples(300))
def test_no_message_spoils_the_edit(text: str, before: str) -> None:
    """Not one of them."""
    assert read(before + text)[2] == AFTER


@pytest.mark.parametrize(
    "message",
    [
        "description: d\nrationale: </think> no",
        "description: d\nrationale: <<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE",
        "description: d\nrationale: assistantfinal description: e",
        "description: d\nlessons: \ndescription: e\ncandidate/env.py",
        "analysis I think.assistantfinaldescription: d",
        "Here is my thought process:\ndescription: d",
        "description: d\nrationale: show: #3",
    ],
)
def test_marks_of_other_formats_are_harmless(message: str) -> None:
    """In the message of a program they mean nothing."""
    assert read(message)[2] == AFTER


def test_code_that_holds_fences_is_kept() -> None:
    """The fence around it is longer."""
    after = replace(AFTER, env=BEFORE.env + '"""\n````\ncandidate/train.py\n```\n"""\n')
    assert read("description: d", after)[2] == after


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_do_not_matter(ends: str) -> None:
    """They are the former file's."""
    after = replace(AFTER, train=AFTER.train.replace("\n", ends))
    assert read("description: d", after)[2] == AFTER


def test_a_file_without_a_last_line_end_gets_one() -> None:
    """As any file of a reply."""
    assert read("description: d", replace(AFTER, train=AFTER.train.rstrip()))[2] == AFTER


def test_what_is_wrong_with_the_code_is_told() -> None:
    """As of any other reply; the description stays."""
    text = changed_reply(
        "description: d", BEFORE, replace(AFTER, train="def f(:\n"), has_world=False
    )
    assert fault(text).startswith("syntax_error: candidate/train.py line 1")
    assert describe(text) == "d"


def test_a_file_that_no_reply_can_hold_is_no_edit() -> None:
    """A line of it is a mark of the format."""
    code = AFTER.train + '"""\n<<<<<<< SEARCH\nLR = 1\n=======\nLR = 3\n>>>>>>> REPLACE\n"""\n'
    text = changed_reply("description: d", BEFORE, replace(AFTER, train=code), has_world=False)
    assert fault(text)


def test_what_was_dropped_is_named() -> None:
    """Before the description; ten names at most."""
    names = [f"{n}.txt" for n in range(12)]
    text = changed_reply("description: d", BEFORE, AFTER, has_world=False, dropped=names)
    assert text.startswith("dropped: 0.txt, 1.txt")
    assert "9.txt and 2 more\n" in text
    assert read_reply(Reply(text), BEFORE).files == AFTER


def test_lessons_are_kept() -> None:
    """They are read from the reply as an API's are."""
    text = changed_reply("description: d\nlessons: works\n- x", BEFORE, AFTER, has_world=False)
    assert lessons_in(Reply(text)) == "works\n- x"


def test_no_edit_says_why() -> None:
    """In one line, whatever was said; it asks for nothing."""
    text = no_edit_reply("it said: a\nshow: #3\n```\n<think>", "description: d")
    assert fault(text) == "no_edit: it said: a show: #3 ``` ‹think>"
    assert describe(text) == "d"
    assert asked_to_show(Reply(text)) == ()
    assert fault(no_edit_reply("it said: I can't assist with that")).startswith("refusal: ")


def test_a_repair_finds_what_was_left() -> None:
    """Also what does not parse; a reply without an edit leaves the files as they were."""
    broken = replace(AFTER, train=AFTER.train + "oops(\n")
    text = changed_reply("description: d", BEFORE, broken, has_world=False)
    assert files_left_by(text, BEFORE) == broken
    assert files_left_by(no_edit_reply("why"), BEFORE) == BEFORE
    assert files_left_by("candidate/train.py\n```\nnot closed", BEFORE) == BEFORE
    assert files_left_by("", BEFORE) == BEFORE
