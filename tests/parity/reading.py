"""Read what a run left: its ledger, its refs and `results.tsv`, without what differs in each run.

Left out are times, and replaced are hashes that depend on them: a commit is named by the experiment
it was made for. A later ledger schema is read by changing `read_ledger` and `read_verdict`, so that
they return what schema 3 had under the names of schema 3.
"""

import hashlib
import json
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

LEDGERS = ".autorl/ledger*.sqlite"
EXPERIMENT = (
    "n tag is_baseline status train_episodes eval_episodes agent description rationale reason"
    " details score max_steps cost_usd"
).split()
ATTEMPT = "n k finish_reason cost_usd status".split()
MOVE = "kind n after_n reason gain standard_error seeds".split()
EVIDENCE = "n train_episodes eval_episodes seed role value solve_rate".split()
VERDICT = (
    "status stage gain standard_error statistic boundary evaluations foretold incumbent"
).split()
"""What is compared of each table, under the names of ledger schema 3."""
WORDING = frozenset({"reason", "stop_reason", "why"})
"""Worded for a person: compared is only whether there is one."""
_LONGEST = 8
"""Numbers of a list that are recorded as they are; more are recorded as a hash."""

Table = list[dict[str, Any]]


def read_run(
    workspace: Path, replies: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return all that a run left, as JSON knows it.

    Args:
        workspace: the workspace.
        replies: the scripted replies by name.
        environment: what git runs in.
    """
    (file,) = workspace.glob(LEDGERS)
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        tables = read_ledger(database)
    git = _Git(workspace, environment)
    names = _commit_names(tables, git)
    run = {
        "runs": _runs(tables["runs"], names),
        "experiments": _experiments(tables["experiments"], names),
        "attempts": _attempts(tables["attempts"], replies),
        "evidence": _evidence(tables["evidence"]),
        "accepts": [_pick(row, ["n", "after_n"]) for row in tables["accepts"]],
        "moves": [_pick(row, MOVE) for row in tables["moves"]],
        "notes": [row["text"] for row in tables["notes"]],
        "open_requests": [row["kind"] for row in tables["requests"]],
        "refs": git.refs(names),
        "commits": git.commits(names, tables),
        "results_tsv": _results_tsv(workspace, tables["experiments"]),
    }
    return {part: _shortened(json.loads(json.dumps(facts))) for part, facts in run.items()}


# -- the ledger ------------------------------------------------------------------------------------


def read_ledger(database: sqlite3.Connection) -> dict[str, Table]:
    """Return the ledger's tables with the columns of schema 3."""
    orders = {
        "runs": "tag",
        "experiments": "n",
        "attempts": "n, k",
        "evidence": "n, train_episodes, eval_episodes, seed",
        "moves": "id",
        "notes": "id",
        "requests": "id",
    }
    tables = {
        table: [dict(row) for row in database.execute(f"SELECT * FROM {table} ORDER BY {order}")]
        for table, order in orders.items()
    }
    moves = tables.pop("moves")
    for row in moves:  # schema 4 counts endings
        before = [e["n"] for e in tables["experiments"] if (e["ended"] or 0) <= row["after_ended"]]
        row["after_n"] = max(before, default=0)
    # Schema 7 has moves of the lead beside a person's overrides.
    tables["accepts"] = [row for row in moves if row["kind"] == "accept"]
    tables["moves"] = [row for row in moves if row["kind"] != "accept"]
    return tables


def _pick(row: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _shortened(value: Any) -> Any:
    """Return a value with a hash in place of each long list of numbers, all of which are copies."""
    if isinstance(value, dict):
        return {name: _shortened(fact) for name, fact in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) <= _LONGEST or not all(isinstance(item, int | float) for item in value):
        return [_shortened(item) for item in value]
    return f"{len(value)} numbers: {hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]}"


def read_verdict(text: str) -> dict[str, Any]:
    """Return a verdict with the names of schema 3; empty without one."""
    verdict = json.loads(text)
    return _pick(verdict, VERDICT) if verdict else {}


def _runs(rows: Table, names: dict[str, str]) -> Table:
    return [
        {"tag": row["tag"], "parent": names[row["parent"]], "stop_reason": row["stop_reason"],
         "is_paused": row["pause_reason"] is not None}
        for row in rows
    ]  # fmt: skip


def _experiments(rows: Table, names: dict[str, str]) -> Table:
    first_with: dict[str, int] = {}
    return [
        {
            **_pick(row, EXPERIMENT),
            # What a baseline is described by is the reason to climb.
            **({"description": "", "why": row["description"]} if row["is_baseline"] else {}),
            "parent": names[row["parent"]],
            "commit": row["commit_hash"] and names[row["commit_hash"]],
            # The hash itself depends on the version of Python.
            "same_code_as": row["fingerprint"]
            and first_with.setdefault(row["fingerprint"], row["n"]),
            "files": [row["env_sha256"], row["train_sha256"]],
            "scores_by_seed": json.loads(row["scores_by_seed"]),
            "metrics": _without_times(json.loads(row["metrics"])),
            "flags": json.loads(row["flags"]),
            "verdict": read_verdict(row["verdict"]),
            "tokens": json.loads(row["tokens"]),
            "is_finished": bool(row["finished_at"]),
        }
        for row in rows
    ]


def _without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if not name.endswith("_s")}


def _attempts(rows: Table, replies: Mapping[str, str]) -> Table:
    names = {text: name for name, text in sorted(replies.items(), reverse=True)}
    return [
        {
            **_pick(row, ATTEMPT),
            "reply": names[row["reply"]],
            "tokens": json.loads(row["tokens"]),
            "details": json.loads(row["error"])["details"] if row["error"] else None,
        }
        for row in rows
    ]


def _evidence(rows: Table) -> Table:
    return [{**_pick(row, EVIDENCE), "curve": json.loads(row["curve"])} for row in rows]


# -- the repository --------------------------------------------------------------------------------


def _commit_names(tables: dict[str, Table], git: "_Git") -> dict[str, str]:
    """Return a name for each commit, by what it was made for."""
    names = {git.head(): "HEAD"}
    for row in tables["accepts"]:  # before the baseline that scores it where it was not scored yet
        names[row["commit_hash"]] = f"#{row['n']} accepted after #{row['after_n']}"
    for row in tables["experiments"]:
        if row["commit_hash"]:
            names.setdefault(row["commit_hash"], f"#{row['n']}")
    return names


class _Git:
    """The workspace's repository."""

    def __init__(self, workspace: Path, environment: Mapping[str, str]) -> None:
        self._workspace = workspace
        self._environment = environment

    def head(self) -> str:
        return self._run("rev-parse", "HEAD").strip()

    def refs(self, names: dict[str, str]) -> dict[str, str]:
        """Return every ref and whose commit it points to."""
        lines = self._run("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return {ref: names[commit] for ref, commit in (line.split() for line in lines)}

    def commits(self, names: dict[str, str], tables: dict[str, Table]) -> Table:
        """Return what is in each commit beyond the user's own."""
        # A commit was made for the first that has it: later baselines have the incumbent's.
        rows = [*reversed(tables["experiments"]), *tables["accepts"]]
        made_for = {row["commit_hash"]: row for row in rows if row["commit_hash"]}
        reachable = set(self._run("rev-list", "--all", "^HEAD").split())
        assert reachable <= made_for.keys(), "commits that the ledger knows nothing of"
        return [
            {"name": name, **self._commit(commit, names, made_for[commit])}
            for commit, name in names.items()
            if commit in reachable
        ]

    def _commit(self, commit: str, names: dict[str, str], row: dict[str, Any]) -> dict[str, Any]:
        header, _, message = self._run("cat-file", "commit", commit).partition("\n\n")
        fields = [line.split(" ", 1) for line in header.splitlines()]
        parents = [value for key, value in fields if key == "parent"]
        people = {key: value.rsplit(" ", 2) for key, value in fields if " " in value}
        second = int(datetime.fromisoformat(row["created_at"]).timestamp())
        return {
            "parents": [names[parent] for parent in parents],
            "header": [key for key, _ in fields],
            "people": {key: [who, zone] for key, (who, _, zone) in people.items()},
            "is_dated_as_in_the_ledger": all(int(when) == second for _, when, _ in people.values()),
            "candidate_tree": self._run("rev-parse", f"{commit}:candidate").strip(),
            "changes": self._run("diff", "--name-only", parents[0], commit).split(),
            **_message(message, row),
        }

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self._workspace, env=dict(self._environment),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout


def _message(text: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a commit message in parts; the reason is what follows the line with the score."""
    subject, *paragraphs = text.split("\n\n")
    score, _, reason = paragraphs.pop().partition("\n") if paragraphs else ("", "", "")
    if row.get("is_baseline"):
        subject = subject.partition(": ")[0]
    return {"subject": subject, "body": paragraphs, "score": score, "reason": reason.strip()}


def _results_tsv(workspace: Path, experiments: Table) -> list[str]:
    """Return the rows without the commit, after checking that against the ledger.

    What is unknown stands as the zeros that version 0.1 wrote.
    """
    header, *rows = (workspace / "results.tsv").read_text().splitlines()
    shown = [header.partition("\t")[2]]
    for row, experiment in zip(rows, experiments, strict=True):
        commit, _, rest = row.partition("\t")
        assert commit == (experiment["commit_hash"] or "none")[:7]
        why = f" {experiment['description']}" if experiment["is_baseline"] else ""
        shown.append(_with_zeros(rest.removesuffix(why)))
    return shown


def _with_zeros(row: str) -> str:
    cells = row.split("\t")
    zeros = ["", "", "0", "0.000000", "0.000000", "0.000000"]
    return "\t".join([cell or zero for cell, zero in zip(cells, zeros, strict=False)] + cells[6:])
