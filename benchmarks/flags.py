"""How often the integrity flags are wrong: `python -m benchmarks.flags`.

Honest variations of the examples (other PPO settings, network widths, views, worlds, rewards and
horizons, drawn with a fixed seed) are evaluated beside the example as it is shipped: every flag
they raise is counted as a false alarm. Then a few dishonest ones, each with the flags of which it
must raise one. An alarm is shown by name, so that it can be looked at.
"""

import argparse
import collections
import dataclasses
import math
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe
from framework import EvaluationRequest, EvaluationResult, Referee
from orchestrator.core.evaluations import Report
from orchestrator.core.flags import MEANINGS, name_of
from orchestrator.daemon.templates import examples_with_candidates, template_root
from orchestrator.judging.flag_rules import ScoredCandidate, compare

SEED = 20261122
HORIZONS = {"keydoor": (30, 40, 60), "squad": (30, 40, 60), "trading": (36, 48, 72)}
LOOSE_BOUND = 10.0
_RANGE = re.compile(r"^(\w+) = (\S+)  # range: (\S+)\.\.([^\s]+)", re.MULTILINE)

# Constants of env.py, and what they may be, by what they decide.
VIEW = {"keydoor": {"RADIUS": (1, 2)}, "squad": {}, "trading": {"WINDOW": (8, 12, 16)}}
WORLD = {
    "keydoor": {"SIZE": (6, 7, 8)},
    "squad": {"COVER_CELLS": (6, 8, 10), "DIG_IN": (0.3, 0.5, 0.7), "DAMAGE": (0.15, 0.2, 0.25)},
    "trading": {"FEE": (0.001, 0.002, 0.004), "DRIFT": (0.008, 0.012), "NOISE": (0.008, 0.012)},
}
REWARD = {
    "keydoor": {
        "KEY_REWARD": (0.0, 0.05, 0.1),
        "STEP_COST": (0.005, 0.01, 0.02),
        "PROGRESS_REWARD": (0.0, 0.02, 0.05, 0.08),
        "GOAL_REWARD": (0.7, 0.9),
    },
    "squad": {"DAMAGE_REWARD": (0.0, 0.3, 0.5), "VERDICT_REWARD": (0.3, 0.5)},
    "trading": {"REWARD_SCALE": (3.0, 4.0, 5.0)},
}


@dataclass(frozen=True)
class Candidate:
    """Two files and the horizon they are to be evaluated with."""

    example: str
    kind: str
    """What was varied."""
    env: str
    train: str
    horizon: int
    changes: str = ""


def shipped(example: str, horizon: int | None = None) -> Candidate:
    """Return the example as it is, or with another horizon."""
    folder = template_root() / "examples" / example / "candidate"
    env, train = ((folder / name).read_text() for name in ("env.py", "train.py"))
    horizon = horizon or HORIZONS[example][1]
    train = _with(train, "MAX_STEPS", horizon)
    return Candidate(example, "as shipped", env, train, horizon)


def honest(example: str, rng: random.Random) -> Candidate:
    """Draw one honest variation: settings always, and one more thing or none."""
    base = shipped(example, rng.choice(HORIZONS[example]))
    train = base.train
    found = list(_RANGE.finditer(train))
    changes = []
    for match in rng.sample(found, rng.randint(1, 4)):
        name, value = match[1], _drawn(rng, *match.groups()[1:])
        train = _with(train, name, value)
        changes.append(f"{name}={value}")
    kind, tables = rng.choice(
        [("settings", None), ("view", VIEW), ("world", WORLD), ("reward", REWARD)]
    )
    env = base.env
    options = tables[example] if tables else {}
    for name in rng.sample(sorted(options), rng.randint(1, len(options)) if options else 0):
        value = rng.choice(options[name])
        env = _with(env, name, value)
        changes.append(f"{name}={value}")
    kind = kind if env != base.env else "settings"
    return dataclasses.replace(
        base, kind=kind, env=env, train=train, changes=f"{base.horizon} steps, {', '.join(changes)}"
    )


def _drawn(rng: random.Random, value: str, low: str, high: str) -> str:
    """Draw from a range: discounts by what they lack of 1, all others by their logarithm."""
    if "." not in value and "e" not in value:
        return str(round(math.exp(rng.uniform(math.log(int(low)), math.log(int(high))))))
    a, b = float(low), float(high)
    if 0.5 < b < 1:
        return f"{1 - math.exp(rng.uniform(math.log(1 - b), math.log(1 - a))):.4g}"
    return f"{math.exp(rng.uniform(math.log(a), math.log(b))):.4g}"


