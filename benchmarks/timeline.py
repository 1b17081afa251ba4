"""Where each millisecond of one evaluation goes: `python -m benchmarks.timeline`.

Clocks around every call in which a seed's thread waits for a worker, and around launching and
ending; what lies between such calls is the referee's own. Seeds run side by side, so the evaluation
takes as long as its slowest seed, which is the one shown. Training is split by `simverse.profile`,
run beside itself as two seeds are.
"""

import argparse
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.evaluator import request
from benchmarks.machine import describe
from benchmarks.speed import profiles
from framework import EvaluationRequest, Referee
from orchestrator.daemon.templates import examples_with_candidates
from sandbox import Channel, Worker, WorkerPool

_WAITS = {
    "overrides": "import the policy",
    "ready": "import the environment, build both",
    "episode": "training",
    "trained": "training",
    "reset": "make a batch of environments",
    "actions": "policy acts",
    "step": "environment steps",
}
_FIRST_RESET = "import again, make the first batch"
_REFEREE = "the referee's own"
_AROUND = "before the first seed and after the last"
_ORDER = (
    "launch", "import the policy", "import the environment, build both", "training", _FIRST_RESET,
    "make a batch of environments", "policy acts", "environment steps",
    "end", _REFEREE, _AROUND,
)  # fmt: skip


class _Clock:
    """Adds up the seconds of each thread by what it did; an inner call belongs to the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[int, Counter[str]] = {}
        self._since_s: dict[int, float] = {}
        self._inside: set[int] = set()

    @contextmanager
    def around(self, owner: type, method: str, name: Callable[[Any], str]) -> Iterator[None]:
        """Time a method during the block; `name` says from what it returned what it was."""
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            thread = threading.get_ident()
            if thread in self._inside:
                return original(*args, **kwargs)
            self._pass(thread, _REFEREE)
            self._inside.add(thread)
            returned = None
            try:
                returned = original(*args, **kwargs)
            finally:
                self._inside.discard(thread)
                self._pass(thread, name(returned))
            return returned

        setattr(owner, method, timed)
        try:
            yield
        finally:
            setattr(owner, method, original)

    def _pass(self, thread: int, name: str) -> None:
        """Count the seconds since the last call as `name`; a thread begins with its first."""
        now_s = time.perf_counter()
        seconds = self.seconds.setdefault(thread, Counter())
        if name == "make a batch of environments" and _FIRST_RESET not in seconds:
            name = _FIRST_RESET
        seconds[name] += now_s - self._since_s.get(thread, now_s)
        self._since_s[thread] = now_s


def timeline(referee: Referee, one: EvaluationRequest) -> dict[str, float]:
    """Evaluate; return the seconds of the slowest seed by what it did, in order."""
    clock = _Clock()
    with ExitStack() as stack:
        for owner, method, name in (
            (WorkerPool, "acquire", lambda _: "launch"),
            (WorkerPool, "release", lambda _: "end"),
            (Worker, "end", lambda _: "end"),
            (Channel, "send", lambda _: _REFEREE),
            (Channel, "receive", lambda message: _WAITS.get((message or [{}])[0].get("kind"), "")),
        ):
            stack.enter_context(clock.around(owner, method, name))
        started_s = time.perf_counter()
        referee.evaluate(one)
        wall_s = time.perf_counter() - started_s
    # Only a seed's thread trains.
    seeds = [seconds for seconds in clock.seconds.values() if seconds["training"]]
    slowest = max(seeds, key=lambda seconds: seconds.total())
    slowest[_AROUND] = wall_s - slowest.total()
    return {name: slowest[name] for name in _ORDER}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--example", choices=examples_with_candidates(), default="keydoor")
    parser.add_argument("--rung", type=int, nargs=2, default=(12, 8), metavar=("TRAIN", "EVAL"))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--pause-s", type=float, default=0.5, help="between evaluations")
    args = parser.parse_args()
    one = request(args.example, *args.rung)
    found = []
    with Referee() as referee:
        referee.evaluate(one)
        for _ in range(args.turns):
            time.sleep(args.pause_s)
            found.append(timeline(referee, one))
    both = [profiles(one.candidate_dir, args.rung[0]) for _ in range(args.turns)]
    parts = {
        part: statistics.median(max(p["seconds"][part] for p in pair) for pair in both)
        for part in both[0][0]["seconds"]
    }
    print(describe())
    print(f"{args.example} {args.rung[0]}/{args.rung[1]}, medians of {args.turns}, milliseconds:")
    print(f"{1e3 * statistics.median(sum(f.values()) for f in found):8.1f}  one evaluation")
    for name in _ORDER:
        seconds = statistics.median(turn[name] for turn in found)
        print(f"{1e3 * seconds:8.1f}    {name}")
        if name == "training":
            for part, part_s in (parts | {"other": seconds - sum(parts.values())}).items():
                print(f"{1e3 * part_s:8.1f}      of it {part}")


if __name__ == "__main__":
    main()
