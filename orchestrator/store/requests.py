"""The ledger's user input: notes for the agent, and requests to the daemon."""

import json
from dataclasses import asdict, dataclass
from typing import TypeVar

from orchestrator.core.records import Files
from orchestrator.store.database import Database, storable, to_json

PROPOSE = "propose"
"""Kind of the request that has a person's candidate evaluated."""
PRUNE = "prune"
"""Kind of the request that has the lead go back to before an experiment."""
MEASURE = "measure"
"""Kind of the request that has the lead or the published candidate measured on more seeds."""


Wish = TypeVar("Wish")


@dataclass(frozen=True)
class Request:
    """A request to the daemon: `stop`, `pause`, `resume`, `reload`, `accept`, or one of these."""

    id: int
    kind: str
    argument: str | None

    def read(self, wish: type[Wish]) -> Wish:
        """Return the argument as the record that was written."""
        return wish(**json.loads(self.argument or "{}"))


@dataclass(frozen=True)
class Pruning:
    """The argument of a request to prune."""

    n: int
    """The experiment before which the lead goes back."""
    why: str = ""


@dataclass(frozen=True)
class MoreSeeds:
    """The argument of a request to measure."""

    n: int
    """The experiment that proposed the candidate."""
    more: int
    """Fresh seeds beside those it had."""
    up_to: int | None = None
    """All fresh seeds it is to have; None before the daemon has read the request."""


@dataclass(frozen=True)
class HumanProposal:
    """A candidate that a person proposed, and that waits for its evaluation."""

    id: int
    """Of its request."""
    tag: str
    """The run it is for."""
    description: str
    files: Files


@dataclass(frozen=True)
class Note:
    """A note for the agent."""

    id: int
    text: str
    created_at: str


class Requests(Database):
    """The part of the ledger that users write."""

    def add_note(self, text: str, when: str) -> None:
        """Record a note for the agent."""
        self._write("INSERT INTO notes (text, created_at) VALUES (?, ?)", (storable(text), when))

    def notes(self) -> list[str]:
        """Return the texts of the notes, oldest first, without those deleted."""
        return [note.text for note in self.numbered_notes()]

    def numbered_notes(self) -> list[Note]:
        """Return the notes, oldest first, without those deleted."""
        rows = self._db.execute("SELECT * FROM notes WHERE deleted_at IS NULL ORDER BY id")
        return [Note(row["id"], row["text"], row["created_at"]) for row in rows.fetchall()]

    def delete_note(self, number: int, when: str) -> bool:
        """Leave a note out from now on; its row stays. Return whether there was such a note."""
        deleted = self._write(
            "UPDATE notes SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL", (when, number)
        )
        return deleted.rowcount > 0

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

    def add_proposal(self, tag: str, description: str, files: Files, when: str) -> None:
        """Record a person's candidate, to be evaluated in a run."""
        proposal = {"tag": tag, "description": storable(description), "files": asdict(files)}
        self.add_request(PROPOSE, to_json(proposal), when)

    def proposals(self, tag: str) -> list[HumanProposal]:
        """Return the candidates that wait for their evaluation in a run, oldest first."""
        waiting = []
        for request in self.requests():
            if request.kind == PROPOSE:
                facts = json.loads(request.argument or "{}")
                if facts.get("tag") == tag:
                    files = Files(**facts["files"])
                    waiting.append(HumanProposal(request.id, tag, facts["description"], files))
        return waiting

    def ask_to_prune(self, pruning: Pruning, when: str) -> None:
        """Record a request to have the lead go back."""
        self.add_request(PRUNE, to_json(asdict(pruning)), when)

    def ask_to_measure(self, seeds: MoreSeeds, when: str) -> None:
        """Record a request for more seeds."""
        self.add_request(MEASURE, to_json(asdict(seeds)), when)

    def fix_seeds(self, number: int, seeds: MoreSeeds) -> None:
        """Record how many seeds a request comes to, so that a restart asks for no more."""
        self._write(
            "UPDATE requests SET argument = ? WHERE id = ?", (to_json(asdict(seeds)), number)
        )

    def drop_request(self, number: int) -> None:
        """Delete one request."""
        self._write("DELETE FROM requests WHERE id = ?", (number,))

    def drop_requests(self, *kinds: str, up_to: int) -> None:
        """Delete the requests of these kinds, up to one of them."""
        for kind in kinds:
            self._write("DELETE FROM requests WHERE kind = ? AND id <= ?", (kind, up_to))
