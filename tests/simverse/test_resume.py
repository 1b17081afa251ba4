"""Training that was interrupted and continued, against training that was not."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from simverse.checkpoint import CheckpointError, load, restore, save
from simverse.core.config import EnvConfig
from simverse.core.random_state import env_state, set_env_state
from simverse.envs import cartpole, grid_goal, make
from simverse.policies import SimplePolicy
from simverse.training.checkpoints import TrainingCheckpoints, checkpoint_of
from simverse.training.config import PPOConfig
from simverse.training.evaluation import EvaluateEvery
from simverse.training.ppo import train
from simverse.wrappers import held_out, wrap
from tests.simverse.fakes import CountingWorld, ScriptedEnv

WRAPPERS = ("normalize_rewards", "normalize_observations", "frame_stack=2")


class Noisy(SimplePolicy):
    """Draws from torch's global generator while it is trained, and has a buffer of its own."""

    def __init__(self, *spaces):
        super().__init__(*spaces, hidden=16)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, obs):
        self.calls += 1
        logits, values = super().forward(nn.functional.dropout(obs, 0.1, self.training))
        return logits, values


def parts(*, wrappers=WRAPPERS, seed=3, module=cartpole):
    """Return an environment and a policy for it, made anew."""
    env = module.create_env(EnvConfig(num_envs=8, max_steps=24, seed=seed))
    env = wrap(env, wrappers, gamma=0.9)
    torch.manual_seed(seed)
    return env, Noisy(env.observation_space, env.action_space)


def settings(**changes):
    return PPOConfig.for_task(
        num_envs=8, max_steps=24, **{"buffer_size": 80, "anneal_lr": True, "gamma": 0.9} | changes
    )


def weights(policy):
    return torch.cat([value.flatten().double() for value in policy.state_dict().values()])


class Interrupt(Exception):
    """Stops a training where it is."""


def stop_after(episodes):
    """Return an `on_episode` that interrupts when so many are behind."""

    def on_episode(stats):
        if stats.episode + 1 == episodes:
            raise Interrupt

    return on_episode


@pytest.mark.parametrize("module", [cartpole, grid_goal])
def test_continued_training_is_unbroken_training(tmp_path, module):
    """To the bit: weights, statistics, records; with wrappers, annealing, segments and dropout."""
    env, unbroken = parts(module=module)
    history = train(env, unbroken, settings(), episodes=5, seed=1)
    file = tmp_path / "training.pt"
    env_2, policy = parts(module=module)
    with pytest.raises(Interrupt):
        train(
            env_2, policy, settings(), episodes=5, seed=1, on_episode=stop_after(3),
            checkpoints=TrainingCheckpoints(file),
        )  # fmt: skip
    assert load(file).training["episodes"] == 2  # the third was not over

    env_3, continued = parts(module=module, seed=77)
    random.seed(5)  # another process's generators are wherever they are
    np.random.seed(5)  # noqa: NPY002 - the global one
    checkpoints = TrainingCheckpoints(file)
    left = train(env_3, continued, settings(), episodes=5, seed=1, checkpoints=checkpoints)
    assert torch.equal(weights(continued), weights(unbroken))
    for name, value in env.state_dict().items():
        assert torch.equal(value, env_3.state_dict()[name]), name
    assert [stats.episode for stats in left] == [2, 3, 4]
    told = [(stats.mean_return, stats.shaped_return, stats.entropy) for stats in history]
    assert [(stats.mean_return, stats.shaped_return, stats.entropy) for stats in left] == told[2:]
    assert checkpoints.env_steps == sum(stats.env_steps for stats in history)
    assert train(env_3, continued, settings(), episodes=5, seed=1, checkpoints=checkpoints) == []


def test_evaluation_goes_on_where_it_was(tmp_path):
    """Its history, its environment, and which policy is the best are those of an unbroken run."""

    def trained(folder, *, stop=None):
        env, policy = parts()
        inner = cartpole.create_env(EnvConfig(num_envs=4, max_steps=24, seed=9))
        evaluate = EvaluateEvery(
            held_out(inner, env), policy, every=1, episodes=8, max_steps=24, best=folder / "best.pt"
        )

        def on_episode(stats):
            evaluate(stats)
            if stop is not None:
                stop_after(stop)(stats)

        checkpoints = TrainingCheckpoints(folder / "last.pt", also={"evaluation": evaluate})
        train(
            env, policy, settings(), episodes=4, seed=1, on_episode=on_episode,
            checkpoints=checkpoints,
        )  # fmt: skip
        return evaluate, weights(policy)

    expected, unbroken = trained(tmp_path / "unbroken")
    with pytest.raises(Interrupt):
        trained(tmp_path / "broken", stop=3)
    found, continued = trained(tmp_path / "broken")
    assert torch.equal(continued, unbroken)
    assert found.history == expected.history
    assert found.best == expected.best
    best = [load(tmp_path / name / "best.pt") for name in ("unbroken", "broken")]
    assert all(
        torch.equal(best[0].weights[name], best[1].weights[name]) for name in best[0].weights
    )


