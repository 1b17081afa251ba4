"""The tags with which models mark their reasoning, and where each piece of it ends. Pure."""

import re
from dataclasses import dataclass

from orchestrator.core.errors import EditError

MAX_TAGS = 10_000
NEAR_CHARS = 200
"""How far from a tag its line is looked at."""
_NAMES = (
    r"[\w:-]{0,40}(?:think|thought|reason)[\w:-]{0,60}|reflection|analysis|scratchpad|planning|plan"
    r"|deliberation|inner_monologue|internal_monologue|chain_of_thought|cot"
)
"""Models and their users make up ever new ones, most of them of these three words."""
_DETAILS = (  # what user interfaces fold away, by its type or by its summary
    r"<details\b(?:[^<>\n]{0,200}\stype=[\"']?reasoning\b[^<>\n]{0,200}>"
    r"|[^<>\n]{0,200}>\s{0,20}<summary[^<>\n]{0,200}>\W{0,20}(?:thinking|thoughts?|reasoning)\b)"
)
_TAG = re.compile(
    rf"[<‹](?P<end>/?)(?P<name>{_NAMES})(?:\s[^<>\n]{{0,200}})?(?<!/)[>›]"
    r"|[\[◁](?P<end2>/?)(?P<name2>think)[\]▷]"
    r"|<[|｜](?P<end3>/|start_|begin_of_|end_|end_of_|)(?P<name3>think|thinking|thought)[|｜]>"
    r"|(?P<special><unused9[45]>|<\|channel>thought\b|<channel\|>|<ctrl94>thought\b|<ctrl95>"
    r"|<\|im_start\|>(?:think|answer)\b|<\|begin\|>assistant<\|content\|>)"
    rf"|(?P<details>{_DETAILS})|(?P<shared></details>|<\|end\|>)",
    re.IGNORECASE,
)
_SPECIAL_ENDS = frozenset(
    {"<unused95>", "<channel|>", "<ctrl95>", "<|im_start|>answer", "<|begin|>assistant<|content|>"}
)
_SHARED_ENDS = {"</details>": "details", "<|end|>": "|think|"}
"""Ends of other things too, and the family for which they count: after its opening tag alone."""
_ANSWERS = re.compile(r"[\s*_#>`-]*(?:(?:description|rationale)\b|candidate/)", re.IGNORECASE)
_QUOTES = frozenset("`'\"“”‘’")


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag in a reply."""

    start: int
    end: int
    family: str
    closes: bool
    is_apart: bool
    """Does it begin its line or, closing, end it or stand before an answer's first word?"""


def find_tags(text: str) -> list[Tag]:
    """Return the tags in a text, but for quoted ones. Raises `EditError`: they are too many."""
    found: list[Tag] = []
    awaited: set[str] = set()  # families whose shared end has not come yet
    for match in _TAG.finditer(text):
        if len(found) == MAX_TAGS:
            raise EditError("ambiguous", f"the reply has more than {MAX_TAGS} tags of reasoning")
        before, after = (
            text[max(0, match.start() - 1) : match.start()],
            text[match.end() : match.end() + 1],
        )
        if before in _QUOTES and after in _QUOTES:
            continue
        family, closes = _meaning(match)
        if match["shared"] and family not in awaited:
            continue
        if closes:
            awaited.discard(family)
        else:
            awaited.add(family)
        is_apart = not match["shared"] and _is_apart(text, match, closes)
        found.append(Tag(match.start(), match.end(), family, closes, is_apart))
    return found


def _meaning(match: re.Match[str]) -> tuple[str, bool]:
    """Return the family of a tag, and whether it closes."""
    text = match[0].lower()
    if match["shared"]:
        return _SHARED_ENDS[text], True
    if match["details"]:
        return "details", False
    if match["special"]:
        return "special", text in _SPECIAL_ENDS
    mark = match["end"] or match["end2"] or match["end3"] or ""
    closes = mark.lower() in {"/", "end_", "end_of_"}
    if match["name3"]:
        return f"|{match['name3'].lower()}|", closes
    return (match["name"] or match["name2"]).lower(), closes


def _is_apart(text: str, match: re.Match[str], closes: bool) -> bool:
    first = max(0, match.start() - NEAR_CHARS)
    _, newline, line = text[first : match.start()].rpartition("\n")
    begins_line = bool(newline) or first == 0
    if not line.strip() and begins_line:
        return True
    rest, _, _ = text[match.end() : match.end() + NEAR_CHARS].partition("\n")
    if closes and begins_line and not (line + rest).strip().strip("*_"):
        return True  # in bold, alone on its line
    return closes and (not rest.strip() or bool(_ANSWERS.match(rest)))


def reasoning_ends(tags: list[Tag]) -> list[int | None]:
    """Return, for every opening tag, where the reasoning that it begins ends; None if nowhere.

    That is at the next closing tag that stands apart, before reasoning is opened again, if there is
    one; a tag amid a line is more often a mention. Models also close what they opened under another
    name: where no closing tag has the name, the next one apart that closes nothing else counts.
    """
    ends: list[int | None] = [None] * len(tags)
    near: dict[str, tuple[int | None, int | None]] = {}
    far: dict[str, int | None] = {}
    unpaired: list[int] = []  # ends apart of any name, the next one last
    for index in range(len(tags) - 1, -1, -1):
        tag = tags[index]
        apart, amid = near.get(tag.family, (None, None))
        if tag.closes:
            near[tag.family] = (tag.end, amid) if tag.is_apart else (apart, tag.end)
            unpaired += [tag.end] if tag.is_apart else []
            continue
        end = apart or amid or far.get(tag.family) or (unpaired[-1] if unpaired else None)
        ends[index] = end
        if tag.is_apart:
            far[tag.family] = end
            near[tag.family] = (None, None)
            while end is not None and unpaired and unpaired[-1] <= end:
                unpaired.pop()
    return ends
