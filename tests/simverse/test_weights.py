"""Weights as bytes: what is written comes back, and nothing hostile gets through."""

import json
import math
import struct

import pytest
import torch
from torch import nn

from simverse import weights
from simverse.weights import MAX_BYTES, Weights, WeightsError


def state():
    """Return a state of every dtype, with an empty tensor, a number alone and a mask of -inf."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    values = {
        "mask": torch.full((2, 2), -math.inf),
        "flags": torch.tensor([True, False]),
        "half": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
        "empty": torch.empty(0, 3),
        "strided": torch.arange(6).reshape(2, 3).t(),
    }
    return {**model.state_dict(), **values}


def packed(tensors):
    """Return a `state_dict` as it leaves a worker."""
    entries = weights.entries_of(tensors)
    return weights.check(json.loads(json.dumps(entries)), bytes(weights.data_of(tensors)))


def test_what_is_written_comes_back_to_the_bit():
    """Names, dtypes, shapes and values, over a file of the safetensors format."""
    before = state()
    content = weights.dumps(packed(before))
    length = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + length])["0.weight"]["data_offsets"] == [0, 48]
    after = weights.tensors(weights.loads(content))
    assert list(after) == list(before)
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        assert torch.equal(after[name], value)


@pytest.mark.parametrize(
    ("entries", "data", "says"),
    [
        (None, b"", "no list of tensors"),
        ("F32", b"", "no list of tensors"),
        ([["a", "F32"]], b"", "no name, dtype and shape"),
        ([["a" * 201, "F32", []]], b"0000", "a tensor's name"),
        ([["\x1b[31m", "F32", []]], b"0000", "a tensor's name"),
        ([[7, "F32", []]], b"0000", "a tensor's name"),
        ([["__metadata__", "F32", []]], b"0000", "can't be called"),
        ([["a", "O", []]], b"0000", "a dtype that is not kept"),
        ([["a", ["F32"], []]], b"0000", "a dtype that is not kept"),
        ([["a", "F32", [-1, -1]]], b"0000", "no shape"),
        ([["a", "F32", [1.0]]], b"0000", "no shape"),
        ([["a", "F32", [True]]], b"0000", "no shape"),
        ([["a", "F32", [1] * 17]], b"0000", "no shape"),
        ([["a", "F32", [2**25]]], b"", "at most 50 MiB are kept"),
        ([["a", "F32", [2**20, 2**20, 2**20]]], b"", "at most 50 MiB are kept"),
        ([["a", "F32", [2]]], b"0000", "4 bytes, and by their names 8"),
        ([["a", "F32", []]] * 2, b"00000000", "the same name"),
        ([["a", "F32", []]] * 10_001, b"", "10,001 tensors"),
        ([["a", "F32", [1]]], struct.pack("<f", math.nan), "no numbers (NaN)"),
        ([["a", "F64", [1]]], struct.pack("<d", math.nan), "no numbers (NaN)"),
        ([["a", "BF16", [1]]], b"\xc1\x7f", "no numbers (NaN)"),
        ([["a", "BOOL", [1]]], b"\x02", "neither 0 nor 1"),
    ],
)  # fmt: skip
def test_hostile_weights_are_refused(entries, data, says):
    """By one line each, before a tensor is made of them."""
    with pytest.raises(WeightsError) as caught:
        weights.check(entries, data)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_hostile_files_are_refused():
    """Cut short, without an end, with a header that is huge, no JSON, or points elsewhere."""
    good = weights.dumps(packed({"a": torch.ones(2)}))
    elsewhere = good.replace(b"[0,8]", b"[8,0]")
    deep = b"[" * 100_000
    for content in (
        b"", good[:7], good[:30], good[:-1], good + b"0", (2**63).to_bytes(8, "little") + good[8:],
        elsewhere, len(deep).to_bytes(8, "little") + deep, b"\2" + bytes(7) + b"[]",
    ):  # fmt: skip
        with pytest.raises(WeightsError):
            weights.loads(content)
    assert isinstance(weights.loads(good), Weights)


def test_only_plain_tensors_leave_a_policy():
    """No extra state, nothing sparse or complex, and not too much: told before it is copied."""
    for value in (7, torch.eye(2).to_sparse(), torch.zeros(1, dtype=torch.complex64), "text"):
        with pytest.raises(WeightsError, match="no plain tensor"):
            weights.entries_of({"a": value})
    huge = torch.zeros(1).expand(MAX_BYTES)  # of four bytes
    with pytest.raises(WeightsError, match="at most 50 MiB"):
        weights.entries_of({"a": huge})
