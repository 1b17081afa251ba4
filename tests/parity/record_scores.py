"""Record scores of the evaluator, to compare a later one with them.

`python -m tests.parity.record_scores` writes `tests/data/parity/scores.json`: twenty scores of
policies trained by torch, recorded by version 0.1. `python -m tests.parity.record_scores fused`
writes `fused.json` beside it: some of the same where policies are trained fused. Record anew only
when a score is meant to change (another torch, numpy or example), and say so in the changelog.
Everything that must repeat to the bit is recorded: floats as `float.hex`, long lists and replays as
checksums.
"""

import argparse
import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import framework

REPOSITORY = Path(__file__).parents[2]
PARITY = REPOSITORY / "tests" / "data" / "parity"
SCORES = PARITY / "scores.json"
FUSED_SCORES = PARITY / "fused.json"
FOLDERS = {
    "canvas": "candidate",
    "keydoor": "examples/keydoor/candidate",
    "squad": "examples/squad/candidate",
    "trading": "examples/trading/candidate",
}
_MEASURED = {"wall_s", "steps_per_s", "peak_memory_mb", "train_s", "precision_s"}
"""Fields that hold times and memory."""
ADDED = {
    "random_lengths", "random_solved", "compared", "learning", "reward_parts", "view", "path",
    "numpy_version",
}  # fmt: skip
"""Fields that version 0.1 did not have."""
_CHECKSUMMED = {"evidence_returns", "random_returns", "replay"}
_INSTRUCTIONS = re.compile(r"fma|avx2|avx512\w*|amx_\w+|asimd\w*|sve\w*|bf16")
"""Vector instructions that numerical libraries choose their kernels by."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One evaluation: a candidate and arguments of `evaluate_candidate`."""

    candidate: str
    arguments: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return REPOSITORY / FOLDERS[self.candidate]

    @property
    def name(self) -> str:
        """What tells it from the others, for a test's name."""
        changes = (f"{key}={value}" for key, value in self.arguments.items())
        return f"{self.candidate}({', '.join(changes)})".replace(" ", "")


def scenario(candidate: str, train_episodes: int, eval_episodes: int, **others: Any) -> Scenario:
    budget = {"train_episodes": train_episodes, "eval_episodes": eval_episodes}
    return Scenario(candidate, budget | others)


SCENARIOS = (
    scenario("keydoor", 12, 8),
    scenario("keydoor", 16, 8, seeds=[101, 138, 175], workers=2),
    scenario("keydoor", 2, 1, seed_count=1, workers=1),
    scenario("keydoor", 4, 8, precision="bf16", num_envs=16),
    scenario("keydoor", 5, 20, num_envs=8, seeds=[7]),
    scenario("keydoor", 3, 4, max_steps=40, reward_bound=1.0, num_envs=1, seeds=[9]),
    scenario("keydoor", 6, 8, lr=1e-2, seeds=[2**31, 1], workers=2),
    scenario("squad", 12, 8, workers=2),
    scenario("squad", 2, 1, seed_count=3, workers=1),
    scenario("squad", 4, 8, precision="bf16", seeds=[5, 6]),
    scenario("squad", 4, 12, num_envs=5, seeds=[12345]),
    scenario("squad", 3, 8, reward_bound=1.0, num_envs=64, seed_count=1),
    scenario("trading", 12, 8, workers=1),
    scenario("trading", 2, 1, seed_count=2),
    scenario("trading", 5, 8, precision="bf16", seeds=[101]),
    scenario("trading", 4, 40, num_envs=16, seeds=[3, 2, 1], workers=2),
    scenario("trading", 8, 8, reward_bound=50.0, lr=1e-4, seed_count=1),
    scenario("canvas", 12, 8),
    scenario("canvas", 3, 8, max_steps=33, num_envs=4, seeds=[42], precision="bf16"),
    scenario("canvas", 2, 1, seeds=[11, 13], workers=2),
)


FUSED_SCENARIOS = tuple(SCENARIOS[index] for index in (0, 4, 7, 12, 17))
"""Of each candidate the first one, and one with other sizes of batches."""


def request_for(scenario: Scenario, path: str) -> framework.EvaluationRequest:
    """Return what `evaluate_candidate` makes of a scenario, with policies trained on one path."""
    arguments = dict(scenario.arguments)
    seeds = arguments.pop("seeds", framework.default_seeds(arguments.pop("seed_count", 2)))
    return framework.EvaluationRequest(
        candidate_dir=scenario.folder, seeds=tuple(seeds), path=path, **arguments
    )


def machine(path: str) -> dict[str, Any]:
    """Return what two machines must share for floating-point results to be equal to the bit."""
    import torch

    numpy = {"numpy": importlib.metadata.version("numpy")} if path == "fused" else {}
    return numpy | {
        "torch": importlib.metadata.version("torch"),
        "architecture": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": sorted(_processor(Path("/proc/cpuinfo").read_text(encoding="utf-8"))),
    }


def _processor(cpuinfo: str) -> set[str]:
    """Return the first processor's vendor and its vector instructions."""
    found = set()
    for line in cpuinfo.split("\n\n", maxsplit=1)[0].splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"vendor_id", "CPU implementer"}:
            found.add(value.strip())
        elif name.strip() in {"flags", "Features"}:
            found |= {flag for flag in value.split() if _INSTRUCTIONS.fullmatch(flag)}
    return found


def checksum(candidate: str) -> str:
    """Return a checksum of a candidate's two files."""
    folder = REPOSITORY / FOLDERS[candidate]
    return _checksum("".join((folder / name).read_text() for name in ("env.py", "train.py")))


def exact(result: Any) -> dict[str, Any]:
    """Return an `EvaluationResult` as JSON that is equal only for results equal to the bit."""
    document: dict[str, Any] = json.loads(json.dumps(_exact(dataclasses.asdict(result))))
    # Its detail is a time, and a busy machine may raise or spare it.
    document["flags"] = [f for f in document["flags"] if not f.startswith("budget exceeded")]
    return document


def _exact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _checksum(json.dumps(_exact(v))) if key in _CHECKSUMMED else _exact(v)
            for key, v in value.items()
            if key not in _MEASURED | ADDED
        }
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    return value.hex() if isinstance(value, float) else value


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def record(path: str) -> dict[str, Any]:
    """Evaluate every scenario of a path, each by an evaluator started for it."""
    scores = []
    for each in FUSED_SCENARIOS if path == "fused" else SCENARIOS:
        with framework.Referee() as referee:
            result = referee.evaluate(request_for(each, path))
        scores.append({"scenario": each.name, "result": exact(result)})
        print(f"{result.score:9.4f}  {each.name}", flush=True)
    checksums = {candidate: checksum(candidate) for candidate in FOLDERS}
    return {"machine": machine(path), "candidates": checksums, "scores": scores}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", choices=("torch", "fused"), default="torch")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    output = args.output or (FUSED_SCORES if args.path == "fused" else SCORES)
    output.write_text(json.dumps(record(args.path), indent=1) + "\n", encoding="utf-8")
