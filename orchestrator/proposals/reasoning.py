"""What a model thought before it answered, taken out of a reply. Pure.

Reasoning often holds drafts of edits, unclosed fences and lone paths: none of it is an answer.
Servers that don't separate it send it in the text, in the marks of the model's template. Everything
up to a closing tag that no opening tag precedes is reasoning too: some templates begin inside it.
"""

import re
from bisect import bisect_left

from orchestrator.core.errors import EditError
from orchestrator.core.python_source import BOM
from orchestrator.core.records import CANDIDATE_PATHS
from orchestrator.proposals.candidate_code import parse
from orchestrator.proposals.channels import final_channel
from orchestrator.proposals.edit_blocks import has_markers, one_newline, search_replace_pairs
from orchestrator.proposals.fences import (
    closes_fence,
    fenced_blocks,
    opened_fence,
    path_of,
    undecorated,
)
from orchestrator.proposals.reasoning_tags import NEAR_CHARS, Tag, find_tags, reasoning_ends

_MAX_DOUBTS = 4
"""How many fenced blocks are examined for the end of reasoning that began before the reply."""
# What some models are trained to write in place of tags: before reasoning, and after it.
_SENTENCES = (
    (
        re.compile(r"\s*Here is my thought process:"),
        re.compile(r"^Here is my response:", re.MULTILINE),
    ),
    (
        re.compile(r"\s*Here are my reasoning steps:"),
        re.compile(r"^\[BEGIN FINAL RESPONSE\]", re.MULTILINE),
    ),
    (
        re.compile(r"\s*Thinking\.\.\.\s*\n"),
        re.compile(r"^\.\.\.done thinking\.", re.MULTILINE),
    ),
)
_NO_END = "the reply ends within its reasoning: think less, and answer after it"
_ANSWER = r"(?:answer|final_answer|final|output|response|solution)"
_SPECIAL = r"<[|｜][^<>|｜\n]{1,60}[|｜]>"
_BEFORE = re.compile(rf"\s*(?:<{_ANSWER}>|{_SPECIAL}(?:assistant\b)?)", re.IGNORECASE)
_AFTER = re.compile(
    rf"(?:</{_ANSWER}>|</s>|<eos>|<end_of_turn>|\[END FINAL RESPONSE\]"
    rf"|{_SPECIAL})\Z",
    re.IGNORECASE,
)
# What stands before the reply's first word in some templates.
_OPENS = re.compile(rf"(?:<s>|<bos>|{_SPECIAL}(?:assistant)?|[ \t])*\Z")
_MAX_MARKS = 10
_EDIT = re.compile(
    rf"^[ \t*_`#]*(?:{'|'.join(map(re.escape, CANDIDATE_PATHS))})[ \t*_`#:]*\n\s*(?:```|~~~)",
    re.MULTILINE,
)
_DESCRIPTION = re.compile(r"^[ \t*_#>-]*description[*_]*[ \t]*:", re.MULTILINE | re.IGNORECASE)
_FENCED_LINE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)


def answer_of(text: str) -> str:
    """Return the answer in a reply: the text without any reasoning, nor the marks around it.

    A tag in a fenced block of the answer, or quoted within a line, is text like any other.

    Raises:
        EditError: `truncated`, the reply ends within its reasoning; `ambiguous`, it can't be told
            what is reasoning.
    """
    text = final_channel(one_newline(text.removeprefix(BOM)))
    for begin, end in _SENTENCES:
        closing = end.search(text) if begin.match(text) else None
        text = text[closing.end() :] if closing else text
    text = _untagged(text)
    for _ in range(_MAX_MARKS):
        if not (mark := _BEFORE.match(text)):
            break
        text = text[mark.end() :]
    for _ in range(_MAX_MARKS):
        text = text.rstrip()
        if not (mark := _AFTER.search(text, max(0, len(text) - NEAR_CHARS))):
            break
        text = text[: mark.start()]
    return text.lstrip().removeprefix(BOM) if text.lstrip().startswith(BOM) else text


def without_reasoning(text: str) -> str:
    """Return the answer in a reply, the whole text where none can be told apart."""
    try:
        return answer_of(text)
    except EditError:
        return text


def _untagged(text: str) -> str:
    return _Untagging(text).answer()


