"""The ledger's open experiments: all that a restart needs to resume them."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.core.evaluations import (
    Evaluation,
    Purpose,
    Report,
    RulerComparison,
    SeedResult,
    Verdict,
)
from orchestrator.core.records import Files, Reply, Rung, Status, Tokens
from orchestrator.store.database import storable, to_json
from orchestrator.store.experiments import Experiments

_ATTEMPT_STEP = 1_000_000
"""Steps that a reply or failure counts for: more than the seeds that a failure deletes."""


@dataclass(frozen=True)
class OpenExperiment:
    """An experiment that was begun and has not ended."""

    n: int
    is_baseline: bool
    rung: Rung
    agent: str
    parent: str | None
    created_at: str
    ordinal: int | None = None
    """The proposal's number in its brief; None for baselines."""
    edits: int | None = None
    """The experiment whose files it edits, where these are not the incumbent's."""
    resumes: int = 0
    """How often in a row it was taken up, as `count_resume` has it."""


class OpenExperiments(Experiments):
    """The part of the ledger that is written while experiments are open."""

    def begin(
        self,
        tag: str,
        *,
        is_baseline: bool,
        rung: Rung,
        agent: str,
        parent: str,
        when: str,
        ordinal: int | None = None,
        files: Files | None = None,
        edits: int | None = None,
    ) -> int:
        """Record that an experiment begins, with its files if there are any; return its number.

        Args:
            tag: the run.
            is_baseline: the incumbent is evaluated, nothing is proposed.
            rung: the budget.
            agent: the agent that proposes.
            parent: the commit it starts from.
            when: the time, as ISO 8601.
            ordinal: the proposal's number in its brief, reserved while it is open.
            files: the candidate.
            edits: the experiment whose files the agent was shown, if not the incumbent's.
        """
        with self.transaction():
            cursor = self._db.execute(
                "INSERT INTO experiments (tag, is_baseline, train_episodes, eval_episodes, agent,"
                " parent, created_at, ordinal, edits, env_sha256, train_sha256)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (tag, is_baseline, *rung, agent, parent, when, ordinal, edits, *self._blobs(files)),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def free_ordinal(self, tag: str, taken: Collection[int] = ()) -> int:
        """Return the least number from 1 that no proposal of the run has.

        A number is reserved while its proposal is open, and for good once that has counted or was
        given up; an aborted proposal leaves it to the next.

        Args:
            tag: the run.
            taken: numbers of proposals in flight that are not in the ledger yet.
        """
        rows = self._db.execute(
            "SELECT ordinal FROM experiments WHERE tag = ? AND ordinal NOT NULL"
            " AND (status IS NULL OR status != 'aborted' OR given_up)",
            (tag,),
        )
        used = {row["ordinal"] for row in rows}.union(taken)
        return next(number for number in range(1, len(used) + 2) if number not in used)

    def open_experiments(self, tag: str) -> list[OpenExperiment]:
        """Return the run's experiments that were begun and have not ended, in order of number."""
        rows = self._db.execute(
            "SELECT * FROM experiments WHERE tag = ? AND ended IS NULL ORDER BY n", (tag,)
        )
        return [
            OpenExperiment(
                n=row["n"],
                is_baseline=bool(row["is_baseline"]),
                rung=Rung(row["train_episodes"], row["eval_episodes"]),
                agent=row["agent"],
                parent=row["parent"],
                created_at=row["created_at"],
                ordinal=row["ordinal"],
                edits=row["edits"],
                resumes=row["resumes"],
            )
            for row in rows
        ]

    def reserve_code(
        self,
        n: int,
        tag: str,
        rung: Rung,
        fingerprint: str,
        files: Files,
        *,
        parent: str = "",
        incumbent: Collection[int] = (),
    ) -> int | None:
        """Reserve a candidate's code for experiment `n`, unless another one repeats it.

        Args:
            n: the experiment.
            tag: its run.
            rung: the budget.
            fingerprint: of the code.
            files: the candidate.
            parent: the commit of the incumbent that it will be judged against.
            incumbent: the experiments that proposed and scored that incumbent.

        Returns:
            The number of another experiment at this rung with the same code that is open, failed by
            itself, or was judged against the same incumbent (`SameCode.repeats`); else None, and
            row `n` now has the fingerprint and the files.
        """
        with self.transaction():
            others = [same for same in self.with_fingerprint(tag, fingerprint) if same.n != n]
            repeated = (o.n for o in others if o.repeats(rung, parent, incumbent))
            if (earlier := next(repeated, None)) is not None:
                return earlier
            self._db.execute(
                "UPDATE experiments SET fingerprint = ?, env_sha256 = ?, train_sha256 = ?"
                " WHERE n = ? AND ended IS NULL",
                (fingerprint, *self._blobs(files), n),
            )
        return None

    def save_reply(self, n: int, k: int, reply: Reply, agent: str = "") -> None:
        """Record the k-th reply of an experiment, by its agent or another, before it is read."""
        self._write(
            "INSERT INTO attempts (n, k, reply, finish_reason, tokens, cost_usd, agent)"
            " VALUES (?, ?, ?, ?, ?, ?,"
            " coalesce(?, (SELECT agent FROM experiments WHERE experiments.n = ?)))",
            (
                n,
                k,
                storable(reply.text),
                storable(reply.finish_reason),
                to_json(asdict(reply.tokens)),
                reply.cost_usd,
                agent or None,
                n,
            ),
        )

    def replies(self, n: int) -> list[tuple[Reply, Evaluation | None]]:
        """Return an experiment's replies, and how each failed (None: not so far)."""
        rows = self._db.execute("SELECT * FROM attempts WHERE n = ? ORDER BY k", (n,))
        return [
            (
                Reply(
                    row["reply"],
                    Tokens(**json.loads(row["tokens"])),
                    row["cost_usd"],
                    row["finish_reason"],
                ),
                Evaluation(Status(row["status"]), **json.loads(row["error"]))
                if row["status"]
                else None,
            )
            for row in rows
        ]

    def spent(self, n: int) -> tuple[Tokens, float | None]:
        """Return the tokens and dollars that an experiment's replies and reviews have cost."""
        tokens, cost = Tokens(), None
        for row in self._db.execute(
            "SELECT tokens, cost_usd FROM attempts WHERE n = :n"
            " UNION ALL SELECT tokens, cost_usd FROM reviews WHERE n = :n",
            {"n": n},
        ):
            tokens = tokens.plus(Tokens(**json.loads(row["tokens"])))
            if row["cost_usd"] is not None:
                cost = (cost or 0.0) + row["cost_usd"]
        return tokens, cost

    def save_failure(self, n: int, k: int, evaluation: Evaluation) -> None:
        """Record how and why the k-th reply of an experiment failed.

        Seeds and report of its candidate are deleted: the next reply leads to another candidate.
        """
        assert evaluation.status is not None
        failure = {"reason": evaluation.reason, "details": evaluation.details}
        with self.transaction():
            self._db.execute(
                "UPDATE attempts SET status = ?, error = ? WHERE n = ? AND k = ?",
                (evaluation.status.value, to_json(failure), n, k),
            )
            self._forget_seeds(n)
            self._db.execute("DELETE FROM evaluations WHERE n = ?", (n,))

    def save_report(self, n: int, evaluation: Evaluation, seconds: float) -> None:
        """Record the report of an open experiment, before it is judged."""
        self._write(
            "INSERT OR REPLACE INTO evaluations (n, evaluation, seconds) VALUES (?, ?, ?)",
            (n, to_json(asdict(evaluation)), seconds),
        )

    def saved_report(self, n: int) -> tuple[Evaluation, float] | None:
        """Return the report of an open experiment and its seconds, once there is one."""
        row = self._db.execute("SELECT * FROM evaluations WHERE n = ?", (n,)).fetchone()
        return (_evaluation(row["evaluation"]), row["seconds"]) if row else None

    def count_resume(self, n: int) -> int:
        """Record that an experiment is resumed; return how often in a row, this time included.

        Progress resets the count: a reply, a failure, a seed, a report or a review recorded since
        the last time.
        """
        with self.transaction():
            row = self._db.execute(
                "SELECT resumes, resumed_at_step,"
                " (SELECT count(*) + count(status) FROM attempts WHERE attempts.n = :n) * :weight"
                " + (SELECT count(*) FROM evidence WHERE evidence.n = :n)"
                " + (SELECT count(*) FROM evaluations WHERE evaluations.n = :n)"
                " + (SELECT count(*) FROM reviews WHERE reviews.n = :n"
                " AND json_extract(review, '$.opinion', '$.none') != '[null,null]') AS step"
                " FROM experiments WHERE n = :n",
                {"n": n, "weight": _ATTEMPT_STEP},
            ).fetchone()
            times = row["resumes"] + 1 if row["resumed_at_step"] == row["step"] else 1
            self._db.execute(
                "UPDATE experiments SET resumes = ?, resumed_at_step = ? WHERE n = ?",
                (times, row["step"], n),
            )
        return int(times)


def _evaluation(text: str) -> Evaluation:
    facts: dict[str, Any] = json.loads(text)
    verdict = facts["verdict"]
    return Evaluation(
        **facts
        | {
            "status": Status(facts["status"]) if facts["status"] else None,
            "scores_by_seed": {int(seed): x for seed, x in facts["scores_by_seed"].items()},
            "other_replays": {int(k): v for k, v in facts.get("other_replays", {}).items()},
            "report": Report(**facts["report"]),
            "flags": tuple(facts["flags"]),
            "seeds": tuple(map(_seed_result, facts["seeds"])),
            "verdict": verdict and _verdict(verdict),
        }
    )


def _verdict(facts: dict[str, Any]) -> Verdict:
    is_new = "changed" in facts  # a report may be of a former version
    changed = {"changed": tuple(facts["changed"])} if is_new else {}
    return Verdict(**facts | {"status": Status(facts["status"])} | changed)


def _seed_result(facts: dict[str, Any]) -> SeedResult:
    return SeedResult(
        **facts
        | {
            "curve": tuple(facts["curve"]),
            "purpose": Purpose(facts["purpose"]),
            "rung": facts["rung"] and Rung(*facts["rung"]),
            "compared": (compared := facts.get("compared")) and RulerComparison(**compared),
        }
    )
