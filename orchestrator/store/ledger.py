"""The ledger: SQLite, the truth. Refs, log lines and tables can all be made again from it."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.core.evaluations import Evaluation, SeedResult, Verdict
from orchestrator.core.experiments import Accept, Experiment, Seconds
from orchestrator.core.records import Files, Reply, Rung, Status, Tokens
from orchestrator.store.database import Row, to_json
from orchestrator.store.seed_results import Evidence

GIVEN_UP = "given up: "
"""So begins the reason of an aborted experiment that will not be proposed again."""


@dataclass(frozen=True)
class Run:
    """One tag: a chain of experiments from one baseline, scored by one evaluator."""

    tag: str
    parent: str
    """The commit that was HEAD when the run began."""
    evaluator: dict[str, Any]
    """What must not change within a run, or its scores can't be compared."""
    created_at: str
    stop_reason: str | None = None
    pause_reason: str | None = None
    seconds: float = 0.0
    """How long the run has been running, all its sessions together."""


@dataclass(frozen=True)
class Request:
    """Something a person asked of the daemon: `stop`, `pause`, `resume` or `accept`."""

    id: int
    kind: str
    argument: str | None


@dataclass(frozen=True)
class OpenExperiment:
    """An experiment that was begun and not finished."""

    n: int
    is_baseline: bool
    rung: Rung
    agent: str
    parent: str | None
    created_at: str


