"""Fuzz what stands between a reply's text and an edit: it is refused by name, or is what it says.

An input is a reply made of fragments, a real reply changed here and there, or reasoning before a known
answer; and source code of the like. Nothing but `EditError` may be raised, nothing may take long,
what comes out can be stored, and files hold what the reply or the file before says.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from orchestrator.agents.optuna_search import find_tunables, with_values
from orchestrator.core.diff import unified_diff
from orchestrator.core.errors import EditError
from orchestrator.core.records import (
    CANDIDATE_PATHS,
    ENV_PATH,
    TRAIN_PATH,
    Attempt,
    Files,
    Proposal,
    Reply,
    Rung,
)  # fmt: skip
from orchestrator.core.text import clean, one_line
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.candidate_code import check_file, fingerprint
from orchestrator.proposals.edit_blocks import one_newline
from orchestrator.proposals.prompt import build_messages
from orchestrator.proposals.reply import MAX_DESCRIPTION_CHARS, describe, read_reply
from orchestrator.store.database import storable

MAX_SECONDS = 20.0
"""Processor time for one input: far more than any needs, far less than what stops a night's run."""
_BATCH = 500
_VARIANTS = 10
"""Inputs made of one example."""
_REPLIES = [
    path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parent.parent / "data" / "replies").glob("*.md"))
]
ENV = "SIZE = 5\n\n\ndef create_env(config, **options):\n    return SIZE\n"
TRAIN = (
    '"""A small policy."""\nfrom torch import nn\n\nLR = 3e-3\nWIDTH = 8\n\n\n'
    "def build_policy(obs_space, action_space):\n    return WIDTH\n\n\n"
    "def training_overrides(*, num_envs, max_steps, device):\n"
    '    return {"lr": LR, "max_steps": 8}\n'
)
CURRENT = Files(ENV, TRAIN)
_EDIT = "<<<<<<< SEARCH\nLR = 3e-3\n=======\nLR = 1e-2\n>>>>>>> REPLACE\n"
ANSWER = f"description: known\n\n{TRAIN_PATH}\n```python\n{_EDIT}```\n"
ANSWERED = Files(ENV, TRAIN.replace("3e-3", "1e-2"))

