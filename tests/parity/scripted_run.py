"""The scripted run: workspaces with a stub evaluator, driven by the command line alone.

Nothing of ours is imported, so the same file runs whatever code stands. The daemon is killed,
paused and stopped at fixed points: the evaluator waits there (see tests/data/parity/evaluator.py).
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.parity.reading import VERDICT, read_run
from tests.parity.replies import DATA, NAIVE, SECOND_TAG, SOUND, Turns

REPOSITORY = Path(__file__).parent.parent.parent
RECORDING = DATA / "run.json"
_PATIENCE_S = 60.0
_POLL_S = 0.02

_CONFIG = """\
agent:
  backend: scripted
  scripted_dir: replies
budget:
  ladder: [[12, 8], [32, 8], [64, 12]]
  patience: {patience}
  min_keeps: {min_keeps}
evaluator:
  seed_count: 2
  timeout_s: 120
  reward_bound: 1.0
judge:
{judge}
sandbox: off
"""
_SOUND_RULES = {
    # Every number is given: those as shipped are tuned now and then.
    "rule": "sound", "alpha": 0.02, "max_evaluations": 12, "reference_first": 8, "early_stop": 0.02,
    # What is measured must not depend on how long things take.
    "proposals": "cheap",
    "cheap": {
        "seeds": 4, "drop": [0.0], "adopt": 0.5, "adopt_early": 2.5, "back": -0.2,
        "back_to_published": -0.5, "lead_every": 3, "lead_seeds": 8, "proof_share": 1.0,
    },
}  # fmt: skip
_NAIVE_RULES = {"rule": "naive", "min_effect": 0.05}
_OF_RESULTS = (
    "experiment status score scores_by_seed train_episodes eval_episodes max_steps agent rationale"
    " tokens flags tag validated_score validated_interval validated_seeds"
).split()
"""What `results --json` says beyond times, hashes, and what is read from the ledger."""
_OF_STATUS = (
    "running tag phase rung best_score validated_score baseline_score experiments tokens cost_usd"
    " stop_reason"
).split()


class ScriptedRun:
    """One workspace, and a person at its command line."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "workspace"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AUTORL_", "OPENAI_", "GIT_", "PYTHON"))
        }
        self._environment = kept | {
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": str(folder / "no-gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONPATH": str(REPOSITORY),
        }
        self._replies: dict[str, str] = {}

    def make(self, rules: dict[str, object], *, patience: int, min_keeps: int) -> None:
        """Make the workspace; nothing in it comes from the templates."""
        self.cli("init", str(self.root), cwd=self.root.parent)
        shutil.copytree(DATA / "candidate", self.root / "candidate", dirs_exist_ok=True)
        shutil.copyfile(DATA / "evaluator.py", self.root / "framework.py")
        (self.root / "program.md").write_text("Earn more.\n")
        judge = "".join(f"  {name}: {value}\n" for name, value in rules.items())
        config = _CONFIG.format(judge=judge, patience=patience, min_keeps=min_keeps)
        (self.root / "config.yaml").write_text(config)
        person = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
        for arguments in (
            ["add", "--all"],
            [*person, "commit", "--quiet", "-m", "a stub evaluator"],
        ):
            subprocess.run(["git", *arguments], cwd=self.root, env=self._environment, check=True)

    def write_replies(self, script: Sequence[Turns], folder: str = "replies") -> None:
        """Write what the agent will say."""
        (self.root / folder).mkdir()
        for number, turns in enumerate(script, 1):
            for turn, text in enumerate(turns):
                repair = f".repair-{turn}" if turn else ""
                name = f"{number:04d}{repair}.md"
                (self.root / folder / name).write_text(text)
                self._replies[f"{folder}/{name}"] = text

    def cli(self, *arguments: str, cwd: Path | None = None, code: int = 0) -> str:
        """Call a command, which must end with this exit code; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments], cwd=cwd or self.root,
            env=self._environment, capture_output=True, text=True, timeout=_PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says of a daemon that runs."""
        status: dict[str, Any] = json.loads(self.cli("status", "--json"))
        return status

    def session(self, tag: str, *settings: str, until: int | None = None) -> None:
        """Run until so many experiments were made in all, or to the script's end."""
        with self._daemon(tag, settings, until) as daemon:
            self._ends(daemon, 0)

    @contextlib.contextmanager
    def held(
        self, name: str, seed: int, tag: str, code: int = 0
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Run until the evaluator comes to this seed of this candidate; go on after the block."""
        hold, held = self.root / "hold.json", self.root / "held"
        hold.write_text(json.dumps({"name": name, "seed": seed}))
        with self._daemon(tag, (), None) as daemon:
            try:
                _wait(lambda: held.exists() or daemon.poll() is not None, f"{name} at {seed}")
                assert daemon.poll() is None, f"the run ended before {name} at {seed}"
                yield daemon
            finally:
                hold.unlink(missing_ok=True)
                held.unlink(missing_ok=True)
            self._ends(daemon, code)

    def kill(self, name: str, seed: int, tag: str) -> None:
        """Run until the evaluator comes to this seed of this candidate, then kill the daemon."""
        with self.held(name, seed, tag, -signal.SIGKILL) as daemon:
            os.kill(self.status()["pid"], signal.SIGKILL)
            daemon.wait(_PATIENCE_S)

    def wait_for_phase(self, phase: str) -> None:
        """Wait until the daemon says that it is in this phase."""
        _wait(lambda: self.status()["phase"] == phase, f"phase {phase}")

    def read(self) -> dict[str, Any]:
        """Return what the run left: its ledger, refs and rows, and what the command line says."""
        results = json.loads(self.cli("results", "--json"))
        status = json.loads(self.cli("status", "--json", code=3))
        return read_run(self.root, self._replies, self._environment) | {
            "results_json": [
                {name: row[name] for name in _OF_RESULTS}
                | {"verdict": {name: row["verdict"][name] for name in VERDICT if row["verdict"]}}
                for row in results
            ],
            "status_json": {name: status[name] for name in _OF_STATUS},
        }

    @contextlib.contextmanager
    def _daemon(
        self, tag: str, settings: Sequence[str], until: int | None
    ) -> Iterator["subprocess.Popen[bytes]"]:
        options = [f"--set={setting}" for setting in settings]
        options += [] if until is None else [f"--max-experiments={until}"]
        with (self.root.parent / "daemon.log").open("ab") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "start", "--no-check", "--foreground", "--tag", tag, *options],
                cwd=self.root, env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield daemon
        finally:
            if daemon.poll() is None:
                daemon.terminate()
                daemon.wait(_PATIENCE_S)

    def _ends(self, daemon: "subprocess.Popen[bytes]", code: int) -> None:
        ended = daemon.wait(_PATIENCE_S)
        log = (self.root.parent / "daemon.log").read_text()[-3000:]
        assert ended == code, f"the daemon ended with {ended}: {log}"


def _wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not until():
        assert time.monotonic() < deadline, f"not within {_PATIENCE_S:g} s: {what}"
        time.sleep(_POLL_S)


# -- the two runs ----------------------------------------------------------------------------------


def sound(folder: Path) -> dict[str, Any]:
    """Run with lead and proof: four kills, climbs with and without a lead, and an accept."""
    run = ScriptedRun(folder)
    run.make(_SOUND_RULES, patience=5, min_keeps=6)
    run.write_replies(SOUND)
    run.kill("baseline", 1_010_001, "first")  # on its second fresh seed
    run.kill("s06-held-in-the-first-seed", 101, "first")
    run.kill("s10-held-on-a-fresh-seed", 1_070_000, "first")
    run.cli("note", "try", "higher", "scores")
    run.session("first", until=14)
    run.session("first", "evaluator.timeout_s=2", until=16)
    run.session("first", until=18)
    run.kill("s18-better", 138, "first")  # at the second rung
    run.session("first", until=34)
    run.cli("accept", "13")
    run.session("first")
    return run.read()


def naive(folder: Path) -> dict[str, Any]:
    """Run with the public loop's rule, then another run of the same workspace."""
    run = ScriptedRun(folder)
    run.make(_NAIVE_RULES, patience=4, min_keeps=7)
    run.write_replies(NAIVE)
    run.write_replies(SECOND_TAG, "replies-2")
    run.session("first", "limits.consecutive_failures=6")  # ends by that
    run.session("first", until=18)
    run.session("first", "evaluator.timeout_s=2", until=19)
    with run.held("n20-stopped-at-once", 138, "first"):
        run.cli("stop", "--now")
    with run.held("n21-held-while-stopped", 101, "first"):
        run.cli("stop")
    with run.held("n22-held-while-paused", 138, "first"):
        run.cli("pause")
        (run.root / "hold.json").unlink()
        run.wait_for_phase("paused")
        run.cli("accept", "3")
        run.cli("resume")
    run.session("second", "agent.scripted_dir=replies-2")
    return run.read()


RUNS: dict[str, Callable[[Path], dict[str, Any]]] = {"sound": sound, "naive": naive}
