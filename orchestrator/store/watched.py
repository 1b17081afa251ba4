"""What is kept of an experiment to be watched: replays, and the weights of its policy.

`logs/experiments/<n>/` holds, of seed S,

    replay.json             the best seed's first episode that counts; of each accepted experiment
    replay-S.json           that of the worst, the median and the first seed
    replays-S.json          all its episodes, as a list; where it was evaluated again to be watched
    policy-S.safetensors    the trained weights; the best seed's of each accepted experiment

All of it can be made again by evaluating the experiment again on that seed.
"""

import contextlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.store.user_files import make_folder, open_regular, read_regular

KEPT = Path(".autorl") / "kept"
"""Below the workspace: what evaluations in flight have left, by experiment."""
_MOST_BYTES = 64 * 2**20

Replay = dict[str, Any]


def best_seed(scores_by_seed: Mapping[int, float]) -> int | None:
    """Return the seed of the highest score, the first of equal ones; None without any."""
    return max(scores_by_seed, key=lambda seed: scores_by_seed[seed], default=None)


class Watched:
    """The files of one experiment that are there to be watched, or played with."""

    def __init__(self, workspace: Path, n: int) -> None:
        """Name the folder, which need not be there."""
        self._workspace = workspace
        self._folder = workspace / "logs" / "experiments" / str(n)
        self._kept = workspace / KEPT / str(n)

    def replays(self, seed: int, best: int | None) -> list[Replay]:
        """Return the replays of a seed, the first episode that counts first; empty without any.

        Args:
            seed: whose.
            best: the seed whose replay has no number in its name.
        """
        if isinstance(found := self._read(f"replays-{seed}.json"), list):
            return [replay for replay in found if is_replay(replay)]
        one = self._read("replay.json") if seed == best else self._read(f"replay-{seed}.json")
        return [one] if is_replay(one) else []

    def weights(self, seed: int) -> bytes | None:
        """Return the weights of a seed's policy, a safetensors file; None if they aren't there."""
        with contextlib.suppress(OSError):
            return read_regular(self._folder / f"policy-{seed}.safetensors", _MOST_BYTES)
        return None

    def save(self, seed: int, replays: Sequence[Replay], weights: bytes | None) -> None:
        """Write what an evaluation that was made to be watched has left. Raises `OSError`."""
        self._make_folder()
        text = json.dumps(replays, separators=(",", ":"), ensure_ascii=False)
        with open_regular(self._folder / f"replays-{seed}.json", "w", errors="replace") as file:
            file.write(text)
        if weights is not None:
            self._save_weights(seed, weights)

    def adopt(self, seed: int | None) -> None:
        """Move the weights that an evaluation has left beside the replay; a full disk is no fault.

        Args:
            seed: whose weights are kept; None for none, for an experiment that was not accepted.
        """
        with contextlib.suppress(OSError):
            if seed is not None:
                content = read_regular(self._kept / f"{seed}.safetensors", _MOST_BYTES)
                self._make_folder()
                self._save_weights(seed, content)
        shutil.rmtree(self._kept, ignore_errors=True)

    def _make_folder(self) -> None:
        for folder in (self._folder.parent.parent, self._folder.parent, self._folder):
            make_folder(folder)

    def _save_weights(self, seed: int, content: bytes) -> None:
        with open_regular(self._folder / f"policy-{seed}.safetensors", "wb") as file:
            file.write(content)

    def _read(self, name: str) -> Any:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            return json.loads(read_regular(self._folder / name, _MOST_BYTES))
        return None


def is_replay(document: object) -> bool:
    """Return whether this looks like a replay: whoever draws it checks the rest."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("return"), int | float)
        and isinstance(document.get("success"), bool)
        and isinstance(document.get("description"), str)
        and isinstance(document.get("steps"), list)
    )
