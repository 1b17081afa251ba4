"""The fixed evaluator: train a candidate with PPO on every seed, then score it greedily.

    score = mean return over all greedy evaluation episodes of all seeds

This process is the *referee*. It holds no candidate code: the candidate runs in worker processes
(see `simverse/worker.py`), one that trains a seed's policy and then serves it, and a fresh one that
serves held-out environments. The referee carries observations and actions between them, adds up
every return itself until an episode's first `done`, and disqualifies rewards out of bounds. What a
candidate says about its own returns is never read. After the scored episodes it plays a few more
without a policy, and flags what they show (`simverse/integrity.py`); flags never change a score.

`evaluate_candidate` is the function; `python framework.py --serve` answers requests as JSON lines,
so that a daemon pays for importing torch once and not per experiment. The agent does not edit this
file: a run records its hash, because scores from different evaluators can't be compared.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import hmac
import importlib.metadata
import json
import math
import os
import queue
import re
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np

from sandbox import (
    Channel,
    ChannelClosedError,
    ChannelError,
    ConfinementError,
    ServerFailedError,
    Spares,
    Tier,
    Worker,
    WorkerServer,
    demand_memory,
    die_with_parent,
    gpu_devices,
)
from sandbox.probe import examine
from simverse import integrity, replay_document

EVALUATOR_PROTOCOL = 3
"""Which requests `--serve` understands. The daemon reads this number before it runs the file."""

MAX_TRAIN_EPISODES = 1000
MAX_EVAL_EPISODES = 100
MIN_TRAIN_EPISODES = 2
DEFAULT_MAX_STEPS = 20
MAX_HORIZON = 100_000
_LEAST_MEMORY_MB = 128
_NO_MEMORY = re.compile(r"MemoryError|allocate memory|out of memory", re.IGNORECASE)
MAX_CANDIDATE_CHARS = 1_000_000
MAX_OBSERVATION_SIZE = 2**21
CANDIDATE_DIR = Path(__file__).resolve().parent / "candidate"
PUBLIC_KEY = b"autorl-daemon: the fixed public key of train.py"
"""Environment seeds outside the daemon derive from this; a workspace has a secret one."""

_NUMBER = (int, float)
_OVERRIDES: Mapping[str, tuple[tuple[type, ...], float, float]] = {
    # key: accepted types, smallest, largest value
    "batch_size": ((int,), 1, 10_000_000),
    "buffer_size": ((int,), 1, 100_000_000),
    "clip_epsilon": (_NUMBER, 1e-6, 10.0),
    "entropy_coef": (_NUMBER, 0.0, 10.0),
    "gae_lambda": (_NUMBER, 0.0, 1.0),
    "gamma": (_NUMBER, 0.0, 1.0),
    "lr": (_NUMBER, 1e-12, 10.0),
    "max_grad_norm": (_NUMBER, 0.0, 1e6),
    "normalize_advantages": ((bool,), 0, 1),
    "torch_fastpath": ((bool,), 0, 1),
    "training_epochs": ((int,), 1, 1000),
    "max_steps": ((int,), 1, MAX_HORIZON),
}

_PRELOAD = ("simverse.worker:prepare",)
_TRAINER = "simverse.worker:train_and_serve"
_ENVIRONMENT = "simverse.worker:serve_environment"


# -- what goes in and what comes out ---------------------------------------------------------------


class CandidateError(Exception):
    """The candidate is at fault. `kind` is `invalid`, `crash` or `rejected`."""

    def __init__(
        self, kind: str, reason: str, *, details: str = "", score: float | None = None
    ) -> None:
        super().__init__(reason)
        self.seed: int | None = None
        """The seed it failed on."""
        self.kind = kind
        self.reason = reason
        self.details = details
        """Traceback and output of the worker, bounded; untrusted text."""
        self.score = score
        """What it scored before it was disqualified, if it got so far. It does not count."""


class EnoughError(Exception):
    """Whoever follows the evaluation wanted no more before one seed was evaluated."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """One evaluation. Raises `ValueError` for a budget beyond the caps."""

    candidate_dir: Path
    train_episodes: int = 12
    eval_episodes: int = 8
    seeds: tuple[int, ...] = (101, 138)
    more_seeds: tuple[int, ...] = ()
    """Evaluated after these, one by one until whoever follows says it is enough; not scored."""
    checkpoints: tuple[int, ...] = ()
    """Training episodes, rising, at which the follower is shown the first seed's curve."""
    num_envs: int = 32
    max_steps: int | None = None
    """Horizon in steps; None leaves it to the candidate's override, else `DEFAULT_MAX_STEPS`."""
    lr: float = 3e-4
    device: str = "cpu"
    reward_bound: float = 10.0
    """Largest magnitude of a single step's reward."""
    precision: str = "fp32"
    workers: int | None = None
    """Seeds trained side by side; None for one a core, on a GPU one a scored seed. Never changes a
    score."""
    memory_mb: int | None = None
    """Most private memory in MiB of a worker and all it starts."""
    time_precisions: bool = False
    """Also time a minibatch in each precision, to recommend one."""
    cpu_s: int | None = None
    """Most processor seconds of one worker process."""
    key: bytes = PUBLIC_KEY

    def __post_init__(self) -> None:
        _demand(
            MIN_TRAIN_EPISODES <= self.train_episodes <= MAX_TRAIN_EPISODES,
            f"train_episodes must be {MIN_TRAIN_EPISODES} to {MAX_TRAIN_EPISODES}, "
            f"not {self.train_episodes}",
        )
        _demand(
            1 <= self.eval_episodes <= MAX_EVAL_EPISODES,
            f"eval_episodes must be 1 to {MAX_EVAL_EPISODES}, not {self.eval_episodes}",
        )
        _demand(len(self.seeds) >= 1, "seed_count must be at least 1")
        every = (*self.seeds, *self.more_seeds)
        _demand(len(set(every)) == len(every), f"seeds repeat: {list(every)}")
        _demand(self.num_envs >= 1, f"num_envs must be at least 1, not {self.num_envs}")
        _demand(
            self.max_steps is None or 1 <= self.max_steps <= MAX_HORIZON,
            f"max_steps must be 1 to {MAX_HORIZON}, not {self.max_steps}",
        )
        _demand(
            math.isfinite(self.reward_bound) and self.reward_bound > 0,
            f"reward_bound must be a positive number, not {self.reward_bound}",
        )
        _demand(
            self.precision in {"fp32", "bf16"},
            f"precision must be 'fp32' or 'bf16', not {self.precision!r}",
        )
        _demand(
            self.workers is None or self.workers >= 1,
            f"workers must be at least 1, not {self.workers}",
        )


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One seed's training and evaluation, as the referee saw it."""

    seed: int
    eval_return: float
    """Mean return over the evaluation episodes that count."""
    full_return: float
    """Mean return over all evaluated episodes: the same quantity with less noise, for a judge."""
    solve_rate: float
    untrained_solve_rate: float
    episode_length: float
    """Mean length in steps of the episodes that count."""
    episode_returns: tuple[float, ...]
    evidence_returns: tuple[float, ...]
    """Returns of the evaluated episodes that do not count towards the score."""
    evidence_solve_rate: float
    """Solve rate of all evaluated episodes, those that do not count included."""
    evidence_episode_length: float
    random_returns: tuple[float, ...]
    """Returns of random actions from the first starts of the evaluation, at most
    `integrity.SLOTS_KEPT`: what two candidates' environments pay for the same."""
    random_solve_rate: float
    random_full_length: float
    """Share of these episodes that ran to the horizon."""
    train_returns: tuple[float, ...]
    """Mean return of each training episode, as the training worker reports it."""
    env_steps: int
    """Steps of single sub-environments in training."""
    train_s: float
    peak_memory_mb: float
    replay: Mapping[str, Any]
    """The first counted episode, to watch (`simverse.replay_document`)."""


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """An evaluation: the score and what is reported beside it, never scored."""

    env_name: str
    env_description: str
    score: float
    mean_eval_return: float
    mean_solve_rate: float
    mean_train_return: float
    learning_gain: float
    headroom_bonus: float
    stability: float
    complexity_penalty: float
    mean_episode_length: float
    random_return: float
    """Mean return of random actions."""
    episode_return_std: float
    """Population standard deviation of single episodes' returns, over all seeds."""
    observation_shape: tuple[int, ...]
    num_actions: int
    policy_parameters: int
    max_steps: int
    num_envs: int
    train_episodes: int
    eval_episodes: int
    seed_count: int
    seeds: tuple[int, ...]
    seed_results: tuple[SeedResult, ...]
    more_results: tuple[SeedResult, ...]
    """Those of `more_seeds` that were evaluated; no number above rests on them."""
    device: str
    precision: str
    precision_s: Mapping[str, float] | None
    """Seconds of one minibatch, forward and backward, by precision, where they were asked for: as
    the training worker reports them, for a recommendation only."""
    env_steps: int
    wall_s: float
    steps_per_s: float
    """Training steps of single sub-environments per second of wall time, all seeds together."""
    peak_memory_mb: float
    threads: int
    torch_version: str
    flags: tuple[str, ...]


