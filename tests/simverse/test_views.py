"""Views: what is refused of them, and that what crosses to a policy is what the world showed."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simverse.core.views import MAX_EXACT, MAX_FIELDS, ViewLayout
from simverse.errors import EnvironmentContractError

DTYPES = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float32,
)  # fmt: skip


def extremes(dtype):
    """Return the least and greatest values of a dtype that a view may have, and some between."""
    if dtype == torch.bool:
        return torch.tensor([False, True])
    if dtype == torch.float32:
        info = torch.finfo(dtype)
        return torch.tensor([info.min, info.max, info.tiny, -0.0, 1 / 3, 1e-45])
    info = torch.iinfo(dtype)
    least, most = max(info.min, -MAX_EXACT), min(info.max, MAX_EXACT)
    return torch.tensor([least, most, most - 1, 0, 1], dtype=dtype)


def there_and_back(view, begun):
    """Return a view, and where episodes begin, after the journey."""
    layout = ViewLayout.of(view, len(begun))
    return layout.unpack(layout.pack(layout.check(view, len(begun)), begun))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_crosses_exactly(dtype):
    """Packed and unpacked, values, dtypes and shapes are the same, to the sign of zero."""
    values = extremes(dtype)
    view = {"scalar": values, "grid": values.repeat(6).view(len(values), 3, 2)}
    begun = torch.arange(len(values)) % 2 == 0
    found, found_begun = there_and_back(view, begun)
    assert list(found) == ["scalar", "grid"]
    for name, value in view.items():
        assert found[name].dtype == dtype
        assert found[name].shape == value.shape
        assert torch.equal(found[name], value)
        if dtype == torch.float32:
            assert torch.equal(found[name].signbit(), value.signbit())
    assert torch.equal(found_begun, begun)


@given(st.data())
def test_any_layout_crosses_exactly(data):
    """Whatever fields of whatever shapes a world has, nothing is mixed up between them."""
    count = data.draw(st.integers(1, 4))
    fields = data.draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    view = {}
    for number in range(fields):
        dtype = data.draw(st.sampled_from(DTYPES))
        shape = data.draw(st.lists(st.integers(1, 3), max_size=3))
        choices = extremes(dtype)
        drawn = torch.randint(len(choices), (count, *shape), generator=generator)
        view[f"field {number}"] = choices[drawn]
    begun = torch.rand(count, generator=generator) < 0.5
    found, found_begun = there_and_back(view, begun)
    assert all(torch.equal(found[name], value) for name, value in view.items())
    assert all(found[name].dtype == value.dtype for name, value in view.items())
    assert torch.equal(found_begun, begun)


def test_what_is_packed_is_no_longer_the_world_s():
    """A packed view does not change when the world writes into its live buffers."""
    live = torch.zeros(2, 3)
    layout = ViewLayout.of({"live": live}, 2)
    packed = layout.pack({"live": live}, torch.zeros(2).bool())
    live.fill_(7.0)
    assert packed.abs().max() == 0.0
    assert (packed.dtype, tuple(packed.shape)) == (torch.float32, (2, 1 + layout.numbers))


def test_layouts_say_what_they_are():
    """A line for people, and a space for each field."""
    layout = ViewLayout.of(
        {"walls": torch.zeros(2, 7, 7).bool(), "left": torch.zeros(2), "n": torch.zeros(2).int()}, 2
    )
    assert layout.describe() == "walls bool [7, 7], left float32 [], n int32 []"
    assert layout.spaces["walls"].shape == (7, 7)
    assert (layout.spaces["walls"].low.min(), layout.spaces["walls"].high.max()) == (0, 1)
    assert layout.spaces["left"].high.max() == math.inf
    assert layout.spaces["n"].high.max() == MAX_EXACT


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (torch.zeros(2), "a view must be a dict of tensors [2, ...], got torch.float32 [2]"),
        ({}, "a view must be a dict of tensors [2, ...], got the fields"),
        (None, "a view must be a dict of tensors [2, ...], got a NoneType"),
        ({3: torch.zeros(2)}, "fields must be named by printable texts"),
        ({"": torch.zeros(2)}, "fields must be named by printable texts"),
        ({"a\nb": torch.zeros(2)}, "fields must be named by printable texts"),
        ({"x" * 41: torch.zeros(2)}, "fields must be named by printable texts of 1 to 40"),
        ({"x": [0.0, 1.0]}, "'x' must be a tensor [2, ...], got a list"),
        ({"x": torch.zeros(3)}, "'x' must be a tensor [2, ...], got torch.float32 [3]"),
        ({"x": torch.tensor(0.0)}, "'x' must be a tensor [2, ...], got torch.float32 []"),
        ({"x": torch.zeros(2, 0)}, "'x' is empty: torch.float32 [2, 0]"),
        ({"x": torch.zeros(2).double()}, "'x' is torch.float64; allowed are bool, uint8"),
        ({"x": torch.zeros(2).half()}, "'x' is torch.float16; allowed are"),
        ({"x": torch.zeros(2).cfloat()}, "'x' is torch.complex64; allowed are"),
        ({"done": torch.zeros(2)}, "'done' must be bool [2], got torch.float32 [2]"),
        ({"done": torch.zeros(2, 1).bool()}, "'done' must be bool [2], got torch.bool [2, 1]"),
        ({f"{n}": torch.zeros(2) for n in range(65)}, f"65 fields, at most {MAX_FIELDS}"),
    ],
)
def test_first_views_are_refused(view, message):
    """A view that is no dict of tensors of proper names, shapes and dtypes, with what it is."""
    with pytest.raises(EnvironmentContractError) as caught:
        ViewLayout.of(view, 2)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"x": torch.zeros(2)}, "must have the fields x, y, got the fields x"),
        (
            {"x": torch.zeros(2), "y": torch.zeros(2).int(), "z": torch.zeros(2)},
            "got the fields x, y, z",
        ),
        (
            {"x": torch.zeros(2), "y": torch.zeros(2)},
            "'y' must be torch.int32 [2], got torch.float32 [2]",
        ),
        (
            {"x": torch.zeros(2, 1), "y": torch.zeros(2).int()},
            "'x' must be torch.float32 [2], got torch.float32 [2, 1]",
        ),
        ({"x": 0.0, "y": torch.zeros(2).int()}, "'x' must be torch.float32 [2], got a float"),
        (None, "must have the fields x, y, got a NoneType"),
    ],
)
def test_later_views_are_like_the_first(view, message):
    """Fields, dtypes and shapes may not change within a world's life."""
    layout = ViewLayout.of({"x": torch.zeros(2), "y": torch.zeros(2).int()}, 2)
    with pytest.raises(EnvironmentContractError) as caught:
        layout.check(view, 2)
    assert message in str(caught.value)


