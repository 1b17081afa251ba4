# ruff: noqa: NPY002 - the methods are the base class's; numpy's global generator is the matter
import gymnasium as gym
import numpy as np
import pytest
import torch

from simverse.core.config import EnvConfig
from simverse.envs.grid_goal import GridGoal
from simverse.testing import ConformanceError, check_env


class Walk(GridGoal):
    """An environment that keeps its contract; each test plants a fault."""

    def change(self, obs, reward, done, info):
        return obs, reward, done, info

    def step(self, actions):
        return self.change(*super().step(actions))


def creator(cls):
    """Return a `create_env` for a class, with a candidate's signature."""

    def create_env(config, *, num_envs=None, device="cpu", dtype=torch.float32):
        return cls(config, num_envs=num_envs, device=device, dtype=dtype)

    return create_env


def with_step(change):
    """Return a `create_env` whose every step's result `change` has been at."""
    return creator(type("Changed", (Walk,), {"change": lambda self, *step: change(*step)}))


def problems(create_env, **options):
    """Return what the check finds wrong."""
    with pytest.raises(ConformanceError) as caught:
        check_env(create_env, **options)
    return caught.value.problems


def test_report_of_a_good_environment():
    """The report says what the environment is and what was seen of it."""
    report = check_env(creator(Walk), num_envs=6, max_steps=30)
    assert (report.name, report.observation_shape, report.num_actions) == ("Walk", (2, 5, 5), 4)
    assert (report.steps, report.finished, report.notes) == (30, 6, ())
    assert report.reward_range == pytest.approx((-0.02, 0.98))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o, r, d, i: (o, r[:-1], d, i), "reward must be a tensor [8] or [8, 1]"),
        (lambda o, r, d, i: (o, r * float("nan"), d, i), "reward is not finite"),
        (lambda o, r, d, i: (o, r * 100, d, i), "exceeds the bound of 1"),
        (lambda o, r, d, i: (o, r, d.float(), i), "done must be bool"),
        (lambda o, r, d, i: (o, r, d.unsqueeze(1), i), "done must be a tensor [8]"),
        (
            lambda o, r, d, i: ({"obs": o["obs"][:, 0]}, r, d, i),
            "obs must be a tensor [8, 2, 5, 5]",
        ),
        (lambda o, r, d, i: ({"obs": o["obs"] / 0}, r, d, i), "obs is not finite"),
        (lambda o, r, d, i: ({"grid": o["obs"]}, r, d, i), "observation dict with 'obs'"),
        (lambda o, r, d, i: (o | {"done": d.long()}, r, d, i), "observation's 'done' must be bool"),
        (lambda o, r, d, i: (o, r, d, {}), "info['success'] is missing"),
        (lambda o, r, d, i: (o, r, d, {"success": r}), "info['success'] must be bool"),
        (lambda o, r, d, i: (o, r, d, i | {"truncated": d}), "needs info['final_obs']"),
        (lambda o, r, d, i: (o, r, d, [i]), "info must be a dict"),
        (lambda o, r, d, i: (o, r, d), "must return (obs, reward, done, info), got a tuple of 3"),
        (lambda o, r, d, i: 1 / 0, "step() raised ZeroDivisionError"),
    ],
)
def test_step_faults_are_named(change, message):
    """Each fault planted in `step` is named."""
    assert any(message in problem for problem in problems(with_step(change)))


def test_all_faults_are_listed():
    """Several faults of one step are all listed, one line each."""
    found = problems(
        with_step(lambda o, r, d, i: ({"obs": o["obs"][0]}, r[:-1], d.float(), {"success": r}))
    )
    assert len(found) == 4
    for name in ("obs", "reward", "done", "info['success']"):
        assert sum(name + " must be" in problem for problem in found) == 1


def test_faults_of_every_stage_are_listed_together():
    """What it says of itself, what `reset` and `step` return, and values beyond the bound."""

    class Wrong(Walk):
        def __init__(self, config, **options):
            super().__init__(config, **options)
            self.num_agents = 2

        def reset(self):
            return {"grid": super().reset()["obs"]}

        def change(self, obs, reward, done, info):
            return obs, reward * 0 + 9, done.float(), info

    found = "\n".join(problems(creator(Wrong)))
    for words in ("reset(): reset() and step() must return", "done must be bool",
                  "reward 9 exceeds the bound of 1", "num_agents must be 1, got 2"):  # fmt: skip
        assert words in found, found