ProgressReport = Callable[[Mapping[str, Any]], None]
GoOn = Callable[[Mapping[str, Any]], bool]
"""Is shown a `seed` or `checkpoint` event and says whether the evaluation should go on."""


def evaluate_candidate(
    *,
    train_episodes: int = 12,
    eval_episodes: int = 8,
    seed_count: int = 2,
    num_envs: int = 32,
    max_steps: int | None = None,
    lr: float = 3e-4,
    device: str = "cpu",
    seeds: Sequence[int] | None = None,
    reward_bound: float = 10.0,
    precision: str = "fp32",
    workers: int | None = None,
    candidate_dir: str | os.PathLike[str] | None = None,
) -> EvaluationResult:
    """Train and score a candidate.

    Args:
        train_episodes: PPO episodes; one is a rollout of all `num_envs` sub-environments of up to
            `max_steps` steps, then the updates. 2 to 1000.
        eval_episodes: greedy episodes a seed that count for the score. 1 to 100.
        seed_count: how many of the default seeds 101, 138, 175, … to use.
        num_envs: sub-environments in training and in evaluation.
        max_steps: horizon in steps; None takes the candidate's override, else 20.
        lr: learning rate where the candidate does not override it.
        device: `cpu`, `cuda`, `mps` or `auto`.
        seeds: these seeds instead of the default ones.
        reward_bound: largest magnitude of one step's reward; beyond it the candidate is rejected.
        precision: `fp32`, or `bf16` to run the policy under autocast (faster for wide
            convolutions, slower for small networks; scores of the two are not comparable).
        workers: seeds trained side by side, None for one a core; the score does not depend on it.
        candidate_dir: folder with `env.py` and `train.py`; None for `candidate/` beside this file.

    Raises:
        ConfinementError: this system can't confine the candidate; `Referee("off")` does without.
        ValueError: a budget beyond the caps, or an unknown device or precision.
        CandidateError: the candidate breaks the contract, crashes or is disqualified.
    """
    request = EvaluationRequest(
        candidate_dir=Path(candidate_dir or CANDIDATE_DIR),
        train_episodes=train_episodes,
        eval_episodes=eval_episodes,
        seeds=default_seeds(seed_count) if seeds is None else tuple(seeds),
        num_envs=num_envs,
        max_steps=max_steps,
        lr=lr,
        device=device,
        reward_bound=reward_bound,
        precision=precision,
        workers=workers,
    )
    with Referee() as referee:
        return referee.evaluate(request)


