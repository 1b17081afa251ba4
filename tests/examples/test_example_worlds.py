"""The examples as worlds, beside the open environments that they are made from.

An open environment and a world of the same seed draw the same; so all is compared step by step.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.agents.optuna_search import find_tunables
from orchestrator.config.loading import load_config
from orchestrator.daemon.templates import examples
from simverse.core.views import ViewLayout
from simverse.core.world import check_world_step, checked_horizon
from simverse.training.config import PPOConfig
from simverse.training.ppo import train

from .helpers import (
    EXAMPLES,
    HORIZONS,
    load,
    make_env,
    make_world,
    play_episodes,
    seen,
    world_folder,
    world_part,
)
from .test_conformance import OVERRIDES
from .test_keydoor import shortest_way

BLANK = "blank-world"
EVERYTHING = (*EXAMPLES, BLANK)
HORIZON = HORIZONS | {BLANK: 20}
FIELDS = {
    "keydoor": "walls agent key door goal has_key door_open steps steps_left",
    "squad": "cover ours theirs our_health their_health steps steps_left",
    "trading": "past_returns position growth steps steps_left done",
    BLANK: "walker target steps steps_left done",
}
"""All that a policy may know."""


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def player(name: str, env: Any) -> Callable[[], Tensor]:
    """Actions that reach all there is: at random, on floors half of them the way to the goal."""
    generator = torch.Generator().manual_seed(7)

    def act() -> Tensor:
        drawn = torch.randint(env.action_space.n, (env.num_envs,), generator=generator)
        if name != "keydoor":
            return drawn
        on_the_way = torch.rand(env.num_envs, generator=generator) < 0.5
        return torch.where(on_the_way, shortest_way(env), drawn)

    return act


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_world_and_its_open_environment_are_one_task(name: str) -> None:
    """Observations, done and success are the same to the bit, and so is what training is paid."""
    env, world = make_env(name, num_envs=64, seed=9), seen(name, num_envs=64, seed=9)
    world.reset()  # an open environment resets itself when it is made
    act, successes, early = player(name, env), 0, 0
    for _ in range(2):
        expected, payload = env.reset(), world.reset()
        for step in range(5 * HORIZONS[name] // 2):
            assert torch.equal(payload["obs"], expected["obs"]), step
            assert payload["obs"].dtype == torch.float32
            actions = act()
            expected, reward, done, info = env.step(actions)
            payload, shaped, over, said = world.step(actions)
            torch.testing.assert_close(shaped, reward, rtol=0, atol=1e-6)
            assert torch.equal(over, done), step
            assert torch.equal(said["success"], info["success"]), step
            successes += int(info["success"].sum())
            early += int(done.sum()) if (step + 1) % HORIZONS[name] else 0
    assert torch.equal(world.world.generator.get_state(), env.generator.get_state())
    assert successes > 20
    assert early > 20


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_world_pays_the_fitness_and_nothing_else(name: str) -> None:
    """Its own reward is the one that its class documents, worked out from the views alone."""
    env, world = make_env(name, num_envs=64, seed=3), seen(name, num_envs=64, seed=3)
    act = player(name, env)
    env.reset()
    before = copied(world.world.reset())
    paid = 0.0
    for _ in range(2 * HORIZONS[name]):
        actions = act()
        env.step(actions)
        view, reward, done, info = world.world.step(actions)
        after = info.get("final_view", view)
        expected = FITNESS[name](before, after, done)
        torch.testing.assert_close(reward, expected, rtol=0, atol=1e-6)
        paid += float(reward.abs().sum())
        before = copied(view)
    assert paid > 1


def fitness_of_keydoor(before: Any, after: Any, done: Tensor) -> Tensor:
    took = after["has_key"] & ~before["has_key"]
    opened = after["door_open"] & ~before["door_open"]
    arrived = (after["agent"] == after["goal"]).all(dim=1)
    return 0.1 * took + 0.1 * opened + 0.9 * arrived - 0.01


def fitness_of_squad(before: Any, after: Any, done: Tensor) -> Tensor:
    lost, inflicted = (
        (before[side] - after[side]).mean(dim=1) for side in ("our_health", "their_health")
    )
    won = (after["their_health"] == 0).all(dim=1)
    return 0.5 * (inflicted - lost) + 0.5 * won.float() - 0.5 * (done & ~won).float()


def fitness_of_trading(before: Any, after: Any, done: Tensor) -> Tensor:
    held, last = after["position"], after["past_returns"][:, -1]
    growth = held * last - 0.002 * (held - before["position"]).abs()
    return 5 * growth.masked_fill(before["done"], 0.0)


FITNESS: dict[str, Callable[[Any, Any, Tensor], Tensor]] = {
    "keydoor": fitness_of_keydoor,
    "squad": fitness_of_squad,
    "trading": fitness_of_trading,
}


def copied(view: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in view.items()}


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_world_keeps_its_contract(name: str) -> None:
    """Horizon, bound, view and steps are as they should be; a packed view is the view."""
    world = make_world(name)
    assert checked_horizon(world, 32) == HORIZON[name]
    assert world.reward_bound == 1.0
    layout = ViewLayout.of(world.reset(), 32)
    generator = torch.Generator().manual_seed(0)
    finished = torch.zeros(32, dtype=torch.bool)
    for _ in range(HORIZON[name]):
        actions = torch.randint(world.action_space.n, (32,), generator=generator)
        step = check_world_step(world.step(actions), layout, 32)
        assert step.reward.abs().max() <= 1.0
        unpacked, _ = layout.unpack(layout.pack(step.view, step.done))
        assert all(torch.equal(unpacked[field], step.view[field]) for field in step.view)
        finished |= step.done
    assert finished.all()
    assert 20 < len(world.describe()) < 100


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_view_has_these_fields_and_no_others(name: str) -> None:
    """What is hidden can't slip in under a new name."""
    assert set(make_world(name).reset()) == set(FIELDS[name].split())


