"""The ledger's lessons: what was learnt so far, as the agent or a human wrote it down."""

from orchestrator.core.experiments import Lessons
from orchestrator.store.database import Database, storable


class LessonBook(Database):
    """The part of the ledger that holds lessons; the latest ones replace those before them."""

    def add_lessons(self, tag: str, text: str, author: str, when: str) -> None:
        """Record lessons after all experiments of the run that have ended."""
        self._write(
            "INSERT INTO lessons (tag, text, after_n, author, created_at)"
            " SELECT ?, ?, coalesce(max(n), 0), ?, ? FROM experiments"
            " WHERE tag = ? AND ended NOT NULL",
            (tag, storable(text), storable(author), when, tag),
        )

    def lessons(self, tag: str) -> Lessons | None:
        """Return the run's latest lessons, None if there are none."""
        row = self._db.execute(
            "SELECT * FROM lessons WHERE tag = ? ORDER BY id DESC LIMIT 1", (tag,)
        ).fetchone()
        if row is None:
            return None
        return Lessons(row["text"], row["after_n"], row["author"], row["created_at"])

    def experiments_since_lessons(self, tag: str, most: int) -> int:
        """Return how many proposals of the run have ended since its lessons were written.

        Aborted ones are not counted, and no more than `most`.
        """
        row = self._db.execute(
            "SELECT count(*) AS count FROM (SELECT 1 FROM experiments WHERE n >"
            " coalesce((SELECT after_n FROM lessons WHERE tag = :tag ORDER BY id DESC LIMIT 1), 0)"
            " AND +tag = :tag AND ended NOT NULL AND NOT is_baseline AND status != 'aborted'"
            " LIMIT :most)",
            {"tag": tag, "most": most},
        ).fetchone()
        return int(row["count"])
