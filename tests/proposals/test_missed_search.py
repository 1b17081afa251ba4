"""The message of a SEARCH text that missed tells the agent what to repair."""

import time

import pytest

from orchestrator.core.errors import EditError
from orchestrator.core.records import Files
from orchestrator.proposals.missed_search import why_missing
from tests.conftest import DATA
from tests.proposals.test_reply import ENV, TRAIN, block, code_of, read, whole

FILE = 'LR = 3e-3\nWIDTH = 8\n\n\ndef act(x):\n    y = f("a")\n    return y - x\n'

MISSED = {
    "part of a line": ("LR = 3e-3\nWIDTH =\n", ["nearest at line 1", "line 2 the file has `WIDTH = 8`",
                                              "`WIDTH =`", "give the whole line"]),
    "another value": ("LR = 3e-3\nWIDTH = 9\n", ["line 2", "`WIDTH = 8`", "`WIDTH = 9`"]),
    "blanks at the end": ("WIDTH = 8  \n", ["line 2", "only blanks at the line's end differ"]),
    "fewer spaces": ("def act(x):\n  y = f(\"a\")\n", ["line 6", "only the indentation differs",
                                                    "4 spaces, not 2 spaces"]),
    "a tab": ("def act(x):\n\ty = f(\"a\")\n", ["line 6", "4 spaces, not 1 tab"]),
    "no indentation": ('y = f("a")\nreturn y - x\n', ["line 6", "4 spaces, not none",
                                                     "1 more of its 2 lines differ"]),
    "other quotes": ("def act(x):\n    y = f('a')\n", ["line 6", "only quotes, dashes or blanks"]),
    "curly quotes": ("def act(x):\n    y = f(“a”)\n", ["line 6", "only quotes, dashes or blanks"]),
    "a long dash": ('    y = f("a")\n    return y – x\n', ["line 7", "only quotes, dashes"]),
    "a hard space": ("LR\u00a0= 3e-3\nWIDTH = 8\n", ["line 1", "only the blanks within"]),
    "blanks within": ("LR=3e-3\nWIDTH = 8\n", ["line 1", "`LR = 3e-3`", "`LR=3e-3`"]),
    "capitals": ("lr = 3e-3\nWIDTH = 8\n", ["line 1", "only capitals differ"]),
    "an empty line less": ("WIDTH = 8\n\ndef act(x):\n", ["line 4", "an empty line is missing"]),
    "an empty line more": ("LR = 3e-3\n\nWIDTH = 8\n", ["an empty line too many"]),
    "beyond the end": ("    return y - x\n\n\nmore()\n", ["line 8", "the file ends before it"]),
    "the first line is wrong": ("LR = 4\nWIDTH = 8\n\n\ndef act(x):\n", ["nearest at line 1",
                                                                 "at line 1 the file has `LR = 3e-3`"]),
    "a likely line": ("    y = g(\"a\")\n", ["line 6", '`    y = f("a")`']),
    "nothing like it": ("import os\n", ["nor a line like its first: `import os`"]),
    "invisible letters": ("WIDTH\u200b = 8\n", ["line 2", r"`WIDTH\u200b = 8`"]),
    "two differences": ("LR = 3e-3\nWIDTH = 9\n\n\ndef run(x):\n", ["line 2", "1 more of its 5"]),
}  # fmt: skip


@pytest.mark.parametrize(("search", "said"), MISSED.values(), ids=list(MISSED))
def test_message_says_where_the_search_text_parts_from_the_file(
    search: str, said: list[str]
) -> None:
    """The nearest place, the line, what stands there and in the SEARCH text, and what differs."""
    message = why_missing(FILE, search)
    assert message.startswith("the SEARCH text is not there")
    for part in said:
        assert part in message
    assert "\n" not in message


def test_message_reaches_the_agent() -> None:
    """The refusal of the reply is that message, with the path."""
    with pytest.raises(
        EditError, match=r"candidate/train\.py: .*line 2 the file has an empty line"
    ):
        read(whole(body=block("LR = 1\nX = 2\n", "LR = 2\n")))


def test_ambiguous_search_texts_name_their_lines() -> None:
    """Where a SEARCH text stands several times, the agent learns where."""
    more = "x = 1\ny = 2\nx = 1\n"
    with pytest.raises(EditError, match="2 times, from lines 10, 12: "):
        read(whole(body=block("x = 1\n", "x = 3\n")), Files(ENV, TRAIN + more))


def test_many_places_are_cut_short() -> None:
    """Ten places are enough, and no more are looked for."""
    with pytest.raises(EditError, match=r"10 times or more, from lines 10, .* and more: "):
        read(whole(body=block("x = 1\n", "x = 3\n")), Files(ENV, TRAIN + "x = 1\n" * 30_000))


ENDLESS = {
    "one line": ("x" * 250_000 + "\n", "x" * 250_001 + "\n"),
    "equal lines": ("x\n" * 125_000, "x\n" * 100_000 + "y\n"),
    "blank lines": ("\n" * 250_000, "\n" * 100_000 + "y\n"),
    "likely lines": (
        "".join(f"{'ab' * 70}{i:06}\n" for i in range(1700)),
        "".join(f"{'ba' * 70}{i:06}\n" for i in range(9000)),
    ),
    "few lines many times": (
        "".join(f"{i % 100}\n" for i in range(80_000)),
        "".join(f"{i % 99}\n" for i in range(600_000)),
    ),
}


@pytest.mark.parametrize(("text", "search"), ENDLESS.values(), ids=list(ENDLESS))
def test_message_is_short_and_soon_there(text: str, search: str) -> None:
    """Neither a large file nor a large SEARCH text makes a long message, or a long wait."""
    began = time.process_time()
    message = why_missing(text, search)
    assert time.process_time() - began < 10
    assert len(message) < 800


def test_too_many_blocks_are_refused() -> None:
    """A thousand blocks are enough for one file: each of them is looked for in all of it."""
    assert code_of(whole(body=block("LR = 1\n", "LR = 2\n") * 1001)) == "too_large"


def test_second_line_in_part() -> None:
    """A reply as users met it: its first line stands in the file, its second one only in part."""
    text = (DATA / "replies" / "search-missed.md").read_text(encoding="utf-8")
    train = TRAIN.replace("LR = 1", "LR = 3e-3\nWIDTH = 8")
    said = (
        r"nearest at line 1, but at line 2 the file has `WIDTH = 8` and the SEARCH text `WIDTH =`"
    )
    with pytest.raises(EditError, match=said):
        read(text, Files(ENV, train))
