"""Answers `./check` in a program's folder: what is asked there is done out here.

The script writes a line into a named pipe and waits for a file, so that it works in any confinement
that leaves the program its folder. A check is a process of its own, one at a time, with the limits
of the check before a run.
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.agents.safe_files import open_folder, write_new
from orchestrator.agents.workplace import Workplace
from orchestrator.core.errors import EditError
from orchestrator.core.records import Files
from orchestrator.core.text import clean, counted, one_line
from orchestrator.proposals.candidate_code import check_file
from orchestrator.proposals.conformance import LIMIT_S, START_S, check_message, read_problems
from orchestrator.proposals.program_prompt import CHECKS
from sandbox import ENVIRONMENT_KEPT

SCRIPT = """\
#!/bin/sh
# Checks candidate/ as it stands: syntax, the contract, two short episodes. Prints what is wrong.
cd "$(dirname "$0")" || exit 2
ask="$$-$(date +%s)"
if ! [ -p .check/ask ] || ! echo "$ask" > .check/ask; then
    echo "the check can't be asked for from here"
    exit 2
fi
waited=0
until [ -f ".check/$ask" ]; do
    if [ "$waited" -gt 3000 ]; then
        echo "no answer: it is not known whether candidate/ is fine"
        exit 2
    fi
    waited=$((waited + 1))
    sleep 0.2 2>/dev/null || sleep 1
done
cat ".check/$ask"
read -r first < ".check/$ask"
case "$first" in ok:*) exit 0 ;; esac
exit 1
"""
_ASK = re.compile(rb"\d{1,10}-\d{1,12}")
_MOST_WAITING = 10
_ANSWER_CHARS = 6000
_OUTPUT_BYTES = 2**20
_POLL_S = 0.1


@dataclass
class _Check:
    """A check that runs."""

    ask: str
    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    deadline: float


class CheckDesk:
    """The checks of one turn; no method waits."""

    def __init__(
        self,
        folder: Path,
        workplace: Workplace,
        world: Mapping[str, str] | None,
        read: Callable[[], Files],
    ) -> None:
        """Write the script, and listen.

        Args:
            folder: the program's working folder.
            workplace: how a check is made.
            world: the user's own, where there is one.
            read: reads the candidate as it stands, or raises `EditError`.

        Raises:
            OSError: the files can't be made.
        """
        self._workplace, self._world, self._read = workplace, world, read
        script = folder / "check"
        script.write_text(SCRIPT, encoding="utf-8")
        script.chmod(0o555)
        (folder / ".check").mkdir()
        os.mkfifo(folder / ".check" / "ask")
        self._folder = open_folder(folder / ".check")
        # Also for writing: so there is never an end, and nobody waits for a reader.
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        self.descriptor = os.open("ask", flags, dir_fd=self._folder)
        self._unread = bytearray()
        self._waiting: list[str] = []
        self._running: _Check | None = None
        self._left = CHECKS

    @property
    def is_busy(self) -> bool:
        """Does the program wait for an answer?"""
        return bool(self._running or self._waiting)

    def timeout_s(self) -> float | None:
        """Return in how many seconds to call `work` again, None if nothing is being checked."""
        return _POLL_S if self.is_busy else None

    def work(self) -> None:
        """Read what is asked, begin a check, end one that is over."""
        with contextlib.suppress(BlockingIOError):
            self._unread += os.read(self.descriptor, 4096)
        *lines, rest = self._unread.split(b"\n")
        self._unread = bytearray(rest[-100:])
        asks = [line.decode() for line in map(bytes, lines) if _ASK.fullmatch(line)]
        self._waiting += asks[: _MOST_WAITING - len(self._waiting)]
        if self._running is not None:
            self._follow(self._running)
        elif self._waiting:
            self._begin(self._waiting.pop(0))

    def close(self) -> None:
        """End the check that runs, and stop listening."""
        if self._running is not None:
            self._drop(self._running)
        os.close(self.descriptor)
        os.close(self._folder)

    def _begin(self, ask: str) -> None:
        if self._left <= 0:
            self._answer(ask, f"no more: {CHECKS} checks a turn are the most. End now.")
            return
        self._left -= 1
        try:
            files = self._read()
        except EditError as error:
            self._answer(ask, _mistakes([str(error)]))
            return
        problems = []
        for path, text in files.by_path().items():
            try:
                check_file(path, text, has_world=self._world is not None)
            except EditError as error:
                problems.append(str(error))
        if problems:
            self._answer(ask, _mistakes(problems))
        elif self._workplace.check is None:
            self._answer(ask, "ok: both files parse and define what they must (nothing was run)")
        else:
            message = check_message(self._workplace.check, files, self._world)
            try:
                self._running = self._start(ask, message)
            except OSError as error:
                self._answer(ask, f"the check can't be made now: {error}")

    def _start(self, ask: str, message: bytes) -> _Check:
        with tempfile.TemporaryFile() as given, contextlib.ExitStack() as outputs:
            given.write(message)
            given.seek(0)
            stdout = outputs.enter_context(tempfile.TemporaryFile())
            stderr = outputs.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(
                self._workplace.checker,
                stdin=given,
                stdout=stdout,
                stderr=stderr,
                env={name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ},
                start_new_session=True,
            )
            outputs.pop_all()
        return _Check(ask, process, stdout, stderr, time.monotonic() + LIMIT_S + START_S)

    def _follow(self, check: _Check) -> None:
        code = check.process.poll()
        if code is None:
            if time.monotonic() > check.deadline:
                self._answer(check.ask, f"the check was not over after {LIMIT_S + START_S:g} s")
                self._drop(check)
            return
        try:
            problems = read_problems(_text(check.stdout))
        except ValueError:
            last = (_text(check.stderr).strip().splitlines() or [f"exit code {code}"])[-1]
            self._answer(check.ask, f"the candidate could not be checked: {one_line(last, 300)}")
        else:
            self._answer(check.ask, _mistakes(problems) if problems else "ok: it can be evaluated")
        self._drop(check)

    def _drop(self, check: _Check) -> None:
        self._running = None
        if check.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(check.process.pid, signal.SIGKILL)
            check.process.wait()
        check.stdout.close()
        check.stderr.close()

    def _answer(self, ask: str, text: str) -> None:
        left = counted(self._left, "check")
        said = f"{clean(text, _ANSWER_CHARS)}\n({left} left)\n"
        with contextlib.suppress(OSError):  # the program has taken the folder away
            write_new(self._folder, ask, said.encode(errors="replace"))


def _mistakes(problems: list[str]) -> str:
    title = "a mistake:" if len(problems) == 1 else f"{len(problems)} mistakes:"
    return "\n".join([title, *(f"  {problem}" for problem in problems)])


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_OUTPUT_BYTES).decode(errors="replace")
