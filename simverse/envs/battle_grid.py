"""Battle grid: two small teams, one unit of each acting at a time."""

from typing import Any

import torch
from torch import Tensor

from simverse.core.env import Actions
from simverse.envs.base import BatchedEnv, Step

SIZE = 6
UNITS = 3  # in each team
ATTACK = 4
RANGE = 2  # steps a blow carries, counted along rows and columns
DAMAGE = 0.5  # of a unit's health
DAMAGE_REWARD = 0.5  # for wiping out the other team; as much is lost with one's own
VERDICT_REWARD = 0.5
OURS, THEIRS = 0, 1
NOBODY, TIE = -1, 2


class BattleGrid(BatchedEnv):
    """Three units against three on a 6 x 6 field; units may share a cell.

    In each step one living unit of each team acts, all of them in turn: first both move, then both
    strike. Observation `[N, 4, 6, 6]`, seen by a team that starts on the left, from 0 to 1:

    =  ======  ============================================================
    0  ACTIVE  1 where the own unit stands whose turn it is
    1  OURS    health of the own units on a cell, over 3
    2  THEIRS  health of the others on a cell, over 3
    3  REACH   1 all over if the acting unit has an opponent within 2 steps
    =  ======  ============================================================

    Actions: 0 up, 1 right, 2 down, 3 left, 4 attack: half a unit's health off the weakest opponent
    within 2 steps, nothing if there is none. A team that was about to lose its last unit still
    strikes in the same step.

    With `config.num_agents == 1` the policy leads the left team and a script the right one, which
    attacks what is in reach and else walks to the nearest opponent. With 2, each leads a team: what
    each sees is `obs["local_obs"]` `[N, 2, 4, 6, 6]`, the right team's mirrored (and its actions 1
    and 3 with it), and `obs["obs"]` `[N, 8, 6, 6]` both; actions and rewards are `[N, 2]`.

    Reward: 0.5 times the share of the other team's health taken, less 0.5 times that of one's own,
    and 0.5 for winning, -0.5 for losing. To win is to stand alone; when `max_steps` (60 by default)
    are over first, the battle is undecided and ends, as it does when both fall together. Success is
    a victory of the left team. `info["winner"]` `[N]` is 0 or 1, 2 for a tie, -1 if undecided.
    Sub-environments reset themselves.
    """

    CHANNELS = ("active", "ours", "theirs", "reach")
    place: Tensor
    health: Tensor
    teams: Tensor
    mirror: Tensor

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
            raise ValueError(f"a battle has 1 or 2 leaders, got num_agents={agents}")
        super().__init__(
            config,
            num_envs=num_envs,
            device=device,
            dtype=dtype,
            size=(SIZE, SIZE),
            actions=5,
            agents=agents,
        )
        self.register_buffer("place", self._whole(2, UNITS, 2))  # [N, team, unit, (row, column)]
        self.register_buffer("health", torch.ones(self.num_envs, 2, UNITS, device=self.device))
        self.register_buffer("teams", torch.arange(2, device=self.device))
        self.register_buffer("mirror", torch.tensor((0, 3, 2, 1, 4), device=self.device))
        self.reset()

    def describe(self) -> str:
        """Say in one line what the task is."""
        return f"lead {UNITS} units against {UNITS} on a {SIZE} x {SIZE} field; 1 for a clean win"

    def step(self, actions: Actions) -> Step:
        """Let one unit of each team act."""
        orders = self._orders(actions)
        attacks = orders >= ATTACK
        active = self._active()
        moved = self._of_active(self.place, active) + self.moves[orders.clamp(max=3)]
        moved = torch.where(
            attacks.unsqueeze(2), self._of_active(self.place, active), moved.clamp(0, SIZE - 1)
        )
        self.place.scatter_(2, _index(active), moved.unsqueeze(2))

        target, in_reach = self._targets(active)
        before = self.health.sum(dim=2)
        blows = torch.zeros_like(self.health)
        blows.scatter_(2, target.unsqueeze(2), (DAMAGE * (attacks & in_reach)).unsqueeze(2))
        # `blows` is by attacker and target; a team suffers what the other one deals.
        self.health.sub_(blows.flip(1)).clamp_(min=0.0)
        lost = (before - self.health.sum(dim=2)) / UNITS

        fallen = (self.health <= 0).all(dim=2)
        over = fallen.any(dim=1)
        verdict = fallen.flip(1).to(self.dtype) - fallen.to(self.dtype)
        reward = DAMAGE_REWARD * (lost.flip(1) - lost) + VERDICT_REWARD * verdict
        won = fallen[:, THEIRS] & ~fallen[:, OURS]
        winner = torch.where(fallen.all(dim=1), TIE, torch.where(won, OURS, THEIRS))
        if self.num_agents == 1:
            reward = reward[:, OURS]
        obs, reward, done, info = self._conclude(reward.to(self.dtype), over, won)
        return obs, reward, done, info | {"winner": torch.where(over, winner, NOBODY)}

    def _orders(self, actions: Actions) -> Tensor:
        """Return both teams' orders `[N, 2]`, as seen on the map."""
        if self.num_agents == 1:
            ours = self._normalize_single_agent_actions(actions, missing_action=ATTACK)
            return torch.stack((ours, self._script()), dim=1)
        orders = self._normalize_action_matrix(actions, missing_action=ATTACK)
        return torch.stack((orders[:, OURS], self.mirror[orders[:, THEIRS]]), dim=1)

    def _script(self) -> Tensor:
        """Return what the right team's unit does, `[N]`: attack, else walk to the nearest."""
        active = self._active()
        _, in_reach = self._targets(active)
        unit = self._of_active(self.place, active)[:, THEIRS]
        nearest = self._distances(active)[:, THEIRS].argmin(dim=1)
        down, right = (self.place[self.rows, OURS, nearest] - unit).unbind(dim=1)
        sideways = torch.where(right > 0, 1, 3)
        walk = torch.where(down.abs() > right.abs(), torch.where(down > 0, 2, 0), sideways)
        return torch.where(in_reach[:, THEIRS], ATTACK, walk)

    def _active(self) -> Tensor:
        """Return whose turn it is in each team, `[N, 2]`: the next living unit."""
        order = (torch.arange(UNITS, device=self.device) - self.steps.unsqueeze(1)) % UNITS
        waiting = order.unsqueeze(1) + UNITS * (self.health <= 0)
        return waiting.argmin(dim=2)

    @staticmethod
    def _of_active(place: Tensor, active: Tensor) -> Tensor:
        return place.gather(2, _index(active)).squeeze(2)

    def _distances(self, active: Tensor) -> Tensor:
        """Return the steps from each acting unit to living opponents, `[N, 2, UNITS]`."""
        unit = self._of_active(self.place, active).unsqueeze(2)
        steps = (self.place.flip(1) - unit).abs().sum(dim=3)
        return steps + 2 * SIZE * (self.health.flip(1) <= 0)

    def _targets(self, active: Tensor) -> tuple[Tensor, Tensor]:
        """Return whom each acting unit would strike `[N, 2]`, and whether it can, `[N, 2]`."""
        in_reach = self._distances(active) <= RANGE
        weakest = (self.health.flip(1) + 2.0 * ~in_reach).argmin(dim=2)
        return weakest, in_reach.any(dim=2)

    def _observe(self) -> Tensor:
        count, device = self.num_envs, self.device
        field = torch.zeros(count, 2, 4, SIZE * SIZE, dtype=self.dtype, device=device)
        active = self._active()
        cell = self.place[..., 0] * SIZE + self.place[..., 1]
        share = (self.health / UNITS).to(self.dtype)
        field[:, :, 1].scatter_add_(2, cell, share)
        field[:, :, 2].scatter_add_(2, cell.flip(1), share.flip(1))
        field[:, :, 0].scatter_(2, cell.gather(2, active.unsqueeze(2)), 1.0)
        field[:, :, 3] = self._targets(active)[1].unsqueeze(2).to(self.dtype)
        obs = field.view(count, 2, 4, SIZE, SIZE)
        if self.num_agents == 1:
            return obs[:, OURS]
        return torch.stack((obs[:, OURS], obs[:, THEIRS].flip(3)), dim=1)

    def _restart(self, mask: Tensor) -> None:
        """Line both teams up at random in the two outer columns of their side."""
        row = self._below(SIZE, 2, UNITS)
        depth = self._below(2, 2, UNITS)
        column = torch.where(self.teams.view(1, 2, 1) == OURS, depth, SIZE - 1 - depth)
        self._assign("place", mask, torch.stack((row, column), dim=3))
        self.health.masked_fill_(mask.view(-1, 1, 1), 1.0)


def _index(active: Tensor) -> Tensor:
    """Return unit numbers `[N, 2]` in the form that gathers positions `[N, 2, UNITS, 2]`."""
    return active.view(-1, 2, 1, 1).expand(-1, 2, 1, 2)


def create_env(
    config: Any,
    *,
    num_envs: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> BattleGrid:
    """Return the environment; its signature is a candidate's."""
    return BattleGrid(config, num_envs=num_envs, device=device, dtype=dtype)
