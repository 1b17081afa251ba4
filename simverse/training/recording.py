"""Training's own episodes on disk, to watch while it goes on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from simverse.core.checks import StepResult, check_step, num_actions
from simverse.replay import EpisodeRecorder, dumps

FILE = "replay.json"


class RecordedEnv:
    """An environment that writes the first episode of sub-environment 0 after each `reset`.

    The file is `replay.json` in `folder`, the latest episode, as `sim watch` shows it. Of several
    agents it is the first one's: what it saw, did and got. Stepping is the environment's own.

    Raises `EnvironmentContractError` for actions that are not `Discrete`, which a replay has no
    place for.
    """

    def __init__(self, env: Any, folder: str | Path, *, max_steps: int) -> None:
        num_actions(env)
        self.env = env
        self.max_steps = max_steps
        self._path = Path(folder) / FILE
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._recorder: EpisodeRecorder | None = None
        """None once the episode is written."""

    def __getattr__(self, name: str) -> Any:
        """Return whatever else the environment has."""
        return getattr(self.env, name)

    def reset(self) -> Any:
        """Start every sub-environment anew, and a new recording."""
        payload = self.env.reset()
        seen = _first_view(payload)["obs"]
        # Agents may see less than the whole.
        self._recorder = EpisodeRecorder(self.env, tuple(seen.shape[1:]))
        self._recorder.begin(seen[0])
        return payload

    def step(self, actions: Tensor) -> Any:
        """Step every sub-environment."""
        recorder = self._recorder
        if recorder is None:
            return self.env.step(actions)
        recorder.draw()
        payload, reward, done, info = self.env.step(actions)
        chosen = int(actions.reshape(int(self.env.num_envs), -1)[0, 0])
        recorder.add(chosen, self._first_agent(payload, reward, done, info))
        if recorder.is_over or len(recorder) == self.max_steps:
            self._write(recorder.document(horizon=self.max_steps, name=None, seed=None))
            self._recorder = None
        return payload, reward, done, info

    def _first_agent(self, payload: Any, reward: Tensor, done: Tensor, info: Any) -> StepResult:
        count = int(self.env.num_envs)
        seen = _first_view(payload)
        told = dict(info)
        if told.get("final_local_obs") is not None:
            told["final_obs"] = told["final_local_obs"][:, 0]
        mine = reward.reshape(count, -1)[:, 0]
        return check_step((seen, mine, done, told), count, tuple(seen["obs"].shape[1:]))

    def _write(self, document: dict[str, Any]) -> None:
        partial = self._path.with_name(f"{FILE}.{os.getpid()}.partial")
        partial.write_text(dumps(document), encoding="utf-8")
        partial.replace(self._path)  # never half a file to one who reads along


def _first_view(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the first agent sees, `[N, C, H, W]`, as `obs`."""
    local = payload.get("local_obs")
    return dict(payload) | ({} if local is None else {"obs": local[:, 0]})
