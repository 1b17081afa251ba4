"""How the characters of the context are shared out among the parts of a prompt. Pure.

Never shortened: the system prompt, program.md, the current files, the notes in force, the last
failure, the ask. Reserved for the turns that may follow: an eighth of the context for each of two
repairs, and a sixth for an answer to `show: #N` (a sixth more for each further one). Of what is
left, the code of promising experiments gets up to a quarter of the context, the lead and the
last experiment up to an eighth together, lessons up to a sixteenth, and the history all the rest.
"""

import math
from dataclasses import dataclass

CHARS_PER_TOKEN = 3.5
"""A conservative average for code and prose; limits and costs use the server's `usage`."""
REPAIR_TURNS = 2
_REPAIR, _SHOW, _CODE, _NUMBERS, _LESSONS = 8, 6, 4, 8, 16
_STEPS = 32
_LARGEST_STEP = 8000


@dataclass(frozen=True)
class Shares:
    """Characters for each part."""

    limit: int
    """The whole context."""

    @classmethod
    def of(cls, context_tokens: int) -> "Shares":
        """Return the shares of a context."""
        return cls(int(context_tokens * CHARS_PER_TOKEN))

    @property
    def repair(self) -> int:
        """A failed reply and its error."""
        return self.limit // _REPAIR

    @property
    def show(self) -> int:
        """A request to see code, and its answer."""
        return self.limit // _SHOW

    @property
    def numbers(self) -> int:
        """What is known of the lead and of the last experiment."""
        return self.limit // _NUMBERS

    @property
    def lessons(self) -> int:
        """The lessons."""
        return self.limit // _LESSONS

    def turns(self, shows: int) -> int:
        """Return what is reserved for the turns of a conversation with so many `show: #N`."""
        return REPAIR_TURNS * self.repair + max(1, shows) * self.show

    def code(self, left: int) -> int:
        """Return the room for code of earlier experiments, of what is left for it and history."""
        return max(0, min(self.limit // _CODE, left // 2))

    def rounded(self, size: int) -> int:
        """Return a size rounded up.

        The history comes before the parts that change each time: a longer one among these must not
        drop another line of it, or a provider's cache would miss.
        """
        step = max(1, min(_LARGEST_STEP, self.limit // _STEPS))
        return math.ceil(size / step) * step
