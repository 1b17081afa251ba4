"""Requests to see code: what is one, what is not, and how many there may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.records import Attempt, Reply
from orchestrator.proposals.show_requests import (
    MAX_SHOWN,
    asked_to_show,
    failures,
    may_show,
    turn_name,
)
from tests.fakes import reply

ASKS = {
    "plain": ("show: #3", (3,)),
    "several": ("show: #3, #7 and #12", (3, 7, 12)),
    "bold": ("**show:** #3, #7", (3, 7)),
    "in backticks": ("`show: #3`", (3,)),
    "capitals": ("Show: #3.", (3,)),
    "bare numbers": ("show: 3, 7", (3, 7)),
    "with words around": ("I need to see more first.\n\nshow: #3\n\nThank you.", (3,)),
    "after reasoning": ("<think>\nshow: #9\n</think>\nshow: #3", (3,)),
    "twice the same": ("show: #3, #3", (3,)),
    "in a fence": ("```\nshow: #3\n```", (3,)),
    "in a fence with words around": ("First:\n\n```text\nshow: #3, #7\n```\nThank you.", (3, 7)),
    "in a fence of tildes, and bold": ("~~~\n**show**: #3\n~~~\n", (3,)),
    "no colon": ("show #3", (3,)),
    "no colon, several": ("Show #3, #7 and #12.", (3, 7, 12)),
    "no colon, bold": ("**show #3**", (3,)),
    "no colon, in a fence": ("```\nshow #3 #7\n```", (3, 7)),
    "too many": ("show: #1 #2 #3 #4", (1, 2, 3)),
}
OTHERS = {
    "an edit": reply("def build_policy(): ...\n") + "\nshow: #3\n",
    "in a sentence": "I would like you to show: #3",
    "no number": "show: the environment",
    "a natural request": "Please show me the code of #3.",
    "numbers in words": "show: 12 rollouts are few",
    "no colon, no number": "show",
    "no colon, words after": "Show #3 is what I would like to see improved.",
    "no colon, numbers alone": "show 12",
    "a draft without a path": f"```\n{reply('x')}\n```\nshow: #3",
    "in a cut fence": "```\nshow: #3",
    "empty": "",
    "a path without a block": "show: #3\n\ncandidate/train.py",
}


@pytest.mark.parametrize("name", ASKS)
def test_a_line_of_its_own_asks(name: str) -> None:
    """With up to three numbers, whatever marks stand around it."""
    text, numbers = ASKS[name]
    assert asked_to_show(Reply(text)) == numbers


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_does_not_ask(name: str) -> None:
    """An edit above all: it is evaluated, whatever else is said."""
    assert asked_to_show(Reply(OTHERS[name])) == ()


def test_a_reply_that_was_cut_asks_for_nothing() -> None:
    """The numbers may be cut, too."""
    assert asked_to_show(Reply("show: #3", finish_reason="length")) == ()


@given(st.text(max_size=60).map("show: ".__add__) | st.text(max_size=60))
def test_any_text_asks_for_few_or_for_none(text: str) -> None:
    """Nothing raises, and no more than three are asked for."""
    assert len(asked_to_show(Reply(text))) <= MAX_SHOWN


def test_turns_are_named_by_what_came_before() -> None:
    """So a script can answer each of them."""
    failed, shown = Attempt("x", "wrong"), Attempt("show: #3", shows=(3,))
    assert turn_name(()) == ""
    assert turn_name((failed,)) == "repair-1"
    assert turn_name((shown,)) == "show-1"
    assert turn_name((shown, failed)) == "repair-1"
    assert turn_name((failed, shown, shown)) == "show-2"
    assert failures((failed, shown, failed)) == 2


def test_three_requests_are_answered() -> None:
    """The fourth is not."""
    shown = Attempt("show: #3", shows=(3,))
    assert [may_show((shown,) * count) for count in range(5)] == [True] * 3 + [False] * 2
