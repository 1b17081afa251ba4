"""Does potential-based shaping learn sooner? `python -m benchmarks.worlds_shaping --seeds 16`.

The task is sparse: walk across a grid past a wall to a goal, which alone pays anything. Both arms
train the same policy on the same seeds; one sees the world's reward, the other
`reward + gamma * phi(after) - phi(before)` with the distance to the goal as potential (Ng, Harada &
Russell 1999). Learning curves are the world's own reward in both.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn.functional import one_hot

from benchmarks.machine import describe
from orchestrator.judging.student_t import t_quantile
from simverse.core.config import EnvConfig
from simverse.core.views import View
from simverse.core.world import World
from simverse.play import greedy, play
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception

SIZE = 9  # cells along each side
START = 3  # episodes begin in the top left cells, so many along each side
GOAL = (SIZE - 1, SIZE - 1)
WALL_ROW, WALL = 4, range(2, 7)  # cells in the way, by row and columns
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (row, column), indexed by action
HORIZON = 40
GAMMA = 0.97
ARMS = ("world", "shaped")
THRESHOLD = 0.8
Shape = Callable[[View, Tensor, View, Tensor, Tensor], Any]


class SparseGrid(World):
    """Reach the goal: 1 for it, nothing for anything else.

    The view has the field `cell`, int64 `[N, 2]`, (row, column). Actions: 0 up, 1 right, 2 down,
    3 left; wall and border stop a move. A finished sub-environment resets itself inside `step`.
    """

    reward_bound = 1.0

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        starts: Tensor | None = None,
        max_steps: int = HORIZON,
    ) -> None:
        """Make it; `starts`, int64 `[N, 2]`, are the first cells, without it they are drawn."""
        super().__init__(device=device, dtype=dtype)
        count = num_envs or config.num_envs if starts is None else len(starts)
        self.num_envs, self.max_steps = count, max_steps
        self.action_space = spaces.Discrete(len(MOVES))
        self.view_spaces = {"cell": spaces.MultiDiscrete([SIZE, SIZE])}
        self._generator = torch.Generator(device=self.device).manual_seed(config.seed)
        self._starts = starts
        blocked = torch.zeros(SIZE, SIZE, dtype=torch.bool, device=self.device)
        blocked[WALL_ROW, list(WALL)] = True
        self.register_buffer("blocked", blocked)
        self.register_buffer("moves", torch.tensor(MOVES, device=self.device))
        self.register_buffer("goal", torch.tensor(GOAL, device=self.device))
        self.register_buffer("cell", torch.zeros(count, 2, dtype=torch.int64, device=self.device))
        self.register_buffer("steps", torch.zeros(count, dtype=torch.int64, device=self.device))

    def describe(self) -> str:
        """What the task is."""
        return f"Walk to the far corner of a {SIZE} x {SIZE} grid, past a wall."

    def reset(self) -> View:
        """Begin everywhere."""
        self.steps.zero_()
        self.cell.copy_(self._first_cells())
        return {"cell": self.cell}

    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, Any]]:
        """Move once."""
        target = (self.cell + self.moves[actions]).clamp_(0, SIZE - 1)
        is_blocked = self.blocked[target[:, 0], target[:, 1]]
        self.cell.copy_(torch.where(is_blocked[:, None], self.cell, target))
        self.steps += 1
        success = (self.cell == self.goal).all(dim=1)
        truncated = (self.steps >= self.max_steps) & ~success
        done, final = success | truncated, {"cell": self.cell.clone()}
        self.cell.copy_(torch.where(done[:, None], self._first_cells(), self.cell))
        self.steps.masked_fill_(done, 0)
        info = {"success": success, "truncated": truncated, "final_view": final}
        return {"cell": self.cell}, success.to(self.dtype), done, info

    def _first_cells(self) -> Tensor:
        if self._starts is not None:
            return self._starts
        shape = (self.num_envs, 2)
        return torch.randint(START, shape, generator=self._generator, device=self.device)


# -- what a candidate would write ----------------------------------------------------------------


def observe(view: View) -> Tensor:
    """Show the cell, one-hot `[N, 1, SIZE, SIZE]`."""
    index = view["cell"][:, 0] * SIZE + view["cell"][:, 1]
    return one_hot(index, SIZE * SIZE).float().view(-1, 1, SIZE, SIZE)


def potential(view: View) -> Tensor:
    """Return what a cell would be worth if there were no wall: `gamma ** (distance - 1)`."""
    goal = torch.tensor(GOAL, device=view["cell"].device)
    distance = (goal - view["cell"]).abs().sum(dim=1)
    return GAMMA ** (distance - 1.0)


def shape_reward(
    before: View, actions: Tensor, after: View, reward: Tensor, done: Tensor
) -> Mapping[str, Tensor]:
    """Add the difference of potentials, that of a terminal state being 0."""
    del actions
    ahead = torch.where(done, 0.0, GAMMA * potential(after))
    return {"world": reward, "potential": ahead - potential(before)}


def seen(world: World, shape: Shape | None = None) -> ObservedWorld:
    """Return the world as a policy sees it, its reward shaped or its own."""
    space = spaces.Box(0.0, 1.0, shape=(1, SIZE, SIZE))
    return ObservedWorld(world, Perception(lambda _: space, _Cells, shape, remembers=False))


class _Cells:
    def reset(self, view: View, mask: Tensor) -> None:
        pass

    def __call__(self, view: View) -> Tensor:
        return observe(view)


class Table(nn.Module):
    """A logit for each action and a value, of each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(SIZE * SIZE, len(MOVES) + 1, bias=False)
        nn.init.zeros_(self.rows.weight)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Look the cell of `obs` `[B, 1, SIZE, SIZE]` up."""
        row = self.rows(obs.flatten(1))
        return row[:, :-1], row[:, -1:]


# -- what is measured ----------------------------------------------------------------------------


class Learning(NamedTuple):
    """One training."""

    area: float
    """Mean of the world's return over the episodes of training."""
    sooner: int
    """PPO episodes until a mean return of `THRESHOLD`; all of them if it is never reached."""
    score: float
    """Mean greedy return of the world's own reward in fresh worlds."""


