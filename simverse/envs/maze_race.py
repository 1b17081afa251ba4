"""Maze race: find the way out of a maze, alone or before somebody else does."""

from typing import Any

import torch
from torch import Tensor

from simverse.core.env import Actions
from simverse.envs.base import BatchedEnv, Step

ROOMS = 4  # along each side
SIZE = 2 * ROOMS - 1  # rooms and the cells between them
RADIUS = 2  # a racer sees this many cells in each direction
VIEW = 2 * RADIUS + 1
SIDE = SIZE + 2 * RADIUS  # of the stored map: solid wall all round, so no view leaves it
SHORTCUT = 0.2  # chance that a wall between two neighbouring rooms is missing
FAR = 1_000

WIN_REWARD = 0.8
PROGRESS_REWARD = 0.02  # for a step nearer to the goal through the maze; lost for one farther
STEP_COST = 0.01
NOBODY, TIE = -1, 2


class MazeRace(BatchedEnv):
    """A new maze of 4 x 4 rooms in every episode; the first at the goal ends it.

    Observation `[N, 4, 5, 5]` of 0 and 1, the racer in the middle, the map's top on top:

    =  =====  ============================================================
    0  WALL   walls, and everything outside the maze
    1  GOAL   the goal, drawn on the view's edge if beyond it
    2  TRAIL  where the racer has been
    3  RIVAL  the other racer, likewise; empty when there is none
    =  =====  ============================================================

    Actions: 0 up, 1 right, 2 down, 3 left; walls stop a move.

    Reward: 0.8 for arriving, 0.02 for a step nearer (lost again by one farther), less 0.01 a step.
    An episode succeeds when racer 0 arrives, alone or in a tie; it is truncated after `max_steps`
    (40 by default). A finished sub-environment stays frozen until `reset`.

    With `config.num_agents == 2` two racers start from one room. What each sees is
    `obs["local_obs"]` `[N, 2, 4, 5, 5]`, and `obs["obs"]` `[N, 8, 5, 5]` both; actions and rewards
    are `[N, 2]`; a racer that is beaten to the goal loses 0.8.
    `info["winner"]` `[N]` is 0 or 1, 2 for a tie, -1 as long as nobody has arrived.
    """

    CHANNELS = ("wall", "goal", "trail", "rival")
    done: Tensor
    winner: Tensor
    walls: Tensor
    distance: Tensor
    racer: Tensor
    goal: Tensor
    trail: Tensor
    view: Tensor

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        agents = int(getattr(config, "num_agents", 1) or 1)
        if agents not in {1, 2}:
            raise ValueError(f"a maze race has 1 or 2 racers, got num_agents={agents}")
        super().__init__(
            config,
            num_envs=num_envs,
            device=device,
            dtype=dtype,
            size=(VIEW, VIEW),
            actions=4,
            agents=agents,
        )
        self.register_buffer("done", self._flags())
        self.register_buffer("winner", self._whole())
        self.register_buffer("walls", self._flags(SIDE, SIDE))
        self.register_buffer("distance", self._whole(SIDE, SIDE))  # to the goal, through the maze
        self.register_buffer("racer", self._whole(agents, 2))  # (row, column) on the stored map
        self.register_buffer("goal", self._whole(2))
        self.register_buffer("trail", self._flags(agents, SIDE, SIDE))
        self.register_buffer("view", torch.arange(-RADIUS, RADIUS + 1, device=self.device))
        self.reset()

    def describe(self) -> str:
        """Say in one line what the task is."""
        return f"find the goal of a new maze of {ROOMS} x {ROOMS} rooms; 0.8 for arriving first"

    def reset(self) -> dict[str, Tensor]:
        """Draw a new maze for every sub-environment."""
        self._restart(torch.ones_like(self.done))
        self._reset_episode_state(winner_none=NOBODY)
        return self._shown(self._observe())

    def step(self, actions: Actions) -> Step:
        """Move every racer that is still racing."""
        racing = ~self.done
        if self.num_agents == 1:
            choice = self._normalize_single_agent_actions(actions, missing_action=0).unsqueeze(1)
        else:
            choice = self._normalize_action_matrix(actions, missing_action=0)
        before = self._at(self.distance)
        target = self.racer + self.moves[choice]
        stays = self._at(self.walls, target) | ~racing.unsqueeze(1)
        self.racer.copy_(torch.where(stays.unsqueeze(2), self.racer, target))
        self._leave_trail()

        arrived = (self.racer == self.goal.unsqueeze(1)).all(dim=2)
        over = arrived.any(dim=1)
        beaten = over.unsqueeze(1) & ~arrived
        reward = PROGRESS_REWARD * (before - self._at(self.distance)) - STEP_COST
        reward = reward + WIN_REWARD * (arrived.long() - beaten.long())
        reward = (reward * racing.unsqueeze(1)).to(self.dtype)
        first = torch.where(arrived.all(dim=1), TIE, arrived.long().argmax(dim=1))
        if self.num_agents == 1:
            reward, first = reward.squeeze(1), torch.zeros_like(first)
        self.winner.copy_(torch.where(over, first, NOBODY))

        self.steps += racing
        truncated = racing & ~over & (self.steps >= self.max_steps)
        self.done |= over | truncated
        success = over & arrived[:, 0]
        obs = self._observe()
        info = {"success": success, "truncated": truncated, **self._final(obs)}
        return self._shown(obs), reward, self.done, self._build_info(extra=info)

    def _at(self, field: Tensor, position: Tensor | None = None) -> Tensor:
        """Return a map `[N, SIDE, SIDE]` at positions `[N, A, 2]` (the racers'), `[N, A]`."""
        row, column = (self.racer if position is None else position).unbind(dim=2)
        return field[self.rows.unsqueeze(1), row, column]

    def _leave_trail(self) -> None:
        agent = torch.arange(self.num_agents, device=self.device)
        row, column = self.racer.unbind(dim=2)
        self.trail[self.rows.unsqueeze(1), agent, row, column] = True

    def _observe(self) -> Tensor:
        count, agents = self.num_envs, self.num_agents
        obs = torch.zeros(count, agents, 4, VIEW, VIEW, dtype=self.dtype, device=self.device)
        row = (self.racer[..., 0, None] + self.view)[..., :, None]
        column = (self.racer[..., 1, None] + self.view)[..., None, :]
        env = self.rows.view(-1, 1, 1, 1)
        agent = torch.arange(agents, device=self.device).view(1, -1, 1, 1)
        obs[:, :, 0] = self.walls[env, row, column].to(self.dtype)
        obs[:, :, 2] = self.trail[env, agent, row, column].to(self.dtype)
        self._draw(obs, 1, self.goal.unsqueeze(1))
        if agents == 1:
            return obs.squeeze(1)
        self._draw(obs, 3, self.racer.flip(1))
        return obs

    def _draw(self, obs: Tensor, channel: int, position: Tensor) -> None:
        """Mark positions `[N, A or 1, 2]`, moved to the view's edge if beyond it."""
        row, column = ((position - self.racer).clamp(-RADIUS, RADIUS) + RADIUS).unbind(dim=2)
        agent = torch.arange(self.num_agents, device=self.device)
        obs[self.rows.unsqueeze(1), agent, channel, row, column] = 1.0

    def _restart(self, mask: Tensor) -> None:
        start = self._below(ROOMS * ROOMS)
        goal = (start + 1 + self._below(ROOMS * ROOMS - 1)) % (ROOMS * ROOMS)
        walls = self._draw_walls()
        goal_cell = self._room(goal)
        self._assign("walls", mask, walls)
        self._assign("goal", mask, goal_cell)
        self._assign("racer", mask, self._room(start).unsqueeze(1).expand_as(self.racer))
        self._assign("distance", mask, distances(walls, goal_cell))
        self.trail.masked_fill_(mask.view(-1, 1, 1, 1), 0)
        self._leave_trail()

    def _draw_walls(self) -> Tensor:
        """Draw mazes `[N, SIDE, SIDE]`: every room leads up or left, plus shortcuts, mirrored."""
        up = self._uniform(ROOMS, ROOMS) < 0.5
        up[:, :, 0] = True
        up[:, 0] = False
        left = ~up
        left[:, :, 0] = False
        shortcuts = self._uniform(2, ROOMS, ROOMS) < SHORTCUT
        cells = torch.ones(self.num_envs, SIZE, SIZE, dtype=torch.bool, device=self.device)
        cells[:, ::2, ::2] = False
        cells[:, 1::2, ::2] = ~(up | shortcuts[:, 0])[:, 1:]
        cells[:, ::2, 1::2] = ~(left | shortcuts[:, 1])[:, :, 1:]
        mirrored, turned = (self._below(2, 2) == 1).unbind(dim=1)
        cells = torch.where(mirrored.view(-1, 1, 1), cells.flip(2), cells)
        cells = torch.where(turned.view(-1, 1, 1), cells.flip(1), cells)
        return torch.nn.functional.pad(cells, (RADIUS,) * 4, value=True)

    @staticmethod
    def _room(number: Tensor) -> Tensor:
        """Return where rooms `[N]` are on the stored map, (row, column) `[N, 2]`."""
        return 2 * torch.stack((number // ROOMS, number % ROOMS), dim=1) + RADIUS


def distances(walls: Tensor, goal: Tensor) -> Tensor:
    """Return the steps from every cell to the goal `[N, 2]` past walls `[N, SIDE, SIDE]`.

    Walls and what they cut off are `FAR` away. The loop is as long as the longest way.
    """
    found = torch.full_like(walls, FAR, dtype=torch.int64)
    found[torch.arange(len(walls), device=walls.device), goal[:, 0], goal[:, 1]] = 0
    for _ in range(SIZE * SIZE):
        # The map's rim is wall, so what rolls over it arrives nowhere.
        near = torch.stack([found.roll(shift, dim) for shift in (-1, 1) for dim in (1, 2)]).amin(0)
        nearer = torch.minimum(found, near + 1).masked_fill(walls, FAR)
        if torch.equal(nearer, found):
            break
        found = nearer
    return found


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> MazeRace:
    """Return the environment; its signature is a candidate's."""
    return MazeRace(config, num_envs=num_envs, device=device, dtype=dtype)