class _Untagging:
    """One pass over the lines of a reply."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tags = find_tags(text)
        self._starts = [tag.start for tag in self._tags]
        self._fences = [match.start() for match in _FENCED_LINE.finditer(text)]
        self._ends = reasoning_ends(self._tags)
        self._descriptions = [match.start() for match in _DESCRIPTION.finditer(text)]
        self._last_edit = max((match.start() for match in _EDIT.finditer(text)), default=-1)
        self._kept: list[str] = []
        self._before = ""  # the last line kept that was not blank
        self._has_edit = False  # is an edit kept?
        self._doubts = 0

    def answer(self) -> str:
        """Return the text without what its tags enclose."""
        if not self._tags:
            return self._text
        at = 0
        while at < len(self._text):
            at = self._keep_plain(at)
            end = self._line_end(at)
            if fence := opened_fence(self._text[at:end].rstrip("\n")):
                at = self._after_fence(at, end, *fence)
                continue
            after = self._after_tag(at, end)
            if after is None:
                self._keep(at, end)
            at = end if after is None else after
        answer = "".join(self._kept)
        if not answer.strip():
            raise EditError("empty", "nothing follows the reasoning: write the answer after it")
        return answer

    def _keep(self, at: int, end: int) -> None:
        kept = self._text[at:end]
        self._kept.append(kept)
        self._before = kept.rstrip().rpartition("\n")[2] or self._before

    def _keep_plain(self, at: int) -> int:
        """Keep lines without tags and fences; return where the first other one begins."""
        fence = bisect_left(self._fences, at)
        tag = bisect_left(self._starts, at)
        end = min([*self._fences[fence : fence + 1], *self._starts[tag : tag + 1], len(self._text)])
        end = max(at, self._text.rfind("\n", at, end) + 1)
        self._keep(at, end)
        return end

    def _line_end(self, at: int) -> int:
        end = self._text.find("\n", at)
        return len(self._text) if end < 0 else end + 1

    def _between(self, at: int, end: int) -> list[int]:
        return list(range(bisect_left(self._starts, at), bisect_left(self._starts, end)))

    def _after_tag(self, at: int, end: int) -> int | None:
        """Return where the text goes on if reasoning begins or ends in this line, else None."""
        opened: set[str] = set()
        for index in self._between(at, end):
            tag = self._tags[index]
            is_near = tag.start - at <= NEAR_CHARS
            if not tag.closes and is_near and _OPENS.match(self._text[at : tag.start]):
                closing = self._ends[index]
                if closing is None:
                    raise EditError("truncated", _NO_END)
                return closing
            if not tag.closes:
                opened.add(tag.family)
            elif tag.family not in opened and self._is_end(tag):
                return self._end_reasoning(tag)
        return None

    def _is_end(self, tag: Tag) -> bool:
        """Does a closing tag outside fences, opened nowhere in its line, end reasoning?

        One amid a line is more often a mention, unless a whole answer follows it. Without that
        answer's description, what stands before an edit can't be told from a part of it.
        """
        if tag.is_apart:
            return True
        following = bisect_left(self._descriptions, tag.end)
        if any(at < self._last_edit for at in self._descriptions[following : following + 1]):
            return True
        if self._has_edit and tag.end < self._last_edit:
            raise EditError(
                "ambiguous",
                "a tag that ends reasoning stands between two edits: is it text or an end? Answer "
                "with the edits alone, and write no such tag between them",
            )
        return False

    def _end_reasoning(self, tag: Tag) -> int:
        self._kept.clear()
        self._before = ""
        self._has_edit = False
        return tag.end

    def _after_fence(self, at: int, end: int, fence: str, info: str) -> int:
        """Keep a fenced block, unless reasoning that never closed its fence ends within it."""
        line, close = end, None
        while line < len(self._text) and close is None:
            after = self._line_end(line)
            if closes_fence(self._text[line:after].rstrip("\n"), fence):
                close = line
            line = after
        tag = self._lone_end(end, line if close is None else close)
        if tag is not None and self._ends_reasoning(tag, info, end, close):
            return self._end_reasoning(tag)
        self._kept.append(self._text[at:line])
        self._has_edit |= undecorated(self._before) in CANDIDATE_PATHS
        self._before = ""
        return line

    def _lone_end(self, at: int, end: int) -> Tag | None:
        """Return the first closing tag in a fenced block that no opening one precedes there."""
        opened: set[str] = set()
        for index in self._between(at, end):
            tag = self._tags[index]
            if not tag.closes:
                opened.add(tag.family)
            elif tag.is_apart and tag.family not in opened:
                return tag
        return None

    def _ends_reasoning(self, tag: Tag, info: str, at: int, close: int | None) -> bool:
        """Is a closing tag within a fenced block the end of a reasoning, and no code?"""
        try:
            path = path_of(self._before.strip("\n"), info)
        except EditError:
            path = None
        if close is not None and path and _is_plausible(path, self._text[at:close]):
            return False
        self._doubts += 1
        try:
            if self._doubts <= _MAX_DOUBTS and fenced_blocks(self._text[tag.end :])[0]:
                return True
        except EditError:
            pass
        if path is None:
            raise EditError(
                "ambiguous",
                "a tag that ends reasoning stands in a fenced block: is it text or an end?",
            )
        return False


def _is_plausible(path: str, body: str) -> bool:
    try:
        if has_markers(body):
            list(search_replace_pairs(path, body))
        else:
            parse(path, body)
    except EditError:
        return False
    return True