def learn(arm: str, seed: int, episodes: int) -> Learning:
    """Train one seed of an arm."""
    torch.manual_seed(seed)
    policy = Table()
    config = PPOConfig.for_task(
        num_envs=16, max_steps=HORIZON, gamma=GAMMA, lr=0.05, training_epochs=4, batch_size=320
    )
    env = seen(
        SparseGrid(EnvConfig(num_envs=16, seed=seed)), shape_reward if arm == "shaped" else None
    )
    curve = [
        stats.mean_return for stats in train(env, policy, config, episodes=episodes, seed=seed)
    ]
    reached = [number for number, value in enumerate(curve, start=1) if value >= THRESHOLD]
    fresh = seen(SparseGrid(EnvConfig(num_envs=64, seed=seed + 1_000_003)))
    played = play(fresh, greedy(policy, len(MOVES)), max_steps=HORIZON)
    return Learning(
        statistics.fmean(curve), reached[0] if reached else episodes, float(played.returns.mean())
    )


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of some values, and the ends of its 95 % confidence interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, -math.inf, math.inf
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = t_quantile(0.975, len(values) - 1) * error
    return mean, mean - half, mean + half


def table(found: Mapping[str, Sequence[Learning]]) -> list[str]:
    """Return the table of both arms and their difference, seed by seed."""
    names = {
        "area": "mean return during training",
        "sooner": f"episodes to a return of {THRESHOLD}",
        "score": "greedy score at the end",
    }
    lines = ["| | world's reward | shaped | shaped - world's, 95 % CI |", "|---|---|---|---|"]
    for field, name in names.items():
        columns = {arm: [float(getattr(run, field)) for run in found[arm]] for arm in ARMS}
        pairs = zip(columns["shaped"], columns["world"], strict=True)
        mean, low, high = interval([shaped - world for shaped, world in pairs])
        means = [f"{statistics.fmean(columns[arm]):.3f}" for arm in ARMS]
        lines.append(
            f"| {name} | {means[0]} | {means[1]} | {mean:+.3f} ({low:+.3f} to {high:+.3f}) |"
        )
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--episodes", type=int, default=24, help="PPO episodes of each training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    began_s = time.monotonic()
    found = {arm: [learn(arm, seed, args.episodes) for seed in range(args.seeds)] for arm in ARMS}
    print(
        f"{args.seeds} seeds, {args.episodes} episodes of 16 x {HORIZON} steps each, "
        f"{time.monotonic() - began_s:.0f} s\n"
    )
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
