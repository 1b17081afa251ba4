"""The ledger's finished experiments: by number for people, in order of endings for decisions."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from orchestrator.core.evaluations import Report, SeedResult
from orchestrator.core.experiments import Experiment, Seconds
from orchestrator.core.records import Files, Rung, Status, Tokens
from orchestrator.store.database import Row, by_seed, storable, to_json
from orchestrator.store.seed_results import SeedResults

_SAYS_NOTHING = frozenset({Status.ABORTED, Status.TIMEOUT})
"""Endings that say nothing about a candidate's code: it may be proposed again."""
_WHATEVER_THE_PARENT = frozenset({Status.INVALID, Status.CRASH})
"""Endings that do not depend on what a candidate is compared with."""


@dataclass(frozen=True)
class SameCode:
    """An experiment that has a certain code."""

    n: int
    status: Status | None
    """None while it is open."""
    rung: Rung
    parent: str | None
    against: int | None
    """The experiment that scored the lead which it was judged against, if it was judged."""

    def repeats(self, rung: Rung, parent: str, incumbent: Iterable[int]) -> bool:
        """Would an evaluation of the same code at a rung tell nothing new?

        So it is while this one is open, where it failed by itself, and where it was judged against
        the same lead. Against another one, judging it again is no repetition.

        Args:
            rung: the budget.
            parent: the lead's commit.
            incumbent: the experiments that proposed and scored the lead.
        """
        if self.rung != rung or self.status in _SAYS_NOTHING:
            return False
        if self.status is None or self.status in _WHATEVER_THE_PARENT:
            return True
        numbers = set(incumbent)
        return self.parent == parent or self.n in numbers or self.against in numbers