def test_the_enemys_doctrine_is_not_in_the_view() -> None:
    """Whatever it is, the view is the same until the enemy has moved."""
    world = make_world("squad")
    before = copied(world.reset())
    world.digs_in.logical_not_()
    assert same(world._view(), before)
    world.step(torch.zeros(32, dtype=torch.int64))
    assert not torch.equal(world._view()["theirs"], before["theirs"])


def test_prices_to_come_are_not_in_the_view() -> None:
    """Changing them changes nothing that is seen; the hour just past is seen as it was."""
    world = make_world("trading")
    world.reset()
    opening = 12
    for step in range(1, 48):
        world.step(torch.randint(3, (32,), generator=torch.Generator().manual_seed(step)))
        before = copied(world._view())
        rows = world.steps[:, None] + opening <= torch.arange(world.returns.shape[1])
        world.returns[rows] = 0.05
        assert same(world._view(), before)
    past = before["past_returns"][~before["done"]]
    assert (past[:, 0] == 0).all()  # of 60 hours, 59 have passed
    assert (past[:, 1:] != 0).all()


def same(view: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(view[name], other[name]) for name in view)


@pytest.mark.parametrize("name", EVERYTHING)
def test_all_draws_come_from_the_worlds_own_generator(name: str) -> None:
    """One seed gives one course of events, another another; the global generator isn't touched."""
    untouched = torch.random.get_rng_state()
    first, again, other = (make_world(name, seed=seed) for seed in (3, 3, 4))
    views = [copied(world.reset()) for world in (first, again, other)]
    assert same(views[0], views[1])
    assert not same(views[0], views[2])
    for _ in range(2 * HORIZON[name]):
        for world in (first, again):
            world.step(torch.ones(32, dtype=torch.int64))
        assert same(first._view(), again._view())
    assert torch.equal(torch.random.get_rng_state(), untouched)


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_candidate_fits_its_world(name: str) -> None:
    """Observations lie in their space, the policy in shape, settings among those allowed."""
    world, module = seen(name), world_part(name, "train")
    obs, space = world.reset()["obs"], world.observation_space
    assert obs.shape == (32, *space.shape)
    assert obs.min() >= float(space.low.min())
    assert obs.max() <= float(space.high.max())
    logits, value = module.build_policy(space, world.action_space)(obs)
    assert (logits.shape, value.shape) == ((32, world.action_space.n), (32, 1))
    overrides = module.training_overrides(num_envs=32, max_steps=world.max_steps, device="cpu")
    assert set(overrides) <= OVERRIDES - {"max_steps"}
    PPOConfig.for_task(num_envs=32, max_steps=world.max_steps, **overrides)
    constants = {key for key in vars(module) if key.isupper()}
    source = (world_folder(name) / "candidate" / "train.py").read_text()
    assert {tunable.name for tunable in find_tunables(source)} == constants


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_config_leaves_the_horizon_to_the_world(name: str) -> None:
    """`config.yaml` is valid; what the world says isn't said twice."""
    config = load_config(world_folder(name) / "config.yaml", environment={})
    assert config.task.max_steps is None
    assert config.budget.ladder[0] == (12, 8)