def default_seeds(count: int) -> tuple[int, ...]:
    """Return the first `count` evaluation seeds: 101, 138, 175 and so on, 37 apart.

    Raises:
        ValueError: a count below 1.
    """
    _demand(count >= 1, f"seed_count must be at least 1, not {count}")
    return tuple(101 + 37 * index for index in range(count))


def derive_seed(key: bytes, seed: int, phase: str, batch: int = 0) -> int:
    """Return the 31-bit seed for one use, a keyed hash: without the key it can't be guessed.

    31 bits because candidates may hand it to numpy's legacy generator, which takes no more.
    """
    message = f"{seed}/{phase}/{batch}".encode()
    return int.from_bytes(hmac.new(key, message, hashlib.sha256).digest()[:4]) >> 1


# -- the referee -----------------------------------------------------------------------------------


class Referee:
    """Evaluates candidates with the workers of one warm server."""

    def __init__(self, sandbox: str = "auto") -> None:
        """Start the server; `sandbox` is `auto`, or the name of a `Tier` to use unexamined.

        Raises:
            ConfinementError: `auto`, and this system can't confine candidates.
        """
        tier = _best_tier() if sandbox == "auto" else Tier(sandbox)
        self._server = WorkerServer(preload=_PRELOAD, environment=os.environ, tier=tier)
        self._spares = Spares(self._server)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server and everything it runs."""
        try:
            self._spares.close()
        finally:
            self._server.close()

    def settle(self) -> set[int]:
        """Wait until ended workers are gone; return the process numbers of those that wait."""
        return self._spares.settle()

    def evaluate(
        self,
        request: EvaluationRequest,
        report: ProgressReport = lambda _event: None,
        go_on: GoOn | None = None,
    ) -> EvaluationResult:
        """Evaluate one candidate.

        Seeds are trained side by side, as many as there are workers, but followed in their order:
        what is kept, and which failure counts, never depends on how many run at once.

        Args:
            request: what to evaluate.
            report: called with every training episode, from several threads.
            go_on: asked at each checkpoint of the first seed, and after each seed, in this order
                however many run at once. When it says no, later seeds are ended and leave no trace.

        Raises:
            EnoughError: `go_on` said no before one seed was evaluated.
            CandidateError, ValueError: as for `evaluate_candidate`.
        """
        files = _read_candidate(request.candidate_dir)
        started = time.perf_counter()
        device = _resolve_device(request.device)
        request = dataclasses.replace(request, device=device)
        order = (*request.seeds, *request.more_seeds)
        runs = [_SeedRun(self._spares, request, files, seed, report) for seed in order]
        side_by_side = len(request.seeds) if device == "cuda" else os.cpu_count() or 1
        with ThreadPoolExecutor(request.workers or side_by_side) as pool:
            futures = [pool.submit(run.evaluate) for run in runs]
            try:
                used = _follow_in_order(request, runs, futures, go_on)
            finally:
                for run, future in zip(runs, futures, strict=True):
                    future.cancel()
                    run.abort()
        if not used:
            raise EnoughError
        result = _summarise(request, runs[:used], time.perf_counter() - started)
        if fault := next((run.fault for run in runs[:used] if run.fault), None):
            raise CandidateError("rejected", fault, score=result.score)
        return result


def _follow_in_order(
    request: EvaluationRequest,
    runs: Sequence["_SeedRun"],
    futures: Sequence["Future[None]"],
    go_on: GoOn | None,
) -> int:
    """Follow the runs in their order; return how many of them, from the first, were wanted.

    Raises:
        CandidateError: one of these failed.
    """
    bell: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
    first = runs[0]
    for future in futures:
        future.add_done_callback(bell.put)
    first.bell = bell
    checkpoints, used = list(request.checkpoints), 0
    while used < len(runs):
        rung = bell.get()
        if go_on is None:
            if rung is not None:
                rung.result()  # nobody decides anything before: the first failure is the end
                used += 1
            continue
        while checkpoints and len(first.curve) >= checkpoints[0]:
            episode = checkpoints.pop(0)
            curve = first.curve[:episode]
            if not go_on({"event": "checkpoint", "episode": episode, "curve": curve}):
                return used
        while used < len(runs) and futures[used].done():
            try:
                futures[used].result()
            except CandidateError as error:
                error.seed = runs[used].seed
                raise
            used += 1
            if not go_on(_seed_event(runs[:used])):
                return used
    return used


def _seed_event(runs: Sequence["_SeedRun"]) -> dict[str, Any]:
    """Return what is told of the last of these runs, and the returns of all."""
    results = [run.result for run in runs if run.result]
    last = results[-1]
    return {
        "event": "seed",
        "seed": last.seed,
        "value": last.full_return,
        "solve_rate": last.evidence_solve_rate,
        "curve": last.train_returns,
        "returns": [result.full_return for result in results],
        "policy_parameters": runs[0].facts["policy_parameters"],
        "observation_shape": runs[0].facts["observation_shape"],
    }


class _AbortedError(Exception):
    """This seed was ended because another one failed."""


class _SeedRun:
    """One seed: train, then evaluate."""

    def __init__(
        self,
        spares: Spares,
        request: EvaluationRequest,
        files: Mapping[str, str],
        seed: int,
        report: ProgressReport,
    ) -> None:
        self._spares = spares
        self._request = request
        self._files = files
        self._report = report
        self._aborted = threading.Event()
        self._live: list[Worker] = []
        self.seed = seed
        self.curve: list[float] = []
        """Mean return of each training episode so far."""
        self.bell: queue.SimpleQueue[Any] | None = None
        """Rung after each of them."""
        self.facts: dict[str, Any] = {}
        self.precision_s: dict[str, float] | None = None
        self.max_steps = 0
        self.build_s = 0.0
        self.threads = 0
        self.result: SeedResult | None = None
        self.evidence: integrity.Evidence | None = None
        self.fault: str | None = None
        """Why the candidate is disqualified although it has a score."""

    def abort(self) -> None:
        """End this seed's workers; its `evaluate` then raises."""
        self._aborted.set()
        for worker in tuple(self._live):
            worker.end()

    def evaluate(self) -> None:
        """Fill `result` and `evidence`. Raises `CandidateError`, or whatever is a bug of ours."""
        with self._worker(_TRAINER) as trainer:
            episodes, train_s = self._train(trainer.channel)
            with self._worker(_ENVIRONMENT) as environment:
                self._open_environment(environment.channel)
                pair = (trainer.channel, environment.channel)
                counted = self._counted()
                film = _Film(int(counted[0]))
                sizes = self.max_steps, self._request.num_envs
                tape, other = integrity.Tape(*sizes), integrity.Tape(*sizes)
                trained = self._evaluate_batches(pair, film, tape)
                untrained = self._play(pair, "untrained", "untrained", 0, tape=other)
                plays = self._audit(environment.channel, tape, other)
            main_s, all_s = trainer.processor_s()
            peak_memory_mb = trainer.peak_memory_mb()
        env_steps = sum(episode["env_steps"] for episode in episodes)
        random = plays["random"]
        self.evidence = integrity.Evidence(
            trained=tape.play(),
            **plays,
            returns=np.concatenate([trained.returns, untrained.returns]),
            solved=np.concatenate([trained.solved, untrained.solved]),
            exact=self._request.device == "cpu",
            work=integrity.Work(
                env_steps=env_steps,
                allowed_steps=(
                    self._request.train_episodes * self._request.num_envs * self.max_steps
                ),
                threads=self.threads,
                main_s=main_s,
                # A GPU's libraries have threads of their own.
                beside_s=all_s - main_s if self._request.device == "cpu" else 0.0,
                build_s=self.build_s,
                train_s=train_s,
            ),
        )
        self.result = SeedResult(
            seed=self.seed,
            eval_return=statistics.fmean(trained.returns[counted].tolist()),
            full_return=statistics.fmean(trained.returns.tolist()),
            solve_rate=statistics.fmean(trained.solved[counted].tolist()),
            untrained_solve_rate=statistics.fmean(untrained.solved.tolist()),
            episode_length=statistics.fmean(trained.lengths[counted].tolist()),
            episode_returns=tuple(trained.returns[counted].tolist()),
            evidence_returns=tuple(np.delete(trained.returns, counted).tolist()),
            evidence_solve_rate=statistics.fmean(trained.solved.tolist()),
            evidence_episode_length=statistics.fmean(trained.lengths.tolist()),
            random_returns=tuple(random.returns.tolist()),
            random_solve_rate=statistics.fmean(random.solved.tolist()),
            random_full_length=statistics.fmean((random.lengths >= self.max_steps).tolist()),
            train_returns=tuple(episode["mean_return"] for episode in episodes),
            env_steps=env_steps,
            train_s=train_s,
            peak_memory_mb=peak_memory_mb,
            replay=film.document(self.facts, self.max_steps),
        )

    # Training.

    def _train(self, channel: Channel) -> tuple[list[dict[str, Any]], float]:
        request = self._request
        channel.send(
            {
                "files": self._files,
                "env_seed": self._derive("train"),
                "torch_seed": self._derive("policy"),
                "sampling_seed": self._derive("sampling"),
                "num_envs": request.num_envs,
                "max_steps": request.max_steps or DEFAULT_MAX_STEPS,
                "train_episodes": request.train_episodes,
                "device": request.device,
                "precision": request.precision,
                "time_precisions": request.time_precisions and self.seed == request.seeds[0],
            }
        )
        overrides = check_overrides(_receive(channel, "overrides")[0].get("overrides"))
        self.max_steps = request.max_steps or overrides.get("max_steps", DEFAULT_MAX_STEPS)
        if overrides.get("max_steps", self.max_steps) != self.max_steps:
            raise CandidateError(
                "rejected",
                f"training_overrides() asks for a horizon of {overrides['max_steps']} steps, but "
                f"it is pinned to {self.max_steps} (task.max_steps): return no 'max_steps', or "
                f"{self.max_steps}",
            )
        config = _training_config(overrides, request, self.max_steps)
        building = time.perf_counter()
        channel.send({"max_steps": self.max_steps, "config": config})
        self.facts = _facts(_receive(channel, "ready")[0])
        started = time.perf_counter()
        self.build_s = started - building
        episodes = [self._training_episode(channel, i) for i in range(request.train_episodes)]
        trained, _ = _receive(channel, "trained")
        if (seconds := trained.get("precision_s")) is not None:
            self.precision_s = _precision_seconds(seconds)
        self.threads = int(_finite(trained.get("threads"), "threads"))
        return episodes, time.perf_counter() - started

    def _training_episode(self, channel: Channel, index: int) -> dict[str, Any]:
        head, _ = _receive(channel, "episode")
        episode = {
            "mean_return": _finite(head.get("mean_return"), "mean_return"),
            "solve_rate": _finite(head.get("solve_rate"), "solve_rate"),
            "env_steps": int(_finite(head.get("env_steps"), "env_steps")),
        }
        self.curve.append(episode["mean_return"])
        if self.bell is not None:
            self.bell.put(None)
        self._report(
            {
                "event": "episode",
                "seed": self.seed,
                "episode": index + 1,
                "episodes": self._request.train_episodes,
                **episode,
            }
        )
        return episode

    # Evaluation.

    def _open_environment(self, channel: Channel) -> None:
        channel.send(
            {
                "files": self._files,
                "torch_seed": self._derive("evaluate-import"),
                "num_envs": self._request.num_envs,
                "max_steps": self.max_steps,
                "device": self._request.device,
            }
        )

    def _evaluate_batches(
        self, pair: tuple[Channel, Channel], film: "_Film", tape: integrity.Tape
    ) -> "_Episodes":
        played = [
            self._play(pair, "trained", "evaluate", batch, film, None if batch else tape)
            for batch in range(self._batches())
        ]
        return _Episodes(
            *(
                np.concatenate(columns)
                for columns in zip(*(p.columns() for p in played), strict=True)
            )
        )

    def _batches(self) -> int:
        return math.ceil(self._request.eval_episodes / self._request.num_envs)

    def _counted(self) -> np.ndarray:
        """Return the indices of the episodes that count, chosen before they are played."""
        slots = self._batches() * self._request.num_envs
        generator = np.random.default_rng(self._derive("slots"))
        return np.sort(generator.permutation(slots)[: self._request.eval_episodes])

    def _play(  # noqa: PLR0917 - what to play, and who watches
        self,
        pair: tuple[Channel, Channel],
        weights: str,
        phase: str,
        batch: int,
        film: "_Film | None" = None,
        tape: integrity.Tape | None = None,
    ) -> "_Episodes":
        """Play one batch of fresh sub-environments greedily, each to its first `done`."""
        policy, environment = pair
        n, shape = self._request.num_envs, list(self.facts["observation_shape"])
        obs = self._create(environment, phase, batch)
        if tape:
            tape.start = obs
        act = {
            "do": "act",
            "weights": weights,
            "shape": [n, *shape],
            "num_actions": self.facts["num_actions"],
        }
        episodes = _Episodes.empty(n)
        running = np.ones(n, dtype=bool)
        for _ in range(self.max_steps):
            seen = obs
            policy.send(act, obs)
            _, actions = _receive(policy, "actions", payload_bytes=8 * n)
            _check_actions(actions, self.facts["num_actions"])
            environment.send({"do": "step"}, actions)
            _, payload = _receive(environment, "step", payload_bytes=10 * n + len(obs))
            reward = np.frombuffer(payload, np.float64, n)
            done = np.frombuffer(payload, np.uint8, n, offset=8 * n).astype(bool)
            success = np.frombuffer(payload, np.uint8, n, offset=9 * n).astype(bool)
            obs = payload[10 * n :]
            self._check_rewards(reward[running])
            if film:
                film.take(batch * n, running, seen, actions, reward, done, success)
            if tape:
                tape.take(actions, reward, done, success)
            episodes.add(running, reward, success)
            running &= ~done
            if not running.any():
                break
        return episodes

    def _create(self, environment: Channel, phase: str, batch: int) -> bytes:
        """Have a fresh batch made; return its first observations."""
        environment.send(
            {
                "do": "create",
                "env_seed": self._derive(phase, batch),
                "torch_seed": self._derive(f"{phase}-torch", batch),
            }
        )
        shape = [self._request.num_envs, *self.facts["observation_shape"]]
        head, obs = _receive(environment, "reset", payload_bytes=4 * math.prod(shape))
        if head.get("shape") != shape:
            raise CandidateError(
                "rejected", f"evaluation observations are {head.get('shape')}, not {shape}"
            )
        return obs

    # Evidence: plays after the scored ones, of which no score learns.

    def _audit(
        self, environment: Channel, tape: integrity.Tape, other: integrity.Tape
    ) -> dict[str, Any]:
        """Play what `integrity.Evidence` asks for: batch 0 again, at random, and elsewhere."""
        n = self._request.num_envs
        alike = tape.start == other.start
        actions = tape.actions()
        replayed = self._follow(environment, "evaluate", actions, digest=alike)
        elsewhere = self._follow(environment, "untrained", actions, digest=True) if alike else None
        steps = integrity.random_steps(self.max_steps, n)
        generator = np.random.default_rng(self._derive("random-actions"))
        drawn = generator.integers(self.facts["num_actions"], size=(steps, n), dtype=np.int64)
        random = self._follow(environment, "evaluate", drawn.tobytes())
        try:
            self._check_rewards(random.rewards[random.live])
        except CandidateError as error:
            # It has a score by now: it is disqualified once that is known.
            self.fault = f"{error.reason}, with random actions"
        return {"replayed": replayed, "elsewhere": elsewhere, "random": random}

    def _follow(
        self, environment: Channel, phase: str, actions: bytes, *, digest: bool = False
    ) -> integrity.Play:
        """Have batch 0 of a phase made afresh and played with given actions, int64 `[T, N]`."""
        self._create(environment, phase, 0)
        environment.send({"do": "play", "digest": digest}, actions)
        count, n = len(actions) // 8, self._request.num_envs
        head, payload = _receive(environment, "play", payload_bytes=10 * count)
        rewards = np.frombuffer(payload, np.float64, count)
        done, success = np.frombuffer(payload, np.uint8, 2 * count, 8 * count).reshape(2, -1)
        return integrity.Play(
            *(
                column.reshape(-1, n)[:, : integrity.SLOTS_KEPT]
                for column in (rewards, done.astype(bool), success.astype(bool))
            ),
            digest=int(_finite(head.get("digest"), "digest")) if digest else None,
        )

    def _check_rewards(self, rewards: np.ndarray) -> None:
        bound = self._request.reward_bound
        if not np.isfinite(rewards).all():
            raise CandidateError("rejected", "a reward is not finite")
        # A float32 reward of exactly the bound may exceed it by rounding.
        if rewards.size and np.abs(rewards).max() > bound * (1 + 1e-6):
            raise CandidateError(
                "rejected",
                f"a reward of {rewards[np.abs(rewards).argmax()]:g} is outside "
                f"[-{bound:g}, {bound:g}] a step (evaluator.reward_bound)",
            )

    # Workers.

    def _derive(self, phase: str, batch: int = 0) -> int:
        return derive_seed(self._request.key, self.seed, phase, batch)

    @contextlib.contextmanager
    def _worker(self, entry: str) -> Iterator[Worker]:
        """Run a worker for the block; turn its death into the candidate's fault."""
        if self._aborted.is_set():
            raise _AbortedError
        worker = self._spares.take(
            entry,
            memory_mb=self._request.memory_mb,
            cpu_s=self._request.cpu_s,
            devices=gpu_devices() if self._request.device == "cuda" else (),
        )
        self._live.append(worker)
        try:
            if self._aborted.is_set():  # while it was being launched
                raise _AbortedError
            yield worker
        except CandidateError as error:
            worker.end()
            error.details = error.details or worker.output()
            if error.kind == "crash" and _NO_MEMORY.search(error.reason):
                limit = self._request.memory_mb
                error.reason = f"out of memory (evaluator.memory_mb is {limit}): {error.reason}"
            raise
        except ChannelClosedError as error:
            if self._aborted.is_set():
                raise _AbortedError from error
            ending = worker.end(grace_s=1.0)
            if self._spares.has_died():  # the worker with it, through no fault of the candidate's
                raise ServerFailedError("the worker server died") from error
            raise CandidateError(
                "crash", f"the worker process died ({ending})", details=worker.output()
            ) from error
        except ChannelError as error:
            raise CandidateError("rejected", f"the worker broke protocol: {error}") from error
        finally:
            self._live.remove(worker)
            self._spares.give_back(worker)


