"""Squad: a skirmish on a grid with cover. One policy gives the orders, a script plays the enemy.

The task, with its reward, its success and its horizon. Each episode draws the cover, both line-ups
and the enemy's doctrine: it assaults, or it digs in and waits. The policy is not told which.
"""

from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from simverse.core.world import View, World

SIZE = 8  # cells along each side; we start on the left, the enemy on the right
UNITS = 4  # ours
ENEMIES = 3
COVER_CELLS = 8
DIG_IN = 0.5  # share of episodes in which the enemy digs in
MAX_STEPS = 40  # the horizon; an undecided skirmish counts as lost

RANGE = 3  # cells a shot carries
DAMAGE = 0.2  # of a unit's health, by one hit
COVER_FACTOR = 0.4  # of that damage is left when the target is in cover
GRENADE_RANGE = 2
GRENADE_DAMAGE = 0.4  # cover is no help against it; only our units have grenades

ADVANCE, FALL_BACK, TAKE_COVER, FIRE, GRENADE = range(5)

DAMAGE_REWARD = 0.5  # for wiping out the enemy; as much is lost with our whole squad
VERDICT_REWARD = 0.5  # for a victory; as much is lost with a defeat


class SquadWorld(World):
    """`num_envs` skirmishes at once; a finished one resets itself inside `step`.

    The view, positions as (row, column) from 0 to 7:

    ==============  =======  ===========  ==========================================
    `cover`         bool     `[N, 8, 8]`  the cells that give cover
    `ours`          int64    `[N, 4, 2]`  positions of our units, also of the fallen
    `theirs`        int64    `[N, 3, 2]`  positions of the enemy's
    `our_health`    float32  `[N, 4]`     1 unhurt .. 0 fallen
    `their_health`  float32  `[N, 3]`     likewise
    `steps`         int64    `[N]`        taken in this episode
    `steps_left`    int64    `[N]`        until the horizon
    ==============  =======  ===========  ==========================================

    Hidden: `digs_in`, the enemy's doctrine.

    Actions, carried out by each of our living units: 0 advance on the nearest enemy, 1 fall back
    from it, 2 go to the nearest cover and stay there, 3 fire at the weakest enemy in range,
    4 throw a grenade at the nearest enemy. We act first, then what is left of the enemy.

    Units move like a chess king, distances count such moves, and units may share a cell.

    Reward: half of what the balance of health gains, ours less theirs, each side's as a share of
    what it began with; at the end 0.5 for a victory, -0.5 for anything else.
    Success: every enemy is down. When time runs out first, the skirmish counts as lost.
    """

    max_steps = MAX_STEPS
    reward_bound = 1.0

    def __init__(
        self,
        config: Any,
        *,
        num_envs: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(device=device, dtype=dtype)
        self.num_envs = int(config.num_envs if num_envs is None else num_envs)
        self.generator = torch.Generator(device=self.device).manual_seed(int(config.seed))
        self.action_space = gym.spaces.Discrete(5)

        side = torch.arange(SIZE, device=self.device)
        self.register_buffer("cells", torch.cartesian_prod(side, side))  # (row, column)
        self.register_buffer("cover", self._zeros(SIZE * SIZE, dtype=torch.bool))
        self.register_buffer("ours", self._zeros(UNITS, 2, dtype=torch.int64))
        self.register_buffer("theirs", self._zeros(ENEMIES, 2, dtype=torch.int64))
        self.register_buffer("our_health", self._zeros(UNITS, dtype=self.dtype))
        self.register_buffer("their_health", self._zeros(ENEMIES, dtype=self.dtype))
        self.register_buffer("digs_in", self._zeros(dtype=torch.bool))
        self.register_buffer("steps", self._zeros(dtype=torch.int64))

    def describe(self) -> str:
        return f"Lead {UNITS} units against {ENEMIES} scripted ones on a grid with cover."

    def reset(self) -> View:
        """Draw a new skirmish for every sub-environment; return the first view."""
        self._reset_where(torch.ones_like(self.digs_in))
        return self._view()

    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, Any]]:
        """Our turn, then the enemy's. Orders `[N]`; returns view, reward, done and info."""
        balance_before = self._balance()
        self._our_turn(actions[:, None])
        self._enemy_turn()

        self.steps += 1
        won = (self.their_health <= 0).all(dim=1)
        done = won | (self.our_health <= 0).all(dim=1) | (self.steps >= self.max_steps)
        verdict = won.to(self.dtype) - (done & ~won).to(self.dtype)
        reward = DAMAGE_REWARD * (self._balance() - balance_before) + VERDICT_REWARD * verdict
        info: dict[str, Any] = {"success": won}
        if done.any():
            # What the last step led to: the view returned is already that of the next skirmish.
            info["final_view"] = {name: value.clone() for name, value in self._view().items()}
            self._reset_where(done)
        return self._view(), reward, done, info

    def _view(self) -> View:
        return {
            "cover": self.cover.view(-1, SIZE, SIZE),
            "ours": self.ours,
            "theirs": self.theirs,
            "our_health": self.our_health.float(),
            "their_health": self.their_health.float(),
            "steps": self.steps,
            "steps_left": self.max_steps - self.steps,
        }

    def _balance(self) -> Tensor:
        """Our share of health left minus theirs, `[N]`."""
        return self.our_health.mean(dim=1) - self.their_health.mean(dim=1)

    def _our_turn(self, order: Tensor) -> None:
        """Carry out orders `[N, 1]` with every living unit of ours; see the class's actions."""
        alive = self.our_health > 0
        distance = self._distances(self.ours, self.theirs, self.their_health)
        nearest = distance.argmin(dim=2)
        out_of_range = (distance > RANGE).to(self.dtype)
        weakest = (self.their_health[:, None, :] + 2 * out_of_range).argmin(dim=2)

        thrown = order == GRENADE
        target = torch.where(thrown, nearest, weakest)
        reach = torch.where(thrown, GRENADE_RANGE, RANGE)
        shoots = alive & ((order == FIRE) | thrown) & (self._pick(distance, target) <= reach)
        damage = torch.where(thrown, GRENADE_DAMAGE, self._shot_damage(self.theirs))
        self._hit(self.their_health, target, shoots, damage)

        toward_enemy = (self._place(self.theirs, nearest) - self.ours).sign()
        forward = (order == ADVANCE).long() - (order == FALL_BACK).long()
        toward_cover = (self._nearest_cover(self.ours) - self.ours).sign()
        self.ours += toward_enemy * forward[:, :, None]
        self.ours += toward_cover * (order == TAKE_COVER)[:, :, None]
        self.ours.clamp_(0, SIZE - 1)

    def _enemy_turn(self) -> None:
        """Each living enemy fires at our nearest unit in range, else advances or goes to cover."""
        alive = self.their_health > 0
        distance = self._distances(self.theirs, self.ours, self.our_health)
        nearest = distance.argmin(dim=2)
        shoots = alive & (self._pick(distance, nearest) <= RANGE)
        self._hit(self.our_health, nearest, shoots, self._shot_damage(self.ours))

        prey, cover = self._place(self.ours, nearest), self._nearest_cover(self.theirs)
        aim = torch.where(self.digs_in[:, None, None], cover, prey)
        self.theirs += (aim - self.theirs).sign() * (alive & ~shoots)[:, :, None]

    @staticmethod
    def _hit(health: Tensor, target: Tensor, shoots: Tensor, damage: Tensor) -> None:
        """Lower health `[N, T]` by damage `[N, T]` a hit; shooters `[N, S]` aim at target."""
        hits = torch.zeros_like(health).scatter_add_(1, target, shoots.to(health.dtype))
        health -= hits * damage
        health.masked_fill_(health < 1e-4, 0.0)  # rounding must keep nobody alive

    def _shot_damage(self, position: Tensor) -> Tensor:
        """What one shot does to units at positions `[N, U, 2]`, `[N, U]`."""
        return torch.where(self._in_cover(position), DAMAGE * COVER_FACTOR, DAMAGE)

    def _reset_where(self, mask: Tensor) -> None:
        """Begin a new episode in the sub-environments in mask `[N]`."""
        for name, drawn in self._draw_skirmishes().items():
            current = getattr(self, name)
            chosen = mask.view(-1, *[1] * (drawn.dim() - 1))
            current.copy_(torch.where(chosen, drawn, current))

    def _draw_skirmishes(self) -> dict[str, Tensor]:
        """Draw the state in which an episode begins, for every sub-environment."""
        column = self.cells[:, 1]
        inner = (column > 0) & (column < SIZE - 1)
        lottery = self._rand(SIZE * SIZE) * inner
        cover = lottery >= lottery.topk(COVER_CELLS, dim=1).values[:, -1:]
        strip = torch.tensor((SIZE, 2), device=self.device)  # two columns deep
        far_side = torch.tensor((0, SIZE - 2), device=self.device)
        return {
            "cover": cover,
            "ours": (self._rand(UNITS, 2) * strip).long(),
            "theirs": (self._rand(ENEMIES, 2) * strip).long() + far_side,
            "our_health": torch.ones_like(self.our_health),
            "their_health": torch.ones_like(self.their_health),
            "digs_in": self._rand() < DIG_IN,
            "steps": torch.zeros_like(self.steps),
        }

    @staticmethod
    def _distances(here: Tensor, there: Tensor, health: Tensor) -> Tensor:
        """King's moves from `[N, A, 2]` to `[N, B, 2]`, `[N, A, B]`; the fallen are SIZE off."""
        distance = (here[:, :, None] - there[:, None]).abs().amax(dim=3)
        return distance.masked_fill_(health[:, None, :] <= 0, SIZE)

    def _nearest_cover(self, position: Tensor) -> Tensor:
        """The nearest cell with cover to positions `[N, U, 2]`, `[N, U, 2]`."""
        distance = (position[:, :, None] - self.cells).abs().amax(dim=3)
        return self.cells[distance.masked_fill_(~self.cover[:, None, :], SIZE).argmin(dim=2)]

    def _in_cover(self, position: Tensor) -> Tensor:
        """Whether positions `[N, U, 2]` have cover, `[N, U]`."""
        return self.cover.gather(1, position[..., 0] * SIZE + position[..., 1])

    @staticmethod
    def _pick(distance: Tensor, target: Tensor) -> Tensor:
        """The distances `[N, S]` of shooters to their targets, from distances `[N, S, T]`."""
        return distance.gather(2, target[:, :, None]).squeeze(2)

    @staticmethod
    def _place(position: Tensor, target: Tensor) -> Tensor:
        """Where the targets `[N, S]` among positions `[N, T, 2]` stand, `[N, S, 2]`."""
        return position.gather(1, target[:, :, None].expand(-1, -1, 2))

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(self.num_envs, *shape, generator=self.generator, device=self.device)

    def _zeros(self, *shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(self.num_envs, *shape, dtype=dtype, device=self.device)


def create_world(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> SquadWorld:
    """Build the world; `config` names its `seed`."""
    return SquadWorld(config, num_envs=num_envs, device=device, dtype=dtype)