def test_a_fault_after_a_while_hides_no_value():
    """Rewards beyond the bound before the step that fails are named beside it."""

    class Late(Walk):
        def change(self, obs, reward, done, info):
            return obs, reward[:-1] if self.steps.max() > 3 else reward + 5, done, info

    found = problems(creator(Late))
    assert len(found) == 2
    assert any("exceeds the bound" in problem for problem in found)


class Space:
    """A space with whatever attributes it is given."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def test_an_attribute_that_can_not_be_read_is_named():
    """Whatever it raises is a problem of the environment, not of the check."""
    unreadable = declaring(num_envs=property(lambda self: 1 / 0))
    assert any("raised" in problem for problem in problems(unreadable))


def declaring(**attributes):
    """Return a `create_env` whose class has these attributes."""
    return creator(type("Declared", (Walk,), attributes))


@pytest.mark.parametrize(
    ("create_env", "message"),
    [
        (declaring(action_space=Space(n=0)), "action_space.n must be at least 1, got 0"),
        (declaring(action_space=Space(shape=(2,))), "action_space must be discrete"),
        (declaring(action_space=None), "action_space must be discrete"),
        (declaring(action_space=gym.spaces.MultiBinary(3)), "got MultiBinary with .n 3"),
        (declaring(action_space=Space(n=2.0)), "action_space must be discrete"),
        (declaring(action_space=Space(n=True)), "action_space must be discrete"),
        (declaring(action_space=Space(n="3")), "action_space must be discrete"),
        (declaring(action_space=Space(n=torch.ones(2))), "action_space must be discrete"),
        (declaring(action_space=Space(n=-1)), "action_space.n must be at least 1"),
        (declaring(action_space=Space(n=2**70)), "action_space.n must be at most 65,536"),
        (declaring(observation_space=None), "observation_space.shape must be (C, H, W), got None"),
        (declaring(observation_space=(1, 2, 3)), "observation_space.shape must be (C, H, W)"),
        (declaring(observation_space=gym.spaces.Discrete(3)), "got () of Discrete"),
        (declaring(observation_space=gym.spaces.Dict({})), "got None of Dict"),
        (declaring(observation_space=Space(shape=(2, -5, 1))), "got (2, -5, 1) of Space"),
        (declaring(observation_space=Space(shape=(2, 5.0, 1))), "got (2, 5.0, 1) of Space"),
        (declaring(observation_space=Space(shape=7)), "got 7 of Space"),
        (declaring(observation_space=Space(shape="abc")), "got 'abc' of Space"),
        (declaring(observation_space=Space(shape=(50,))), "must be (C, H, W), got (50,)"),
        (declaring(observation_space=Space(shape=(2, 5, 0))), "must be (C, H, W), got (2, 5, 0)"),
        (declaring(__init__=lambda self, *a, **k: 1 / 0), "create_env() raised ZeroDivisionError"),
        (declaring(reset=lambda self: 1 / 0), "reset() raised ZeroDivisionError"),
        (declaring(reset=lambda self: torch.zeros(8)), "reset(): reset() and step() must return"),
    ],
)
def test_declaration_faults_are_named(create_env, message):
    """What an environment says of itself, or does before its first step, is checked."""
    assert any(message in problem for problem in problems(create_env))


def test_wrong_number_of_sub_environments():
    """An environment that ignores `num_envs` is told so."""

    class Stubborn(Walk):
        def __init__(self, config, **options):
            super().__init__(config, **(options | {"num_envs": 5}))

    assert problems(creator(Stubborn)) == ("num_envs must be 8, got 5",)


def test_fault_in_a_later_step():
    """A fault that shows only after a while is found too."""

    class Late(Walk):
        def change(self, obs, reward, done, info):
            return obs, reward[:-1] if self.steps.max() > 3 else reward, done, info

    (problem,) = problems(creator(Late))
    assert problem.startswith("a rollout: reward must be")


def test_environment_its_seed_does_not_decide():
    """An environment seeded from elsewhere differs from its twin, and where is said."""
    made = []

    class Clockwork(Walk):
        def __init__(self, config, **options):
            made.append(self)
            super().__init__(EnvConfig(max_steps=config.max_steps, seed=len(made)), **options)

    (problem,) = problems(creator(Clockwork))
    assert problem == "the same seed and actions led to different courses, first in obs at step 0"


@pytest.mark.parametrize("draw", [lambda: torch.rand(()), np.random.rand])
def test_draws_from_a_global_generator_are_a_note(draw):
    """An environment that a global generator decides is legal, but is told."""

    class Global(Walk):
        def change(self, obs, reward, done, info):
            return obs, reward * 0 + float(draw()), done, info

    report = check_env(creator(Global))
    assert [note for note in report.notes if "global generator" in note] == list(report.notes)
    assert len(report.notes) == 1


def test_check_leaves_global_generators_alone():
    """Checking an environment does not change what a later draw gives."""
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(0)
    np.random.seed(0)
    check_env(creator(Walk))
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


def test_done_left_set_after_reset():
    """A frozen environment that `reset` does not free is found."""

    class Stuck(Walk):
        def reset(self):
            done = self.done.clone()
            obs = super().reset()
            self.done.copy_(done)
            return obs

    found = problems(creator(Stuck), max_steps=30)
    assert found == ("the observation's 'done' is still set after reset()",)


def test_unfinished_episodes_are_a_note():
    """Sub-environments still running at the horizon are legal and counted."""

    class Endless(Walk):
        def change(self, obs, reward, done, info):
            never = torch.zeros_like(done)
            return {"obs": obs["obs"]}, reward, never, info

    assert check_env(creator(Endless)).notes == (
        "8 of 8 sub-environments were not done within 20 steps",
    )


def test_refusing_a_second_action_axis_is_a_note():
    """An environment that takes `[N]` but not `[N, 1]` is told."""

    class Narrow(Walk):
        def step(self, actions):
            if actions.dim() != 1:
                raise ValueError("no")
            return super().step(actions)

    (note,) = check_env(creator(Narrow)).notes
    assert note == "step() with actions [N, 1] raised ValueError: no"


def test_rewards_up_to_the_bound_pass():
    """The bound itself is allowed, and is the caller's to set."""
    doubled = with_step(lambda o, r, d, i: (o, (r > 0) * 2.0, d, i))
    assert check_env(doubled, reward_bound=2.0).reward_range == (0.0, 2.0)
    assert problems(doubled) == ("reward 2 exceeds the bound of 1",)


