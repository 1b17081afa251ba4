"""Runs the workspace's evaluator as a child process, kills it in time, reads its report.

The child (`python framework.py --serve`) stays warm between evaluations. It sees a scrubbed
environment: no key of the daemon's. When it hangs or must end, it is killed with all it started.
"""

import collections
import contextlib
import hashlib
import importlib.util
import json
import math
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.config import Config
from orchestrator.errors import EvaluatorError, ShortageError, UserError
from orchestrator.ports import Host, Watch
from orchestrator.records import Evaluation, Files, Measurement, SeedReturn, Status
from orchestrator.text import clean, one_line
from sandbox import ENVIRONMENT_KEPT, Tier

PROTOCOL = 3
_PACKAGES = ("referee", "simverse", "sandbox")
"""What the evaluator's file imports of ours."""
_PROTOCOL_LINE = re.compile(r"^EVALUATOR_PROTOCOL\s*=\s*(\d+)\s*$", re.MULTILINE)
_POLL_S = 0.1
_GRACE_S = 2.0
_STDERR_KEPT = 16_000
_LAST_EVENTS = frozenset({"result", "failure", "enough", "refused"})
_ASKING_EVENTS = frozenset({"seed", "checkpoint"})
_CHUNK_BYTES = 65_536
_PAUSES_S = (0.0, 10.0, 60.0)
"""Before each fresh evaluator, when one has died: memory may be short for a while."""


class FrameworkEvaluator:
    """The referee of a workspace, as a warm child process."""

    def __init__(
        self, workspace: Path, config: Config, *, key: bytes, scratch: Path, tier: Tier
    ) -> None:
        """Check the evaluator's file; it is started at the first evaluation.

        Raises:
            UserError: the file is missing or not an evaluator this daemon can talk to.
        """
        self._file = workspace / config.evaluator.framework
        self._config = config
        self._key = key
        self._scratch = scratch
        self._tier = tier
        self._child: _Child | None = None
        self._has_come_up = False
        check_framework(self._file)
        self._hashes = hashes(self._file)

    def evaluate(
        self, files: Files, what: Measurement, folder: str, host: Host, watch: Watch
    ) -> Evaluation:
        """Evaluate two files at a rung; see the port."""
        room = self._scratch / folder
        candidate = room / "candidate"
        shutil.rmtree(room, ignore_errors=True)
        candidate.mkdir(parents=True)
        for path, text in files.by_path().items():
            _write_new(room / path, text)
        try:
            return self._evaluate_patiently(candidate, what, host, watch)
        finally:
            shutil.rmtree(room, ignore_errors=True)

    def _evaluate_patiently(
        self, candidate: Path, what: Measurement, host: Host, watch: Watch
    ) -> Evaluation:
        """Evaluate; one that dies, for want of memory perhaps, is followed by a fresh one."""
        for pause_s in (*_PAUSES_S, None):
            try:
                return self._evaluate(self._request(candidate, what), host, watch)
            except _DiedError as error:
                said = str(error)
            if pause_s:
                host.wait(f"{said}; goes on with a fresh one", pause_s)
        return Evaluation(
            Status.CRASH,
            reason=f"the evaluator died {len(_PAUSES_S) + 1} times with this candidate: {said}",
        )

    def warm_up(self) -> None:
        """Start the child now, so that the first evaluation does not pay for it."""
        if self._child is None:
            self._child = _Child(self._file, self._tier, is_proven=self._has_come_up)

    def close(self) -> None:
        """End the child and everything it started."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _check_unchanged(self) -> None:
        found = hashes(self._file)
        if changed := [name for name in self._hashes if found.get(name) != self._hashes[name]]:
            raise EvaluatorError(
                f"{' and '.join(changed)} has changed since this run began, and scores before and "
                "after can't be compared: put it back and `autorl-daemon resume`, or begin a new "
                "run with --tag"
            )

    def _request(self, candidate: Path, what: Measurement) -> dict[str, Any]:
        evaluator = self._config.evaluator
        return {
            "candidate_dir": str(candidate),
            "train_episodes": what.rung.train_episodes,
            "eval_episodes": what.rung.eval_episodes,
            "seeds": what.seeds,
            "more_seeds": what.more_seeds,
            "checkpoints": what.checkpoints,
            "follow": what.follow,
            "num_envs": evaluator.num_envs,
            "max_steps": self._config.task.max_steps,
            "device": evaluator.device,
            "reward_bound": evaluator.reward_bound,
            "precision": evaluator.precision,
            "workers": evaluator.workers,
            "memory_mb": evaluator.memory_mb,
            "cpu_s": math.ceil(evaluator.timeout_s),
            "key": self._key.hex(),
        }

    def _evaluate(self, request: dict[str, Any], host: Host, watch: Watch) -> Evaluation:
        self._check_unchanged()
        self.warm_up()
        assert self._child is not None
        limit_s = self._config.evaluator.timeout_s
        deadline = time.monotonic() + limit_s
        try:
            self._child.ask(request)
            while time.monotonic() < deadline:
                host.wait("", 0)  # the heartbeat; raises if the run is told to end
                event = self._child.next_event(_POLL_S)
                if event is None:
                    continue
                self._has_come_up = True
                if event["event"] in _LAST_EVENTS:
                    return _evaluation(event, scored_seeds=len(request["seeds"]))
                goes_on = watch(event)
                if event["event"] in _ASKING_EVENTS and request["follow"]:
                    self._child.ask({"go_on": goes_on})
                    # Each further seed has the time that all the scored ones had.
                    if event["event"] == "seed" and len(event["returns"]) >= len(request["seeds"]):
                        deadline = time.monotonic() + limit_s
        except BaseException:  # its answer, if it still came, would be taken for the next one's
            self.close()
            raise
        self.close()
        reason = f"killed after {limit_s:g} s (evaluator.timeout_s)"
        return Evaluation(Status.TIMEOUT, reason=reason)


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, following no link, whole or not at all."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    temporary.rename(path)


def hashes(framework: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each part that scores depend on; None for one that is not there."""
    parts = {
        framework.name: [framework],
        "train.py": [framework.with_name("train.py")],
        **{name: sorted(_package_folder(name).rglob("*.py")) for name in _PACKAGES},
    }
    return {name: _sha256(paths) for name, paths in parts.items()}


