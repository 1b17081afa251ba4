"""The short form of the fuzzing of replies, and that it would find a fault."""

import pytest

from tests.fuzz import replies

DRAFT = "description: a draft\n\nx\n"


@pytest.mark.system
def test_any_reply_is_refused_or_is_what_it_says() -> None:
    """No reply and no source code raises anything but a refusal, or becomes what nobody wrote."""
    tried, faults = replies.run(1500, seed=1)
    assert faults == []
    assert tried >= 1500


def test_draft_that_is_used_is_a_fault() -> None:
    """The check of reasoning fails where the known answer isn't all that is used."""
    with pytest.raises(AssertionError):
        replies.check_thought(("", "\n"), DRAFT)
