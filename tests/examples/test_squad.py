"""Squad, worked out by hand on skirmishes set up for the purpose."""

from typing import Any

import pytest
import torch

from .helpers import env_module, make_env, play_episodes, random_policy

squad = env_module("squad")
ADVANCE, FALL_BACK, TAKE_COVER = squad.ADVANCE, squad.FALL_BACK, squad.TAKE_COVER
FIRE, GRENADE = squad.FIRE, squad.GRENADE
Cell = tuple[int, int]


def skirmish(
    ours: list[Cell], theirs: list[Cell], *, cover: list[Cell], digs_in: bool = False
) -> Any:
    """One skirmish between the units listed; the rest of both squads has fallen."""
    env = make_env("squad", num_envs=1)
    env.cover.zero_()
    for row, column in cover:
        env.cover[0, row * squad.SIZE + column] = True
    for cells, position, health in (
        (ours, env.ours, env.our_health),
        (theirs, env.theirs, env.their_health),
    ):
        health.zero_()
        health[0, : len(cells)] = 1.0
        position[0, : len(cells)] = torch.tensor(cells)
    env.digs_in.fill_(digs_in)
    return env


def order(env: Any, action: int) -> tuple[float, bool, bool]:
    """Give one order; return the reward, done and success."""
    _, reward, done, info = env.step(torch.tensor([action]))
    return reward.item(), done.item(), info["success"].item()


def health(env: Any) -> tuple[list[float], list[float]]:
    rounded = (torch.round(h[0], decimals=4).tolist() for h in (env.our_health, env.their_health))
    ours, theirs = rounded
    return ours, theirs


@pytest.mark.parametrize(
    ("action", "distance", "covered", "left"),
    [
        (FIRE, 3, False, 0.8),
        (FIRE, 3, True, 0.92),
        (FIRE, 4, False, 1.0),
        (GRENADE, 2, False, 0.6),
        (GRENADE, 2, True, 0.6),
        (GRENADE, 3, False, 1.0),
    ],
)
def test_what_a_hit_does(action: int, distance: int, covered: bool, left: float) -> None:
    """A shot takes 0.2, from cover 0.08; a grenade takes 0.4 from either, but carries less far."""
    enemy = (0, 1 + distance)
    env = skirmish([(0, 1)], [enemy], cover=[enemy] if covered else [(7, 7)])
    order(env, action)
    assert health(env)[1] == pytest.approx([left, 0, 0])


def test_cover_protects_our_units_too() -> None:
    """Of two units under fire, the one in cover loses less than half of what the other does."""
    for cover, left in (((7, 7), 0.8), ((0, 1), 0.92)):
        env = skirmish([(0, 1)], [(0, 3)], cover=[cover])
        order(env, FIRE)
        assert env.our_health[0, 0].item() == pytest.approx(left)


def test_fire_picks_the_weakest_and_a_grenade_the_nearest() -> None:
    """Among enemies in range, shots go to the weakest one, grenades to the nearest."""
    for action, expected in ((FIRE, [1.0, 0.3, 0.1]), (GRENADE, [0.6, 0.5, 0.1])):
        env = skirmish([(0, 1)], [(0, 2), (0, 3), (0, 6)], cover=[(7, 7)])
        env.their_health[0] = torch.tensor([1.0, 0.5, 0.1])  # the last one is out of range
        order(env, action)
        assert health(env)[1] == pytest.approx(expected)


def test_all_living_units_act_and_no_fallen_ones() -> None:
    """Two living units of four hit twice; of three enemies the two living ones hit back."""
    env = skirmish([(0, 1), (1, 1)], [(0, 3), (1, 3)], cover=[(7, 7)])
    env.ours[0, 2:] = torch.tensor([0, 2])
    env.theirs[0, 2] = torch.tensor([0, 2])
    order(env, FIRE)
    ours, theirs = health(env)
    assert sum(theirs) == pytest.approx(2 - 2 * 0.2)
    assert sum(ours) == pytest.approx(2 - 2 * 0.2)


def test_a_fallen_enemy_does_not_shoot_back() -> None:
    """We act first: whom we bring down does us no harm any more."""
    env = skirmish([(0, 1), (0, 1), (0, 1)], [(0, 2), (7, 7)], cover=[(7, 0)])
    order(env, GRENADE)  # 3 * 0.4 > 1
    ours, theirs = health(env)
    assert theirs == [0.0, 1.0, 0.0]
    assert ours == [1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (ADVANCE, (3, 3)),
        (FALL_BACK, (1, 1)),
        (TAKE_COVER, (2, 1)),
        (FIRE, (2, 2)),
        (GRENADE, (2, 2)),
    ],
)
def test_orders_move_units(action: int, expected: Cell) -> None:
    """Advance and fall back go along the diagonal to the enemy, take cover to the nearest one."""
    env = skirmish([(2, 2)], [(7, 7)], cover=[(2, 0), (7, 0)], digs_in=True)
    order(env, action)
    assert tuple(env.ours[0, 0].tolist()) == expected


def test_units_stay_on_the_grid_and_in_cover() -> None:
    """Falling back ends at the edge; taking cover while in it means staying there."""
    env = skirmish([(0, 0)], [(7, 7)], cover=[(5, 5)], digs_in=True)
    order(env, FALL_BACK)
    assert env.ours[0, 0].tolist() == [0, 0]
    env.ours[0, 0] = 5
    order(env, TAKE_COVER)
    assert env.ours[0, 0].tolist() == [5, 5]


