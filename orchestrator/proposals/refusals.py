"""Does a reply without an edit refuse, or does it say what is missing? Pure."""

import re

_OPENING_CHARS = 500
_CANNOT = (
    r"I (?:can(?:not|['’]t)|won['’]t|will not|(?:am|was) (?:unable|not able) to"
    r"|must decline to|have to decline to) (?:\w+ly )?"
)
_REFUSAL = re.compile(
    rf"\b{_CANNOT}(?:help|assist|comply|fulfill?|engage|participate|discuss|support|respond|proceed"
    r"|continue|provide|generate|create|produce|write|answer|complete|process"
    r"|do (?:that|this|so))\b"
    r"|\bI['’]m (?:unable|not able) to (?:help|assist|comply|fulfill?|engage|participate|discuss"
    r"|provide|continue|do (?:that|this|so))\b"
    r"|\bI (?:must|have to) (?:decline|refuse)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"#\s?\d|candidate/|\b(?:env|train)\.py\b|\bshow\b|\b(?:code|files?|prompt|context|history"
    r"|experiments?|incumbent)\b|\b(?:without|until|unless|missing|need|lacks?)\b"
    r"|\bplease (?:provide|share|paste|send|give)\b|\?",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Does a reply without an edit decline the work as a whole?

    One that names experiments, files or anything that it lacks is no refusal: it can be answered.
    """
    opening = text[:_OPENING_CHARS]
    return bool(_REFUSAL.search(opening)) and not _ASKS.search(opening)