class Experiments(SeedResults):
    """The part of the ledger that holds finished experiments."""

    def finish(
        self,
        experiment: Experiment,
        files: Files | None,
        fingerprint: str | None,
        seeds: Sequence[SeedResult] = (),
        *,
        given_up: bool = False,
    ) -> Experiment:
        """Record an experiment's end in one transaction; return it with its place among endings.

        Rows that were only needed while it was open are deleted. An experiment that has ended
        already is returned as it was recorded.

        Args:
            experiment: its row; `ended` is ignored.
            files: the candidate, if the reply led to one.
            fingerprint: of its code.
            seeds: the results that its verdict used, in place of those recorded so far.
            given_up: it was aborted and will not be proposed again: its ordinal is used up.
        """
        n = experiment.n
        with self.transaction():
            if (recorded := self.experiment(n)) is not None:
                return recorded
            self.evidence_changes += 1
            self._forget_seeds(n)
            for result in seeds:
                self._add_seed(n, experiment.rung, result)
            self._db.execute("DELETE FROM evaluations WHERE n = ?", (n,))
            columns = _columns(experiment) | {"fingerprint": fingerprint, "given_up": given_up}
            columns["env_sha256"], columns["train_sha256"] = self._blobs(files)
            changes = ", ".join(f"{name} = :{name}" for name in columns)
            self._db.execute(
                f"UPDATE experiments SET {changes},"  # noqa: S608 - our own names
                " ended = (SELECT coalesce(max(ended), 0) + 1 FROM experiments) WHERE n = :n",
                columns | {"n": n},
            )
            finished = self.experiment(n)
        assert finished is not None, f"experiment {n} was never begun"
        return finished

    def experiments(self, tag: str | None = None) -> Iterator[Experiment]:
        """Yield finished experiments in order of number, of one run or of all."""
        return self._finished("ORDER BY n", tag)

    def endings(self, tag: str, *, after: int = 0, most: int = -1) -> Iterator[Experiment]:
        """Yield a run's finished experiments in the order in which they ended.

        Those after the place `after` among the endings, at `most` so many (-1 for all).
        """
        order = f"AND ended > {int(after)} ORDER BY ended LIMIT {int(most)}"
        return self._finished(order, tag, "+tag" if after else "tag")  # + as in SeedResults

    def has_baseline(self, tag: str) -> bool:
        """Return whether a baseline of the run has a score."""
        query = "SELECT 1 FROM experiments WHERE tag = ? AND status = 'baseline' LIMIT 1"
        return self._db.execute(query, (tag,)).fetchone() is not None

    def _finished(self, order: str, tag: str | None, column: str = "tag") -> Iterator[Experiment]:
        where, values = (f"AND {column} = ?", (tag,)) if tag else ("", ())
        query = f"SELECT * FROM experiments WHERE ended NOT NULL {where} {order}"  # noqa: S608
        # All at once: a reader that pauses between rows would block the daemon's writes.
        yield from map(_experiment, self._db.execute(query, values).fetchall())

    def experiment(self, n: int) -> Experiment | None:
        """Return one finished experiment."""
        row = self._db.execute(
            "SELECT * FROM experiments WHERE n = ? AND ended NOT NULL", (n,)
        ).fetchone()
        return _experiment(row) if row else None

    def recent(self, tag: str, count: int) -> list[Experiment]:
        """Return the run's last endings, oldest first; of the reports only the solve rate."""
        rows = self._db.execute(
            "SELECT *, json_extract(metrics, '$.mean_solve_rate') AS solved FROM experiments"
            " WHERE +tag = ? AND ended NOT NULL ORDER BY ended DESC LIMIT ?",  # + as in SeedResults
            (tag, count),
        ).fetchall()
        return [
            _experiment(row, Report({"mean_solve_rate": row["solved"]})) for row in reversed(rows)
        ]

    def files(self, n: int) -> Files | None:
        """Return an experiment's two files, or None if its reply led to none."""
        texts = [
            self._db.execute(
                f"SELECT text FROM experiments JOIN blobs ON sha256 = {column} WHERE n = ?",  # noqa: S608
                (n,),
            ).fetchone()
            for column in ("env_sha256", "train_sha256")
        ]
        return Files(*(row["text"] for row in texts)) if all(texts) else None

    def files_at(self, commit: str) -> Files | None:
        """Return the files of a commit of the daemon's, None for any other commit."""
        row = self._db.execute(
            "SELECT n FROM experiments WHERE commit_hash = :commit"
            " UNION ALL SELECT n FROM moves WHERE commit_hash = :commit LIMIT 1",
            {"commit": commit},
        ).fetchone()
        return self.files(row["n"]) if row else None

    def same_code(self, tag: str, files: Files, fingerprint: str | None) -> list[SameCode]:
        """Return the run's experiments with the same code, or the same files, by number."""
        texts = [hashlib.sha256(text.encode()).hexdigest() for text in files.by_path().values()]
        rows = self._db.execute(
            "SELECT * FROM experiments WHERE tag = ?"
            " AND (fingerprint = ? OR (env_sha256 = ? AND train_sha256 = ?)) ORDER BY n",
            (tag, fingerprint, *texts),
        ).fetchall()
        return [_same_code(row) for row in rows]

    def with_fingerprint(self, tag: str, fingerprint: str) -> list[SameCode]:
        """Return the run's experiments that have claimed this code, by number."""
        rows = self._db.execute(
            "SELECT * FROM experiments WHERE tag = ? AND fingerprint = ? ORDER BY n",
            (tag, fingerprint),
        ).fetchall()
        return [_same_code(row) for row in rows]

    def latest_attempt(self, tag: str) -> int | None:
        """Return the run's latest experiment that led to a valid candidate, None without one.

        Baselines propose nothing, and an abort says nothing of a candidate.
        """
        row = self._db.execute(
            "SELECT n FROM experiments WHERE +tag = ? AND ended NOT NULL AND NOT is_baseline"
            " AND env_sha256 NOT NULL AND status NOT IN ('invalid', 'aborted')"
            " ORDER BY ended DESC LIMIT 1",
            (tag,),
        ).fetchone()
        return int(row["n"]) if row else None

    def accepted(self) -> set[int]:
        """Return the numbers of all experiments that were ever accepted, of every run."""
        rows = self._db.execute(
            "SELECT n FROM experiments WHERE status IN ('baseline', 'keep', 'lead')"
            " UNION SELECT n FROM moves WHERE kind = 'accept'"
        )
        return {row["n"] for row in rows}

    def trials(self, tag: str, rung: Rung, count: int = 300) -> list[tuple[str, float]]:
        """Return (train.py, value) of the run's last scored experiments, oldest first.

        The value is the mean over all seeds that were evaluated, or the predicted score where the
        evaluation was stopped early. Values at other rungs are shifted by the mean difference of
        candidates that were evaluated at both rungs, and left out if there is none.
        """
        rows = self._db.execute(
            "SELECT text, train_episodes, eval_episodes, env_sha256 || train_sha256 AS files,"
            " coalesce((SELECT avg(value) FROM evidence WHERE evidence.n = experiments.n AND"
            " evidence.train_episodes = experiments.train_episodes AND"
            " evidence.eval_episodes = experiments.eval_episodes), score,"
            " json_extract(verdict, '$.foretold')) AS mean"
            " FROM experiments JOIN blobs ON sha256 = train_sha256"
            " WHERE +tag = ? AND mean IS NOT NULL"
            " AND status IN ('baseline', 'keep', 'lead', 'discard')"
            " ORDER BY ended DESC LIMIT ?",
            (tag, count),
        ).fetchall()
        by_rung: dict[Rung, dict[str, float]] = {}
        for row in rows:
            by_rung.setdefault(_rung(row), {})[row["files"]] = row["mean"]
        here = by_rung.get(rung, {})
        shifts: dict[Rung, float] = {}
        for at, there in by_rung.items():
            gains = [here[files] - there[files] for files in here.keys() & there.keys()]
            if gains:
                shifts[at] = sum(gains) / len(gains)
        return [
            (row["text"], row["mean"] + shifts[at])
            for row in reversed(rows)
            if (at := _rung(row)) in shifts
        ]

    def _blobs(self, files: Files | None) -> tuple[str | None, str | None]:
        """Store both files' texts; return their hashes."""
        return (self._blob(files.env), self._blob(files.train)) if files else (None, None)

    def _blob(self, text: str) -> str:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        self._db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (sha256, text))
        return sha256