class Ledger(Evidence):
    """A workspace's ledger."""

    # Workspace.

    def key(self) -> bytes:
        """Return the workspace's secret, from which environment seeds derive; made on first use."""
        with self.transaction():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()
            if row is None:
                secret = secrets.token_hex(32)
                self._db.execute("INSERT INTO meta VALUES ('secret', ?)", (secret,))
                return bytes.fromhex(secret)
            return bytes.fromhex(row["value"])

    # Runs.

    def run(self, tag: str) -> Run | None:
        """Return a run by its tag."""
        row = self._db.execute("SELECT * FROM runs WHERE tag = ?", (tag,)).fetchone()
        return _run(row) if row else None

    def last_run(self) -> Run | None:
        """Return the run that recorded something last."""
        row = self._db.execute(
            "SELECT runs.* FROM runs LEFT JOIN experiments USING (tag)"
            " ORDER BY n DESC NULLS LAST, runs.created_at DESC LIMIT 1"
        ).fetchone()
        return _run(row) if row else None

    def create_run(self, run: Run) -> None:
        """Record a new run."""
        self._write(
            "INSERT INTO runs (tag, parent, evaluator, created_at) VALUES (?, ?, ?, ?)",
            (run.tag, run.parent, to_json(run.evaluator), run.created_at),
        )

    def set_stop_reason(self, tag: str, reason: str | None) -> None:
        """Record why the run stopped; None while it runs."""
        self._write("UPDATE runs SET stop_reason = ? WHERE tag = ?", (reason, tag))

    def set_pause_reason(self, tag: str, reason: str | None) -> None:
        """Record why the run is paused; None when it is not."""
        self._write("UPDATE runs SET pause_reason = ? WHERE tag = ?", (reason, tag))

    def add_seconds(self, tag: str, seconds: float) -> None:
        """Add to how long the run has been running."""
        self._write("UPDATE runs SET seconds = seconds + ? WHERE tag = ?", (seconds, tag))

    # Experiments.

    def begin(
        self,
        tag: str,
        *,
        is_baseline: bool,
        rung: Rung,
        agent: str,
        parent: str,
        when: str,
        files: Files | None = None,
    ) -> int:
        """Record that an experiment begins, with its files if they are known; return its number."""
        with self.transaction():
            cursor = self._db.execute(
                "INSERT INTO experiments (tag, is_baseline, train_episodes, eval_episodes, agent,"
                " parent, created_at, env_sha256, train_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (tag, is_baseline, *rung, agent, parent, when, *self._blobs(files)),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def save_reply(self, n: int, k: int, reply: Reply) -> None:
        """Record the k-th reply of an experiment before anything is made of it."""
        self._write(
            "INSERT INTO attempts (n, k, reply, finish_reason, tokens, cost_usd)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                n,
                k,
                _text(reply.text),
                reply.finish_reason,
                _tokens_json(reply.tokens),
                reply.cost_usd,
            ),
        )

    def save_failure(self, n: int, k: int, evaluation: Evaluation) -> None:
        """Record how and why the k-th reply of an experiment failed."""
        assert evaluation.status is not None
        failure = {"reason": evaluation.reason, "details": evaluation.details}
        self._write(
            "UPDATE attempts SET status = ?, error = ? WHERE n = ? AND k = ?",
            (evaluation.status.value, to_json(failure), n, k),
        )

    def save_evaluation(self, n: int, evaluation: Evaluation, seconds: float) -> None:
        """Record how an open experiment's evaluation ended, before anything follows from it."""
        self._write(
            "INSERT OR REPLACE INTO evaluations (n, evaluation, seconds) VALUES (?, ?, ?)",
            (n, to_json(asdict(evaluation)), seconds),
        )

    def evaluation(self, n: int) -> tuple[Evaluation, float] | None:
        """Return the recorded evaluation of an open experiment and the seconds it took, if any."""
        row = self._db.execute("SELECT * FROM evaluations WHERE n = ?", (n,)).fetchone()
        if row is None:
            return None
        facts = json.loads(row["evaluation"])
        verdict = facts.get("verdict")
        return Evaluation(
            **facts
            | {
                "evidence": tuple(
                    SeedResult(
                        **seed
                        | {
                            "curve": tuple(seed["curve"]),
                            "rung": seed["rung"] and Rung(*seed["rung"]),
                        }
                    )
                    for seed in facts.get("evidence", [])
                ),
                "verdict": verdict and Verdict(**{**verdict, "status": Status(verdict["status"])}),
                "status": Status(facts["status"]) if facts["status"] else None,
                "scores_by_seed": {int(s): score for s, score in facts["scores_by_seed"].items()},
                "flags": tuple(facts["flags"]),
            }
        ), row["seconds"]

    def finish(
        self,
        experiment: Experiment,
        files: Files | None,
        fingerprint: str | None,
        evidence: Sequence[SeedResult] = (),
    ) -> None:
        """Record an experiment's end, with its files and evidence, in one transaction."""
        with self.transaction():
            for seed in evidence:
                self._add_evidence(experiment.n, experiment.rung, seed)
            # From now on the row says it all.
            self._db.execute("DELETE FROM evaluations WHERE n = ?", (experiment.n,))
            self._db.execute(
                "UPDATE experiments SET status = ?, agent = ?, description = ?, rationale = ?,"
                " parent = ?, commit_hash = ?, env_sha256 = ?, train_sha256 = ?, fingerprint = ?,"
                " score = ?, scores_by_seed = ?, max_steps = ?, metrics = ?, flags = ?, reason = ?,"
                " details = ?, verdict = ?, seconds = ?, tokens = ?, cost_usd = ?, finished_at = ?"
                " WHERE n = ? AND status IS NULL",
                (
                    experiment.status.value,
                    experiment.agent,
                    _text(experiment.description),
                    _text(experiment.rationale),
                    experiment.parent,
                    experiment.commit,
                    *self._blobs(files),
                    fingerprint,
                    experiment.score,
                    to_json(experiment.scores_by_seed),
                    experiment.max_steps,
                    to_json(experiment.metrics),
                    to_json(experiment.flags),
                    _text(experiment.reason),
                    _text(experiment.details),
                    to_json(experiment.verdict),
                    to_json(asdict(experiment.seconds)),
                    _tokens_json(experiment.tokens),
                    experiment.cost_usd,
                    experiment.finished_at,
                    experiment.n,
                ),
            )

    def open_experiments(self, tag: str) -> list[OpenExperiment]:
        """Return the run's experiments that were begun and not finished."""
        rows = self._db.execute(
            "SELECT * FROM experiments WHERE tag = ? AND status IS NULL ORDER BY n", (tag,)
        )
        return [
            OpenExperiment(
                n=row["n"],
                is_baseline=bool(row["is_baseline"]),
                rung=Rung(row["train_episodes"], row["eval_episodes"]),
                agent=row["agent"],
                parent=row["parent"],
                created_at=row["created_at"],
            )
            for row in rows
        ]

    def count_resume(self, n: int) -> int:
        """Record that a start takes up an experiment; return how often in a row, this one included.

        A reply, failure or evaluation recorded since the last time is progress: it counts from 1.
        """
        with self.transaction():
            steps = self._db.execute(
                "SELECT (SELECT count(*) + count(status) FROM attempts WHERE n = :n)"
                " + (SELECT count(*) FROM evaluations WHERE n = :n)",
                {"n": n},
            ).fetchone()[0]
            row = self._db.execute("SELECT value FROM meta WHERE key = 'resumed'").fetchone()
            *last, times = json.loads(row["value"]) if row else [0]
            times = times + 1 if last == [n, steps] else 1
            self._db.execute(
                "INSERT OR REPLACE INTO meta VALUES ('resumed', ?)", (to_json([n, steps, times]),)
            )
        return times

    def spent(self, n: int) -> tuple[Tokens, float | None]:
        """Return the tokens and dollars that an experiment's replies have cost."""
        tokens, cost = Tokens(), None
        for row in self._db.execute("SELECT tokens, cost_usd FROM attempts WHERE n = ?", (n,)):
            tokens = tokens.plus(Tokens(**json.loads(row["tokens"])))
            if row["cost_usd"] is not None:
                cost = (cost or 0.0) + row["cost_usd"]
        return tokens, cost

    def experiments(self, tag: str | None = None) -> Iterator[Experiment]:
        """Yield finished experiments in order of number, of one run or of all."""
        where, values = ("AND tag = ?", (tag,)) if tag else ("", ())
        query = f"SELECT * FROM experiments WHERE status IS NOT NULL {where} ORDER BY n"  # noqa: S608
        # All at once: a reader that pauses between rows would keep the daemon from writing.
        yield from map(_experiment, self._db.execute(query, values).fetchall())

    def experiment(self, n: int) -> Experiment | None:
        """Return one finished experiment."""
        row = self._db.execute(
            "SELECT * FROM experiments WHERE n = ? AND status IS NOT NULL", (n,)
        ).fetchone()
        return _experiment(row) if row else None

    def recent(self, tag: str, count: int) -> list[Experiment]:
        """Return the run's last finished experiments, oldest first, without their curves."""
        rows = self._db.execute(
            "SELECT *, json_extract(metrics, '$.mean_solve_rate') AS solved FROM experiments"
            " WHERE tag = ? AND status IS NOT NULL ORDER BY n DESC LIMIT ?",
            (tag, count),
        ).fetchall()
        return [
            _experiment(row, metrics={"mean_solve_rate": row["solved"]}) for row in reversed(rows)
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
        """Return the files of a commit of ours, None for anybody else's."""
        row = self._db.execute(
            "SELECT n FROM experiments WHERE commit_hash = :commit"
            " UNION ALL SELECT n FROM accepts WHERE commit_hash = :commit LIMIT 1",
            {"commit": commit},
        ).fetchone()
        return self.files(row["n"]) if row else None

    def replies(self, n: int) -> list[tuple[Reply, Evaluation | None]]:
        """Return an experiment's replies and how each failed (None: it did not, or not yet)."""
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

    def tried_before(self, tag: str, fingerprint: str, rung: Rung) -> int | None:
        """Return the number of an experiment of this run with the same code at the same rung."""
        row = self._db.execute(
            "SELECT n FROM experiments WHERE fingerprint = ? AND tag = ? AND train_episodes = ?"
            " AND eval_episodes = ? AND status NOT IN ('aborted', 'timeout') ORDER BY n LIMIT 1",
            (fingerprint, tag, *rung),
        ).fetchone()
        return row["n"] if row else None

    def trials(self, tag: str, rung: Rung, count: int = 300) -> list[tuple[str, float]]:
        """Return (train.py, value) of the run's last scored experiments, oldest first.

        The value is the mean over all seeds that were evaluated, for a search to learn from, or
        what was predicted_score where the evaluation was stopped early. What was evaluated at other rungs
        is shifted by what candidates that were at both have gained, and left out if none was.
        """
        rows = self._db.execute(
            "SELECT text, train_episodes, eval_episodes, env_sha256 || train_sha256 AS files,"
            " coalesce((SELECT avg(value) FROM evidence WHERE evidence.n = experiments.n AND"
            " evidence.train_episodes = experiments.train_episodes AND"
            " evidence.eval_episodes = experiments.eval_episodes), score,"
            " json_extract(verdict, '$.predicted_score')) AS mean"
            " FROM experiments JOIN blobs ON sha256 = train_sha256"
            " WHERE tag = ? AND mean IS NOT NULL AND status IN ('baseline', 'keep', 'discard')"
            " ORDER BY n DESC LIMIT ?",
            (tag, count),
        ).fetchall()
        by_rung: dict[Rung, dict[str, float]] = {}
        for row in rows:
            at = Rung(row["train_episodes"], row["eval_episodes"])
            by_rung.setdefault(at, {})[row["files"]] = row["mean"]
        here = by_rung.get(rung, {})
        shifts: dict[Rung, float] = {}
        for at, there in by_rung.items():
            gains = [here[files] - there[files] for files in here.keys() & there.keys()]
            if gains:
                shifts[at] = sum(gains) / len(gains)
        return [
            (row["text"], row["mean"] + shifts[at])
            for row in reversed(rows)
            if (at := Rung(row["train_episodes"], row["eval_episodes"])) in shifts
        ]

    def accepted(self) -> set[int]:
        """Return the numbers of all that ever was an incumbent, of every run."""
        rows = self._db.execute(
            "SELECT n FROM experiments WHERE status IN ('baseline', 'keep')"
            " UNION SELECT n FROM accepts"
        )
        return {row["n"] for row in rows}

    def counted_proposals(self, tag: str) -> int:
        """Return how many of the run's proposals were dealt with: not aborted, or given up."""
        row = self._db.execute(
            "SELECT count(*) FROM experiments WHERE tag = ? AND NOT is_baseline"
            " AND (status != 'aborted' OR reason LIKE ? || '%')",
            (tag, GIVEN_UP),
        ).fetchone()
        return int(row[0])

    # Overrides, notes, requests.

    def accept(self, tag: str, n: int, commit: str, when: str) -> Accept:
        """Record that a human made experiment `n` the incumbent."""
        with self.transaction():
            after_n = self._db.execute(
                "SELECT coalesce(max(n), 0) FROM experiments WHERE status IS NOT NULL"
            ).fetchone()[0]
            self._db.execute(
                "INSERT INTO accepts (tag, n, after_n, commit_hash, created_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (tag, n, after_n, commit, when),
            )
        return self.accepts(tag)[-1]

    def accepts(self, tag: str) -> list[Accept]:
        """Return a run's overrides in order."""
        rows = self._db.execute(
            "SELECT accepts.n, after_n, accepts.commit_hash, accepts.created_at, train_episodes,"
            " eval_episodes, score, scores_by_seed FROM accepts"
            " JOIN experiments ON experiments.n = accepts.n WHERE accepts.tag = ? ORDER BY id",
            (tag,),
        )
        return [
            Accept(
                n=row["n"],
                after_n=row["after_n"],
                rung=Rung(row["train_episodes"], row["eval_episodes"]),
                score=row["score"],
                scores_by_seed=_by_seed(row["scores_by_seed"]),
                commit=row["commit_hash"],
                created_at=row["created_at"],
            )
            for row in rows
        ]

    def add_note(self, text: str, when: str) -> None:
        """Record a note for the agent."""
        self._write("INSERT INTO notes (text, created_at) VALUES (?, ?)", (_text(text), when))

    def notes(self) -> list[str]:
        """Return the notes, oldest first."""
        return [row["text"] for row in self._db.execute("SELECT text FROM notes ORDER BY id")]

    def add_request(self, kind: str, argument: str | None, when: str) -> None:
        """Leave a request for the daemon."""
        self._write(
            "INSERT INTO requests (kind, argument, created_at) VALUES (?, ?, ?)",
            (kind, argument, when),
        )

    def requests(self) -> list[Request]:
        """Return the requests not yet dealt with, oldest first."""
        rows = self._db.execute("SELECT * FROM requests ORDER BY id").fetchall()
        return [Request(row["id"], row["kind"], row["argument"]) for row in rows]

    def drop_requests(self, *kinds: str, up_to: int) -> None:
        """Forget the requests of these kinds that were made up to one of them."""
        for kind in kinds:
            self._write("DELETE FROM requests WHERE kind = ? AND id <= ?", (kind, up_to))

    def number_from(self, n: int) -> None:
        """Give later experiments numbers above `n`, if theirs would not be anyway."""
        with self.transaction():
            self._db.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT 'experiments', 0 WHERE NOT EXISTS"
                " (SELECT 1 FROM sqlite_sequence WHERE name = 'experiments')"
            )
            self._db.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'experiments'", (n,)
            )

    def _blobs(self, files: Files | None) -> tuple[str | None, str | None]:
        return (self._blob(files.env), self._blob(files.train)) if files else (None, None)

    def _blob(self, text: str) -> str:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        self._db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (sha256, text))
        return sha256


