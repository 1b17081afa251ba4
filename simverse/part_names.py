"""The names of `info["reward_parts"]`: how many there may be, and what they may look like."""

MAX_PARTS = 32
MAX_NAME_CHARS = 40


def is_part_name(name: object) -> bool:
    """Is it a short text on one line, of characters that can be seen?"""
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS and name.isprintable()