def _same_code(row: Row) -> SameCode:
    status = Status(row["status"]) if row["status"] else None
    against = json.loads(row["verdict"]).get("incumbent")
    return SameCode(row["n"], status, _rung(row), row["parent"], against)


def _rung(row: Row) -> Rung:
    return Rung(row["train_episodes"], row["eval_episodes"])


def _columns(experiment: Experiment) -> dict[str, object]:
    """Return what an ending sets in an experiment's row, by column."""
    return {
        "status": experiment.status.value,
        "agent": experiment.agent,
        "description": storable(experiment.description),
        "rationale": storable(experiment.rationale),
        "parent": experiment.parent,
        "commit_hash": experiment.commit,
        "score": experiment.score,
        "scores_by_seed": to_json(experiment.scores_by_seed),
        "max_steps": experiment.max_steps,
        "metrics": to_json(experiment.report.facts),
        "flags": to_json(experiment.flags),
        "reason": storable(experiment.reason),
        "details": storable(experiment.details),
        "verdict": to_json(experiment.verdict),
        "seconds": to_json(asdict(experiment.seconds)),
        "tokens": to_json(asdict(experiment.tokens)),
        "cost_usd": experiment.cost_usd,
        "finished_at": experiment.finished_at,
    }


def _experiment(row: Row, report: Report | None = None) -> Experiment:
    return Experiment(
        n=row["n"],
        tag=row["tag"],
        is_baseline=bool(row["is_baseline"]),
        status=Status(row["status"]),
        rung=_rung(row),
        agent=row["agent"],
        description=row["description"],
        rationale=row["rationale"],
        parent=row["parent"],
        commit=row["commit_hash"],
        score=row["score"],
        scores_by_seed=by_seed(row["scores_by_seed"]),
        max_steps=row["max_steps"],
        report=Report(json.loads(row["metrics"])) if report is None else report,
        flags=tuple(json.loads(row["flags"])),
        reason=row["reason"],
        details=row["details"],
        verdict=json.loads(row["verdict"]),
        seconds=Seconds(**json.loads(row["seconds"])),
        tokens=Tokens(**json.loads(row["tokens"])),
        cost_usd=row["cost_usd"],
        created_at=row["created_at"],
        finished_at=row["finished_at"] or "",
        ended=row["ended"],
        proven_at=row["proven_at"],
    )
