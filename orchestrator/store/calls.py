"""The ledger's calls: what each may cost is reserved before it is made.

A call whose bill is known leaves nothing behind. One that was broken off, by a kill too, may have
been billed all the same: its worst case counts towards limits for the rest of the run.
"""

from collections.abc import Collection

from orchestrator.core.spending import Spend
from orchestrator.store.database import Database, storable, to_json

_MOST_TOKENS = 2**53
"""Of one call; a program, or a setting, may tell of more than a number of SQLite's can hold."""


class Calls(Database):
    """The part of the ledger that holds calls in flight, and calls without a bill."""

    def begin_call(self, tag: str, agent: str, worst: Spend, when: str) -> int:
        """Reserve the most that a call may cost, before it is made; return its number.

        Args:
            tag: the run.
            agent: who is called.
            worst: the most that one try may cost.
            when: the time, as ISO 8601.
        """
        tokens = min(worst.tokens, _MOST_TOKENS)
        cursor = self._write(
            "INSERT INTO calls (tag, agent, tokens, cost_usd, began_at) VALUES (?, ?, ?, ?, ?)",
            (tag, storable(agent), tokens, worst.cost_usd, when),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def retry_call(self, call: int) -> None:
        """Record that a try failed, perhaps billed, and another follows."""
        self._write("UPDATE calls SET lost = lost + 1 WHERE id = ?", (call,))

    def end_call(self, call: int, *, is_billed: bool) -> None:
        """Record the end of a call.

        Args:
            call: its number.
            is_billed: its bill is known, if only that there is none. If not, the call was broken
                off, or its answer does not say what it cost.
        """
        with self.transaction():
            self._db.execute(
                "UPDATE calls SET is_open = 0, lost = lost + ? WHERE id = ? AND is_open",
                (int(not is_billed), call),
            )
            self._db.execute("DELETE FROM calls WHERE id = ? AND lost = 0", (call,))

    def end_call_in_part(self, call: int, *, has_tokens: bool) -> None:
        """Record the end of a call that told only one half of its bill; the other half counts.

        Args:
            call: its number.
            has_tokens: its tokens are known, and not its dollars; else it is the other way round.
        """
        with self.transaction():
            self._db.execute(
                "INSERT INTO calls (tag, agent, tokens, cost_usd, began_at, is_open, lost)"
                " SELECT tag, agent, iif(?, 0, tokens), iif(?, cost_usd, 0), began_at, 0, 1"
                " FROM calls WHERE id = ? AND is_open",
                (has_tokens, has_tokens, call),
            )
            self.end_call(call, is_billed=True)

    def break_off_calls(self, tag: str, *, besides: Collection[int] = ()) -> None:
        """Record that calls which nobody waits for were broken off: by the end of a daemon, say."""
        self._write(
            "UPDATE calls SET is_open = 0, lost = lost + 1 WHERE tag = ? AND is_open"
            " AND id NOT IN (SELECT value FROM json_each(?))",
            (tag, to_json(list(besides))),
        )

    def reserved(self, tag: str) -> Spend:
        """Return what calls in flight, and those without a bill, may cost at most."""
        row = self._db.execute(
            "SELECT total(tokens * (is_open + lost)) AS tokens,"
            " total(cost_usd * (is_open + lost)) AS usd FROM calls WHERE tag = ?",
            (tag,),
        ).fetchone()
        return Spend(int(row["tokens"]), row["usd"])

    def unbilled(self, tag: str) -> tuple[int, Spend]:
        """Return how many tries have no bill and never will, and what they cost at most."""
        row = self._db.execute(
            "SELECT total(lost) AS tries, total(tokens * lost) AS tokens,"
            " total(cost_usd * lost) AS usd FROM calls WHERE tag = ?",
            (tag,),
        ).fetchone()
        return int(row["tries"]), Spend(int(row["tokens"]), row["usd"])