def _run(row: Row) -> Run:
    return Run(
        tag=row["tag"],
        parent=row["parent"],
        evaluator=json.loads(row["evaluator"]),
        created_at=row["created_at"],
        stop_reason=row["stop_reason"],
        pause_reason=row["pause_reason"],
        seconds=row["seconds"],
    )


def _experiment(row: Row, *, metrics: dict[str, Any] | None = None) -> Experiment:
    return Experiment(
        n=row["n"],
        tag=row["tag"],
        is_baseline=bool(row["is_baseline"]),
        status=Status(row["status"]),
        rung=Rung(row["train_episodes"], row["eval_episodes"]),
        agent=row["agent"],
        description=row["description"],
        rationale=row["rationale"],
        parent=row["parent"],
        commit=row["commit_hash"],
        score=row["score"],
        scores_by_seed=_by_seed(row["scores_by_seed"]),
        max_steps=row["max_steps"],
        metrics=json.loads(row["metrics"]) if metrics is None else metrics,
        flags=tuple(json.loads(row["flags"])),
        reason=row["reason"],
        details=row["details"],
        verdict=json.loads(row["verdict"]),
        seconds=Seconds(**json.loads(row["seconds"])),
        tokens=Tokens(**json.loads(row["tokens"])),
        cost_usd=row["cost_usd"],
        created_at=row["created_at"],
        finished_at=row["finished_at"] or "",
    )


def _by_seed(text: str) -> dict[int, float]:
    return {int(seed): score for seed, score in json.loads(text).items()}


def _tokens_json(tokens: Tokens) -> str:
    return to_json(asdict(tokens))


def _text(text: str) -> str:
    """Return text that SQLite can hold: lone surrogates are replaced."""
    return text.encode(errors="replace").decode()
