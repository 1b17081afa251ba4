# ruff: noqa: NPY002 - numpy's global generator is what some worlds must not draw from
"""The conformance check of worlds: good ones pass with what was seen, every fault is named."""

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch

from simverse.core.world import World
from simverse.envs import names
from simverse.testing import ConformanceError, check_world
from simverse.worlds import from_env


class Line(World):
    """Walk right along a line of `SIZE` cells from a drawn one; the last cell is worth 1."""

    SIZE, MAX_STEPS = 6, 12
    reward_bound = 1.0

    def __init__(self, config, *, num_envs=None, device="cpu", dtype=torch.float32):
        super().__init__(device=device, dtype=dtype)
        self.num_envs, self.max_steps = num_envs or config.num_envs, self.MAX_STEPS
        self.seed = config.seed
        self.action_space = gym.spaces.Discrete(2)
        self.view_spaces = {
            "cell": gym.spaces.Discrete(self.SIZE), "ahead": gym.spaces.Box(0.0, 1.0, (self.SIZE,)),
        }  # fmt: skip
        self.generator = torch.Generator().manual_seed(config.seed)
        self.register_buffer("cell", torch.zeros(self.num_envs, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros(self.num_envs, dtype=torch.int64))

    def drawn(self):
        return torch.randint(self.SIZE - 1, (self.num_envs,), generator=self.generator)

    def view(self):
        return {"cell": self.cell, "ahead": (torch.arange(self.SIZE) > self.cell[:, None]).float()}

    def reset(self):
        self.cell.copy_(self.drawn())
        self.steps.zero_()
        return self.view()

    def step(self, actions):
        self.cell += 2 * actions - 1
        self.cell.clamp_(min=0)
        self.steps += 1
        success = self.cell == self.SIZE - 1
        truncated = (self.steps >= self.max_steps) & ~success
        done = success | truncated
        final = {name: value.clone() for name, value in self.view().items()}
        self.cell.copy_(torch.where(done, self.drawn(), self.cell))
        self.steps.masked_fill_(done, 0)
        info = {"success": success, "truncated": truncated, "final_view": final}
        return self.view(), success.float(), done, info


def changed(change):
    """Return a `create_world` whose every step's result `change` has been at."""

    class Changed(Line):
        def step(self, actions):
            return change(*super().step(actions))

    return Changed


def problems(create_world, **options):
    """Return what the check finds wrong."""
    with pytest.raises(ConformanceError) as caught:
        check_world(create_world, **options)
    return caught.value.problems


def test_report_of_a_good_world():
    """The report says what the world is and what was seen of it."""
    report = check_world(Line, num_envs=6)
    assert (report.name, report.num_actions, report.max_steps) == ("Line", 2, 12)
    assert report.description == "Line"
    assert report.fields == "cell int64 [], ahead float32 [6]"
    assert (report.steps, report.finished, report.reward_range) == (12, 6, (0.0, 1.0))
    assert 0 < report.succeeded <= 6
    assert report.notes == ()


@pytest.mark.parametrize("name", [name for name in names() if name != "gym"])
def test_worlds_of_the_registry_s_environments(name):
    """Each environment of ours is a world in one line."""
    report = check_world(lambda config, **options: from_env(name, config, **options), steps=30)
    assert report.fields.startswith("obs float32 ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v, r, d, i: (v, r[:-1], d, i), "step(): the world's reward must be a tensor [8]"),
        (lambda v, r, d, i: (v, r > 0, d, i), "reward must be a number, got torch.bool"),
        (lambda v, r, d, i: (v, r * float("nan"), d, i), "reward is not finite"),
        (lambda v, r, d, i: (v, r * 3, d, i), "reward 3 exceeds the bound of 1"),
        (lambda v, r, d, i: (v, r, d.float(), i), "the world's done must be bool [8]"),
        (lambda v, r, d, i: (v, r, d, None), "info must be a dict, got a NoneType"),
        (
            lambda v, r, d, i: (v, r, d, i | {"success": d.int()}),
            "info['success'] must be bool [8]",
        ),
        (lambda v, r, d, i: (v, r, d, {"truncated": d}), "needs info['final_view'] beside it"),
        (
            lambda v, r, d, i: (v, r, d, i | {"final_view": {}}),
            "a view must have the fields cell, ahead, got the fields",
        ),
        (lambda v, r, d, i: (v | {"x": r}, r, d, i), "a view must have the fields cell, ahead"),
        (lambda v, r, d, i: (v | {"cell": r}, r, d, i), "'cell' must be torch.int64 [8], got"),
        (
            lambda v, r, d, i: (v | {"ahead": v["ahead"] / 0}, r, d, i),
            "the view's 'ahead' is not finite",
        ),
        (
            lambda v, r, d, i: (v, r, d, i | {"final_view": v | {"ahead": v["ahead"] / 0}}),
            "info['final_view']'s 'ahead' is not finite",
        ),
        (
            lambda v, r, d, i: (v | {"cell": v["cell"] + 2**25}, r, d, i),
            "the view's 'cell' has a whole number beyond 16,777,216",
        ),
        (
            lambda v, r, d, i: (v | {"cell": v["cell"] - 7}, r, d, i),
            ", outside of its space (0 to 5)",
        ),
        (
            lambda v, r, d, i: (v | {"ahead": v["ahead"] * 2}, r, d, i),
            "the view's 'ahead' has 2, outside of its space (0 to 1)",
        ),
        (lambda v, r, d, i: (v, r, d), "step(): the world's step() must return"),
    ],
)
def test_wrong_steps_are_named(change, message):
    """Each breach of the contract in what `step` returns."""
    found = problems(changed(change))
    assert any(message in problem for problem in found), found