@dataclass(frozen=True)
class _Episodes:
    """Episodes of one or more batches; every column is `[episodes]`."""

    returns: np.ndarray
    solved: np.ndarray
    lengths: np.ndarray

    @classmethod
    def empty(cls, count: int) -> Self:
        return cls(np.zeros(count), np.zeros(count, dtype=bool), np.zeros(count))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.returns, self.solved, self.lengths

    def add(self, running: np.ndarray, reward: np.ndarray, success: np.ndarray) -> None:
        """Add one step to the episodes still running (bool `[episodes]`)."""
        self.returns[running] += reward[running]
        self.solved[running] |= success[running]
        self.lengths[running] += 1


class _Film:
    """One slot's episode, as the referee saw it."""

    def __init__(self, slot: int) -> None:
        self._slot = slot
        self._frames: list[list[float]] = []
        self._steps: list[dict[str, Any]] = []

    def take(  # noqa: PLR0917 - one step, as it passed
        self,
        first: int,
        running: np.ndarray,
        obs: bytes,
        actions: bytes,
        reward: np.ndarray,
        done: np.ndarray,
        success: np.ndarray,
    ) -> None:
        """Take one step of a batch whose slots begin at `first`, if the slot is one of them."""
        index, count = self._slot - first, len(reward)
        if not (0 <= index < count and running[index]):
            return
        frames = np.frombuffer(obs, np.float32).reshape(count, -1)
        self._frames.append(replay_document.values(frames[index].astype(float).tolist()))
        self._steps.append(
            replay_document.step(
                action=int(np.frombuffer(actions, np.int64)[index]),
                reward=float(reward[index]),
                done=bool(done[index]),
                success=bool(success[index]),
            )
        )

    def document(self, facts: Mapping[str, Any], horizon: int) -> dict[str, Any]:
        """Return the replay. Its seed stays out of it: candidates' authors may read replays."""
        return replay_document.build(
            env=facts["env_name"],
            description=facts["env_description"],
            channels=None,
            observation_shape=facts["observation_shape"],
            num_actions=facts["num_actions"],
            horizon=horizon,
            seed=None,
            frames=self._frames,
            steps=self._steps,
            last_frame=None,
        )