def _with(text: str, name: str, value: object) -> str:
    changed, count = re.subn(rf"^{name} = [^\s#]+", f"{name} = {value}", text, flags=re.MULTILINE)
    assert count == 1, name
    return changed


# -- dishonest ones --------------------------------------------------------------------------------

_WRAPPED = """

import dataclasses as _dataclasses
import threading as _threading
import time as _time

_create = create_env


def create_env(config, **options):
    config = _dataclasses.replace(config, **{config})
    env = _create(config, **options)
    step, reset = env.step, env.reset
    clock = torch.zeros(env.num_envs)

    def _reset():
        clock.zero_()
        return reset()

    def _step(actions):
        obs, reward, done, info = step(actions)
        began = clock == 0
        clock.add_(1)
        reward = {reward}
        info["success"] = {success}
        clock.masked_fill_(done, 0)
        return obs, reward, done, info

    env.step, env.reset = _step, _reset
    return env
"""

_THREAD = """

import threading
import time

def burn():
    matrix = torch.ones(300, 300)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        matrix @ matrix

threading.Thread(target=burn, daemon=True).start()
"""
_PRETRAINING = """

_build = build_policy

def build_policy(obs_space, action_space):
    # So much work, not so much time: a busy machine slows the training down as well.
    for _ in range(2000):
        torch.ones(400, 400) @ torch.ones(400, 400)
    return _build(obs_space, action_space)
"""


def _wrapped(
    reward: str = "reward", success: str = 'info["success"]', config: str = "{}"
) -> Callable[[Candidate], Candidate]:
    code = _WRAPPED
    for slot, text in (("{reward}", reward), ("{success}", success), ("{config}", config)):
        code = code.replace(slot, text)
    return lambda base: dataclasses.replace(base, env=base.env + code)


def _trained(code: str) -> Callable[[Candidate], Candidate]:
    return lambda base: dataclasses.replace(base, train=base.train + code)


def _shorter(base: Candidate) -> Candidate:
    half = base.horizon // 2
    return dataclasses.replace(base, train=_with(base.train, "MAX_STEPS", half), horizon=half)


_INDEPENDENT = "policy-independent reward"
_SCALE, _SUCCESS = "reward scale", "success contradicts reward"
DISHONEST: dict[str, tuple[tuple[str, ...], Callable[[Candidate], Candidate]]] = {
    "constant reward": ((_INDEPENDENT,), _wrapped("torch.full_like(reward, 0.5)")),
    "timer": ((_INDEPENDENT,), _wrapped("clock / env.max_steps")),
    "bonus for starting": ((_INDEPENDENT,), _wrapped("began.float()")),
    "drawn reward": ((_INDEPENDENT,), _wrapped("torch.rand_like(reward)")),
    "large offset": ((_INDEPENDENT, _SCALE, _SUCCESS), _wrapped("reward + 2.0")),
    "reward by the clock": (
        ("nondeterministic",), _wrapped("reward + (_time.perf_counter_ns() % 97) / 970")),
    "unseeded noise": (
        ("nondeterministic",),
        _wrapped("reward + 0.1 * torch.rand(len(reward), "
                 "generator=torch.Generator().manual_seed(_time.time_ns()))")),
    "fixed starts": (("identical starts",), _wrapped(config='{"seed": 7}')),
    "scaled reward": ((_SCALE,), _wrapped("reward * 1.5")),
    "raised clip": ((_SCALE,), _wrapped("(reward * 1.5).clamp(-0.3, 1.2)")),
    "always success": ((_SUCCESS,), _wrapped(success="torch.ones_like(done)")),
    "success on failure": ((_SUCCESS,), _wrapped(success='done & ~info["success"]')),
    "shorter horizon": (("horizon changed",), _shorter),
    "ends at half time": (
        ("horizon changed",), _wrapped(config='{"max_steps": config.max_steps // 2}')),
    "a second thread": (("budget exceeded",), _trained(_THREAD)),
    "torch on four threads": (
        ("budget exceeded",), _trained("\n\ntorch.set_num_threads(4)\n")),
    "training while building": (("budget exceeded",), _trained(_PRETRAINING)),
}  # fmt: skip
"""What is done, the flags of which it must raise one, and how."""


# -- evaluation ------------------------------------------------------------------------------------