class Bandit(Walk):
    """Episodes of one step each, which it begins anew by itself; with a mark, or without."""

    is_marked = True

    def change(self, obs, reward, done, info):
        obs = {"obs": obs["obs"]} | ({"done": torch.ones_like(done)} if self.is_marked else {})
        return obs, torch.rand(len(reward), generator=self._generator), torch.ones_like(done), info


@pytest.mark.parametrize("is_marked", [True, False])
def test_what_training_would_take_for_frozen_is_said(is_marked):
    """Episodes of one step that are marked as over although the next one has begun."""
    notes = check_env(creator(type("Marked", (Bandit,), {"is_marked": is_marked}))).notes
    assert len(notes) == is_marked
    assert all("ends each rollout after 2 steps; where episodes begin anew" in n for n in notes)


def test_what_is_frozen_is_not_called_so():
    """It stays as it is until `reset`: nothing moves after the marks, whatever it had paid."""

    class Frozen(Walk):
        def reset(self):
            self.shown = None
            return super().reset() | {"done": torch.zeros(self.num_envs, dtype=torch.bool)}

        def change(self, obs, reward, done, info):
            self.shown = obs["obs"].clone() if self.shown is None else self.shown
            over = torch.ones_like(done)
            return {"obs": self.shown, "done": over}, 0 * reward, over, info

    assert check_env(creator(Frozen)).notes == ()