def with_members(**members):
    """Return a `create_world` of a world with these attributes."""

    class With(Line):
        def __init__(self, config, **options):
            super().__init__(config, **options)
            for name, value in members.items():
                setattr(self, name, value)

    return With


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"max_steps": 0}, "max_steps must be a whole number of steps, got 0"),
        ({"num_envs": 3}, "num_envs must be 8, got 3"),
        ({"action_space": gym.spaces.MultiBinary(2)}, "action_space must be discrete"),
        ({"reward_bound": -1.0}, "reward_bound must be a positive number or None, got -1.0"),
        ({"reward_bound": True}, "reward_bound must be a positive number or None, got True"),
        ({"view_spaces": [1]}, "view_spaces must be a dict or None, got a list"),
        ({"view_spaces": {}}, "view_spaces lacks the view's 'cell'"),
        (
            {"view_spaces": {"cell": gym.spaces.Discrete(6), "ahead": gym.spaces.MultiBinary(7)}},
            "the view's 'ahead' has the shape [6], its space [7]",
        ),
        (
            {
                "view_spaces": {
                    "cell": gym.spaces.Discrete(6), "ahead": gym.spaces.MultiBinary(6), "x": None,
                }
            },
            "view_spaces has 'x', the view has not",
        ),
    ],
)  # fmt: skip
def test_wrong_attributes_are_named(members, message):
    """Each breach of the contract in what a world says of itself."""
    found = problems(with_members(**members))
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.MultiBinary(6), gym.spaces.MultiDiscrete([2] * 6), gym.spaces.Box(0, 1, (6,)),
        SimpleNamespace(shape=(6,)), SimpleNamespace(),
    ],
)  # fmt: skip
def test_spaces_of_several_kinds_are_understood(space):
    """Those without bounds, too."""
    spaces = {"cell": gym.spaces.Discrete(6), "ahead": space}
    assert check_world(with_members(view_spaces=spaces)).notes == ()


def test_undeclared_spaces_and_bounds_are_not_checked():
    """Both are optional."""
    report = check_world(with_members(view_spaces=None, reward_bound=None))
    assert report.notes == ()


