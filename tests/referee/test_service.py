"""`framework.py --serve`: JSON lines in and out, and its end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import framework
from tests.candidates import write_candidate


def test_the_service_is_killed_with_its_owner(tmp_path: Path) -> None:
    """When the process that holds the service dies, nothing of it stays."""
    code = (
        "import subprocess,sys,time\n"
        "p = subprocess.Popen([sys.executable, sys.argv[1], '--serve'], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE, start_new_session=True)\n"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, framework.__file__], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    service = int(owner.stdout.readline())
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _alive(service):
        time.sleep(0.02)
    assert not _alive(service)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def ask(lines: list[str]) -> list[dict[str, Any]]:
    """Return the events with which the service answers."""
    done = subprocess.run(
        [sys.executable, framework.__file__, "--serve", "--sandbox", "off"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.long
def test_each_request_has_one_last_answer(tmp_path: Path) -> None:
    """Result, failure, refusal and a stop before the first seed, by one process in turn."""
    folder = write_candidate(tmp_path / "c")
    broken = write_candidate(tmp_path / "broken", env=("self.steps += 1", "1/0"))
    request = {
        "candidate_dir": str(folder), "seeds": [101], "key": "00", "num_envs": 4,
        "train_episodes": 2, "eval_episodes": 1,
    }  # fmt: skip
    lines = [
        json.dumps(request),
        json.dumps(request | {"candidate_dir": str(broken)}),
        json.dumps(request | {"eval_episodes": 101}),
        json.dumps(request | {"follow": True, "checkpoints": [1]}),
        '{"go_on": false}',
    ]
    events = [event for event in ask(lines) if event["event"] != "episode"]
    serving, result, failure, refused, checkpoint, enough = events
    assert serving["protocol"] == framework.EVALUATOR_PROTOCOL
    assert result["event"] == "result"
    assert result["result"]["seeds"] == [101]
    assert (failure["event"], failure["kind"]) == ("failure", "crash")
    assert "ZeroDivisionError" in failure["reason"]
    assert refused["event"] == "refused"
    assert "eval_episodes must be 1 to 100, not 101" in refused["reason"]
    assert checkpoint == {"event": "checkpoint", "episode": 1, "curve": checkpoint["curve"]}
    assert len(checkpoint["curve"]) == 1
    assert enough == {"event": "enough"}
