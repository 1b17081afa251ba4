"""Films: episodes of an evaluation, recorded step by step for people to watch.

One of each seed is recorded anyway. Where an experiment is evaluated again to be watched, all
episodes that count are, up to `MAX_FILMS`, and the environment or world is asked to draw itself.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from referee.layers import Layers
from referee.messages import CandidateFacts, Step
from simverse import replay_document

MAX_FILMS = 32
"""Most episodes of one seed that are recorded."""
_MAX_FILM_NUMBERS = 250_000
"""Most numbers of observations that a film holds, and of layers; later frames are left blank."""
_MAX_FILM_STEPS = 10_000

AskLayers = Callable[[Sequence[int]], Layers | None]
"""Returns the layers of some of a batch's slots now."""


class Films:
    """The recorded episodes of one seed."""

    def __init__(self, counted: np.ndarray, *, is_watched: bool, view: str | None = None) -> None:
        """Begin.

        Args:
            counted: indices of the episodes that count, over all batches.
            is_watched: whether all of them are recorded, with layers, and not the first alone.
            view: the fields of what is recorded, if it is a world's packed views.
        """
        self._is_watched = is_watched
        slots = counted[:MAX_FILMS] if is_watched else counted[:1]
        self._episodes = [EpisodeRecorder(int(slot), view) for slot in slots]

    def draw(self, first_slot: int, running: np.ndarray, ask: AskLayers) -> None:
        """Have the recorded episodes of the batch that begins at `first_slot` drawn as they are."""
        if not self._is_watched:
            return
        here = [e for e in self._episodes if e.is_in(first_slot, running) and e.wants_more]
        layers = ask([episode.slot - first_slot for episode in here])
        if layers is not None:
            for episode, grids in zip(here, layers.grids, strict=True):
                episode.draw(layers.names, grids)

    def record(
        self, first_slot: int, running: np.ndarray, obs: bytes, actions: bytes, step: Step
    ) -> None:
        """Record one step; see `EpisodeRecorder.record`."""
        for episode in self._episodes:
            episode.record(first_slot, running, obs, actions, step)

    def documents(self, facts: CandidateFacts, horizon: int) -> list[dict[str, Any]]:
        """Return the replays, in the order of the episodes that count."""
        return [episode.document(facts, horizon) for episode in self._episodes]


def write(folder: Path, seed: int, documents: Sequence[dict[str, Any]]) -> None:
    """Write a seed's replays below a folder, as one list. A full disk is no fault."""
    text = json.dumps(documents, separators=(",", ":"), allow_nan=False)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{seed}.films.json").write_text(text, encoding="utf-8")


class EpisodeRecorder:
    """Records one slot's first episode, to watch."""

    def __init__(self, slot: int, view: str | None = None) -> None:
        """Begin.

        Args:
            slot: which one, counted over all batches.
            view: the fields of what is recorded, if it is a world's packed views.
        """
        self.slot = slot
        self._view = view
        self._view_numbers = 1
        self._frames: list[np.ndarray | None] = []
        self._numbers = 0
        self._steps: list[dict[str, Any]] = []
        self._length = 0
        self._names: tuple[str, ...] | None = None
        self._layers: list[np.ndarray | None] = []
        self._layer_numbers = 0

    def is_in(self, first_slot: int, running: np.ndarray) -> bool:
        """Return whether the episode is in the batch that begins at `first_slot`, and runs."""
        index = self.slot - first_slot
        return 0 <= index < len(running) and bool(running[index])

    @property
    def wants_more(self) -> bool:
        """Whether there is room for more of its steps."""
        return self._length < _MAX_FILM_STEPS

    def draw(self, names: tuple[str, ...], grids: np.ndarray) -> None:
        """Keep the layers float32 `[L, H, W]` of the step that is recorded next."""
        if self._names is None:
            self._names, self._grid_shape = names, grids.shape
        is_same = (names, grids.shape) == (self._names, self._grid_shape)
        self._layer_numbers += grids.size
        fits = is_same and self._layer_numbers <= _MAX_FILM_NUMBERS
        self._layers.append(grids.copy() if fits else None)

    def record(
        self, first_slot: int, running: np.ndarray, obs: bytes, actions: bytes, step: Step
    ) -> None:
        """Record one step of the batch that begins at `first_slot`, if the slot is in it.

        Args:
            first_slot: number of the batch's first slot.
            running: whether each slot's first episode is still running, `[N]`.
            obs: the observations that the actions answer, float32 `[N, C, H, W]`.
            actions: int64 `[N]`.
            step: what followed from them.
        """
        index, count = self.slot - first_slot, len(step.reward)
        if not self.is_in(first_slot, running):
            return
        self._length += 1
        if self._length > _MAX_FILM_STEPS:
            return
        size = len(obs) // (4 * count)
        self._numbers += size
        fits = self._numbers <= _MAX_FILM_NUMBERS
        shown = size if self._view is None else size - 1  # without the mark of a beginning
        self._view_numbers = shown
        frame = np.frombuffer(obs, np.float32, shown, 4 * size * index).copy() if fits else None
        self._frames.append(frame)
        self._steps.append(
            replay_document.step(
                action=int(np.frombuffer(actions, np.int64)[index]),
                reward=float(step.reward[index]),
                done=bool(step.done[index]),
                success=bool(step.success[index]),
            )
        )

    def document(self, facts: CandidateFacts, horizon: int) -> dict[str, Any]:
        """Return the replay. It leaves out the seed: candidates' authors may read replays."""
        frames = [
            None if frame is None else replay_document.values(frame.tolist())
            for frame in self._frames
        ]
        shape = facts.observation_shape
        if self._view is not None:
            shape = (1, 1, self._view_numbers)
        return replay_document.build(
            env=facts.env_name,
            description=facts.env_description + self._left_out(),
            channels=None,
            observation_shape=shape,
            num_actions=facts.num_actions,
            horizon=horizon,
            seed=None,
            frames=frames,
            steps=self._steps,
            last_frame=None,
            view=self._view,
            layers=self._drawn(),
        )

    def _drawn(self) -> dict[str, Any] | None:
        """Return what the environment or world drew, None if nothing."""
        if self._names is None:
            return None
        values = [
            None if grids is None else replay_document.values(grids.ravel().tolist())
            for grids in self._layers
        ]
        values += [None] * (len(self._steps) - len(values))
        return replay_document.layers(self._names, self._grid_shape, values)

    def _left_out(self) -> str:
        """Return a note on what the film lacks, empty if nothing."""
        notes = []
        if None in (shown := [frame if frame is None else () for frame in self._frames]):
            notes.append(f"frames after the first {shown.index(None)} are blank: too large to keep")
        if self._length > len(self._steps):
            notes.append(f"the first {len(self._steps)} of {self._length} steps")
        return f" [{'; '.join(notes)}]" if notes else ""
