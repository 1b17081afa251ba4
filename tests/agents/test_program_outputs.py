"""What the coding agents print: recorded outputs of each version, and whatever else may come."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.agents.programs.known import KNOWN, program_of
from orchestrator.agents.programs.program import Said
from orchestrator.core.records import Tokens
from tests.conftest import examples

DATA = Path(__file__).parent.parent / "data" / "agents"
FOLDERS = sorted(DATA.iterdir())
NAMES = sorted({folder.name.partition("-")[0] for folder in FOLDERS})
FOUR, TWO = Tokens(4000, 2400, 200, 80), Tokens(2000, 1200, 100, 40)
"""Tokens of four answers of the tests' server, and of two (`tests/real_agents/wires.py`)."""
IDEA = "description: a wider network\nrationale: it was too narrow"


def read(name: str, lines: Iterable[bytes], code: int | None = 0, stderr: str = "") -> Said:
    output = program_of(name).output()
    for line in lines:
        output.feed(line)
    return output.said(code, stderr)


def recorded(folder: Path, title: str) -> list[bytes]:
    return (folder / f"{title}.jsonl").read_bytes().splitlines()


def counted(name: str, tokens: Tokens) -> Tokens:
    """What a program tells of these tokens."""
    match name:
        case "qwen":
            return Tokens(tokens.input, tokens.cached, tokens.output)
        case "aider":  # one answer is its whole turn
            return Tokens(1000, None, 50)
    return tokens


each_version = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_every_known_program_has_recordings() -> None:
    """A program without a recorded output is a parser that nobody tried."""
    assert sorted(KNOWN) == NAMES


@each_version
def test_recorded_edit(folder: Path) -> None:
    """Last message and tokens of a whole turn, the input with what was cached."""
    name = folder.name.partition("-")[0]
    lines = recorded(folder, "edit")
    said = read(name, lines)
    assert said.text.startswith(IDEA)
    assert said.tokens == counted(name, FOUR)
    assert (said.error, said.status, said.is_known) == ("", None, True)
    assert (said.cost_usd is not None) == (name == "claude")


@each_version
def test_recorded_end(folder: Path) -> None:
    """The end of a turn is told by its last event, and by none before it."""
    output = program_of(folder.name.partition("-")[0]).output()
    *others, last = recorded(folder, "edit")
    for line in others:
        output.feed(line)
        assert not output.is_over
    output.feed(last)
    assert output.is_over


@each_version
def test_recorded_refusal(folder: Path) -> None:
    """A turn without an edit is no failure of the program."""
    name = folder.name.partition("-")[0]
    said = read(name, recorded(folder, "no-edit"))
    assert said.text == "I can't help with that."
    assert said.tokens == counted(name, TWO)
    assert said.error == ""


@each_version
def test_recorded_refused_key(folder: Path) -> None:
    """What the endpoint said, and its HTTP status."""
    name = folder.name.partition("-")[0]
    said = read(name, recorded(folder, "refused-key"), 0 if name == "aider" else 1)
    assert "the key is wrong" in said.error
    assert (said.status, said.is_known) == (401, True)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_format(name: str) -> None:
    """Of an output in no known format only the diff counts; its exit code still says that it failed."""
    said = read(name, [b"Hello!", b'{"kind": "done"}', b"[1, 2]"], 2, "no such option: --json\n")
    assert not said.is_known
    assert said.error == "exit code 2\nno such option: --json"
    assert said.tokens == Tokens()
    assert read(name, []) == Said(is_known=False)


@pytest.mark.parametrize("name", NAMES)
def test_killed_without_an_end(name: str) -> None:
    """A turn that was killed has no exit code, and is no failure in the program's words."""
    lines = recorded(next(DATA.glob(f"{name}-*")), "edit")[:-1]
    said = read(name, lines, None)
    assert (said.error, said.is_known) == ("", True)


def test_tokens_of_a_killed_turn() -> None:
    """Claude's and qwen's messages have their tokens, each once however many pieces it has."""
    for name in ("claude", "qwen"):
        lines = recorded(next(DATA.glob(f"{name}-*")), "edit")[:-1]
        once = read(name, lines, None).tokens
        assert once.input == 4000
        assert read(name, lines + lines, None).tokens == once


def test_codex_tries_again() -> None:
    """An error after which codex tries again is forgotten when its turn completes."""
    lines = [
        b'{"type":"error","message":"Reconnecting... 1/2 (unexpected status 500)"}',
        b'{"type":"turn.completed","usage":{"input_tokens":5}}',
    ]
    assert read("codex", lines[:1], None).status == 500
    assert read("codex", lines).error == ""


def test_codex_busy() -> None:
    """Codex words every 5xx alike, without its number."""
    busy = "We’re currently experiencing high demand, which may cause temporary errors."
    failed = json.dumps({"type": "turn.failed", "error": {"message": busy}}).encode()
    assert read("codex", [failed], 1).status == 503


