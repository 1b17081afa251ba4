"""A referee in a process of its own, as the daemon has one: started, asked, and killed in time.

Run as a file it is that process: a JSON request a line in, a JSON answer a line out.
"""

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one evaluation ended."""

    status: str
    """`scored`, the kind of a `CandidateError`, `world` for a `WorldError`, `timeout`, or `referee`
    when the service died."""
    score: float | None = None
    flags: tuple[str, ...] = ()
    fingerprint: str = ""
    """All of the result that repeats to the bit."""
    text: str = ""
    """Everything the evaluation gave out."""
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    referee_growth_mb: float = 0.0
    idle_workers: frozenset[int] = frozenset()
    """Processes of workers that the referee keeps for the next evaluation, by its own word."""


class Child:
    """A child process that answers a JSON line with a JSON line."""

    def __init__(
        self, file: str, *arguments: str, environment: Mapping[str, str], folder: Path, gift: int
    ) -> None:
        """Start it; `gift` is an open descriptor that it inherits."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", file, *arguments],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(gift,),
            start_new_session=True,
        )
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        self._unread = b""
        self.pid = self._process.pid
        self.answer(START_TIMEOUT_S)

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a request, return the answer. Raises `TimeoutError` or `EOFError`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise EOFError(self.errors()) from error
        return self.answer(timeout_s)

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """Return the next line. Raises `TimeoutError` or `EOFError`."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise EOFError(self.errors())
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def errors(self) -> str:
        """Return what it printed to stderr since the last look."""
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):
            return (self._process.stderr.read() or b"")[-8000:].decode(errors="replace")
        return ""

    def peak_memory_mb(self) -> float:
        """Return its largest resident set so far."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def kill(self) -> None:
        """Kill it as the daemon kills its evaluator: the process, then what is left of its group."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        deadline = time.monotonic() + _END_TIMEOUT_S
        while _group_lives(self.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _group_lives(group: int) -> bool:
    """Is there a process of the group that is more than an unreaped entry?"""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                if int(words[2]) == group and words[0] not in "ZX":
                    return True
    return False


class Service:
    """A referee as a service."""

    def __init__(self, sandbox: str, *, environment: Mapping[str, str], folder: Path, gift: int):
        self._sandbox = sandbox
        self._given = {"environment": environment, "folder": folder, "gift": gift}
        self._child: Child | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.alive()

    @property
    def pid(self) -> int:
        """The referee's process id."""
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Start it anew."""
        self.close()
        self._child = Child(__file__, self._sandbox, **self._given)

    def evaluate(self, request: Mapping[str, Any], timeout_s: float) -> Outcome:
        """Evaluate one candidate; whatever happens is an outcome."""
        child = self._child
        assert child is not None
        before = child.peak_memory_mb()
        try:
            answer = child.ask(dict(request), timeout_s)
        except TimeoutError:
            text = child.errors()
            self.close()
            return Outcome(status="timeout", text=text)
        except EOFError as error:
            self.close()
            return Outcome(status="referee", text=str(error))
        growth = child.peak_memory_mb() - before
        answer["flags"] = tuple(answer["flags"])
        answer["idle_workers"] = frozenset(answer["idle_workers"])
        return Outcome(**answer | {"referee_growth_mb": growth})

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.kill()
            self._child = None


# -- the process ---------------------------------------------------------------------------------

_VARYING = {"wall_s", "steps_per_s", "peak_memory_mb", "train_s"}


def _main(sandbox: str) -> None:
    from framework import Referee
    from sandbox import die_with_parent
    from sandbox.watch import tree

    die_with_parent()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with Referee(sandbox=sandbox) as referee:
        print("{}", file=stream, flush=True)
        for line in sys.stdin:
            answer = _answer(referee, json.loads(line))
            idle = (tree(init) for init in referee.wait_idle())
            answer["idle_workers"] = [pid for processes in idle for pid in processes]
            print(json.dumps(answer), file=stream, flush=True)


def _answer(referee: Any, message: dict[str, Any]) -> dict[str, Any]:
    from framework import CandidateError, EvaluationRequest, WorldError

    given = message | {
        "candidate_dir": Path(message["candidate_dir"]),
        "seeds": tuple(message["seeds"]),
        "key": bytes.fromhex(message["key"]),
    }
    try:
        result = dataclasses.asdict(referee.evaluate(EvaluationRequest(**given)))
    except CandidateError as error:
        text = f"{error.reason}\n{error.details}\n{error.withheld}"
        return {"status": error.kind, "score": None, "flags": [], "fingerprint": "", "text": text}
    except WorldError as error:
        text = f"WorldError: {error}"
        return {"status": "world", "score": None, "flags": [], "fingerprint": "", "text": text}
    except Exception as error:  # noqa: BLE001 - the worker server was killed, perhaps
        text = f"{type(error).__name__}: {error}"
        return {"status": "referee", "score": None, "flags": [], "fingerprint": "", "text": text}
    steady = {k: v for k, v in result.items() if k not in _VARYING}
    steady["seed_results"] = [
        {k: v for k, v in seed.items() if k not in _VARYING} for seed in result["seed_results"]
    ]
    return {
        "status": "scored",
        "score": result["score"],
        "flags": list(result["flags"]),
        "fingerprint": repr(steady),
        "text": repr(result),
        "metrics": json.loads(json.dumps(result)),
    }


if __name__ == "__main__":
    _main(sys.argv[1])