def test_a_file_is_written_every_few_episodes_and_at_the_end(tmp_path):
    """And is a policy like any other, with what its wrappers learnt."""
    file = tmp_path / "new" / "training.pt"
    seen = []
    env, policy = parts()
    train(
        env, policy, settings(), episodes=3, seed=1,
        on_episode=lambda stats: seen.append(file.exists() and load(file).training["episodes"]),
        checkpoints=TrainingCheckpoints(file, every=2, name="cartpole"),
    )  # fmt: skip
    assert seen == [False, False, 2]
    stored = load(file)
    assert (stored.training["episodes"], stored.env) == (3, "cartpole")
    assert stored.wrappers == ("normalize_observations=10", "frame_stack=2")
    other_env, other = parts(seed=8)
    restore(other, stored, other_env)
    assert torch.equal(weights(other), weights(policy))
    assert torch.equal(other_env.env.statistics.mean, env.env.statistics.mean)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lr": 0.5}, "it was begun with lr 0.0003, here it is 0.5"),
        ({"seed": 2}, "it was begun with seed 1, here it is 2"),
        ({"episodes": 9}, "it was begun with planned_episodes 1, here it is 9"),
        ({"wrappers": WRAPPERS[:2]}, "with observations (2, 1, 4)"),
        ({"wrappers": (*WRAPPERS[:1], WRAPPERS[2])}, "of another environment: the statistics are"),
        ({"module": grid_goal}, "begun with environment CartPole, here it is GridGoal"),
        ({"optimizer": True}, "does not fit this training"),
    ],
)
def test_another_training_is_not_continued(tmp_path, changes, says):
    """One line says what differs."""
    file = tmp_path / "training.pt"
    env, policy = parts()
    train(env, policy, settings(), episodes=1, seed=1, checkpoints=TrainingCheckpoints(file))
    made = {key: changes[key] for key in ("wrappers", "module") if key in changes}
    env, policy = parts(**made)
    options = {"lr": changes["lr"]} if "lr" in changes else {}
    optimizer = torch.optim.SGD(policy.parameters(), lr=3e-4) if "optimizer" in changes else None
    with pytest.raises(CheckpointError) as caught:
        train(
            env, policy, settings(**options), episodes=changes.get("episodes", 1),
            seed=changes.get("seed", 1), optimizer=optimizer, checkpoints=TrainingCheckpoints(file),
        )  # fmt: skip
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_policy_alone_is_no_training(tmp_path):
    """A checkpoint without a state is refused, and a file of something else too."""
    env, policy = parts()
    save(tmp_path / "policy.pt", checkpoint_of(env, policy, "cartpole", {}))
    (tmp_path / "text.pt").write_text("hello")
    for name, says in (("policy.pt", "no training to continue"), ("text.pt", "no checkpoint")):
        with pytest.raises(CheckpointError, match=says):
            train(
                env, policy, settings(), episodes=1, seed=1,
                checkpoints=TrainingCheckpoints(tmp_path / name),
            )  # fmt: skip
    with pytest.raises(ValueError, match="at least 1 episode"):
        TrainingCheckpoints(tmp_path / "x.pt", every=0)


class Drawing(ScriptedEnv):
    """Draws from generators of every kind."""

    def __init__(self, seed):
        super().__init__([[0.0]], [[0]])
        self.torch_generator = torch.Generator().manual_seed(seed)
        self.numpy_generator = np.random.default_rng(seed)
        self.twister = np.random.Generator(np.random.MT19937(seed))
        self.legacy = np.random.RandomState(seed)
        self.python_generator = random.Random(seed)

    def draws(self):
        return [
            float(torch.rand((), generator=self.torch_generator)),
            self.numpy_generator.normal(),
            self.twister.normal(),
            self.legacy.normal(),
            self.python_generator.gauss(0.0, 1.0),
        ]


def test_generators_of_every_kind_go_on(tmp_path):
    """An environment of another seed draws on as the saved one, through a file."""
    first, second = Drawing(1), Drawing(2)
    first.draws()
    torch.save(env_state(first), tmp_path / "state.pt")
    set_env_state(second, torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.draws() == first.draws()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasium_s_environments_draw_on(tmp_path, mode):
    """In this process and in others: the continued training is the unbroken one, to the bit."""

    def trained(episodes, **options):
        env = wrap(
            make("gym:Acrobot-v1", num_envs=2, seed=3, vectorization_mode=mode),
            ["normalize_observations"],
        )
        torch.manual_seed(1)
        policy = SimplePolicy(env.observation_space, env.action_space, hidden=8)
        chosen = PPOConfig.for_task(num_envs=2, max_steps=12)
        train(env, policy, chosen, episodes=episodes, seed=1, **options)
        env.close()
        return torch.cat([weights(policy), env.statistics.mean.flatten()])

    unbroken, file = trained(4), tmp_path / "training.pt"
    trained(2, checkpoints=TrainingCheckpoints(file))
    assert torch.equal(trained(4, checkpoints=TrainingCheckpoints(file)), unbroken)


def test_a_state_of_another_environment_is_refused():
    """By its generators, or by its buffers."""
    with pytest.raises(ValueError, match="other generators"):
        set_env_state(ScriptedEnv([[0.0]], [[0]]), env_state(Drawing(1)))
    with pytest.raises(ValueError, match="count"):
        set_env_state(ScriptedEnv([[0.0]], [[0]]), env_state(CountingWorld([1])))
