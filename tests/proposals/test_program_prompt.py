"""What a coding agent is told."""

from dataclasses import replace

from orchestrator.core.records import Attempt, Files, Rung
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.program_prompt import build_notebook, build_prompt
from orchestrator.proposals.prompt import build_messages
from orchestrator.proposals.protocol import JUDGED, WORLD_INTERFACE, WORLD_JUDGED

BRIEF = Brief(
    ordinal=1, program="Find the key.", files=Files("e = 1\n", "t = 1\n"), rung=Rung(12, 8), lead=1
)  # fmt: skip


def test_the_prompt_is_short_and_whole() -> None:
    """The notebook is a file beside it; no placeholder is left."""
    text = build_prompt(BRIEF)
    assert JUDGED in text
    assert len(text) < 4000
    assert "@" not in text
    assert "lessons:" not in text
    assert "task/" not in text
    for name in ("candidate/env.py", "candidate/train.py", "program.md", "notebook.md", "./check"):
        assert name in text


def test_a_world_has_its_contract() -> None:
    """As an API is told it."""
    text = build_prompt(replace(BRIEF, world={"world.py": "x"}))
    assert WORLD_INTERFACE in text
    assert WORLD_JUDGED in text
    assert JUDGED not in text
    assert "@" not in text


def test_lessons_are_asked_for_when_they_are_due() -> None:
    """In the last message."""
    assert "\nlessons: what the record" in build_prompt(replace(BRIEF, lessons_due=True))


def test_a_failure_is_quoted() -> None:
    """The last one, bounded."""
    attempts = (Attempt("r", "first"), Attempt("r", "second " + "x" * 20_000))
    text = build_prompt(replace(BRIEF, attempts=attempts))
    assert "second xxx" in text
    assert "first" not in text.partition("# To mend")[2]
    assert len(text) < 12_000


def test_the_notebook_is_what_an_api_gets() -> None:
    """Within the same context."""
    brief = replace(BRIEF, attempts=(Attempt("r", "e"),))
    for tokens in (2000, 64_000):
        text = build_notebook(brief, context_tokens=tokens)
        assert text == build_messages(brief, context_tokens=tokens)[1].content + "\n"
