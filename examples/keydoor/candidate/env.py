"""Key and door: two rooms, one locked door. Fetch the key, open the door, reach the goal.

Every episode draws a new floor, so knowing one by heart is worth nothing. The agent sees the
cells around it and a compass to the key, the door and the goal.
"""

from typing import Any

import gymnasium as gym
import torch

from simverse.core.env import SimEnv

SIZE = 7  # cells along each side of the floor
RADIUS = 1  # the agent sees this many cells in each direction
VIEW = 2 * RADIUS + 1  # cells along each side of its view
SIDE = SIZE + 2 * RADIUS  # of the stored map: solid wall all round, so no view leaves it

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (row, column), indexed by action
WALL, KEY, DOOR, GOAL = range(4)  # observation channels

KEY_REWARD = 0.1
DOOR_REWARD = 0.1
GOAL_REWARD = 0.9
STEP_COST = 0.01
PROGRESS_REWARD = 0.05  # a cell nearer to what is needed next; as much is lost a cell farther


class KeyDoorEnv(SimEnv):
    """`num_envs` floors at once; a finished one resets itself inside `step`.

    Observation `[N, 4, 3, 3]`, values 0 or 1, the agent in the middle, the map's top on top:

    =  ====  ====================================================
    0  WALL  walls, and everything outside the floor
    1  KEY   the key, until it is picked up
    2  DOOR  the door, until it is opened
    3  GOAL  the goal
    =  ====  ====================================================

    A key, door or goal beyond the view is drawn on the view's edge, in its direction.

    Actions: 0 up, 1 right, 2 down, 3 left. Stepping onto the key picks it up; stepping into the
    door with the key in hand opens it. Walls stop a move, and so does the locked door.
    """

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        self.num_agents = 1
        self.num_envs = self._resolve_num_envs(num_envs, config, default=32)
        self.max_steps = int(config.max_steps)
        self.generator = torch.Generator(device=self.device).manual_seed(int(config.seed))
        self._action_space = gym.spaces.Discrete(len(MOVES))
        self._observation_space = gym.spaces.Box(0.0, 1.0, shape=(4, VIEW, VIEW))

        self.register_buffer("moves", torch.tensor(MOVES, device=self.device))
        self.register_buffer("env_index", torch.arange(self.num_envs, device=self.device))
        self.register_buffer("view_index", torch.arange(VIEW, device=self.device))
        self.register_buffer("walls", self._zeros(SIDE, SIDE, dtype=torch.bool))
        for name in ("agent", "key", "door", "goal"):
            self.register_buffer(name, self._zeros(2, dtype=torch.int64))  # (row, column)
        self.register_buffer("has_key", self._zeros(dtype=torch.bool))
        self.register_buffer("door_open", self._zeros(dtype=torch.bool))
        self.register_buffer("steps", self._zeros(dtype=torch.int64))
        self.reset()

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return self._action_space

    @property
    def observation_space(self) -> gym.spaces.Box:
        return self._observation_space

    def describe(self) -> str:
        return f"Fetch the key, open the door and reach the goal on a new {SIZE}x{SIZE} floor."

    def reset(self) -> dict[str, torch.Tensor]:
        """Draw a new floor for every sub-environment; return the observation dict."""
        self._reset_where(torch.ones_like(self.has_key))
        return self._pack_observation_dict(self._observe())

    def step(
        self, actions: Any
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Move once. Actions `[N]`; returns observation, reward `[N]`, done `[N]` and info."""
        moves = self.moves[self._normalize_single_agent_actions(actions, missing_action=UP)]
        objective = self._objective()
        distance_before = self._distance(objective)
        self._walk(moves)
        progress = distance_before - self._distance(objective)

        took_key = self._stands_on(self.key) & ~self.has_key
        opened = self._stands_on(self.door) & ~self.door_open
        success = self._stands_on(self.goal)
        self.has_key |= took_key
        self.door_open |= opened
        reward = PROGRESS_REWARD * progress.to(self.dtype) - STEP_COST
        reward += KEY_REWARD * took_key + DOOR_REWARD * opened + GOAL_REWARD * success

        self.steps += 1
        done = success | (self.steps >= self.max_steps)
        if done.any():
            self._reset_where(done)
        info = self._build_info(extra={"success": success})
        nearer, goal = PROGRESS_REWARD * progress, GOAL_REWARD * success
        rest = reward - nearer - goal
        info["reward_parts"] = {"progress": nearer, "goal": goal, "key, door and time": rest}
        return self._pack_observation_dict(self._observe()), reward, done, info

    def _walk(self, moves: torch.Tensor) -> None:
        """Apply moves `[N, 2]` where neither a wall nor the locked door is in the way."""
        target = self.agent + moves
        row, column = (target + RADIUS).unbind(dim=1)
        at_door = (target == self.door).all(dim=1)
        blocked = self.walls[self.env_index, row, column] | (at_door & ~self.has_key)
        self.agent.copy_(torch.where(blocked[:, None], self.agent, target))

    def _objective(self) -> torch.Tensor:
        """Where to go next, `[N, 2]`: to the key, then the door, then the goal."""
        after_key = torch.where(self.door_open[:, None], self.goal, self.door)
        return torch.where(self.has_key[:, None], after_key, self.key)

    def _distance(self, position: torch.Tensor) -> torch.Tensor:
        """Steps from the agent to positions `[N, 2]` if no wall were in the way, `[N]`."""
        return (position - self.agent).abs().sum(dim=1)

    def _stands_on(self, position: torch.Tensor) -> torch.Tensor:
        return (self.agent == position).all(dim=1)

    def _observe(self) -> torch.Tensor:
        obs = self._zeros(4, VIEW, VIEW, dtype=self.dtype)
        rows = self.agent[:, 0, None] + self.view_index
        columns = self.agent[:, 1, None] + self.view_index
        around = (self.env_index[:, None, None], rows[:, :, None], columns[:, None, :])
        obs[:, WALL] = self.walls[around].to(self.dtype)
        self._draw(obs, KEY, self.key, ~self.has_key)
        self._draw(obs, DOOR, self.door, ~self.door_open)
        self._draw(obs, GOAL, self.goal, torch.ones_like(self.has_key))
        return obs

    def _draw(
        self, obs: torch.Tensor, channel: int, position: torch.Tensor, present: torch.Tensor
    ) -> None:
        """Mark positions `[N, 2]`, moved to the view's edge if beyond it, where present `[N]`."""
        row, column = ((position - self.agent).clamp(-RADIUS, RADIUS) + RADIUS).unbind(dim=1)
        obs[self.env_index, channel, row, column] = present.to(self.dtype)

    def _reset_where(self, mask: torch.Tensor) -> None:
        """Begin a new episode in the sub-environments in mask `[N]`."""
        for name, drawn in self._draw_floors().items():
            current = getattr(self, name)
            chosen = mask.view(-1, *[1] * (drawn.dim() - 1))
            current.copy_(torch.where(chosen, drawn, current))
        for state in (self.has_key, self.door_open, self.steps):
            state.masked_fill_(mask, 0)

    def _draw_floors(self) -> dict[str, torch.Tensor]:
        """Draw a floor for every sub-environment: positions `[N, 2]`, walls `[N, SIDE, SIDE]`.

        First with an upright wall and the agent to the left of it, then mirrored and turned on
        the toss of a coin, so that each of the four rooms is as likely to be the first.
        """
        wall = self._randint(2, SIZE - 2)
        agent = torch.stack((self._randint(0, SIZE), self._randint(0, wall)), dim=1)
        key_row = (agent[:, 0] + self._randint(1, SIZE)) % SIZE  # never the agent's own cell
        key = torch.stack((key_row, self._randint(0, wall)), dim=1)
        door = torch.stack((self._randint(0, SIZE), wall), dim=1)
        goal = torch.stack((self._randint(0, SIZE), self._randint(wall + 1, SIZE)), dim=1)

        walls = torch.ones_like(self.walls)
        walls[:, RADIUS:-RADIUS, RADIUS:-RADIUS] = False
        walls[self.env_index, :, wall + RADIUS] = True
        walls[self.env_index, door[:, 0] + RADIUS, wall + RADIUS] = False

        mirrored, turned = self._randint(0, 2).bool(), self._randint(0, 2).bool()
        walls = torch.where(mirrored[:, None, None], walls.flip(2), walls)
        floor = {"walls": torch.where(turned[:, None, None], walls.mT, walls)}
        for name, position in (("agent", agent), ("key", key), ("door", door), ("goal", goal)):
            row, column = position.unbind(dim=1)
            column = torch.where(mirrored, SIZE - 1 - column, column)
            upright, on_its_side = torch.stack((row, column), 1), torch.stack((column, row), 1)
            floor[name] = torch.where(turned[:, None], on_its_side, upright)
        return floor

    def _randint(self, low: int | torch.Tensor, high: int | torch.Tensor) -> torch.Tensor:
        """Whole numbers `[N]`, low <= x < high; the ends may differ between sub-environments."""
        uniform = torch.rand(self.num_envs, generator=self.generator, device=self.device)
        return low + (uniform * (high - low)).long()

    def _zeros(self, *shape: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=dtype, device=self.device)


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> KeyDoorEnv:
    """Build the environment; `config` names its `seed` and `max_steps`."""
    return KeyDoorEnv(config, num_envs=num_envs, device=device, dtype=dtype)
