"""The structured log's file."""

import json
import shutil
from pathlib import Path

from orchestrator.config.schema import LogsConfig
from orchestrator.store.log import open_log


def events(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def test_a_log_that_was_removed_or_moved_is_begun_anew(tmp_path: Path) -> None:
    """By hand, or by a tool that rotates logs: what follows must not go to a file nobody sees."""
    path = tmp_path / "logs" / "daemon.jsonl"
    path.parent.mkdir()
    log = open_log(path, LogsConfig(), console=False)
    log.info("first")
    shutil.rmtree(path.parent)
    log.info("second")
    assert events(path) == ["second"]
    path.rename(tmp_path / "elsewhere")
    log.info("third")
    log.info("fourth")
    assert events(path) == ["third", "fourth"]
    assert events(tmp_path / "elsewhere") == ["second"]