# -- what the candidate is ------------------------------------------------------------------------


def _read_candidate(folder: Path) -> dict[str, str]:
    """Return the texts of `env.py` and `train.py`, and of modules beside them, by file name.

    The workers get copies: they can't see the folder.
    """
    files = {}
    for path in sorted(folder.glob("*.py")):
        if path.is_file() and not path.is_symlink():
            try:
                files[path.name] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise CandidateError("invalid", f"candidate/{path.name}: {error}") from error
    for name in ("env.py", "train.py"):
        if name not in files:
            raise CandidateError("invalid", f"candidate/{name} is missing")
    if sum(map(len, files.values())) > MAX_CANDIDATE_CHARS:
        raise CandidateError("invalid", f"candidate/ holds over {MAX_CANDIDATE_CHARS} characters")
    return files


def _best_tier() -> Tier:
    examination = examine()
    if examination.problem is not None or examination.tier is None:
        raise ConfinementError(
            f"{examination.problem}. `python -m sandbox.probe` shows the details; to run "
            "candidates unconfined, at your own risk: `sandbox: off` in config.yaml, or "
            "`train.py --no-sandbox`"
        )
    return examination.tier


# -- checks ----------------------------------------------------------------------------------------


def check_overrides(overrides: Any) -> dict[str, Any]:
    """Return the candidate's overrides if every one is allowed.

    Raises:
        CandidateError: `invalid`, naming the key that is unknown, of a wrong type or out of range.
    """
    if not isinstance(overrides, dict):
        raise CandidateError("rejected", f"the worker's overrides are {overrides!r:.100}")
    for key, value in overrides.items():
        if key not in _OVERRIDES:
            allowed = ", ".join(_OVERRIDES)
            raise CandidateError(
                "invalid", f"training_overrides() key {key!r} is not allowed; allowed: {allowed}"
            )
        types, smallest, largest = _OVERRIDES[key]
        if type(value) not in types:
            wanted = " or ".join(kind.__name__ for kind in types)
            raise CandidateError(
                "invalid",
                f"training_overrides() {key!r} must be {wanted}, not {type(value).__name__}",
            )
        if not smallest <= value <= largest:  # false for NaN too
            bounds = f"{smallest:g} to {largest:g}"
            raise CandidateError(
                "invalid", f"training_overrides() {key!r} must be {bounds}, not {value!r:.100}"
            )
    return dict(overrides)


