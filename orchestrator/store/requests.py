"""The ledger's user input: overrides, notes for the agent, and requests to the daemon."""

from dataclasses import dataclass

from orchestrator.core.experiments import Accept
from orchestrator.core.records import Rung
from orchestrator.store.database import Database, by_seed, storable


@dataclass(frozen=True)
class Request:
    """A request to the daemon: `stop`, `pause`, `resume` or `accept`."""

    id: int
    kind: str
    argument: str | None


class Requests(Database):
    """The part of the ledger that users write."""

    def accept(self, tag: str, n: int, commit: str, when: str) -> Accept:
        """Record a user's override: `n` is the incumbent, after all experiments that have ended."""
        with self.transaction():
            self._db.execute(
                "INSERT INTO accepts (tag, n, after_ended, commit_hash, created_at)"
                " SELECT ?, ?, coalesce(max(ended), 0), ?, ? FROM experiments",
                (tag, n, commit, when),
            )
        return self.accepts(tag)[-1]

    def accepts(self, tag: str) -> list[Accept]:
        """Return a run's overrides in order."""
        rows = self._db.execute(
            "SELECT accepts.n, after_ended, accepts.commit_hash, accepts.created_at,"
            " train_episodes, eval_episodes, score, scores_by_seed FROM accepts"
            " JOIN experiments ON experiments.n = accepts.n WHERE accepts.tag = ? ORDER BY id",
            (tag,),
        )
        return [
            Accept(
                n=row["n"],
                after_ended=row["after_ended"],
                rung=Rung(row["train_episodes"], row["eval_episodes"]),
                score=row["score"],
                scores_by_seed=by_seed(row["scores_by_seed"]),
                commit=row["commit_hash"],
                created_at=row["created_at"],
            )
            for row in rows
        ]

    def add_note(self, text: str, when: str) -> None:
        """Record a note for the agent."""
        self._write("INSERT INTO notes (text, created_at) VALUES (?, ?)", (storable(text), when))

    def notes(self) -> list[str]:
        """Return the notes, oldest first."""
        return [row["text"] for row in self._db.execute("SELECT text FROM notes ORDER BY id")]

    def add_request(self, kind: str, argument: str | None, when: str) -> None:
        """Record a request to the daemon."""
        self._write(
            "INSERT INTO requests (kind, argument, created_at) VALUES (?, ?, ?)",
            (kind, argument, when),
        )

    def requests(self) -> list[Request]:
        """Return the pending requests, oldest first."""
        rows = self._db.execute("SELECT * FROM requests ORDER BY id").fetchall()
        return [Request(row["id"], row["kind"], row["argument"]) for row in rows]

    def drop_requests(self, *kinds: str, up_to: int) -> None:
        """Delete the requests of these kinds, up to one of them."""
        for kind in kinds:
            self._write("DELETE FROM requests WHERE kind = ? AND id <= ?", (kind, up_to))