def test_the_order_of_fields_is_the_first_view_s():
    """A later view may name them in another order."""
    layout = ViewLayout.of({"x": torch.zeros(1), "y": torch.zeros(1)}, 1)
    swapped = layout.check({"y": torch.ones(1), "x": torch.zeros(1)}, 1)
    assert layout.pack(swapped, torch.tensor([True])).tolist() == [[0.0, 1.0, 1.0]]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(bad):
    """One that is not is refused, naming the field."""
    view = {"fine": torch.zeros(3), "x": torch.tensor([0.0, bad, 0.0])}
    layout = ViewLayout.of(view, 3)
    with pytest.raises(EnvironmentContractError, match="the view's 'x' is not finite"):
        layout.pack(view, torch.zeros(3).bool())


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        (torch.int32, MAX_EXACT + 1),
        (torch.int32, -MAX_EXACT - 1),
        (torch.int32, torch.iinfo(torch.int32).min),
        (torch.int64, 2**62),
        (torch.int64, torch.iinfo(torch.int64).min),  # its magnitude overflows to itself
    ],
)
def test_whole_numbers_are_exact_or_refused(dtype, number):
    """One that float32 may not hold is refused, the least of its dtype too."""
    view = {"n": torch.tensor([0, number], dtype=dtype)}
    with pytest.raises(EnvironmentContractError, match="'n' has a whole number beyond 16,777,216"):
        ViewLayout.of(view, 2).pack(view, torch.zeros(2).bool())
