"""`framework.py --serve`: answers evaluation requests as JSON lines, with one warm `Referee`."""

import contextlib
import dataclasses
import json
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from referee.events import CheckpointReached, EpisodeDone, SeedDone
from referee.records import CandidateError, EvaluationRequest, EvaluationStoppedError
from referee.referee import Referee
from referee.world_files import WorldError
from sandbox import demand_memory, die_with_parent, settle

_LEAST_MEMORY_MB = 128
_EVENTS = {EpisodeDone: "episode", CheckpointReached: "checkpoint", SeedDone: "seed"}
_NO_LONGER_USED = frozenset({"time_precisions"})
"""Keys that the daemon of an older version sends."""


class _Stream:
    """The caller's end: events out, one JSON object a line, and answers in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Events have this stream to themselves: a stray print must not corrupt them.
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def write(self, event: Mapping[str, Any]) -> None:
        with self._lock:
            self._stream.write(json.dumps(event) + "\n")
            self._stream.flush()

    def report(self, done: EpisodeDone) -> None:
        self.write(_as_json(done))

    def ask(self, event: CheckpointReached | SeedDone) -> bool:
        """Report and wait for the caller's decision; the end of its input is a no."""
        self.write(_as_json(event))
        answer = sys.stdin.readline()
        return bool(answer) and json.loads(answer)["go_on"] is True


def _as_json(event: EpisodeDone | CheckpointReached | SeedDone) -> dict[str, Any]:
    return {"event": _EVENTS[type(event)], **dataclasses.asdict(event)}


def serve(sandbox: str, protocol: int) -> None:
    """Answer evaluation requests, a JSON object a line, until standard input ends.

    Each request is answered by `episode` events and one last `result`, `failure` (the candidate's
    fault), `enough` (stopped before a seed was finished) or `refused` (the request's fault) event.
    With `follow` in the request, each `seed` and `checkpoint` event waits for a line
    `{"go_on": true}` or false. `measured` in a later request, `{"101": text}`, may hold what was
    `resume` in `seed` events: those seeds are not measured again, and there are no events of them.
    With `world` in the request, `{"world.py": text}` and modules beside it, the task is that world
    of the user's own; its fault ends the evaluation with one `world` event.
    With `compare_with` in the request, `{"env.py": text, "train.py": text}`, that candidate's
    environment is compared with the evaluated one's: `compared` in `seed` events and seed results.
    With `keep_dir` in the request, a folder, the trained weights of the scored seeds are written
    there, and with `is_watched` films of their episodes (`referee.kept_weights`, `referee.films`).
    """
    settle()
    die_with_parent()
    threading.excepthook = lambda args: _exit_at_once(args.exc_value or args.exc_type())
    sys.unraisablehook = _exit_without_memory
    stream = _Stream()
    with Referee(sandbox) as referee:
        serving = {"event": "serving", "protocol": protocol, "pid": os.getpid()}
        stream.write(serving | {"resumes": True, "compares": True, "keeps": True})
        while line := sys.stdin.readline():
            try:
                demand_memory(_LEAST_MEMORY_MB)  # else threads might hang; the caller restarts us
                stream.write(_answer(referee, json.loads(line), stream))
            except Exception as error:  # noqa: BLE001 - printed, and the end
                _exit_at_once(error)


def _exit_at_once(error: BaseException) -> NoReturn:
    """Exit without waiting for any thread: one may be dead or stuck for lack of memory.

    The worker server ends all workers when its owner is gone.
    """
    sys.excepthook(type(error), error, error.__traceback__)
    os._exit(1)


def _exit_without_memory(unraisable: Any) -> None:
    """Exit if a thread can't start: the one that started it would wait for it for ever."""
    if issubclass(unraisable.exc_type, MemoryError):
        _exit_at_once(unraisable.exc_value or MemoryError())
    sys.__unraisablehook__(unraisable)


def _answer(referee: Referee, message: dict[str, Any], stream: _Stream) -> dict[str, Any]:
    follow = message.pop("follow", False)
    try:
        should_continue = stream.ask if follow else None
        result = referee.evaluate(_request(message), stream.report, should_continue)
    except EvaluationStoppedError:
        return {"event": "enough"}
    except CandidateError as error:
        return {
            "event": "failure",
            "kind": error.kind,
            "reason": error.reason,
            "details": error.details,
            "withheld": error.withheld,
            "score": error.score,
            "seed": error.seed,
        }
    except WorldError as error:
        return {"event": "world", "reason": str(error)}
    except ValueError as error:
        details = traceback.format_exc()
        return {"event": "refused", "reason": str(error), "details": details}
    return {"event": "result", "result": dataclasses.asdict(result)}


def _request(message: Mapping[str, Any]) -> EvaluationRequest:
    fields = {key: value for key, value in message.items() if key not in _NO_LONGER_USED}
    return EvaluationRequest(
        **{
            **fields,
            "candidate_dir": Path(message["candidate_dir"]),
            "seeds": tuple(message["seeds"]),
            "more_seeds": tuple(message.get("more_seeds", ())),
            "checkpoints": tuple(message.get("checkpoints", ())),
            "key": bytes.fromhex(message["key"]),
            "keep_dir": Path(kept) if (kept := message.get("keep_dir")) else None,
            "measured": _measured(message.get("measured", {})),
        }
    )


def _measured(texts: object) -> dict[int, str]:
    if isinstance(texts, dict) and all(isinstance(text, str) for text in texts.values()):
        with contextlib.suppress(ValueError):
            return {int(seed): text for seed, text in texts.items()}
    raise ValueError("measured must map seeds to texts")