def test_an_assault_comes_closer_and_a_dug_in_enemy_waits() -> None:
    """Out of range, an assaulting enemy advances and one that digs in goes to cover and stays."""
    for digs_in, way in ((False, [[0, 6], [0, 5]]), (True, [[1, 7], [1, 7]])):
        env = skirmish([(0, 0)], [(0, 7)], cover=[(1, 7)], digs_in=digs_in)
        seen = []
        for _ in way:
            order(env, GRENADE)
            seen.append(env.theirs[0, 0].tolist())
        assert seen == way


def test_an_enemy_in_range_fires_instead_of_moving() -> None:
    """Whatever its doctrine, an enemy that can hit somebody stands and fires."""
    for digs_in in (False, True):
        env = skirmish([(0, 0)], [(0, 3)], cover=[(1, 7)], digs_in=digs_in)
        order(env, GRENADE)  # does not carry that far
        assert env.theirs[0, 0].tolist() == [0, 3]
        assert health(env)[0][0] == pytest.approx(0.8)


def test_bringing_down_the_last_enemy_wins() -> None:
    """The last 0.3 of one of three enemies is worth 0.5 * 0.1, the victory 0.5."""
    env = skirmish([(0, 0)], [(0, 1)], cover=[(7, 7)])
    env.their_health[0, 0] = 0.3
    reward, done, success = order(env, GRENADE)
    assert (done, success) == (True, True)
    assert reward == pytest.approx(0.5 * 0.3 / 3 + 0.5)
    assert env.steps.item() == 0
    assert health(env) == ([1.0] * 4, [1.0] * 3)


def test_losing_the_last_unit_is_defeat() -> None:
    """The last 0.2 of one of four units costs 0.5 * 0.05, the defeat 0.5."""
    env = skirmish([(0, 0)], [(0, 1)], cover=[(7, 7)])
    env.our_health[0, 0] = 0.2
    reward, done, success = order(env, TAKE_COVER)
    assert (done, success) == (True, False)
    assert reward == pytest.approx(-0.5 * 0.2 / 4 - 0.5)
    assert env.steps.item() == 0  # the next skirmish has begun
    assert health(env) == ([1.0] * 4, [1.0] * 3)


def test_a_stalemate_counts_as_lost() -> None:
    """When time runs out the skirmish is lost, however healthy the squad."""
    env = skirmish([(0, 0)], [(7, 7)], cover=[(0, 0), (7, 7)], digs_in=True)
    outcomes = [order(env, TAKE_COVER) for _ in range(40)]
    assert outcomes[:-1] == [(0.0, False, False)] * 39
    assert outcomes[-1] == (-0.5, True, False)


@pytest.mark.system
def test_success_is_true_exactly_when_every_enemy_is_down() -> None:
    """In random play, success is what the enemy's health says before the skirmish starts anew."""
    env = make_env("squad", num_envs=256, seed=1)
    begin, down = env._reset_where, torch.zeros(256, dtype=torch.bool)

    def watch_and_begin(mask: torch.Tensor) -> None:
        down.copy_((env.their_health == 0).all(dim=1))
        begin(mask)

    env._reset_where = watch_and_begin
    act, wins = random_policy(env), 0
    obs = env.reset()["obs"]
    for _ in range(200):
        down.zero_()
        payload, _, _, info = env.step(act(obs))
        obs = payload["obs"]
        assert torch.equal(info["success"], down)
        wins += int(down.sum())
    assert wins > 20


def test_the_roster_shows_health_cover_and_reach() -> None:
    """One column a unit: health, in cover, in range, in grenade range, distance, time left."""
    env = skirmish([(0, 0), (0, 4)], [(0, 6)], cover=[(0, 0)])
    env.our_health[0, 0] = 0.5
    roster = env._observe()[0, :, 0].T.tolist()
    assert roster[0] == [0.5, 1, 0, 0, 6 / 8, 1]
    assert roster[1] == [1, 0, 1, 1, 2 / 8, 1]
    assert roster[2] == [0, 0, 0, 0, 1, 1]  # fallen
    assert roster[4] == [1, 0, 1, 1, 2 / 8, 1]


def test_the_squads_start_apart_and_cover_lies_between() -> None:
    """Line-ups are two columns deep on either side; the outermost columns have no cover."""
    env = make_env("squad", num_envs=500, seed=2)
    assert env.ours[..., 1].max() == 1
    assert env.theirs[..., 1].min() == 6
    cover = env.cover.view(500, 8, 8)
    assert torch.equal(cover.sum(dim=(1, 2)), torch.full((500,), squad.COVER_CELLS))
    assert not cover[:, :, [0, 7]].any()
    assert 0.4 < env.digs_in.float().mean() < 0.6


@pytest.mark.long
def test_one_order_for_everything_does_not_solve_the_task() -> None:
    """Whatever order is given throughout, most skirmishes are lost."""
    for action in range(5):
        env = make_env("squad", num_envs=500, seed=3)
        _, succeeded = play_episodes(env, lambda obs, a=action: torch.full((len(obs),), a))
        assert succeeded.float().mean() < 0.5