_MARKS = [
    ("<think>\n", "\n</think>\n"), ("<think>", "</think>"), ("", "\n</think>\n"),
    ("<thinking>\n", "\n</thinking>\n"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"), ("\ufeff<reasoning>\n", "\n</reasoning>\n\n"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("analysisWe", ".assistantfinal"), ("<think>\n", "\n</thinking>\n"), ("<ctrl94>thought\n", "<ctrl95>"),
    ("<details open type='reasoning'>\n", "\n</details>\n"), ("<mm:think>\n", "\n</mm:think>\n\n"),
    ("<|begin|>assistant<|think|>", "\n<|end|><|begin|>assistant<|content|>"),
]  # fmt: skip
_SOURCE = [
    "x = 1\n", "LR = 3e-3\n", "WIDTH = 8\n", "MASK = 0x" + "f" * 4000 + "\n", "1" * 5000, "0x", "'''",
    '"""', "(" * 300, "[" * 120, ")" * 300, "-" * 3000, "not " * 2000, "+1" * 3000, "lambda:" * 500,
    ".a" * 2000, "f'{x}'", "{" * 30, "f'''" + "{x}" * 300 + "'''", "# coding: latin-1\n",
    "# coding: utf-7\n", "# coding: klingon\n", "# -*- coding: utf-8 -*-\n", "\ufeff", "\\", "\\\n",
    "\0", "\ud800", r"'\ud800'", r"'\N{DASH}'", "\u2028", "\x0c", "\r", "\r\n", "\t", "    ", "\n",
    "\u0301\u0316" * 40, "é", "𝔁 = 1\n", "if x:\n", "else:\n", "class A:\n", "    return 1\n", ":=",
    "match x:\n    case [*_]: pass\n", "async ", "await x\n", "yield\n", "1e999", "nan", "1_0", "1j",
    "def create_env(): ...\n", "def build_policy(): ...\n", "def training_overrides(): ...\n", ENV,
    TRAIN, "LR = 0.5  # range: 0..1\n", "# range: ", "# ... rest unchanged\n", "x" * 5000, "'\\d'",
    "from x import *\n", "a" * 200 + "\n", "\n" * 200, " " * 3000, "#" * 3000, "global LR\n",
]  # fmt: skip
_FRAGMENTS = [
    *CANDIDATE_PATHS, f"{ENV_PATH}\n", f"\n{TRAIN_PATH}\n", "framework.py\n", "../x.py\n", "/etc/passwd",
    "```", "```\n", "```python\n", "````", "~~~", "~~~\n", "   ```", "`", "**", "#", "- ", "> ", "\n", "\n\n",
    "\r\n", "\r", " ", "<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE\n", _EDIT, ANSWER, ENV, TRAIN,
    f"{TRAIN_PATH}\n```\n{TRAIN.replace('8', '9')}```\n", f"{ENV_PATH}\n```\n{ENV}```\n",
    "description: x\n", "rationale: y\n", "description:", "**Description:** ", "I'm sorry", "I can't",
    *(mark for marks in _MARKS for mark in marks), "<think", "</", "think>", "<|", "|>", "<|message|>",
    "<|channel|>", "<|return|>", "<|im_end|>", "</s>", "<answer>", "</answer>", "assistantfinal",
    "analysis", "<details type='reasoning'>", "</details>", "````markdown\n", "`</think>`", "\u200b", "\u202e", "ﷺ" * 50,
]  # fmt: skip
_FINISHES = ["stop", "length", "", "tool_calls", "SAFETY", "error", "klingon", "\ud800", "STOP"]

_LETTERS = st.text(max_size=5)
_CODE = st.lists(st.sampled_from(_SOURCE) | _LETTERS, max_size=12).map("".join)
_PIECES = st.sampled_from(_FRAGMENTS) | st.sampled_from(_SOURCE) | _LETTERS
_MIXED = st.lists(_PIECES, max_size=25).map("".join)


@st.composite
def _changed(draw: st.DrawFn) -> str:
    """Draw a real reply with parts removed, doubled, inserted or cut off."""
    text = draw(st.sampled_from([*_REPLIES, ANSWER]))
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(text)))
        last = draw(st.integers(first, min(len(text), first + 60)))
        piece = draw(_PIECES | st.just(text[first:last] * 2))
        text = text[:first] + piece + text[last:]
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@st.composite
def _whole(draw: st.DrawFn) -> str:
    """Draw a reply whose fence holds drawn source code under a path."""
    path = draw(st.sampled_from(CANDIDATE_PATHS))
    body = draw(_CODE | st.sampled_from([ENV, TRAIN]).flatmap(lambda t: _CODE.map(t.__add__)))
    return f"{draw(_MIXED)}\n{path}\n`````\n{body}\n`````\n{draw(st.sampled_from(_FRAGMENTS))}"


_TEXTS = _MIXED | _changed() | _whole()


def check_reply(text: str, finish_reason: str) -> None:
    """Read a reply of any text as the daemon does. Raises AssertionError on a fault."""
    named = describe(text)
    assert len(named) <= MAX_DESCRIPTION_CHARS
    storable(one_line(named)).encode()
    try:
        proposal = read_reply(Reply(text, finish_reason=finish_reason), CURRENT)
    except EditError as error:
        failure = f"{error.code}: {error}"
    else:
        _check_proposal(text, proposal)
        return
    assert len(failure) < 2000
    attempts = [Attempt(text, failure)]
    brief = Brief(1, "", CURRENT, Rung(12, 8), 1, attempts=attempts)
    for message in build_messages(brief, context_tokens=4000):
        message.content.encode()


