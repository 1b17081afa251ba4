"""Check a candidate in a confined worker before a run: `python -P -m referee.check`.

Reads one JSON object from standard input, the fields of an `EvaluationRequest` that matter beside
`files`, `sandbox` and `limit_s`; prints one: `{"problems": [...]}`, empty for a candidate that the
evaluator can train. All that is wrong is named, a line each; what hangs is ended.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from referee.records import CandidateError, EvaluationRequest
from referee.referee import resolve_device
from referee.workers import PRELOAD, SeedWorkers
from referee.world_files import AT_FAULT
from sandbox import (
    ChannelClosedError,
    ChannelError,
    Tier,
    Worker,
    WorkerPool,
    WorkerServer,
    die_with_parent,
)

CHECK = "referee.worker:check_candidate"
MOST_ENVS = 32
"""Sub-environments of a check, at most."""


def check(
    files: Mapping[str, str],
    fields: Mapping[str, Any],
    tier: Tier,
    limit_s: float,
) -> list[str]:
    """Return everything that is wrong with a candidate, a line each.

    Args:
        files: `env.py` and `train.py`, as text.
        fields: of an `EvaluationRequest`, `world` among them.
        tier: how the worker is confined.
        limit_s: how long the candidate may take.

    Raises:
        ServerFailedError, ConfinementError: no worker can be had here.
    """
    job = {
        **fields,
        "num_envs": min(MOST_ENVS, fields["num_envs"]),
        "device": resolve_device(fields["device"]),
    }
    request = EvaluationRequest(candidate_dir=Path(), **job)
    at = ["its start"]
    with WorkerServer(preload=PRELOAD, environment=os.environ, tier=tier) as server:
        pool = WorkerPool(server)
        try:
            with SeedWorkers(pool, request).acquire(CHECK) as worker:
                worker.channel.send({**job, "files": dict(files)})
                return _problems(worker, limit_s, at)
        except CandidateError as error:
            return [f"{at[-1]}: {error.reason}" if at[-1].startswith(AT_FAULT) else error.reason]
        finally:
            pool.close()


def _problems(worker: Worker, limit_s: float, at: list[str]) -> list[str]:
    """Return what the worker found; what it is doing is put into `at`."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            head, _ = worker.channel.receive(max(0.01, deadline - time.monotonic()))
        except ChannelClosedError:
            raise
        except ChannelError as error:
            if time.monotonic() < deadline:
                raise CandidateError("rejected", f"the worker broke protocol: {error}") from error
            if at[-1].startswith(AT_FAULT):
                return [f"{at[-1]:.100} was not over after {limit_s:g} s: it hangs"]
            return [
                f"the candidate was still busy with {at[-1]:.100} after {limit_s:g} s: it hangs"
            ]
        if "problems" in head:
            found = head["problems"]
            return [str(problem) for problem in found] if isinstance(found, list) else [str(found)]
        at[-1] = str(head.get("at"))


def main() -> None:
    """Answer one request."""
    die_with_parent()
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a stray print is no answer
    message = json.load(sys.stdin)
    files, tier = message.pop("files"), Tier(message.pop("sandbox"))
    limit_s = message.pop("limit_s")
    print(json.dumps({"problems": check(files, message, tier, limit_s)}), file=output, flush=True)


if __name__ == "__main__":
    main()
