"""A policy's file from weights as the evaluator keeps them.

`python -m simverse.policy_file WEIGHTS TARGET`, with the other fields of a `Checkpoint` as JSON on
standard input. Nothing that is read is run.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from simverse import weights
from simverse.checkpoint import Checkpoint, save
from simverse.errors import SimverseError


def main(arguments: Sequence[str]) -> int:
    """Write the file; return the exit code."""
    source, target = map(Path, arguments)
    try:
        tensors = weights.tensors(weights.loads(source.read_bytes()))
        facts = json.load(sys.stdin)
        shape = tuple(facts.pop("observation_shape"))
        save(target, Checkpoint(observation_shape=shape, weights=tensors, **facts))
    except (SimverseError, OSError) as error:
        print(f"autorl-daemon: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
