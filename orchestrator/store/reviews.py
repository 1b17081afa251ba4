"""The ledger's reviews: what was asked for, how often, and what came of it."""

import hashlib
import json
from dataclasses import asdict

from orchestrator.core.records import Tokens
from orchestrator.core.reviews import NoReview, Opinion, Review, ReviewRequest
from orchestrator.store.database import Database, storable, to_json


class Reviews(Database):
    """The part of the ledger that holds reviews, one an experiment.

    A review is of one change, before and after. Once the incumbent is another one, an experiment
    may need one more, which takes the place of the first: tokens and cost of both are counted.
    """

    def count_review(self, n: int, request: ReviewRequest) -> int:
        """Record that a review is asked for; return how often this one was, this time included."""
        about = _about(request)
        with self.transaction():
            row = self._db.execute("SELECT review FROM reviews WHERE n = ?", (n,)).fetchone()
            facts = json.loads(row["review"]) if row else {}
            times = facts["asked"] + 1 if facts.get("about") == about else 1
            self._db.execute(
                "INSERT INTO reviews (n, review) VALUES (?, ?)"
                " ON CONFLICT (n) DO UPDATE SET review = excluded.review",
                (n, to_json({"about": about, "asked": times})),
            )
        return int(times)

    def save_review(self, n: int, request: ReviewRequest, answer: Review | NoReview) -> None:
        """Record what came of a review, before anything follows from it."""
        facts: dict[str, object] = {"about": _about(request)}
        if isinstance(answer, Review):
            facts |= {"opinion": answer.opinion.value, "reason": storable(answer.reason)}
            facts["by"] = storable(answer.by)
        else:
            facts["none"] = storable(answer.reason)
        with self.transaction():
            row = self._db.execute("SELECT * FROM reviews WHERE n = ?", (n,)).fetchone()
            tokens, cost = answer.tokens, answer.cost_usd
            if row is not None:
                facts["asked"] = json.loads(row["review"]).get("asked", 1)
                tokens = tokens.plus(Tokens(**json.loads(row["tokens"])))
                if row["cost_usd"] is not None:
                    cost = (cost or 0.0) + row["cost_usd"]
            self._db.execute(
                "INSERT OR REPLACE INTO reviews (n, review, tokens, cost_usd) VALUES (?, ?, ?, ?)",
                (n, to_json(facts), to_json(asdict(tokens)), cost),
            )

    def review(self, n: int, request: ReviewRequest) -> Review | NoReview | None:
        """Return what came of the review of this change, None if nothing did so far.

        Tokens and cost are of all reviews of the experiment.
        """
        row = self._db.execute("SELECT * FROM reviews WHERE n = ?", (n,)).fetchone()
        facts = json.loads(row["review"]) if row else {}
        if facts.get("about") != _about(request):
            return None
        tokens, cost = Tokens(**json.loads(row["tokens"])), row["cost_usd"]
        if "opinion" in facts:
            return Review(Opinion(facts["opinion"]), facts["reason"], facts["by"], tokens, cost)
        return NoReview(facts["none"], tokens, cost) if "none" in facts else None


def _about(request: ReviewRequest) -> str:
    """Name the change: the files alone, for facts may be worded anew after a restart."""
    texts = [*request.before.by_path().values(), *request.after.by_path().values()]
    return hashlib.sha256(to_json(texts).encode()).hexdigest()
