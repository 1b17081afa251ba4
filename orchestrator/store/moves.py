"""The ledger's moves: the lead goes back, or is proven; a user's override makes one both."""

from collections.abc import Collection

from orchestrator.core.experiments import Accept, LeadMove, MoveKind
from orchestrator.core.records import Rung, Status
from orchestrator.store.database import Database, Row, by_seed, storable

_ACCEPT = "accept"


class Moves(Database):
    """The part of the ledger that holds moves, each with its place among the endings."""

    def accept(self, tag: str, n: int, commit: str, when: str) -> Accept:
        """Record a user's override: `n` is the incumbent, after all experiments that have ended."""
        with self.transaction():
            self._db.execute(
                "INSERT INTO moves (tag, kind, n, after_ended, commit_hash, created_at)"
                " SELECT ?, ?, ?, coalesce(max(ended), 0), ?, ? FROM experiments",
                (tag, _ACCEPT, n, commit, when),
            )
        return self.accepts(tag)[-1]

    def move_lead(self, tag: str, move: LeadMove) -> LeadMove:
        """Record that the lead went back or was proven, after all experiments that have ended."""
        with self.transaction():
            self._db.execute(
                "INSERT INTO moves (tag, kind, n, after_ended, commit_hash, created_at, reason,"
                " gain, standard_error, seeds)"
                " SELECT ?, ?, ?, coalesce(max(ended), 0), NULL, ?, ?, ?, ?, ? FROM experiments",
                (
                    tag, move.kind.value, move.n, move.created_at, storable(move.reason),
                    move.gain, move.standard_error, move.seeds,
                ),
            )  # fmt: skip
        return self.lead_moves(tag)[-1]

    def moves(self, tag: str) -> list[LeadMove | Accept]:
        """Return all moves of a run in order."""
        rows = self._db.execute(
            "SELECT moves.*, train_episodes, eval_episodes, score, scores_by_seed FROM moves"
            " JOIN experiments ON experiments.n = moves.n WHERE moves.tag = ? ORDER BY id",
            (tag,),
        ).fetchall()
        return [_accept(row) if row["kind"] == _ACCEPT else _lead_move(row) for row in rows]

    def accepts(self, tag: str) -> list[Accept]:
        """Return a run's overrides in order."""
        return [move for move in self.moves(tag) if isinstance(move, Accept)]

    def lead_moves(self, tag: str) -> list[LeadMove]:
        """Return in order how a run's lead went back or was proven."""
        return [move for move in self.moves(tag) if isinstance(move, LeadMove)]

    def settle_leads(
        self, numbers: Collection[int], status: Status, proven_at: str | None = None
    ) -> None:
        """Record what became of leads: they were proven, or the lead has left them behind."""
        with self.transaction():
            for n in numbers:
                self._db.execute(
                    "UPDATE experiments SET status = ?, proven_at = ? WHERE n = ?",
                    (status.value, proven_at, n),
                )

    def leave_leads(self, tag: str, still: Collection[int]) -> list[int]:
        """Record as discarded what led once, does no more and was never proven; return those."""
        rows = self._db.execute(
            "SELECT n FROM experiments WHERE tag = ? AND status = ?", (tag, Status.LEAD.value)
        ).fetchall()
        if left := [row["n"] for row in rows if row["n"] not in still]:
            self.settle_leads(left, Status.DISCARD)
        return left


def _accept(row: Row) -> Accept:
    return Accept(
        n=row["n"],
        after_ended=row["after_ended"],
        rung=Rung(row["train_episodes"], row["eval_episodes"]),
        score=row["score"],
        scores_by_seed=by_seed(row["scores_by_seed"]),
        commit=row["commit_hash"],
        created_at=row["created_at"],
    )


def _lead_move(row: Row) -> LeadMove:
    return LeadMove(
        MoveKind(row["kind"]),
        n=row["n"],
        after_ended=row["after_ended"],
        reason=row["reason"],
        gain=row["gain"],
        standard_error=row["standard_error"],
        seeds=row["seeds"],
        created_at=row["created_at"],
    )
