"""The command on what a run has taught: printed, and written anew by a person."""

import io
import sys
from pathlib import Path

import pytest

from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_lessons_are_printed(ended: Workspace, call: Call) -> None:
    """The text alone on standard output, whose they are beside it."""
    assert "no lessons yet" in call("lessons", cwd=ended.root).stdout
    with Ledger(ended.ledger) as ledger:
        ledger.add_lessons("t", "- works: #2\x1b[31m", "openai:m", "2026-11-22T00:00:00Z")
    done = call("lessons", cwd=ended.root)
    assert done.stdout == "- works: #2\n"
    assert "by openai:m after #4" in done.stderr


def test_lessons_come_from_standard_input(
    ended: Workspace, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They replace those before; what is too long, or equal, is told."""
    typed(monkeypatch, "- mine\n")
    assert "from its next prompt on" in call("lessons", "--edit", "-", cwd=ended.root).stdout
    with Ledger(ended.ledger) as ledger:
        known = ledger.lessons("t")
    assert known is not None
    assert (known.text, known.author, known.after_n) == ("- mine", "human", 4)
    typed(monkeypatch, "- mine\n")
    assert "nothing was changed" in call("lessons", "--edit", "-", cwd=ended.root).stdout
    typed(monkeypatch, "x" * 4001)
    call("lessons", "--edit", "-", cwd=ended.root).refuses("a prompt shows 4000")


def test_lessons_are_edited(ended: Workspace, call: Call, tmp_path: Path) -> None:
    """In the person's editor, which begins with what there is."""
    with Ledger(ended.ledger) as ledger:
        ledger.add_lessons("t", "- one", "openai:m", "2026-11-22T00:00:00Z")
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\necho "- two" >> "$1"\n')
    editor.chmod(0o755)
    call("lessons", "--edit", cwd=ended.root, VISUAL="", EDITOR=f"'{editor}'")
    assert call("lessons", cwd=ended.root).stdout == "- one\n- two\n"


def test_an_editor_that_fails_changes_nothing(ended: Workspace, call: Call) -> None:
    """Nor does one that is not there; without any the way out is named."""
    done = call("lessons", "--edit", cwd=ended.root, VISUAL="", EDITOR="false")
    assert (done.code, "nothing was changed" in done.stderr) == (1, True)
    done = call("lessons", "--edit", cwd=ended.root, VISUAL="", EDITOR="/no/such/editor")
    assert (done.code, "can't be run" in done.stderr) == (1, True)
    call("lessons", "--edit", cwd=ended.root, VISUAL="", EDITOR="").refuses("$EDITOR is not set")
    with Ledger(ended.ledger) as ledger:
        assert ledger.lessons("t") is None


def test_before_a_run_there_is_nothing_to_learn(stubbed: Workspace, call: Call) -> None:
    """Said in a line."""
    call("lessons", cwd=stubbed.root).refuses("nothing has run in")