def _package_folder(name: str) -> Path:
    """Return where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _sha256(paths: Iterable[Path]) -> str | None:
    digest = hashlib.sha256()
    try:
        for path in paths:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    except OSError:
        return None
    return digest.hexdigest()


def check_framework(file: Path) -> None:
    """Check that a file is an evaluator this daemon can talk to, without running it.

    Raises:
        UserError: it is missing or speaks another protocol.
    """
    if not file.is_file():
        raise UserError(
            f"{file} is missing: put it back, or set evaluator.framework in config.yaml"
        )
    found = _PROTOCOL_LINE.search(file.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise UserError(
            f"{file} is not an evaluator of autorl-daemon (no EVALUATOR_PROTOCOL): point "
            "evaluator.framework in config.yaml to one; `autorl-daemon init` writes one"
        )
    if int(found[1]) != PROTOCOL:
        raise UserError(
            f"{file} speaks evaluator protocol {found[1]}, this daemon speaks {PROTOCOL}: "
            "use the version of autorl-daemon that made this workspace, or a new workspace"
        )


class _DiedError(EvaluatorError):
    """The evaluator was up and then its process ended."""


class _Child:
    """The running evaluator: a line of JSON in, lines of JSON out."""

    def __init__(self, file: Path, tier: Tier, *, is_proven: bool) -> None:
        """Start it.

        Args:
            file: the evaluator.
            tier: how it is to confine candidates.
            is_proven: another one has come up from this same file.

        Raises:
            OSError: no process can be had.
        """
        self._is_proven = is_proven
        kept = {name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ}
        self._process = subprocess.Popen(
            # -P: what lies beside the file must not be imported in place of a library.
            [sys.executable, "-P", str(file), "--serve", "--sandbox", tier],
            cwd=file.parent,
            env=kept | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdout, self._stderr = self._process.stdout, self._process.stderr
        # No thread reads them: where memory is short, one that can't begin hangs its starter.
        self._pipes = selectors.PollSelector()
        for pipe in (self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)
            self._pipes.register(pipe, selectors.EVENT_READ)
        self._line = bytearray()
        self._lines: collections.deque[bytes] = collections.deque()
        self._said = bytearray()
        self._was_up = False
        self._has_ended = False

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send one request. Raises `EvaluatorError` if the child is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._gone() from error

    def next_event(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next event, None if none comes in time. Raises `EvaluatorError`."""
        if not self._lines:
            self._read(timeout_s)
        if not self._lines:
            if self._has_ended:
                raise self._gone()
            return None
        try:
            event: dict[str, Any] = json.loads(self._lines.popleft())
        except ValueError as error:  # not ours: treat the child as broken
            raise self._gone() from error
        self._was_up = True
        return event

    def kill(self) -> None:
        """End the child, then wait for its worker server to end all it has started."""
        if self._stdout.closed:
            return
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        deadline = time.monotonic() + _GRACE_S
        while time.monotonic() < deadline and _group_lives(self._process.pid):
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):  # nothing more is there
            while chunk := os.read(self._stderr.fileno(), _CHUNK_BYTES):
                self._keep(chunk)
        self._pipes.close()
        self._stdout.close()
        self._stderr.close()

    def _gone(self) -> EvaluatorError | ShortageError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)  # its own exit code, before we kill what is left
        self._read(0)  # it may have come up with nobody listening
        self.kill()
        text = one_line(clean(self._said.decode(errors="replace"))[-500:], 500)
        said = f"the evaluator process ended (exit code {self._process.returncode}): {text}"
        if self._was_up or self._lines:
            return _DiedError(said)
        if self._is_proven:  # so its file is not to blame
            return ShortageError(f"at its start {said}")
        return EvaluatorError(said)

    def _read(self, timeout_s: float) -> None:
        """Read what has come on either pipe, once."""
        for key, _ in self._pipes.select(timeout_s):
            chunk = os.read(key.fd, _CHUNK_BYTES)
            if not chunk:
                self._pipes.unregister(key.fileobj)
            if key.fileobj is self._stderr:
                self._keep(chunk)
                continue
            self._has_ended = not chunk
            first, *others = chunk.split(b"\n")
            self._line += first
            for other in others:
                self._lines.append(bytes(self._line))
                self._line = bytearray(other)

    def _keep(self, chunk: bytes) -> None:
        self._said += chunk
        del self._said[:-_STDERR_KEPT]


