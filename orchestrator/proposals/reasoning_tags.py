"""The tags with which models mark their reasoning, and where each piece of it ends. Pure."""

import re
from dataclasses import dataclass

from orchestrator.core.errors import EditError

MAX_TAGS = 10_000
NEAR_CHARS = 200
"""How far from a tag its line is looked at."""
_NAMES = (
    "think thinking thought thoughts think_fast think_faster longcat_think seed:think antthinking "
    "reasoning reason reflection analysis scratchpad planning plan deliberation inner_monologue "
    "internal_monologue inner_thoughts chain_of_thought cot"
)
_TAG = re.compile(
    rf"<(?P<end>/?)(?P<name>{'|'.join(_NAMES.split())})(?:\s[^<>\n]{{0,200}})?(?<!/)>"
    r"|[\[◁](?P<end2>/?)(?P<name2>think)[\]▷]"
    r"|<[|｜](?P<end3>/|start_|begin_of_|end_|end_of_|)(?P<name3>think|thinking|thought)[|｜]>"
    r"|(?P<name4><unused9[45]>|<\|channel>thought\b|<channel\|>)",
    re.IGNORECASE,
)
_SPECIAL_ENDS = frozenset({"<unused95>", "<channel|>"})
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
    for match in _TAG.finditer(text):
        if len(found) == MAX_TAGS:
            raise EditError("ambiguous", f"the reply has more than {MAX_TAGS} tags of reasoning")
        before, after = (
            text[max(0, match.start() - 1) : match.start()],
            text[match.end() : match.end() + 1],
        )
        if before in _QUOTES and after in _QUOTES:
            continue
        mark = match["end"] or match["end2"] or match["end3"] or ""
        special = (match["name4"] or "").lower()
        is_end = special in _SPECIAL_ENDS if special else mark.lower() in {"/", "end_", "end_of_"}
        name = "special" if special else (match["name"] or match["name2"] or match["name3"])
        found.append(
            Tag(match.start(), match.end(), name.lower(), is_end, _is_apart(text, match, is_end))
        )
    return found


def _is_apart(text: str, match: re.Match[str], is_end: bool) -> bool:
    first = max(0, match.start() - NEAR_CHARS)
    _, newline, line = text[first : match.start()].rpartition("\n")
    if not line.strip() and (newline or first == 0):
        return True
    rest, _, _ = text[match.end() : match.end() + NEAR_CHARS].partition("\n")
    return is_end and (not rest.strip() or bool(_ANSWERS.match(rest)))


def reasoning_ends(tags: list[Tag]) -> list[int | None]:
    """Return, for every opening tag, where the reasoning that it begins ends; None if nowhere.

    That is at the next closing tag that stands apart, before reasoning is opened again, if there is
    one; a tag amid a line is more often a mention.
    """
    ends: list[int | None] = [None] * len(tags)
    near: dict[str, tuple[int | None, int | None]] = {}
    far: dict[str, int | None] = {}
    for index in range(len(tags) - 1, -1, -1):
        tag = tags[index]
        apart, amid = near.get(tag.family, (None, None))
        if tag.closes:
            near[tag.family] = (tag.end, amid) if tag.is_apart else (apart, tag.end)
            continue
        ends[index] = apart or amid or far.get(tag.family)
        if tag.is_apart:
            far[tag.family] = ends[index]
            near[tag.family] = (None, None)
    return ends