def _check_proposal(text: str, proposal: Proposal) -> None:
    files = proposal.files
    assert fingerprint(files) != fingerprint(CURRENT)
    storable(clean(proposal.rationale)).encode()
    storable(one_line(proposal.description)).encode()
    "".join(unified_diff(CURRENT, files)).encode()
    said = set(one_newline(text).split("\n")) | {""}
    for path, new in files.by_path().items():
        check_file(path, new)
        new.encode()
        old = set(CURRENT.by_path()[path].split("\n"))
        for line in one_newline(new.removeprefix("\ufeff")).split("\n"):
            assert line in old or any(
                line in one for one in (said, {s.lstrip("\ufeff") for s in said})
            )
    values = {tunable.name: tunable.high for tunable in find_tunables(files.train)}
    with_values(files.train, values).encode()


def check_thought(marks: tuple[str, str], thought: str) -> None:
    """Read a known answer after any reasoning. Raises AssertionError if it is not what is used."""
    begin, end = marks
    if not _is_closed_by(thought, end):
        return
    proposal = read_reply(Reply(begin + thought + end + ANSWER), CURRENT)
    assert (proposal.files, proposal.description) == (ANSWERED, "known")


def _is_closed_by(thought: str, end: str) -> bool:
    """Is reasoning of this text sure to end at its closing mark, and not before?"""
    marks = ("<", ">", "[/", "[T", "◁", "assistantfinal", "|", "Here is", "Here are", "analysis")
    return not any(mark in thought for mark in marks) and (
        end != "\n</think>\n" or "```" not in thought
    )


def check_source(path: str, text: str) -> None:
    """Check source code of any text as the daemon does. Raises AssertionError on a fault."""
    values = {tunable.name: tunable.low for tunable in find_tunables(text)}
    with_values(text, values)
    try:
        check_file(path, text)
        found = fingerprint(Files(text, TRAIN))
    except EditError:
        return
    assert fingerprint(Files(f"{text}\n# a comment\n", TRAIN)) == found


def run(inputs: int, seed: int) -> tuple[int, list[str]]:
    """Try about this many inputs; return how many were tried, and a line for every fault."""
    tried = 0
    faults: list[str] = []

    def attempt(check: Callable[[], None], shown: object) -> None:
        nonlocal tried
        tried += 1
        began = time.process_time()
        try:
            check()
        except Exception as error:  # noqa: BLE001 - any exception is what is looked for
            faults.append(f"{type(error).__name__}: {str(error)[:200]!r} for {shown!r:.2000}")
        if time.process_time() - began > MAX_SECONDS:
            faults.append(f"more than {MAX_SECONDS:g} s for {shown!r:.2000}")

    batch = 0
    while tried < inputs:
        examples = max(1, min(_BATCH, (inputs - tried) // _VARIANTS))
        _batch(attempt, examples, seed * 1_000_003 + batch)
        batch += 1
    return tried, faults


def _batch(attempt: Callable[[Callable[[], None], object], None], inputs: int, start: int) -> None:
    @seed(start)
    @settings(
        max_examples=inputs, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), derandomize=False,
    )  # fmt: skip
    @given(_TEXTS, st.sampled_from(_FINISHES), st.sampled_from(_MARKS), _CODE)
    def examples(text: str, finish: str, marks: tuple[str, str], code: str) -> None:
        for variant in _variants(text):
            attempt(partial(check_reply, variant, "stop"), variant)
        attempt(partial(check_reply, text, finish), (text, finish))
        attempt(partial(check_thought, marks, text), (marks, text))
        for path in CANDIDATE_PATHS:
            attempt(partial(check_source, path, code), code)

    examples()


def _variants(text: str) -> list[str]:
    """Return a reply as it is, cut off, with other line ends, and around a known answer."""
    half = len(text) // 2
    return [
        text, text[:half], text[half:], text.replace("\n", "\r\n"), f"\ufeff{text}{ANSWER}",
        f"{ANSWER}\n{text}",
    ]  # fmt: skip
