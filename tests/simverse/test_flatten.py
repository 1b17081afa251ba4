"""Dict and Tuple observations as rows, against Gymnasium's own `flatten`."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatten

from simverse.wrappers.flatten import FlatLayout, layout_in, layout_of

SPACES = {
    "dict": spaces.Dict(
        {"z": spaces.Box(-1, 1, (2, 3)), "a": spaces.Discrete(4, start=-1), "m": spaces.Box(0, 1, ())}
    ),
    "unsorted": spaces.Dict([("z", spaces.Discrete(2)), ("a", spaces.Box(-1, 1, (2,)))]),
    "tuple": spaces.Tuple((spaces.MultiBinary((2, 2)), spaces.MultiDiscrete([[2, 3], [4, 1]]))),
    "nested": spaces.Dict(
        {
            "arm": spaces.Dict({"joints": spaces.Box(-3, 3, (3,)), "grip": spaces.Discrete(2)}),
            "cells": spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 255, (2, 2, 3), np.uint8))),
            "count": spaces.Box(0, 60_000, (2,), np.uint16),
        }
    ),
    "leaf": spaces.MultiDiscrete([3, 2], start=[1, -4]),
}  # fmt: skip


def batched(space, count):
    """Return `count` samples, and the batch that a vector environment makes of them."""
    space.seed(3)
    samples = [space.sample() for _ in range(count)]
    empty = gymnasium.vector.utils.create_empty_array(space, n=count)
    return samples, gymnasium.vector.utils.concatenate(space, samples, empty)


@pytest.mark.parametrize("name", SPACES)
def test_rows_are_gymnasium_s(name):
    """Order and encoding are those of `gymnasium.spaces.utils.flatten`, for whole batches."""
    space = SPACES[name]
    samples, batch = batched(space, 7)
    layout = layout_of(space)
    expected = np.stack([flatten(space, sample) for sample in samples]).astype(np.float32)
    rows = layout.pack(batch)
    assert rows.dtype == torch.float32
    assert rows.shape == (7, *layout.shape) == (7, 1, 1, expected.shape[1])
    assert np.array_equal(rows.view(7, -1).numpy(), expected)
    assert torch.equal(layout.pack_each(samples), rows)
    assert layout.space.shape == layout.shape


def test_rows_are_a_copy():
    """A vector environment may write its next observation into the same arrays."""
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,))})
    batch = {"a": np.zeros((3, 2), np.float32)}
    rows = layout_of(space).pack(batch)
    batch["a"] += 1.0
    assert rows.abs().sum() == 0.0


def test_fields_come_back_by_name():
    """As views of the rows, each in its own shape; tensors are packed as arrays are."""
    space = SPACES["nested"]
    _, batch = batched(space, 5)
    layout = layout_of(space)
    rows = layout.pack(batch)
    named = layout.unpack(rows)
    shapes = {name: tuple(value.shape) for name, value in named.items()}
    assert shapes == {
        "arm.grip": (5, 2), "arm.joints": (5, 3), "cells.0": (5, 3), "cells.1": (5, 2, 2, 3),
        "count": (5, 2),
    }  # fmt: skip
    assert np.array_equal(named["arm.joints"].numpy(), batch["arm"]["joints"])
    assert np.array_equal(named["cells.1"].numpy(), batch["cells"][1].astype(np.float32))
    rows.zero_()
    assert all(value.abs().sum() == 0.0 for value in named.values())
    tensors = {"a": torch.ones(2, 3), "b": torch.tensor([1, 0])}
    packed = layout_of(spaces.Dict(a=spaces.Box(-1, 1, (3,)), b=spaces.Discrete(2))).pack(tensors)
    assert packed.view(2, -1).tolist() == [[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]]


@pytest.mark.parametrize(("order", "axes"), [("HWC", (2, 0, 1)), ("CHW", (0, 1, 2))])
def test_images_are_said(order, axes):
    """What is named as an image is channels first and, of bytes, divided by 255."""
    space = spaces.Dict({"camera": spaces.Box(0, 255, (4, 5, 3), np.uint8)})
    _, batch = batched(space, 2)
    layout = layout_of(space, images={"camera": order})
    expected = batch["camera"].transpose(0, *(1 + axis for axis in axes)) / np.float32(255)
    image = layout.unpack(layout.pack(batch))["camera"]
    assert np.array_equal(image.numpy(), expected.astype(np.float32))
    assert "divided by 255" in layout.describe()
    plain = layout_of(space)
    assert plain.pack(batch).max() == batch["camera"].max()
    assert plain.describe() == "camera: 4 x 5 x 3 numbers"


def test_what_can_t_be_flattened_is_named():
    """With its cure, which is to leave it out."""
    space = spaces.Dict({"mission": spaces.Text(5), "x": spaces.Discrete(2)})
    with pytest.raises(ValueError, match=r"'mission' can't be flattened.*without=\('mission',\)"):
        layout_of(space)
    layout = layout_of(space, without=["mission"])
    batch = {"mission": ("go", "stay"), "x": np.array([1, 0])}
    assert layout.pack(batch).view(2, -1).tolist() == [[0, 1], [1, 0]]
    assert layout.describe() == "x: one of 2"


def test_values_outside_of_their_space_are_named():
    """A discrete value must not become another one's flag."""
    layout = layout_of(spaces.Dict({"kind": spaces.MultiDiscrete([2, 3])}))
    with pytest.raises(ValueError, match="'kind' is 2, and its space has the values 0 to 1"):
        layout.pack({"kind": np.array([[1, 2], [2, 0]])})


@pytest.mark.parametrize(
    ("space", "options", "says"),
    [
        (spaces.Dict({}), {}, "no numbers"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"without": ["a"]}, "no numbers"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"without": ["b"]}, "no field 'b'; it has: a"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"images": {"b": "HWC"}}, "no field 'b'"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"images": {"a": "HWC"}}, "'a' is no image"),
        (spaces.Dict({"a": spaces.Box(0, 1, (2, 2))}), {"images": {"a": "WHC"}}, "'HWC' or 'CHW'"),
        (
            spaces.Dict({"a.b": spaces.Discrete(2), "a": spaces.Dict({"b": spaces.Discrete(2)})}),
            {},
            "two fields",
        ),
    ],
)
def test_wrong_layouts_are_refused(space, options, says):
    """In one line that names the field."""
    with pytest.raises(ValueError, match=says) as caught:
        layout_of(space, **options)
    assert "\n" not in str(caught.value)


def test_a_space_carries_its_layout():
    """Policies get it from there; other spaces have none, and rows of another width are refused."""
    layout = layout_of(SPACES["dict"])
    assert isinstance(layout, FlatLayout)
    assert layout_in(layout.space) is layout
    with pytest.raises(ValueError, match="no named fields"):
        layout_in(spaces.Box(0, 1, (1, 1, 3)))
    with pytest.raises(ValueError, match="single frames"):
        layout.unpack(torch.zeros(2, 4, 1, layout.width))
