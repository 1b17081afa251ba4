"""`play` and `policy`: an experiment's episodes to watch, and its trained weights to take away.

What a candidate wrote is drawn, and its weights are packed, by a process of their own, for this
one has neither torch nor Pillow. No code of a candidate's runs in either.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.common import DONE, FAILED, INTERRUPTED
from orchestrator.core.errors import CommandFailedError, UserError
from orchestrator.core.text import clean, one_line
from orchestrator.store.workspace import find_workspace


def play(args: argparse.Namespace) -> int:
    """Show an episode of experiment N, in the terminal or as a GIF."""
    from orchestrator.daemon.watching import Watching
    from orchestrator.reporting.run_view import find_experiment, open_ledger

    workspace = find_workspace(args.workspace)
    if args.gif is not None:
        _check_target(args.gif)
    with open_ledger(workspace) as ledger:
        experiment = find_experiment(ledger, args.n)
        watching = Watching(workspace, ledger, experiment, _say)
        episode = watching.episode(args.seed, args.episode)
    options = ["--ascii"] if args.ascii else []
    options += [] if args.gif is None else ["--gif", str(args.gif.absolute())]
    sys.stdout.flush()
    code = _child(["simverse.cli", "watch", *options, "-"], json.dumps(episode.replay))
    if code == DONE:
        print(episode)
        if not episode.is_as_recorded:
            raise CommandFailedError("the episode's return is not the recorded one")
    return code


def policy(args: argparse.Namespace) -> int:
    """Write the trained weights of experiment N to a file."""
    from orchestrator.daemon.watching import Watching
    from orchestrator.reporting.run_view import find_experiment, open_ledger

    workspace = find_workspace(args.workspace)
    _check_target(args.file)
    with open_ledger(workspace) as ledger:
        experiment = find_experiment(ledger, args.n)
        watching = Watching(workspace, ledger, experiment, _say)
        found = watching.policy(args.seed)
    with tempfile.TemporaryDirectory(prefix="autorl-policy-") as folder:
        weights = Path(folder) / "weights.safetensors"
        weights.write_bytes(found.weights)
        words = ["simverse.policy_file", str(weights), str(args.file.absolute())]
        code = _child(words, json.dumps(found.facts))
    if code == DONE:
        training = found.facts["training"]
        known = "" if found.recorded is None else f", mean return {found.recorded:.6f}"
        print(one_line(f"wrote the policy of #{args.n}, seed {training['seed']}{known}", 500))
        print(f"to play it: `sim rollout --policy {one_line(str(args.file), 5000)} --its-code`")
    return code


def _say(text: str) -> None:
    print(clean(text), file=sys.stderr)


def _check_target(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    if not path.absolute().parent.is_dir():
        raise UserError(f"there is no folder {path.absolute().parent}: make it first")


def _child(words: Sequence[str], text: str) -> int:
    """Run a module of simverse's with a text on its standard input; return its exit code."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", *words], input=text.encode(), check=False
        )
    except OSError as error:
        raise CommandFailedError(f"no process can be had: {error}") from error
    if done.returncode == INTERRUPTED:
        return INTERRUPTED
    return DONE if done.returncode == 0 else FAILED