def test_every_problem_at_once():
    """One mistake does not hide the others."""

    class Bad(Line):
        def view(self):
            return super().view() | {"empty": torch.zeros(8, 0), "half": torch.zeros(8).half()}

        def step(self, actions):
            view, reward, done, _ = super().step(actions)
            return view, reward.unsqueeze(1), done.float(), {"success": 1}

    found = "\n".join(problems(Bad))
    for part in (
        "'empty' is empty", "'half' is torch.float16", "reward must be a tensor [8]",
        "done must be bool [8]", "info['success'] must be bool [8]",
    ):  # fmt: skip
        assert part in found
    many = with_members(max_steps=0, num_envs=1, action_space=None, reward_bound=0)
    assert len(problems(many)) == 4
    later = with_members(
        reward_bound=0.5, view_spaces={"cell": gym.spaces.Discrete(2), "y": gym.spaces.Discrete(2)}
    )
    assert len(problems(later)) >= 4


def test_missing_members_are_named():
    """Of a world that is no `World`."""
    found = problems(lambda config, **options: SimpleNamespace(num_envs=8))
    assert found == tuple(
        f"the world has no {name}" for name in ("reset", "step", "action_space", "max_steps")
    )


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("__init__", "create_world() raised RuntimeError: no way"),
        ("reset", "reset() raised RuntimeError: no way"),
        ("step", "step() raised RuntimeError: no way"),
        ("describe", "describe() raised RuntimeError: no way"),
    ],
)
def test_exceptions_are_problems(method, message):
    """Of the world's own, named by where they come from."""

    def fails(self, *args, **options):
        raise RuntimeError("no way")

    assert problems(type("Fails", (Line,), {method: fails})) == (message,)


def test_shapes_do_not_depend_on_the_seed():
    """Horizon, actions, bound and fields are those of every seed, and of one sub-environment."""

    class Drawn(Line):
        def __init__(self, config, **options):
            self.SIZE = 6 + config.seed % 2
            super().__init__(config, **options)
            self.max_steps += config.seed % 2

    found = problems(Drawn)
    assert "with seed 1 max_steps is 13, with seed 0 12" in found
    assert any("with seed 1 the view is cell int64 [], ahead float32 [7]" in line for line in found)

    class Crowd(Line):
        def view(self):
            return super().view() | {"all": torch.zeros(self.num_envs, self.num_envs)}

    options = {"view_spaces": None}
    found = problems(type("Crowd", (Crowd, with_members(**options)), {}))
    assert any(line.startswith("with num_envs=1 the view is") for line in found), found


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: torch.rand(()), "draws from a global generator"),
        (lambda: torch.tensor(np.random.rand()), "draws from a global generator"),
        (lambda: torch.empty(()).uniform_(generator=FRESH), "the same seed and actions led to"),
    ],
)
def test_the_seed_decides(draw, message):
    """Neither a global generator nor anything else but `config.seed`."""

    class Random(Line):
        def drawn(self):
            return super().drawn() * 0 + int(4 * draw())

    assert any(message in problem for problem in problems(Random))


FRESH = torch.Generator().manual_seed(1)