def test_gemini_tells_a_status_by_its_exit_code() -> None:
    """Of 429 gemini's words name no number; its exit code is the status, cut to eight bits."""
    error = {"type": "result", "status": "error", "error": {"message": "[API Error: slow down]"}}
    assert read("gemini", [json.dumps(error).encode()], 429 % 256).status == 429
    assert read("gemini", [json.dumps(error).encode()], 1).status is None


def test_gemini_says_something_between_tools() -> None:
    """What gemini says before a tool is not its last message; what comes in pieces is one."""
    says = [{"type": "message", "role": "assistant", "content": text} for text in ("a", "b", "c")]
    lines = [says[0], {"type": "tool_use"}, *says[1:]]
    assert read("gemini", [json.dumps(line).encode() for line in lines]).text == "bc"


def test_qwen_waits_for_a_busy_endpoint() -> None:
    """Qwen tells why it waits on its standard error alone."""
    stderr = "Retrying in 60s (attempt 1/10): [API Error: 429 slow down]\n"
    said = read("qwen", [b'{"type":"system"}'], None, stderr)
    assert (said.error, said.status) == ("API Error: 429 slow down", 429)


def test_claude_at_its_cost_limit() -> None:
    """Claude calls every end a success, or names the limit that ended it."""
    result = {"type": "result", "subtype": "error_max_budget_usd", "total_cost_usd": 0.5}
    said = read("claude", [json.dumps(result).encode()], 1)
    assert (said.error, said.cost_usd) == ("error_max_budget_usd", 0.5)


def test_claude_guesses_a_cost() -> None:
    """Of a model that claude does not know it guesses the prices: unknown stays unknown."""
    for basis, cost in (("list", 0.5), ("unknown", None)):
        usage = {"m": {"costBasis": basis}}
        result = {"type": "result", "total_cost_usd": 0.5, "modelUsage": usage}
        assert read("claude", [json.dumps(result).encode()]).cost_usd == cost


def test_opencode_goes_on() -> None:
    """A step that begins after one that ended the turn takes the end back."""
    output = program_of("opencode").output()
    output.feed(b'{"type":"step_finish","part":{"reason":"stop","cost":0.25}}')
    assert output.is_over
    output.feed(b'{"type":"step_start"}')
    assert not output.is_over
    assert output.said(0, "").cost_usd == 0.25


def test_aider_tries_again() -> None:
    """An error that aider prints is forgotten when a message was answered after it."""
    error = b"litellm.RateLimitError: RateLimitError: OpenAIException - slow down"
    sent = b'{"event": "message_send", "properties": {"prompt_tokens": 7, "cost": 0.125}}'
    assert read("aider", [error]).status == 429
    said = read("aider", [error, sent])
    assert (said.error, said.status, said.cost_usd) == ("", None, 0.125)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["result", "step_finish", "turn.completed", "\ud800", "é" * 9, 10**400, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def spoilt(value: object, data: st.DataObject) -> object:
    """Return a value in which some of its parts are anything else."""
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(ODD)
    if isinstance(value, dict):
        return {key: spoilt(part, data) for key, part in value.items()}
    if isinstance(value, list):
        return [spoilt(part, data) for part in value[:5]]
    return value


def check(said: Said) -> None:
    """What the adapter relies on."""
    for text in (said.text, said.error):
        text.encode()
    tokens = said.tokens
    for count in (tokens.input, tokens.cached, tokens.output, tokens.reasoning):
        assert count is None or (type(count) is int and count >= 0)
    assert said.cost_usd is None or 0 <= said.cost_usd < float("inf")
    assert said.status is None or 400 <= said.status < 600
    assert isinstance(said.is_known, bool)


LINES = {
    name: [
        line
        for file in sorted(next(DATA.glob(f"{name}-*")).iterdir())
        for line in file.read_bytes().splitlines()
        if len(line) < 3000
    ]
    for name in NAMES
}


@settings(max_examples=examples(120))
@given(st.data())
@pytest.mark.parametrize("name", NAMES)
def test_no_value_raises(name: str, data: st.DataObject) -> None:
    """Whatever stands in place of a value, nothing raises, and what is told stays usable."""
    output = program_of(name).output()
    for line in data.draw(st.lists(st.sampled_from(LINES[name]), max_size=5)):
        changed = line
        if line.startswith(b"{"):
            changed = json.dumps(spoilt(json.loads(line), data)).encode()
        output.feed(changed)
        assert isinstance(output.is_over, bool)
    check(output.said(data.draw(st.none() | st.integers(0, 300)), data.draw(st.text(max_size=20))))


@settings(max_examples=examples(90))
@given(st.lists(st.binary(max_size=60), max_size=4))
@example([b"[" * 100_000])
@example([b'{"type":' + b"9" * 10_000 + b"}"])
@example([b'{"type":"result","result":"\\ud800"}', b'{"type":"text","part":{"text":"\\ud800"}}'])
@pytest.mark.parametrize("name", NAMES)
def test_no_bytes_raise(name: str, lines: list[bytes]) -> None:
    """Whatever the bytes are, nothing raises."""
    check(read(name, lines))
