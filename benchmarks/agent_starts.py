"""What a start of each coding agent costs: `python -m benchmarks.agent_starts`.

The programs of $AUTORL_REAL_AGENTS (`python -m tests.real_agents.install DIR`), one at a time, at a
model on loopback that answers one word at once: what is left is the program's own start and end,
and the adapter's folder and confinement. The seconds depend on what else runs; those of the
processor hardly do.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from tests.real_agents.moves import Say
from tests.real_agents.rig import NAMES, RealAgent, missing

REPEATS = 3


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(name: str, repeats: int, **options: object) -> tuple[str, str, float, str]:
    """Return its version, its confinement, and the medians of its seconds and the processor's."""
    with tempfile.TemporaryDirectory() as folder:
        real = RealAgent(name, Path(folder), [Say("OK")], **options)
        version = real.agent.version()
        walls, cpus = [], []
        for _ in range(repeats):
            began, cpu = time.monotonic(), _cpu_s()
            real.agent.answer_once()
            walls.append(time.monotonic() - began)
            cpus.append(_cpu_s() - cpu)
        real.server.close()
        confinement = real.agent.confinement
        # What is killed in a namespace of its own takes its account with it.
        cpu_s = f"{statistics.median(cpus):.1f}"
        if None in real.program.codes:
            cpu_s = "not counted: it did not exit by itself"
        return version, confinement, statistics.median(walls), cpu_s


def main() -> None:
    """Print a table of all programs that are installed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these programs")
    args = parser.parse_args()
    print(f"{describe()}, load {os.getloadavg()[0]:.1f}; medians of {args.repeats}")
    print("| program | version | seconds | CPU seconds | |\n|---|---|---|---|---|")
    for name in args.names or NAMES:
        if why := missing(name):
            print(f"| {name} | | | | {why} |")
            continue
        version, confinement, wall, cpu = measure(name, args.repeats)
        print(f"| {name} | {version} | {wall:.1f} | {cpu} | {confinement} |", flush=True)


if __name__ == "__main__":
    main()