def test_what_a_world_of_ones_own_begins_as_is_no_example() -> None:
    """`init --example` doesn't offer it: it has no environment of its own."""
    assert set(EXAMPLES) < set(examples())
    assert BLANK not in examples()


@pytest.mark.parametrize("action", [0, 1])
def test_the_line_walk_is_as_described(action: int) -> None:
    """Walking one way arrives where the target lies that way; what is over stays as it is."""
    world = make_world(BLANK, num_envs=500)
    start = copied(world.reset())
    assert (start["walker"] != start["target"]).all()
    returns, arrived = torch.zeros(500), torch.zeros(500, dtype=torch.bool)
    for _ in range(world.max_steps):
        _, reward, _, info = world.step(torch.full((500,), action))
        returns += reward
        arrived |= info["success"]
    lies_there = (start["target"] > start["walker"]) == bool(action)
    assert torch.equal(arrived, lies_there)
    expected = arrived.float() - 0.02 * world.steps
    torch.testing.assert_close(returns, expected, rtol=0, atol=1e-5)
    slips = world.steps[arrived] - (start["target"] - start["walker"]).abs()[arrived]
    assert 0 < slips.sum() / world.steps[arrived].sum() < 0.2
    final = copied(world._view())
    _, reward, done, _ = world.step(torch.full((500,), 1 - action))
    assert same(world._view(), final)
    assert not reward.any()
    assert done.all()


@pytest.mark.long
@pytest.mark.parametrize("name", EXAMPLES)
def test_both_baselines_learn_alike(name: str) -> None:
    """Trained from the same seeds, they solve as much, but for what rounding may do."""
    outcomes = [baseline(name, seed) for seed in (0, 1, 2)]
    opens, worlds = (torch.tensor(column).mean(dim=0) for column in zip(*outcomes, strict=True))
    assert math.isclose(opens[0], worlds[0], abs_tol=0.1)
    assert math.isclose(opens[1], worlds[1], abs_tol=0.1)


def baseline(name: str, seed: int) -> list[tuple[float, float]]:
    """Return the greedy shaped return and solve rate, trained openly and in the world."""
    results = []
    modules = load(name, "train"), world_part(name, "train")
    for module, make in zip(modules, (make_env, seen), strict=True):
        env = make(name, seed=1000 + seed)
        if make is seen:
            env.reset()  # an open environment resets itself when it is made
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            policy = module.build_policy(env.observation_space, env.action_space)
        horizon = {"max_steps": HORIZONS[name]}
        overrides = module.training_overrides(num_envs=32, device="cpu", **horizon)
        config = PPOConfig.for_task(num_envs=32, **(horizon | overrides))
        train(env, policy, config, episodes=12, seed=seed)
        held_out = make(name, num_envs=256, seed=2000 + seed)
        if make is seen:
            held_out.reset()
        returns, solved = play_episodes(held_out, lambda obs, p=policy: p(obs)[0].argmax(dim=-1))
        results.append((returns.mean().item(), solved.float().mean().item()))
    return results