def _group_lives(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-group, os.WNOHANG)  # orphans of the group are ours to reap (`adopt_orphans`)
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _evaluation(event: Mapping[str, Any], *, scored_seeds: int) -> Evaluation:
    """Read the evaluator's last word. Raises `EvaluatorError` if it refused the request."""
    if event["event"] == "refused":
        raise EvaluatorError(f"the evaluator refused the request: {event['reason']}")
    if event["event"] == "enough":
        return Evaluation(None)
    if event["event"] == "failure":
        failed = event.get("seed")
        return Evaluation(
            Status(event["kind"]),
            score=event.get("score"),
            reason=clean(str(event["reason"]), 2000),
            details=clean(str(event["details"])),
            evidence=() if failed is None else (SeedReturn(failed, None),),
        )
    result = event["result"]
    best = max(result["seed_results"], key=lambda seed: seed["eval_return"])
    replay = json.dumps(best.get("replay"), separators=(",", ":")) if "replay" in best else ""
    for seed in result["seed_results"]:
        seed.pop("replay", None)  # too long for the ledger; kept experiments keep theirs in logs/
    more = result.pop("more_results")
    return Evaluation(
        None,
        # A mean over some of them is comparable with nothing.
        score=result["score"] if len(result["seed_results"]) == scored_seeds else None,
        scores_by_seed={s["seed"]: s["eval_return"] for s in result["seed_results"]},
        max_steps=result["max_steps"],
        metrics={key: value for key, value in result.items() if key not in {"score", "flags"}},
        flags=tuple(one_line(flag) for flag in result["flags"]),
        replay=replay,
        evidence=(
            *(_seed_return(seed, "screen") for seed in result["seed_results"]),
            *(_seed_return(seed, "confirm") for seed in more),
        ),
    )


def _seed_return(result: Mapping[str, Any], role: str) -> SeedReturn:
    return SeedReturn(
        result["seed"],
        result["full_return"],
        result["evidence_solve_rate"],
        tuple(result["train_returns"]),
        role=role,
    )