def _training_config(
    overrides: Mapping[str, Any], request: EvaluationRequest, max_steps: int
) -> dict[str, Any]:
    n = request.num_envs
    defaults = {
        "lr": request.lr,
        "batch_size": max(32, 4 * n),
        "buffer_size": max(n * max_steps, 256),
    }
    return {**defaults, **overrides, "max_steps": max_steps}


def _receive(
    channel: Channel, kind: str, *, payload_bytes: int = 0
) -> tuple[dict[str, Any], bytes]:
    """Receive a message of one kind; a candidate's error becomes a `CandidateError`."""
    head, payload = channel.receive(max_payload_bytes=payload_bytes)
    if head.get("kind") == "error":
        status = "invalid" if head.get("error") == "contract" else "crash"
        raise CandidateError(
            status, str(head.get("message", "")), details=str(head.get("traceback", ""))
        )
    if head.get("kind") != kind:
        raise CandidateError("rejected", f"the worker sent {head.get('kind')!r}, not {kind!r}")
    if len(payload) != payload_bytes:
        raise CandidateError(
            "rejected", f"the worker's {kind} has {len(payload)} bytes, not {payload_bytes}"
        )
    return head, payload


def _facts(head: Mapping[str, Any]) -> dict[str, Any]:
    sizes = head.get("observation_shape")
    if not isinstance(sizes, list) or len(sizes) != 3:
        raise CandidateError("rejected", f"the worker's observation_shape is {sizes!r:.100}")
    shape = tuple(int(_finite(size, "observation_shape")) for size in sizes)
    if min(shape) < 0 or math.prod(shape) > MAX_OBSERVATION_SIZE:
        raise CandidateError(
            "invalid", f"observations of shape {shape} are over {MAX_OBSERVATION_SIZE:,} numbers"
        )
    return {
        "env_name": str(head.get("env_name", ""))[:200],
        "env_description": str(head.get("env_description", ""))[:2000],
        "observation_shape": shape,
        "num_actions": int(_finite(head.get("num_actions"), "num_actions")),
        "policy_parameters": int(_finite(head.get("policy_parameters"), "policy_parameters")),
    }


