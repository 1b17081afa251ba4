"""How observations are shown: shapes, the order of channels, and what bytes are divided by."""

import numpy as np
import pytest
from gymnasium import spaces

from simverse.envs.gym_spaces import channels_last, observation_layout

IMAGE = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)


def byte_box(*shape, high=255):
    """Return a space of bytes."""
    return spaces.Box(0, high, shape, np.uint8)


@pytest.mark.parametrize(
    ("space", "shown", "expected"),
    [
        (spaces.Box(-1, 1, (3,)), np.float32([0.5, 0, -1]), [[[0.5, 0, -1]]]),
        (spaces.Box(-1, 1, (2, 2)), np.float32([[1, 0], [0, -1]]), [[[1, 0], [0, -1]]]),
        (spaces.Discrete(4, start=1), 2, [[[0, 1, 0, 0]]]),
        (spaces.MultiBinary(3), np.int8([1, 0, 1]), [[[1, 0, 1]]]),
        (spaces.MultiDiscrete([2, 3]), np.int64([1, 0]), [[[0, 1, 1, 0, 0]]]),
        (spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 9, (1,)))), (1, [7.0]), [[[0, 1, 7]]]),
        (spaces.Box(0, 60_000, (2,), np.uint16), np.uint16([1, 60_000]), [[[1, 60_000]]]),
        (byte_box(2, 4, 3), IMAGE, IMAGE.transpose(2, 0, 1)),
        (spaces.Box(0, 1, (5, 2, 2)), np.ones((5, 2, 2), np.float32), np.ones((5, 2, 2))),
    ],
)
def test_observations_become_channels_rows_and_columns(space, shown, expected):
    """Vectors, matrices, images, numbers and parts all become `(C, H, W)`, one by one or batched."""
    layout = observation_layout(space)
    expected = np.array(expected, dtype=np.float32)
    assert layout.space.shape == expected.shape
    is_tuple = isinstance(shown, tuple)
    batch = tuple(np.array([part] * 2) for part in shown) if is_tuple else np.array([shown] * 2)
    for packed in (layout.pack(batch), layout.pack_each([shown, shown])):
        assert packed.shape == (2, *expected.shape)
        assert np.allclose(packed.float().numpy(), expected)


@pytest.mark.parametrize(
    ("sizes", "is_last"),
    [
        ((84, 84, 4), True), ((4, 84, 84), False), ((210, 160, 3), True), ((3, 210, 160), False),
        ((7, 7, 20), True), ((20, 7, 7), False), ((10, 10, 6), True), ((3, 4, 4), False),
        ((8, 6, 5), True), ((5, 6, 8), False), ((3, 3, 3), True), ((5, 5, 5), False),
    ],
)  # fmt: skip
def test_the_channels_are_found_by_the_sizes(sizes, is_last):
    """Equal neighbours are rows and columns; else 1, 3 or 4 are channels; else the smaller end."""
    assert channels_last(sizes) == is_last
    order = "last" if is_last else "first"
    assert f"channels {order} before" in str(observation_layout(spaces.Box(0, 1, sizes)))


def test_the_order_of_channels_can_be_said():
    """`channels` beats the sizes."""
    space = spaces.Box(0, 1, (7, 7, 20))
    assert observation_layout(space, channels="first").space.shape == (7, 7, 20)
    assert observation_layout(space).space.shape == (20, 7, 7)


@pytest.mark.parametrize(
    ("space", "scale", "largest", "says"),
    [
        (byte_box(84, 84, 3), None, 1, "bytes divided by 255"),
        (byte_box(1, 40, 40), None, 1, "bytes divided by 255"),
        (byte_box(36, 36), None, 1, "bytes divided by 255"),
        (byte_box(7, 7, 3), None, 255, "bytes as they are"),
        (byte_box(7, 7, 3), 10, 25.5, "bytes divided by 10"),
        (byte_box(84, 84, 3), 1, 255, "bytes divided by 1"),
        (byte_box(84, 84, 3, high=9), None, 9, "bytes as they are"),
        (byte_box(128), None, 255, "bytes as they are"),
        (spaces.Box(0, 255, (84, 84, 3)), None, 255, "channels last before"),
        (spaces.Box(0, 255, (84, 84, 3)), 255, 1, "numbers divided by 255"),
    ],
)
def test_only_what_looks_like_an_image_is_divided(space, scale, largest, says):
    """Bytes from 0 to 255 in 36 rows and columns at least; `scale` says otherwise."""
    layout = observation_layout(space, scale=scale)
    assert layout.pack(space.high[None]).max() == pytest.approx(largest)
    assert layout.rule.endswith(says)


@pytest.mark.parametrize(
    ("space", "options", "says"),
    [
        (spaces.Text(4), {}, "observations must be Box, Discrete, .* or Tuple, got Text"),
        (spaces.Box(0, 1, (2, 2, 2, 2)), {}, "observations must be Box"),
        (spaces.Box(0, 1, ()), {}, "observations must be Box"),
        (spaces.Box(0, 1, (2,)), {"scale": 0}, "scale must be a number above 0, got 0"),
        (spaces.Box(0, 1, (2,)), {"scale": "big"}, "scale must be a number above 0, got 'big'"),
        (spaces.Box(0, 1, (2,)), {"channels": "middle"}, "channels must be first or last"),
        (spaces.Box(0, 1, (2,)), {"without": "x"}, "images and without name parts"),
        (spaces.Discrete(3), {"scale": 2}, "scale and channels are for a Box"),
        (spaces.Dict(a=spaces.Discrete(2), m=spaces.Text(4)), {}, "'m' can't be flattened"),
    ],
)
def test_what_has_no_layout_is_refused(space, options, says):
    """In one line that names the space or the option."""
    with pytest.raises(ValueError, match=says) as caught:
        observation_layout(space, **options)
    assert "\n" not in str(caught.value)


def test_parts_are_left_out_by_name():
    """As a list, or as in a name, with commas."""
    space = spaces.Dict(a=spaces.Discrete(2), m=spaces.Text(4), n=spaces.Text(4))
    for without in (["m", "n"], "m,n"):
        assert observation_layout(space, without=without).space.shape == (1, 1, 2)
