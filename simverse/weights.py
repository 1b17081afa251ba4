"""Weights as bytes: the layout of a safetensors file, in which nothing can be run.

    file   = length of the header (8 bytes, little-endian), header, data
    header = JSON: {name: {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}, ...}
    data   = the tensors, one after the other, in the header's order

Whoever wrote the bytes may be hostile: `check` is asked before a number of them is used. torch is
imported only where tensors are made of them, so that a process without it can pass them on.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simverse.errors import SimverseError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_BYTES = 50 * 2**20
"""Most data of a policy's weights."""
MAX_TENSORS = 10_000
MAX_NAME_CHARS = 200
MAX_HEADER_BYTES = 8 * 2**20
_MAX_DIMENSIONS = 16
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1,
}  # fmt: skip
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


class WeightsError(SimverseError):
    """These are no weights, or none that may be kept; its text is one line."""


class Entry(NamedTuple):
    """One tensor of a policy."""

    name: str
    dtype: str
    """As safetensors calls it, `F32` for torch.float32."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its bytes."""
        return _BYTES[self.dtype] * math.prod(self.shape)


@dataclass(frozen=True)
class Weights:
    """A policy's tensors, checked."""

    entries: tuple[Entry, ...]
    data: bytes
    metadata: Mapping[str, str]

    def parts(self) -> Iterator[tuple[Entry, memoryview]]:
        """Yield each tensor with its bytes."""
        yield from _parts(self.entries, self.data)


def check(entries: object, data: bytes, metadata: Mapping[str, str] | None = None) -> Weights:
    """Return weights of entries `[[name, dtype, shape], ...]` and their data, if they are sound.

    Infinities may be masks of a policy's; a number that is none is nobody's.

    Raises:
        WeightsError: they are not.
    """
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise WeightsError("the weights have no list of tensors")
    if len(entries) > MAX_TENSORS:
        raise WeightsError(f"the weights are {len(entries):,} tensors, and {MAX_TENSORS:,} may be")
    found = tuple(map(_entry, entries))
    if len({entry.name for entry in found}) < len(found):
        raise WeightsError("two tensors of the weights have the same name")
    total = sum(entry.size for entry in found)
    if total > MAX_BYTES:
        raise WeightsError(too_large(total))
    if total != len(data):
        raise WeightsError(f"the weights have {len(data):,} bytes, and by their names {total:,}")
    for entry, part in _parts(found, data):
        if _has_nan(entry, part):
            raise WeightsError(f"the weights' {entry.name!r} has values that are no numbers (NaN)")
        if entry.dtype == "BOOL" and max(part, default=0) > 1:
            raise WeightsError(f"the weights' {entry.name!r} has values that are neither 0 nor 1")
    return Weights(found, data, dict(metadata or {}))


def too_large(size: int) -> str:
    """Return why weights of so many bytes are not kept."""
    return f"the weights are {size / 2**20:,.1f} MiB, and at most {MAX_BYTES >> 20} MiB are kept"


def dumps(weights: Weights) -> bytes:
    """Return a safetensors file."""
    header: dict[str, Any] = {_METADATA: dict(weights.metadata)} if weights.metadata else {}
    offset = 0
    for entry in weights.entries:
        end = offset + entry.size
        header[entry.name] = {
            "dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [offset, end],
        }  # fmt: skip
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # as the format asks for
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + weights.data


def loads(content: bytes) -> Weights:
    """Read a safetensors file.

    Raises:
        WeightsError: it is none, or not as this module writes it.
    """
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if len(content) < _LENGTH_BYTES or length > min(len(content), MAX_HEADER_BYTES):
        raise WeightsError("this is no file of weights: it has no header")
    try:
        header = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
        metadata = header.pop(_METADATA, {})
        entries = [[name, one["dtype"], one["shape"]] for name, one in header.items()]
        offsets = [tuple(one["data_offsets"]) for one in header.values()]
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError) as error:
        raise WeightsError("this is no file of weights: its header can't be read") from error
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise WeightsError("the weights' metadata are not texts")
    weights = check(entries, content[_LENGTH_BYTES + length :], metadata)
    begins = [0, *_ends(weights.entries)]
    if offsets != list(itertools.pairwise(begins)):
        raise WeightsError("the weights' tensors do not lie one after the other")
    return weights


def _entry(value: object) -> Entry:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        raise WeightsError("a tensor of the weights has no name, dtype and shape")
    name, dtype, shape = value
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise WeightsError(f"a tensor's name is no text of 1 to {MAX_NAME_CHARS} characters")
    if name == _METADATA:
        raise WeightsError(f"a tensor can't be called {_METADATA}")
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise WeightsError(f"the weights' {name!r} has a dtype that is not kept: {dtype!r:.40}")
    is_list = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not is_list or len(shape) > _MAX_DIMENSIONS or not all(map(_is_size, shape)):
        raise WeightsError(f"the weights' {name!r} has no shape: {shape!r:.60}")
    return Entry(name, dtype, tuple(shape))


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_BYTES


def _ends(entries: Sequence[Entry]) -> Iterator[int]:
    offset = 0
    for entry in entries:
        offset += entry.size
        yield offset


def _parts(entries: Sequence[Entry], data: bytes) -> Iterator[tuple[Entry, memoryview]]:
    view = memoryview(data)
    for entry, end in zip(entries, _ends(entries), strict=True):
        yield entry, view[end - entry.size : end]


def _has_nan(entry: Entry, part: memoryview) -> bool:
    if entry.dtype in _FLOATS:
        return bool(np.isnan(np.frombuffer(part, _FLOATS[entry.dtype])).any())
    if entry.dtype == "BF16":  # the upper half of a float32
        return bool(np.any(np.frombuffer(part, np.uint16) & 0x7FFF > 0x7F80))
    return False


# -- of tensors ------------------------------------------------------------------------------------


def entries_of(state: Mapping[str, Any]) -> list[Entry]:
    """Return the entries of a policy's `state_dict`.

    Raises:
        WeightsError: it holds something that is no plain tensor, or too much.
    """
    names = {dtype: name for name, dtype in _torch_dtypes().items()}
    found = []
    for name, value in state.items():
        dtype, is_strided = getattr(value, "dtype", None), _is_strided(value)
        if dtype not in names or not is_strided:
            kind = dtype or type(value).__name__
            raise WeightsError(f"the policy's {name!r:.60} is no plain tensor: {kind!s:.60}")
        found.append(Entry(str(name), names[dtype], tuple(map(int, value.shape))))
    if (total := sum(entry.size for entry in found)) > MAX_BYTES:
        raise WeightsError(too_large(total))
    return found


def data_of(state: Mapping[str, "Tensor"]) -> bytearray:
    """Return the bytes of a `state_dict` that `entries_of` has accepted."""
    import torch

    data = bytearray()
    for value in state.values():
        flat = value.detach().cpu().contiguous().reshape(-1)
        data += flat.view(torch.uint8).numpy().data if flat.numel() else b""
    return data


def tensors(weights: Weights) -> "dict[str, Tensor]":
    """Return weights as a `state_dict`."""
    import torch

    dtypes = _torch_dtypes()
    return {
        entry.name: torch.frombuffer(bytearray(part), dtype=dtypes[entry.dtype]).reshape(
            entry.shape
        )
        if len(part)
        else torch.empty(entry.shape, dtype=dtypes[entry.dtype])
        for entry, part in weights.parts()
    }


def _is_strided(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.layout == torch.strided


def _torch_dtypes() -> "dict[str, torch.dtype]":
    import torch

    return {
        "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
        "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
        "U8": torch.uint8, "BOOL": torch.bool,
    }  # fmt: skip
