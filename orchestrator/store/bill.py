"""The ledger's bill: what the run's calls have cost, by who was called and for what."""

import json
from dataclasses import dataclass
from typing import Literal

from orchestrator.core.records import Tokens
from orchestrator.core.spending import Spend
from orchestrator.store.database import Database


@dataclass(frozen=True)
class BillRow:
    """What one agent, or one reviewer, has cost."""

    agent: str
    """Empty for reviews of which it is not recorded who was asked."""
    role: Literal["proposals", "reviews"]
    calls: int
    """Answers; of reviews, experiments that were reviewed."""
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    """None where no answer's cost is known."""


class Bill(Database):
    """The part of the ledger that adds up what calls have cost."""

    def bill(self, tag: str) -> list[BillRow]:
        """Return what each agent and reviewer of a run has cost, the first one asked first."""
        rows = self._db.execute(
            "SELECT coalesce(attempts.agent, experiments.agent) AS agent, 'proposals' AS role,"
            " attempts.tokens, attempts.cost_usd, attempts.n"
            " FROM attempts JOIN experiments USING (n) WHERE tag = :tag"
            " UNION ALL SELECT coalesce(json_extract(review, '$.by'), ''), 'reviews',"
            " reviews.tokens, reviews.cost_usd, reviews.n"
            " FROM reviews JOIN experiments USING (n) WHERE tag = :tag ORDER BY 5",
            {"tag": tag},
        )
        found: dict[tuple[str, str], BillRow] = {}
        for row in rows:
            key = (row["agent"], row["role"])
            known = found.get(key) or BillRow(row["agent"], row["role"], 0)
            cost = known.cost_usd
            if row["cost_usd"] is not None:
                cost = (cost or 0.0) + row["cost_usd"]
            tokens = known.tokens.plus(Tokens(**json.loads(row["tokens"])))
            found[key] = BillRow(known.agent, known.role, known.calls + 1, tokens, cost)
        return list(found.values())

    def spent_by_open(self, tag: str) -> Spend:
        """Return what the calls of experiments that have not ended have cost, as far as known."""
        spent = Spend()
        for row in self._db.execute(
            "SELECT attempts.tokens, attempts.cost_usd FROM attempts JOIN experiments USING (n)"
            " WHERE tag = :tag AND ended IS NULL"
            " UNION ALL SELECT reviews.tokens, reviews.cost_usd FROM reviews JOIN experiments"
            " USING (n) WHERE tag = :tag AND ended IS NULL",
            {"tag": tag},
        ):
            total = Tokens(**json.loads(row["tokens"])).total
            spent = spent.plus(Spend(total, row["cost_usd"] or 0.0))
        return spent