def test_the_check_leaves_global_generators_as_they_were():
    """Neither seeded nor advanced."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check_world(Line)
    assert torch.equal(torch.rand(3), expected)


def test_what_may_not_be_meant_is_noted():
    """A seed without effect, no success, truncation without an end, an episode without one."""

    class Fixed(Line):
        def drawn(self):
            return torch.zeros(self.num_envs, dtype=torch.int64)

    assert any("another seed leads to the same course" in n for n in check_world(Fixed).notes)
    without = changed(lambda v, r, d, i: (v, r, d, {}))
    assert check_world(without).notes == ("info['success'] is missing: nothing succeeds",)
    odd = changed(lambda v, r, d, i: (v, r, d, i | {"truncated": ~d}))
    assert any("truncated'] is set without done" in note for note in check_world(odd).notes)
    endless = changed(lambda v, r, d, i: (v, r, d & (r > 0), i))
    (note,) = check_world(endless, num_envs=8).notes[-1:]
    assert "of 8 sub-environments ran for the horizon's 12 steps without done" in note


def test_done_is_cleared_by_reset():
    """A mark that stays is a problem; a frozen world that frees itself at `reset` is none."""

    class Frozen(Line):
        stuck = False

        def __init__(self, config, **options):
            super().__init__(config, **options)
            self.over = torch.zeros(self.num_envs, dtype=torch.bool)

        def view(self):
            return super().view() | {"done": self.over}

        def reset(self):
            if not self.stuck:
                self.over.zero_()
            return super().reset()

        def step(self, actions):
            view, reward, done, info = super().step(actions)
            self.over |= done
            return view, reward, done | self.over, info

    assert check_world(Frozen).notes == ()
    stuck = type("Stuck", (Frozen,), {"stuck": True})
    assert problems(stuck) == ("the view's 'done' is still set after reset()",)


def test_long_horizons_are_not_played_to_their_end():
    """A thousand steps at most, unless more are asked for."""

    class Long(Line):
        MAX_STEPS = 5_000

    assert check_world(Long, num_envs=1).steps == 1_000
    assert check_world(Long, num_envs=1, steps=7).steps == 7


class Endless(Line):
    """Never begins anew: each step after its end says done again."""

    END = 5

    def step(self, actions):
        self.steps += 1
        done = self.steps >= self.END
        return self.view(), torch.zeros(self.num_envs), done, {"success": done & False}


def test_world_that_never_begins_anew_is_named():
    """Done that stays set is no further episode of one step each."""
    assert any("done stays set, step after step" in line for line in problems(Endless))


def test_a_world_that_ends_at_its_horizon_need_not_begin_anew():
    """Whoever plays it resets it there."""

    class Ending(Endless):
        END = Endless.MAX_STEPS

    assert check_world(Ending).finished == 8


def test_episodes_of_one_step_are_fine():
    """A world whose every step ends an episode says done each time, and is right."""

    class Bandit(Line):
        MAX_STEPS = 1

    assert check_world(Bandit, steps=20).finished == 8

    class Marked(Bandit):
        def reset(self):
            return super().reset() | {"done": torch.zeros(self.num_envs, dtype=torch.bool)}

        def step(self, actions):
            view, reward, done, info = super().step(actions)
            info["final_view"]["done"] = done
            return view | {"done": done}, reward, done, info

    notes = check_world(Marked, steps=20).notes
    assert any("training takes them for frozen" in note for note in notes)


def test_view_that_is_done_without_done_is_named():
    """A view's `done` marks what step() said is over, and nothing else."""

    class Marked(Line):
        def view(self):
            over = torch.zeros(self.num_envs, dtype=torch.bool)
            over[0] = self.steps[0] > 2
            return {**super().view(), "done": over}

    assert any("the view's 'done' is set where" in line for line in problems(Marked))


def test_final_view_after_the_reset_is_noted():
    """The last view of an episode is not the first of the next one."""

    def late(view, reward, done, info):
        return view, reward, done, {**info, "final_view": view}

    (note,) = check_world(changed(late)).notes
    assert note.startswith("info['final_view'] is the first view of the next episode")


def fails(world, index):
    raise ValueError("no")


DRAWN_WRONG = {
    "render_layers() must return a dict": lambda world, index: [1],
    "render_layers() raised ValueError: no": fails,
    "changes generator": lambda world, index: {"a": torch.rand(1, 1, generator=world.generator)},
    "changes cell": lambda world, index: {"a": world.cell.add_(1).reshape(1, -1)},
}


@pytest.mark.parametrize("says", DRAWN_WRONG)
def test_a_world_that_draws_itself_changes_nothing(says):
    """What it returns is checked, and that its state and its generator are as they were."""

    class Drawn(Line):
        def render_layers(self, index):
            return DRAWN_WRONG[says](self, index)

    assert any(says in line for line in problems(Drawn))


def test_a_world_may_draw_itself():
    """Grids of bool or numbers, of one size."""

    class Drawn(Line):
        def render_layers(self, index):
            return {"line": torch.ones(1, 6), "walker": torch.arange(6)[None] == self.cell[index]}

    check_world(Drawn)
