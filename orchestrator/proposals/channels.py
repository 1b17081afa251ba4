"""The final channel of a reply in the Harmony format, also where its marks were lost. Pure.

OpenAI's open-weight models write several messages, each in a channel: `analysis` is reasoning,
`commentary` is for tools, `final` is the answer. Servers that don't parse them send them as text:
`<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…`; those that
drop special tokens send `analysis…assistantfinal…`.
"""

import re

from orchestrator.core.errors import EditError

_TOKEN = re.compile(r"<\|(start|channel|message|end|return|call)\|>")
_FIRST = re.compile(r"\s*<\|(?:start|channel|message)\|>")
_LATER = re.compile(
    r"<\|start\|>\s*assistant\s*<\|channel\|>|<\|channel\|>\s*final\b[^<\n]{0,100}<\|message\|>"
)
_BARE_FIRST = re.compile(r"\s*(?:analysis|commentary)(?=[A-Z]|.*assistantfinal)", re.DOTALL)
_BARE_LATER = re.compile(
    r"(?<=[.!?:)\n])assistantfinal(?=\s*(?:[*_#`]*(?:description|rationale|candidate/)))",
    re.IGNORECASE,
)


def final_channel(text: str) -> str:
    """Return the text of the final channel; text without channels as it is.

    Raises:
        EditError: `truncated`, there are channels but nothing in the final one.
    """
    if _FIRST.match(text) or _LATER.search(text):
        answer = _marked(text)
    elif _BARE_FIRST.match(text):
        answer = text.rpartition("assistantfinal")[2] if "assistantfinal" in text else ""
    else:
        *_, answer = _BARE_LATER.split(text)
    if text.strip() and not answer.strip():
        raise EditError("truncated", "the reply ends within its reasoning: answer after it")
    return answer


def _marked(text: str) -> str:
    """Return the final messages; where no channel is named final, those of no channel."""
    finals: list[str] = []
    others: list[str] = []
    channel, kind, at = "", "", 0
    for token in [*_TOKEN.finditer(text), None]:
        part = text[at : token.start() if token else len(text)]
        if kind == "start":
            channel = ""
        elif kind == "channel":
            channel = part.split()[0].lower() if part.split() else ""
        elif kind == "message":
            (finals if channel == "final" else others if not channel else []).append(part)
        elif kind in {"end", "return", "call"}:
            channel = ""
            others.append(part)
        if token:
            kind, at = token[1], token.end()
    return "\n".join(part for part in finals or others if part.strip())