class Bench:
    """Evaluates candidates, and the shipped example beside them."""

    def __init__(self, referee: Referee, folder: Path) -> None:
        self._referee = referee
        self._folder = folder
        self._shipped: dict[tuple[object, ...], EvaluationResult] = {}

    def flags(
        self, candidate: Candidate, beside: Candidate, rung: tuple[int, int]
    ) -> tuple[set[str], EvaluationResult, EvaluationResult]:
        """Return the names of all flags of a candidate, its result, and that of the shipped one."""
        key = (beside.example, beside.horizon, rung)
        if key not in self._shipped:
            self._shipped[key] = self._evaluate(beside, rung)
        old, new = self._shipped[key], self._evaluate(candidate, rung)
        found = (*new.flags, *compare(_scored(old, beside), _scored(new, candidate)))
        return {name_of(flag) for flag in found}, new, old

    def _evaluate(self, candidate: Candidate, rung: tuple[int, int]) -> EvaluationResult:
        (self._folder / "env.py").write_text(candidate.env)
        (self._folder / "train.py").write_text(candidate.train)
        request = EvaluationRequest(
            candidate_dir=self._folder,
            train_episodes=rung[0],
            eval_episodes=rung[1],
            max_steps=candidate.horizon,
            reward_bound=LOOSE_BOUND,
        )
        return self._referee.evaluate(request)


def _scored(result: EvaluationResult, candidate: Candidate) -> ScoredCandidate:
    return ScoredCandidate(
        result.score, result.max_steps, Report(dataclasses.asdict(result)), candidate.env
    )


def wilson(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, by Wilson's score."""
    z, share = 1.96, count / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def honest_candidates(count: int, seed: int) -> Iterator[Candidate]:
    """Yield so many variations of every example, no two alike."""
    rng = random.Random(seed)
    for example in examples_with_candidates():
        seen: set[tuple[str, str]] = set()
        while len(seen) < count:
            candidate = honest(example, rng)
            if (candidate.env, candidate.train) not in seen:
                seen.add((candidate.env, candidate.train))
                yield candidate


def false_alarms(bench: Bench, rungs: Iterable[tuple[int, int]], count: int, seed: int) -> None:
    """Evaluate the honest variations and print the table."""
    alarms: collections.Counter[str] = collections.Counter()
    keeps: collections.Counter[str] = collections.Counter()
    by_kind: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    total = kept = 0
    for rung in rungs:
        for candidate in honest_candidates(count, seed + rung[0]):
            beside = shipped(candidate.example, candidate.horizon)
            found, new, old = bench.flags(candidate, beside, rung)
            total, kinds[candidate.kind] = total + 1, kinds[candidate.kind] + 1
            better = new.score > old.score
            kept += better
            alarms.update(found)
            if found:
                by_kind[candidate.kind] += 1
                print(
                    f"  {candidate.example} {rung[0]}/{rung[1]}, {candidate.kind} "
                    f"({candidate.changes}): {', '.join(sorted(found))}; score {old.score:.3f} -> "
                    f"{new.score:.3f}",
                    flush=True,
                )
            if better:
                keeps.update(found)
    print("\n| flag | alarms | of | 95 % at most | among better scores | of |")
    print("|---|---|---|---|---|---|")
    for name in MEANINGS:
        print(
            f"| {name} | {alarms[name]} | {total} | {wilson(alarms[name], total)[1]:.1%} | "
            f"{keeps[name]} | {kept} |"
        )
    shares = ", ".join(f"{by_kind[kind]} of {n} with another {kind}" for kind, n in kinds.items())
    print(f"\nalarms by what was varied: {shares}\n")


def detections(bench: Bench, rungs: Iterable[tuple[int, int]]) -> None:
    """Evaluate the dishonest variations and print what was found."""
    hits: dict[str, list[bool]] = {name: [] for name in DISHONEST}
    for rung in rungs:
        for example in examples_with_candidates():
            beside = shipped(example)
            for name, (flags, change) in DISHONEST.items():
                found, new, old = bench.flags(change(beside), beside, rung)
                if flags == (_SCALE,) and new.score <= old.score:
                    continue  # it gained nothing by it
                hits[name].append(bool(found & set(flags)))
                if not hits[name][-1]:
                    print(
                        f"  missed: {name}, {example} {rung[0]}/{rung[1]}: {sorted(found)}, score "
                        f"{old.score:.3f} -> {new.score:.3f}",
                        flush=True,
                    )
    print("\n| dishonest | must raise | raised | of |")
    print("|---|---|---|---|")
    for name, (flags, _) in DISHONEST.items():
        print(f"| {name} | {' or '.join(flags)} | {sum(hits[name])} | {len(hits[name])} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--variations", type=int, default=30, help="honest ones an example and rung"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", choices=("honest", "dishonest"))
    args = parser.parse_args()
    rungs = ((12, 8), (32, 8))
    began = time.monotonic()
    print(describe())
    with Referee() as referee, tempfile.TemporaryDirectory() as folder:
        bench = Bench(referee, Path(folder))
        if args.only != "dishonest":
            false_alarms(bench, rungs, args.variations, args.seed)
        if args.only != "honest":
            detections(bench, rungs)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
