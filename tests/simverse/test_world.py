"""Worlds: what is refused of their steps, and where their episodes begin."""

from types import SimpleNamespace

import pytest
import torch

from simverse.core.views import ViewLayout
from simverse.core.world import EpisodeStarts, World, check_world_step, checked_horizon
from simverse.errors import EnvironmentContractError
from tests.simverse.fakes import CountingWorld

VIEW = {"x": torch.zeros(2)}
LAYOUT = ViewLayout.of(VIEW, 2)
NO = torch.zeros(2).bool()


def test_a_step_is_returned_as_it_is():
    """Its values are the world's own; without `success` nothing succeeds."""
    reward, done = torch.tensor([1.0, 2.0]), torch.tensor([True, False])
    step = check_world_step((VIEW, reward, done, {}), LAYOUT, 2)
    assert step.view["x"] is VIEW["x"]
    assert step.reward is reward
    assert step.done is done
    assert step.success.tolist() == [False, False]
    assert (step.truncated, step.final_view) == (None, None)
    cut = {"success": done, "truncated": done, "final_view": VIEW}
    step = check_world_step((VIEW, reward, done, cut), LAYOUT, 2)
    assert step.success is done
    assert step.truncated is done
    assert step.final_view == VIEW


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (None, "step() must return (view, reward, done, info), got a NoneType"),
        ((VIEW, torch.zeros(2), NO), "got a tuple of 3"),
        (({}, torch.zeros(2), NO, {}), "a view must have the fields x"),
        (
            (VIEW, torch.zeros(2, 1), NO, {}),
            "reward must be a tensor [2], got torch.float32 [2, 1]",
        ),
        ((VIEW, [0.0, 0.0], NO, {}), "reward must be a tensor [2], got a list"),
        ((VIEW, NO, NO, {}), "reward must be a number, got torch.bool"),
        ((VIEW, torch.zeros(2).cfloat(), NO, {}), "reward must be a number, got torch.complex64"),
        ((VIEW, torch.zeros(2), torch.zeros(2), {}), "done must be bool [2], got torch.float32"),
        ((VIEW, torch.zeros(2), NO[:1], {}), "done must be bool [2], got torch.bool [1]"),
        ((VIEW, torch.zeros(2), NO, None), "info must be a dict, got a NoneType"),
        ((VIEW, torch.zeros(2), NO, {"success": True}), "info['success'] must be bool [2]"),
        ((VIEW, torch.zeros(2), NO, {"truncated": NO}), "info['truncated'] needs"),
        (
            (VIEW, torch.zeros(2), NO, {"truncated": torch.zeros(2), "final_view": VIEW}),
            "info['truncated'] must be bool [2], got torch.float32 [2]",
        ),
        (
            (VIEW, torch.zeros(2), NO, {"truncated": NO, "final_view": {"x": torch.zeros(3)}}),
            "'x' must be torch.float32 [2], got torch.float32 [3]",
        ),
    ],
)
def test_steps_are_refused(step, message):
    """Whatever breaks the contract, with what came."""
    with pytest.raises(EnvironmentContractError) as caught:
        check_world_step(step, LAYOUT, 2)
    assert message in str(caught.value)


def test_reward_may_be_of_any_number_type():
    """Doubles and whole numbers are rewards too."""
    for dtype in (torch.float64, torch.int64):
        step = check_world_step((VIEW, torch.ones(2, dtype=dtype), NO, {}), LAYOUT, 2)
        assert step.reward.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_steps": 0}, "max_steps must be a whole number of steps, got 0"),
        ({"max_steps": True}, "max_steps must be a whole number of steps, got True"),
        ({"max_steps": 5.0}, "max_steps must be a whole number of steps, got 5.0"),
        ({"max_steps": None}, "max_steps must be a whole number of steps, got None"),
        ({"num_envs": 3}, "num_envs must be 2, got 3"),
        ({"action_space": SimpleNamespace(shape=(2,))}, "action_space must be discrete"),
    ],
)
def test_worlds_that_can_not_be_played(changes, message):
    """A horizon, the number asked for and discrete actions are what it takes."""
    world = CountingWorld([2, 3])
    for name, value in changes.items():
        setattr(world, name, value)
    with pytest.raises(EnvironmentContractError) as caught:
        checked_horizon(world, 2)
    assert message in str(caught.value)


def test_what_lacks_something_or_is_no_world_is_refused():
    """What is missing is named; whoever derives from `World` has the rest."""
    lacking = SimpleNamespace(reset=None, step=None, action_space=SimpleNamespace(n=2), num_envs=2)
    with pytest.raises(EnvironmentContractError, match="a world without 'max_steps'"):
        checked_horizon(lacking, 2)
    lacking.max_steps = 7
    with pytest.raises(
        EnvironmentContractError, match=r"must return a simverse\.core\.world\.World"
    ):
        checked_horizon(lacking, 2)


def test_device_and_dtype_follow_the_module():
    """`.double()` and `.to()` move all of a world, what it says of itself included."""
    world = CountingWorld([2])
    assert (world.device, world.dtype) == (torch.device("cpu"), torch.float32)
    assert world.double().dtype == torch.float64
    assert world.to("meta").device.type == "meta"
    assert issubclass(CountingWorld, World)


@pytest.mark.parametrize(
    ("ending", "begun"),
    [
        # Lengths 2 and 3: the view of the step that ends an episode is the first of the next.
        ("reset", [[0, 0], [1, 0], [0, 1], [1, 0], [0, 0], [1, 1]]),
        # No episode begins without `reset`.
        ("frozen", [[0, 0]] * 6),
        # The step after it is void, and shows the first view of the next.
        ("void", [[0, 0], [0, 0], [1, 0], [0, 1], [0, 0], [1, 0]]),
    ],
)
def test_episodes_begin(ending, begun):
    """With the views that are the first of an episode, whichever way episodes end."""
    world = CountingWorld([2, 3], ending)
    layout = ViewLayout.of(world.reset(), 2)
    starts = EpisodeStarts()
    for _ in range(2):  # `reset` forgets what was over
        starts.reset(world.reset())
        found, counts = [], []
        for _ in begun:
            step = check_world_step(world.step(torch.zeros(2).long()), layout, 2)
            found.append(starts.after(step).int().tolist())
            counts.append(step.view["count"].tolist())
        assert found == begun
        firsts = [[count == 0 for count in row] for row in counts]
        assert firsts == [[bool(flag) for flag in row] for row in begun]


def test_starts_do_not_alias_the_world_s_buffers():
    """What was over is remembered, not looked up in a buffer that the world has written to."""
    over = torch.tensor([True])
    starts = EpisodeStarts()
    starts.reset({"done": over})
    over.fill_(False)
    nothing = torch.tensor([False])
    step = check_world_step(
        ({"done": over}, torch.zeros(1), nothing, {}), ViewLayout.of({"done": over}, 1), 1
    )
    assert starts.after(step).tolist() == [True]
