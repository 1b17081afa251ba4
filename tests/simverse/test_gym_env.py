"""The Gymnasium adapter, against episodes counted by hand."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from simverse.core.config import EnvConfig
from simverse.envs import gym as adapter
from simverse.envs import make
from simverse.policies import SimplePolicy
from simverse.testing import check_env
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from simverse.training.rollout import ActorCritic, Collector
from tests.simverse.fakes import LinearCritic

MODES = ("SAME_STEP", "NEXT_STEP", "DISABLED")


class Counter(gymnasium.Env):
    """Shows how many steps it has taken; ends after `length` of them, cut short or for good."""

    observation_space = spaces.Box(0.0, 100.0, shape=(1,))
    action_space = spaces.Discrete(2, start=5)

    def __init__(self, length=3, cut=False):
        self.length, self.cut, self.taken = length, cut, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken = 0
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action):
        assert action in (5, 6)
        self.taken += 1
        over = self.taken >= self.length
        obs = np.full(1, self.taken, dtype=np.float32)
        return obs, float(self.taken), over and not self.cut, over and self.cut, {}


def vectorised(mode, parts):
    """Return a vector environment in this mode; 1.0 has no other than `NEXT_STEP`."""
    modes = getattr(gymnasium.vector, "AutoresetMode", None)
    if modes is not None:
        return gymnasium.vector.SyncVectorEnv(parts, autoreset_mode=getattr(modes, mode))
    if mode != "NEXT_STEP":
        pytest.skip(f"this Gymnasium knows no {mode}")
    return gymnasium.vector.SyncVectorEnv(parts)


def counters(mode, lengths=((2, False), (3, True))):
    """Return the adapter around counters of these lengths, some cut short."""
    parts = [lambda length=length, cut=cut: Counter(length, cut) for length, cut in lengths]
    return adapter.GymEnv(vectorised(mode, parts))


def played(env, steps):
    """Return columns of what some steps gave, one list per step."""
    env.reset()
    columns = {"obs": [], "reward": [], "done": [], "truncated": [], "final": [], "void": []}
    for _ in range(steps):
        payload, reward, done, info = env.step(torch.zeros(env.num_envs, dtype=torch.int64))
        columns["obs"].append(payload["obs"].flatten().tolist())
        columns["reward"].append(reward.tolist())
        columns["done"].append(done.int().tolist())
        columns["truncated"].append(info["truncated"].int().tolist())
        columns["final"].append(info["final_obs"].flatten().tolist())
        columns["void"].append(payload["done"].int().tolist() if "done" in payload else [0, 0])
    return columns


@pytest.mark.parametrize("mode", ["SAME_STEP", "DISABLED"])
def test_resets_inside_the_step(mode):
    """Counters of 2 (ended) and 3 (cut) show their first observation in the step that ends them."""
    assert played(counters(mode), 6) == {
        "obs": [[1, 1], [0, 2], [1, 0], [0, 1], [1, 2], [0, 0]],
        "reward": [[1, 1], [2, 2], [1, 3], [2, 1], [1, 2], [2, 3]],
        "done": [[0, 0], [1, 0], [0, 1], [1, 0], [0, 0], [1, 1]],
        "truncated": [[0, 0], [0, 0], [0, 1], [0, 0], [0, 0], [0, 1]],
        "final": [[1, 1], [2, 2], [1, 3], [2, 1], [1, 2], [2, 3]],
        "void": [[0, 0]] * 6,
    }


def test_resets_in_the_next_step():
    """The step after an end is void: marked beforehand, worth nothing, ending nothing."""
    assert played(counters("NEXT_STEP"), 6) == {
        "obs": [[1, 1], [2, 2], [0, 3], [1, 0], [2, 1], [0, 2]],
        "reward": [[1, 1], [2, 2], [0, 3], [1, 0], [2, 1], [0, 2]],
        "done": [[0, 0], [1, 0], [0, 1], [0, 0], [1, 0], [0, 0]],
        "truncated": [[0, 0], [0, 0], [0, 1], [0, 0], [0, 0], [0, 0]],
        "final": [[1, 1], [2, 2], [0, 3], [1, 0], [2, 1], [0, 2]],
        "void": [[0, 0], [1, 0], [0, 1], [0, 0], [1, 0], [0, 0]],
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_rollout_counts_every_episode_once(mode):
    """Whatever the mode, the trainer's live slots hold whole episodes and the right targets."""
    env = counters(mode, lengths=((2, False), (2, True)))
    critic = ActorCritic(LinearCritic(scale=1.0), 2)
    collector = Collector(
        env, critic, slots=6, generator=torch.Generator(), device=torch.device("cpu")
    )
    collector.begin()
    rollout = collector.collect(6)
    per_period = 2 if mode != "NEXT_STEP" else 3
    assert rollout.dones.sum(dim=0).tolist() == [6 // per_period] * 2
    assert rollout.live.sum(dim=0).tolist() == [2 * (6 // per_period)] * 2
    live_rewards = rollout.rewards[:, 0][rollout.live[:, 0]]
    assert live_rewards.tolist() == [1.0, 2.0] * (6 // per_period)
    # Only the one cut short is bootstrapped from: its last observation is 2, its value too.
    assert rollout.final_values[1].tolist() == [0.0, 2.0]

    config = PPOConfig(
        batch_size=8, buffer_size=64, max_steps=6, gamma=0.5, gae_lambda=1.0,
        normalize_advantages=False,
    )  # fmt: skip
    returns = rollout.batch(config).returns.view(-1, 2)[:2]
    assert returns.tolist() == [
        [1 + 0.5 * 2, 1 + 0.5 * (2 + 0.5 * 2)],
        [2, 2 + 0.5 * 2],
    ]


def test_cartpole_episodes_are_gymnasium_s():
    """Over 300 steps of CartPole-v1, each episode has the length a plain loop counts."""
    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(300, 3))
    env = adapter.create_env(EnvConfig(num_envs=3, max_steps=500, seed=7))
    env.reset()
    ours = torch.stack([env.step(torch.tensor(row))[2] for row in actions])
    for index in range(3):
        plain = gymnasium.make("CartPole-v1")
        plain.reset(seed=7 + index)
        ends, void = [], False
        for step, action in enumerate(actions[:, index]):
            if void:
                plain.reset()
                void = False
                continue
            _, _, terminated, truncated, _ = plain.step(int(action))
            if terminated or truncated:
                ends.append(step)
                void = env.mode == adapter.NEXT_STEP
                if not void:
                    plain.reset()
        assert ours[:, index].nonzero().flatten().tolist() == ends
        assert len(ends) > 5


def test_success_is_the_reward_threshold():
    """CartPole-v1's success is a return of its 475, told in the step that ends the episode."""
    env = adapter.create_env(EnvConfig(num_envs=1, max_steps=500))
    obs = env.reset()
    for _ in range(500):
        _, velocity, angle, spin = obs["obs"].flatten().tolist()
        push = torch.tensor([int(angle + 0.5 * spin + 0.05 * velocity > 0)])
        obs, _, done, info = env.step(push)
        assert done.item() == info["success"].item()
    assert done.item()
    assert info["truncated"].item()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("threshold", "solved"), [(3.0, 1), (3.5, 0)])
def test_each_episode_s_return_counts_for_itself(mode, threshold, solved, monkeypatch):
    """Two steps worth 1 and 2 reach a threshold of 3 in every episode, and one of 3.5 in none."""
    monkeypatch.setattr(Counter, "spec", gymnasium.envs.registration.EnvSpec("Counter-v0"))
    monkeypatch.setattr(Counter.spec, "reward_threshold", threshold)
    env = counters(mode, lengths=((2, False), (2, True)))
    env.reset()
    for _ in range(9):
        _, _, done, info = env.step(torch.zeros(2, dtype=torch.int64))
        assert info["success"].tolist() == [bool(solved) and over for over in done.tolist()]


class Told(Counter):
    """Says itself whether it succeeded: in its last step, if not cut short."""

    def step(self, action):
        obs, reward, terminated, truncated, _ = super().step(action)
        return obs, reward, terminated, truncated, {"is_success": terminated}


@pytest.mark.parametrize("mode", MODES)
def test_success_is_what_the_environment_says(mode):
    """An environment's own `is_success` is taken over, in every mode."""
    parts = [lambda cut=cut: Told(2, cut) for cut in (False, True)]
    env = adapter.GymEnv(vectorised(mode, parts))
    env.reset()
    seen = [env.step(torch.zeros(2))[3]["success"].int().tolist() for _ in range(3)]
    assert seen == [[0, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize(
    "name", ["gym:FrozenLake-v1", "gym:Taxi-v4", "gym:Acrobot-v1", "gym:Blackjack-v1"]
)
def test_gymnasium_s_own_keep_the_contract(name):
    """Toy-text and classic-control environments pass the conformance check."""
    if name.removeprefix("gym:") not in gymnasium.registry:
        pytest.skip(f"this Gymnasium has no {name}")
    report = check_env(lambda config, **options: make(name, config, **options), reward_bound=10.0)
    assert report.num_actions >= 2
    assert report.description.startswith(f"Gymnasium's {name.removeprefix('gym:')}: observations")


class Named(Counter):
    """Shows the same number as a part of a dictionary, beside whether it is even."""

    observation_space = spaces.Dict(
        {"count": spaces.Box(0.0, 100.0, shape=(1,)), "even": spaces.Discrete(2)}
    )

    def reset(self, *, seed=None, options=None):
        return self.named(super().reset(seed=seed)[0]), {}

    def step(self, action):
        obs, *rest = super().step(action)
        return self.named(obs), *rest

    @staticmethod
    def named(obs):
        return {"count": obs, "even": int(obs[0] % 2 == 0)}


@pytest.mark.parametrize("mode", MODES)
def test_dictionaries_become_rows_last_observations_too(mode):
    """Each part has its place in a row `(1, 1, 3)`, in every mode, and in `final_obs`."""
    env = adapter.GymEnv(vectorised(mode, [lambda: Named(2), lambda: Named(3, cut=True)]))
    assert env.reset()["obs"].tolist() == [[[[0, 0, 1]]]] * 2
    for _ in range(2):
        _, _, done, info = env.step(torch.zeros(2))
    assert done.tolist() == [True, False]
    assert info["final_obs"].tolist() == [[[[2, 0, 1]]]] * 2
    assert "count: 1 numbers; even: one of 2" in env.describe()


class Asked(gymnasium.Env):
    """Remembers the actions it was given."""

    observation_space = spaces.Box(0.0, 1.0, shape=(1,))

    def __init__(self, space):
        self.action_space, self.given = space, []

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.given.append(np.asarray(action).tolist())
        return np.zeros(1, dtype=np.float32), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("space", "shown", "actions", "given"),
    [
        (spaces.Box(-2, 2, (1,)), spaces.Box(-2, 2, (1,)), [[0.5], [-2.0]], [[0.5], [-2.0]]),
        (
            spaces.Box(-1, 3, (2, 2), np.float64),
            spaces.Box(-1, 3, (4,)),
            [[0.0, 1.0, 2.0, 3.0]] * 2,
            [[[0.0, 1.0], [2.0, 3.0]]] * 2,
        ),
        (spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([2, 3]), [[0, 2], [1, 0]], None),
        (
            spaces.MultiDiscrete([2, 3], start=[5, -1]),
            spaces.MultiDiscrete([2, 3]),
            [[0, 2], [1, 0]],
            [[5, 1], [6, -1]],
        ),
    ],
)
def test_actions_of_every_kind_arrive_as_gymnasium_s(space, shown, actions, given):
    """Numbers `[N, d]` in the shape of the box, choices `[N, k]` counted from 0 here."""
    parts = [Asked(space), Asked(space)]
    env = adapter.GymEnv(gymnasium.vector.SyncVectorEnv([lambda p=p: p for p in parts]))
    assert env.action_space == shown
    env.reset()
    env.step(torch.tensor(actions))
    assert [part.given[0] for part in parts] == (given or actions)
    with pytest.raises(ValueError, match="actions must have shape \\(2, "):
        env.step(torch.zeros(3, 2))


def test_pendulum_is_gymnasium_s():
    """Its rewards under the same torques are those of a plain loop."""
    torques = np.random.default_rng(0).uniform(-2, 2, size=(50, 2, 1)).astype(np.float32)
    env = make("gym:Pendulum-v1", num_envs=2, seed=3)
    env.reset()
    ours = torch.stack([env.step(torch.from_numpy(row))[1] for row in torques])
    for index in range(2):
        plain = gymnasium.make("Pendulum-v1")
        plain.reset(seed=3 + index)
        theirs = [plain.step(row[index])[1] for row in torques]
        assert ours[:, index].tolist() == pytest.approx(theirs, rel=1e-5)


def test_what_cannot_be_adapted_is_refused():
    """Actions in dictionaries, and whole numbers within bounds, are refused by name."""
    for space in (spaces.Dict({"a": spaces.Discrete(2)}), spaces.Box(0, 9, (2,), np.int64)):
        vector = gymnasium.vector.SyncVectorEnv([lambda space=space: Asked(space)])
        with pytest.raises(ValueError, match="actions must be Discrete, MultiDiscrete or a Box"):
            adapter.GymEnv(vector)


class Symbols(gymnasium.Env):
    """Shows one of ten symbols in the middle of a grid; half of its number is the right action."""

    observation_space = spaces.Box(0, 255, (3, 3, 2), np.uint8)
    action_space = spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.drawn(), {}

    def step(self, action):
        reward = float(action == self.symbol // 2)
        return self.drawn(), reward, True, False, {}

    def drawn(self):
        self.symbol = int(self.np_random.integers(10))
        return grid(self.symbol)


def grid(symbol):
    """Return the grid that shows a symbol."""
    shown = np.ones((3, 3, 2), np.uint8)
    shown[1, 1, 0] = symbol
    return shown


@pytest.mark.system
def test_symbols_are_learnt():
    """PPO tells kinds of things apart by their bytes as they are, which are no brightness."""
    torch.manual_seed(0)
    env = adapter.GymEnv(vectorised("SAME_STEP", [Symbols] * 16))
    policy = SimplePolicy(env.observation_space, env.action_space)
    settings = PPOConfig(
        lr=3e-3, training_epochs=4, batch_size=128, buffer_size=512, max_steps=32, gamma=0.0
    )
    train(env, policy, settings, episodes=25, seed=0)
    layout = adapter.observation_layout(Symbols.observation_space)
    greedy = policy(layout.pack_each([grid(symbol) for symbol in range(10)]).float())[0].argmax(1)
    assert (greedy == torch.arange(10) // 2).sum() >= 8
