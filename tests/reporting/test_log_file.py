"""The log file's lines: the last ones, and those to come, across rotation."""

import itertools
import threading
from pathlib import Path

from orchestrator.reporting.log_file import follow_log, log_lines


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_the_last_lines_reach_into_rotated_files(tmp_path: Path) -> None:
    """In order of time; as many as there are; none if none are asked for."""
    log = tmp_path / "daemon.jsonl"
    assert log_lines(log, 5) == []
    log.write_text("5\n6\n")
    Path(f"{log}.1").write_text("3\n4\n")
    Path(f"{log}.2").write_text("1\n2\n")
    assert log_lines(log, 1) == ["6"]
    assert log_lines(log, 3) == ["4", "5", "6"]
    assert log_lines(log, 99) == ["1", "2", "3", "4", "5", "6"]
    assert log_lines(log, 0) == []


class Writer(threading.Thread):
    """Appends numbered lines, in pieces, and rotates the file when it is asked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._asked = threading.Event()
        self._ended = threading.Event()
        self._first_of_file = 0

    def run(self) -> None:
        for number in itertools.count():
            if self._ended.wait(0.001):
                return
            if self._asked.is_set():
                self._path.rename(f"{self._path}.1")
                self._first_of_file = number
                self._asked.clear()
            append(self._path, "line ")
            append(self._path, f"{number}\n")

    def rotate(self) -> int:
        """Return the number of the new file's first line."""
        self._asked.set()
        while self._asked.is_set():
            self._ended.wait(0.001)
        return self._first_of_file

    def end(self) -> None:
        self._ended.set()
        self.join()


def test_following_tells_every_line_from_the_first_on(tmp_path: Path) -> None:
    """None of before, and from then on each once, whole and in order, also where files rotate."""
    log = tmp_path / "daemon.jsonl"
    append(log, "before\n")
    writer = Writer(log)
    writer.start()
    try:
        lines = (int(line.removeprefix("line ")) for line in follow_log(log, poll_s=0.0))
        told = [next(lines)]
        for _ in range(5):
            first_of_file = writer.rotate()
            while told[-1] < first_of_file:
                told.append(next(lines))
    finally:
        writer.end()
    assert told == list(range(told[0], told[-1] + 1))