def _check_actions(payload: bytes, num_actions: int) -> None:
    actions = np.frombuffer(payload, np.int64)
    if actions.min() < 0 or actions.max() >= num_actions:
        raise CandidateError(
            "rejected", f"the policy worker chose an action outside 0 to {num_actions - 1}"
        )


def _precision_seconds(seconds: Any) -> dict[str, float]:
    if not isinstance(seconds, dict) or seconds.keys() != {"fp32", "bf16"}:
        raise CandidateError("rejected", f"the worker's precision_s is {seconds!r:.100}")
    return {name: _finite(value, "precision_s") for name, value in seconds.items()}


def _finite(value: Any, name: str) -> float:
    if type(value) not in _NUMBER or not abs(value) < 1e300:  # NaN, infinity, absurd integers
        raise CandidateError("rejected", f"the worker's {name} is no finite number: {value!r:.100}")
    return float(value)


def _resolve_device(device: str) -> str:
    _demand(device in {"auto", "cpu", "cuda", "mps"}, f"unknown device {device!r}")
    if device != "auto":
        return device
    from simverse.training.utils import resolve_torch_device

    return resolve_torch_device()


def _demand(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


# -- the report ------------------------------------------------------------------------------------


def _summarise(
    request: EvaluationRequest, runs: Sequence[_SeedRun], wall_s: float
) -> EvaluationResult:
    every = [run.result for run in runs if run.result is not None]
    assert len(every) == len(runs)
    seeds, more = every[: len(request.seeds)], every[len(request.seeds) :]
    facts, max_steps = runs[0].facts, runs[0].max_steps
    evidence = [run.evidence for run in runs if run.evidence is not None]
    returns = [seed.eval_return for seed in seeds]
    solve_rates = [seed.solve_rate for seed in seeds]
    score = statistics.fmean(returns)
    env_steps = sum(seed.env_steps for seed in every)
    return EvaluationResult(
        **facts,
        score=score,
        mean_eval_return=score,
        mean_solve_rate=statistics.fmean(solve_rates),
        mean_train_return=statistics.fmean(_last_window(s.train_returns) for s in seeds),
        learning_gain=statistics.fmean(
            _last_window(s.train_returns) - _first_window(s.train_returns) for s in seeds
        ),
        headroom_bonus=statistics.fmean(
            max(0.0, 1.0 - s.untrained_solve_rate) * s.solve_rate for s in seeds
        ),
        stability=min(1.0, max(0.0, 1.0 - statistics.pstdev(returns) / (abs(score) + 1.0))),
        complexity_penalty=_complexity(facts["observation_shape"], facts["num_actions"]),
        mean_episode_length=statistics.fmean(s.episode_length for s in seeds),
        random_return=statistics.fmean(r for s in seeds for r in s.random_returns),
        episode_return_std=statistics.pstdev([r for s in seeds for r in s.episode_returns]),
        max_steps=max_steps,
        num_envs=request.num_envs,
        train_episodes=request.train_episodes,
        eval_episodes=request.eval_episodes,
        seed_count=len(seeds),
        seeds=tuple(seed.seed for seed in seeds),
        seed_results=tuple(seeds),
        more_results=tuple(more),
        device=request.device,
        precision=request.precision,
        precision_s=runs[0].precision_s,
        env_steps=env_steps,
        wall_s=wall_s,
        steps_per_s=env_steps / wall_s,
        peak_memory_mb=max(s.peak_memory_mb for s in every),
        threads=1,
        torch_version=importlib.metadata.version("torch"),
        flags=tuple(integrity.find_flags(evidence)),
    )


def _window(count: int) -> int:
    return max(2, count // 3)


def _last_window(values: Sequence[float]) -> float:
    return statistics.fmean(values[-_window(len(values)) :])


def _first_window(values: Sequence[float]) -> float:
    return statistics.fmean(values[: _window(len(values))])


def _complexity(observation_shape: Sequence[int], num_actions: int) -> float:
    channels, height, width = observation_shape
    return (
        0.08 * max(0, height * width - 25)
        + 0.40 * max(0, channels - 6)
        + 1.5 * max(0, num_actions - 5)
    )


# -- the service -----------------------------------------------------------------------------------


def serve(sandbox: str) -> None:
    """Answer evaluation requests, a JSON object a line, until standard input ends.

    Each request is answered by `episode` events and one last `result`, `failure` (the candidate's
    fault), `enough` (nothing was evaluated) or `refused` (the request's fault) event. With `follow`
    in the request, `seed` and `checkpoint` events each wait for a line `{"go_on": true}` or false.
    """
    die_with_parent()
    threading.excepthook = lambda fault: _end_at_once(fault.exc_value or fault.exc_type())
    sys.unraisablehook = _end_without_memory
    lock = threading.Lock()
    # The events have this stream to themselves: a stray print must not corrupt them.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(event: Mapping[str, Any]) -> None:
        with lock:
            stream.write(json.dumps(event) + "\n")
            stream.flush()

    def ask(event: Mapping[str, Any]) -> bool:
        report(event)
        answer = sys.stdin.readline()
        return bool(answer) and json.loads(answer)["go_on"] is True

    with Referee(sandbox) as referee:
        report({"event": "serving", "protocol": EVALUATOR_PROTOCOL, "pid": os.getpid()})
        while line := sys.stdin.readline():
            try:
                demand_memory(_LEAST_MEMORY_MB)  # else threads might hang: be started afresh
                report(_answer(referee, json.loads(line), report, ask))
            except Exception as fault:  # noqa: BLE001 - told, and the end
                _end_at_once(fault)


def _end_at_once(fault: BaseException) -> NoReturn:
    """End this process, waiting for no thread: one may be dead or stuck for want of memory.

    The worker server ends all workers when its owner is gone.
    """
    sys.excepthook(type(fault), fault, fault.__traceback__)
    os._exit(1)


def _end_without_memory(unraisable: Any) -> None:
    """End this process where a thread can't begin: whoever starts it would wait for it for ever."""
    if issubclass(unraisable.exc_type, MemoryError):
        _end_at_once(unraisable.exc_value or MemoryError())
    sys.__unraisablehook__(unraisable)


def _answer(
    referee: Referee, message: dict[str, Any], report: ProgressReport, ask: GoOn
) -> dict[str, Any]:
    follow = message.pop("follow", False)
    try:
        request = EvaluationRequest(
            **{
                **message,
                "candidate_dir": Path(message["candidate_dir"]),
                "seeds": tuple(message["seeds"]),
                "more_seeds": tuple(message.get("more_seeds", ())),
                "checkpoints": tuple(message.get("checkpoints", ())),
                "key": bytes.fromhex(message["key"]),
            }
        )
        result = referee.evaluate(request, report, ask if follow else None)
    except EnoughError:
        return {"event": "enough"}
    except CandidateError as error:
        return {
            "event": "failure",
            "kind": error.kind,
            "reason": error.reason,
            "details": error.details,
            "score": error.score,
            "seed": error.seed,
        }
    except ValueError as error:
        details = traceback.format_exc()
        return {"event": "refused", "reason": str(error), "details": details}
    return {"event": "result", "result": dataclasses.asdict(result)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The fixed evaluator. To score once: train.py.")
    parser.add_argument("--serve", action="store_true", required=True, help="answer JSON lines")
    parser.add_argument("--sandbox", default="auto", choices=["auto", *Tier], help="the tier")
    serve(parser.parse_args().sandbox)
