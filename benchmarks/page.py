"""What an open page costs a run: `python -m benchmarks.page`.

Whole daemons over the same script (`benchmarks.overhead`), in turn without a page and with one that
some viewers have open. Prints the overhead of an experiment, all outside of agent and evaluator,
as the ledger has it: its median in each run, and the difference of the two.
"""

import argparse
import contextlib
import http.client
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.overhead import prepare
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace

LIMIT_MS = 2.0
_WAIT_S = 60.0


def overhead_ms(experiments: int, viewers: int) -> float:
    """Run a daemon over the script; return the median overhead of an experiment in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = prepare(Path(folder), experiments)
        with _page(workspace, viewers) if viewers else contextlib.nullcontext():
            command = [sys.executable, "-P", "-m", "orchestrator", "start", "--foreground"]
            subprocess.run(
                [*command, "--no-check"], cwd=workspace.root, check=True, capture_output=True
            )
        with Ledger(workspace.ledger) as ledger:
            (run,) = ledger.runs()
            spent = [e.seconds.overhead for e in ledger.experiments(run.tag) if not e.is_baseline]
    return statistics.median(spent) * 1e3


@contextlib.contextmanager
def _page(workspace: Workspace, viewers: int) -> Iterator[None]:
    """Serve the workspace's page, with so many viewers who follow it."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "orchestrator",
        "web",
        "--workspace",
        str(workspace.root),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = next(line for line in server.stdout if "token=" in line)
        address = urllib.parse.urlsplit(line.split()[-1])
        token = urllib.parse.parse_qs(address.query)["token"][0]
        for _ in range(viewers):
            threading.Thread(target=_follow, args=(address.netloc, token), daemon=True).start()
        try:
            yield
        finally:
            server.terminate()


def _follow(place: str, token: str) -> None:
    """Read events, and what a page asks for after each, until the server is gone."""
    headers = {"Authorization": f"Bearer {token}"}
    with contextlib.suppress(OSError, http.client.HTTPException):
        events = http.client.HTTPConnection(place, timeout=_WAIT_S)
        events.request("GET", "/api/events", headers=headers)
        answer = events.getresponse()
        asking = http.client.HTTPConnection(place, timeout=_WAIT_S)
        while line := answer.readline():
            if line.startswith(b"data:"):
                for path in ("/api/status", "/api/experiments"):
                    asking.request("GET", path, headers=headers)
                    asking.getresponse().read()


def main() -> int:
    """Measure, print, and fail beyond the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=100)
    parser.add_argument("--viewers", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(describe())
    differences = []
    for number in range(1, args.rounds + 1):
        without = overhead_ms(args.experiments, 0)
        with_page = overhead_ms(args.experiments, args.viewers)
        differences.append(with_page - without)
        print(f"{number}: {without:.1f} ms without, {with_page:.1f} ms with a page", flush=True)
    middle = statistics.median(differences)
    print(
        f"an experiment costs {middle:+.1f} ms more with {args.viewers} viewers "
        f"({min(differences):+.1f} to {max(differences):+.1f}); limit {LIMIT_MS:g}: "
        f"{'broken' if middle > LIMIT_MS else 'kept'}"
    )
    return 1 if middle > LIMIT_MS else 0


if __name__ == "__main__":
    sys.exit(main())
