"""Measured seeds as texts, so that an interrupted evaluation can be resumed after its last seed.

A text holds all that the evaluation's result is made of, so the result of a resumed evaluation is
equal to the bit to that of an uninterrupted one. It is authenticated with the request's key,
together with everything that the measurement depends on. A text that was changed, or that belongs
to another candidate, seed or budget, is ignored, and its seed is measured again:

    text     = base64(HMAC(key, context, seed, payload), payload)
    payload  = zlib(document, arrays)
    document = a line of JSON; each array in it is replaced by its dtype and shape
    arrays   = their bytes, in the order of the document
"""

import base64
import dataclasses
import hashlib
import hmac
import importlib.metadata
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from referee.budget import Work
from referee.episodes import Rollout
from referee.flags import Observations
from referee.messages import CandidateFacts
from referee.records import EvaluationRequest, PartSummary, RulerComparison, SeedResult
from referee.seed_run import MeasuredSeed

FORMAT = 4
"""To be raised when the text's layout changes, or a record that it holds."""
MAX_TEXT_CHARS = 8_000_000
"""Longest text that is written or read; a seed that takes more is measured again."""
_PURPOSE = b"autorl-daemon: a measured seed\0"
"""Keeps these authentication codes apart from the seeds that derive from the same key."""
_NOT_DEPENDED_ON = frozenset(
    {
        "candidate_dir", "seeds", "more_seeds", "checkpoints", "workers", "memory_mb", "cpu_s",
        "key", "measured", "keep_dir", "is_watched",
    }
)  # fmt: skip
"""Fields of a request that one seed's measurement does not depend on, or that are bound apart."""
_CODE_BYTES = 32
_ARRAY = ("\0dtype", "\0shape")
"""Stand for an array; nothing that a candidate names can be called so."""


@dataclass(frozen=True)
class ResumedSeed:
    """A seed that an earlier evaluation has measured."""

    measured: MeasuredSeed
    wall_s: float
    """Seconds that the evaluation had taken when it was measured."""


class ResumeTexts:
    """Writes and reads the texts of one request's seeds."""

    def __init__(self, request: EvaluationRequest, files: Mapping[str, str]) -> None:
        """Bind the texts to a request, its device resolved, and to the candidate's files."""
        self._request = request
        depends_on = {
            field.name: getattr(request, field.name)
            for field in dataclasses.fields(request)
            if field.name not in _NOT_DEPENDED_ON
        }
        versions = [importlib.metadata.version(name) for name in ("torch", "numpy")]
        parts = [FORMAT, versions, depends_on, dict(files)]
        context = json.dumps(parts, sort_keys=True, default=dict)
        self._context = hashlib.sha256(context.encode()).digest()

    def write(self, seed: MeasuredSeed, wall_s: float) -> str | None:
        """Return a seed's text, None if it would be too long.

        Args:
            seed: its measurement.
            wall_s: seconds that the evaluation has taken so far.
        """
        payload = zlib.compress(_pack(seed, wall_s))
        text = base64.b64encode(self._code(seed.result.seed, payload) + payload).decode()
        return text if len(text) <= MAX_TEXT_CHARS else None

    def read_all(self) -> dict[int, ResumedSeed]:
        """Return those of the request's seeds whose texts are theirs."""
        texts = self._request.measured
        found = {
            seed: self._read(seed, texts[seed]) for seed in self._request.all_seeds if seed in texts
        }
        return {seed: resumed for seed, resumed in found.items() if resumed is not None}

    def _read(self, seed: int, text: str) -> ResumedSeed | None:
        if len(text) > MAX_TEXT_CHARS:
            return None
        try:
            message = base64.b64decode(text, validate=True)
        except ValueError:
            return None
        code, payload = message[:_CODE_BYTES], message[_CODE_BYTES:]
        if not hmac.compare_digest(code, self._code(seed, payload)):
            return None
        return _unpack(zlib.decompress(payload))  # nobody else can have written it

    def _code(self, seed: int, payload: bytes) -> bytes:
        message = _PURPOSE + self._context + f"{seed}\n".encode() + payload
        return hmac.digest(self._request.key, message, "sha256")


def _pack(seed: MeasuredSeed, wall_s: float) -> bytes:
    arrays: list[bytes] = []

    def take_out(array: np.ndarray) -> dict[str, Any]:
        arrays.append(array.tobytes())
        return dict(zip(_ARRAY, (array.dtype.str, array.shape), strict=True))

    document = json.dumps({"wall_s": wall_s} | dataclasses.asdict(seed), default=take_out)
    return b"".join([document.encode(), b"\n", *arrays])


def _unpack(packed: bytes) -> ResumedSeed:
    document, _, arrays = packed.partition(b"\n")
    offset = 0

    def put_back(entries: dict[str, Any]) -> Any:
        nonlocal offset
        if entries.keys() != set(_ARRAY):
            return entries
        dtype, shape = (entries[name] for name in _ARRAY)
        array = np.frombuffer(arrays, dtype, math.prod(shape), offset).reshape(shape)
        offset += array.nbytes
        return array

    fields = json.loads(document, object_hook=put_back)
    measured = MeasuredSeed(
        facts=CandidateFacts(**_with_tuples(fields["facts"])),
        max_steps=fields["max_steps"],
        result=_result(fields["result"]),
        observations=_observations(fields["observations"]),
        fault=fields["fault"],
        view=fields["view"],
    )
    return ResumedSeed(measured, fields["wall_s"])


def _result(fields: Mapping[str, Any]) -> SeedResult:
    compared = fields["compared"]
    compared = None if compared is None else RulerComparison(**compared)
    parts = {
        name: PartSummary(**_with_tuples(part)) for name, part in fields["reward_parts"].items()
    }
    known = {
        "compared": compared,
        "learning": _with_tuples(fields["learning"]),
        "reward_parts": parts,
    }
    return SeedResult(**_with_tuples(fields) | known)


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON has in lists in tuples, as all records have it."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }


def _observations(fields: Mapping[str, Any]) -> Observations:
    rollouts = {
        name: None if fields[name] is None else Rollout(**fields[name])
        for name in ("trained", "replayed", "random", "elsewhere")
    }
    return Observations(**{**fields, **rollouts, "work": Work(**fields["work"])})
