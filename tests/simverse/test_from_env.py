"""Worlds made of environments: the same course, step by step, as the environment alone."""

import importlib.util
from types import SimpleNamespace

import gymnasium
import pytest
import torch

from simverse.core.config import EnvConfig
from simverse.core.views import ViewLayout
from simverse.core.world import EpisodeStarts, check_world_step, checked_horizon
from simverse.envs import make
from simverse.envs.gym import GymEnv
from simverse.errors import EnvironmentContractError
from simverse.worlds import from_env
from tests import candidates
from tests.conftest import REPOSITORY
from tests.simverse.fakes import ScriptedEnv
from tests.simverse.test_gym_env import Counter, counters, vectorised

COUNT = 6


def actions_of(world, steps):
    """Return random actions `[T, N]`."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(world.action_space.n, (steps, world.num_envs), generator=generator)


def same_course(world, env, steps=60):
    """Play both with the same actions, two rollouts; compare everything to the bit."""
    layout = None
    for actions in actions_of(world, 2 * steps).split(steps):
        view, payload = world.reset(), env.reset()
        layout = layout or ViewLayout.of(view, world.num_envs)
        assert torch.equal(view["obs"], payload["obs"].float())
        for action in actions:
            step = check_world_step(world.step(action.clone()), layout, world.num_envs)
            payload, reward, done, info = env.step(action.clone())
            assert torch.equal(step.view["obs"], payload["obs"].float())
            assert ("done" in step.view) == ("done" in payload)
            if "done" in payload:
                assert torch.equal(step.view["done"], payload["done"])
            assert torch.equal(step.reward, reward.reshape(-1))
            assert torch.equal(step.done, done)
            assert torch.equal(step.success, info["success"])
            assert (step.truncated is None) == ("truncated" not in info)
            if step.truncated is not None:
                assert torch.equal(step.truncated, info["truncated"])
                assert torch.equal(step.final_view["obs"], info["final_obs"].float())


@pytest.mark.parametrize("name", ["snake", "grid_goal", "cartpole", "gym:CartPole-v1"])
def test_environments_by_name(name):
    """`from_env(name, config)` is that environment at its own horizon, seeded by the config."""
    config = EnvConfig(num_envs=COUNT, seed=11)
    world = from_env(name, config)
    env = make(name, num_envs=COUNT, seed=11)
    assert checked_horizon(world, COUNT) == env.max_steps
    assert world.describe() == env.describe()
    assert world.view_spaces["obs"].shape == env.observation_space.shape
    same_course(world, env)
    world.close()


def test_the_seed_of_a_named_world_decides():
    """Another seed is another course; `num_envs` and `max_steps` beat what the config says."""
    first = from_env("snake", EnvConfig(num_envs=COUNT, seed=1)).reset()["obs"]
    assert not torch.equal(
        first, from_env("snake", EnvConfig(num_envs=COUNT, seed=2)).reset()["obs"]
    )
    world = from_env("snake", EnvConfig(num_envs=COUNT), num_envs=2, max_steps=9)
    assert (world.num_envs, world.max_steps) == (2, 9)
    assert from_env("grid_goal").num_envs == EnvConfig.num_envs


def test_a_horizon_reaches_the_environment():
    """One that is made by name cuts its episodes there."""
    world = from_env("snake", EnvConfig(num_envs=2), max_steps=2)
    world.reset()
    infos = [world.step(torch.zeros(2).long())[3] for _ in range(2)]
    assert [info["truncated"].tolist() for info in infos] == [[False, False], [True, True]]


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP", "DISABLED"])
def test_vector_environments_of_gymnasium(mode):
    """In every mode, void steps marked as the adapter marks them."""
    lengths = ((2, False), (3, True))
    parts = [lambda length=length, cut=cut: Counter(length, cut) for length, cut in lengths]
    world = from_env(vectorised(mode, parts), EnvConfig(max_steps=7))
    assert world.max_steps == 7
    same_course(world, counters(mode, lengths), steps=12)


def test_episodes_of_a_next_step_world_begin_after_the_void_step():
    """Lengths 2 and 3: each episode's first view comes one step after its end."""
    parts = [lambda length=length: Counter(length) for length in (2, 3)]
    world = from_env(vectorised("NEXT_STEP", parts), EnvConfig())
    layout, starts = ViewLayout.of(world.reset(), 2), EpisodeStarts()
    starts.reset(world.reset())
    begun = []
    for _ in range(8):
        step = check_world_step(world.step(torch.zeros(2).long()), layout, 2)
        begun.append(starts.after(step).int().tolist())
        assert begun[-1] == (step.view["obs"].flatten() == 0).int().tolist()
    assert begun == [[0, 0], [0, 0], [1, 0], [0, 1], [0, 0], [1, 0], [0, 0], [0, 1]]


def test_a_vector_environment_is_seeded_by_the_config():
    """Two made alike have the same course, one of another seed another."""
    courses = []
    for seed in (4, 4, 5):
        vector = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
        courses.append(from_env(vector, EnvConfig(seed=seed)).reset()["obs"])
    assert torch.equal(courses[0], courses[1])
    assert not torch.equal(courses[0], courses[2])
    vector = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    assert torch.equal(from_env(vector).reset()["obs"], GymEnv(vector, seed=0).reset()["obs"])


def module_of(path):
    """Import a file by itself."""
    spec = importlib.util.spec_from_file_location(f"by_itself_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_environment_written_for_the_open_mode(tmp_path):
    """A candidate's, frozen once done, and an example's, that resets itself."""
    config = EnvConfig(num_envs=COUNT, max_steps=9, seed=5)
    tiny = candidates.write_candidate(tmp_path / "tiny") / "env.py"
    for path in (tiny, REPOSITORY / "examples" / "keydoor" / "candidate" / "env.py"):
        create_env = module_of(path).create_env
        world = from_env(create_env(config), config)
        assert checked_horizon(world, COUNT) == 9
        same_course(world, create_env(config), steps=30)


def test_state_of_the_environment_is_the_world_s():
    """Its buffers are among the world's, so that moving the world moves all of it."""
    world = from_env("snake", EnvConfig(num_envs=2))
    assert any(name.startswith("env.") for name, _ in world.named_buffers())


def test_what_can_not_be_a_world():
    """Unknown names, continuous actions, several agents and broken steps are refused."""
    with pytest.raises(ValueError, match="no environment 'chess'"):
        from_env("chess")
    with pytest.raises(ValueError, match="only discrete actions"):
        from_env("gym:Pendulum-v1", EnvConfig(num_envs=1))
    with pytest.raises(EnvironmentContractError, match="one agent, the environment has 2"):
        from_env(make("battle_grid", num_envs=2, num_agents=2))
    with pytest.raises(EnvironmentContractError, match="must be \\(C, H, W\\)"):
        from_env(SimpleNamespace(num_envs=1, action_space=None, observation_space=None))
    broken = ScriptedEnv([[0.0]], [[0]])
    broken.dones = broken.dones.float()
    world = from_env(broken)
    world.reset()
    with pytest.raises(EnvironmentContractError, match="done must be bool"):
        world.step(torch.zeros(1).long())
