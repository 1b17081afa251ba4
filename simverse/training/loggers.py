"""Where training's numbers can go besides the terminal: TensorBoard, Weights & Biases.

Both are extras, imported when a logger is made. A logger is called with each `EpisodeStats`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from simverse.errors import SimverseError
from simverse.training.stats import EpisodeStats

EXTRAS = ("tensorboard", "wandb")
DEFAULT_WANDB_PROJECT = "simverse"
"""Of a run that names none."""


class MissingExtraError(SimverseError):
    """A logger's library is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(f"{extra} is not installed: pip install 'autorl-daemon[{extra}]'")


class LoggerError(SimverseError):
    """A logger's library refused to start."""


class Logger(Protocol):
    """Takes the record of each PPO episode, `close` at the end."""

    def __call__(self, stats: EpisodeStats) -> None:
        """Write an episode's numbers."""

    def close(self) -> None:
        """Write what is left; nothing comes after it."""


class _Closing:
    """Lets a logger stand in a `with` statement."""

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class TensorBoardLogger(_Closing):
    """Writes event files into a folder; the horizontal axis is environment steps.

    `env_steps` are those of a training that is continued. Raises `MissingExtraError` without
    TensorBoard.
    """

    def __init__(self, folder: Path, *, env_steps: int = 0) -> None:
        _require("tensorboard")
        writer = import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(log_dir=str(folder))
        self._env_steps = env_steps

    def __call__(self, stats: EpisodeStats) -> None:
        """Write an episode's numbers."""
        self._env_steps += stats.env_steps
        for name, value in scalars(stats).items():
            self._writer.add_scalar(name, value, global_step=self._env_steps)

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.close()


class WandbLogger(_Closing):
    """Writes a Weights & Biases run; `mode="offline"` needs no account and no network.

    `mode` and `folder` are W&B's own defaults (`WANDB_MODE`, `WANDB_DIR`) when left out;
    `env_steps` are those of a training that is continued. Raises
    `MissingExtraError` without W&B, `LoggerError` if it will not start (no account, say).
    """

    def __init__(
        self,
        *,
        project: str,
        name: str,
        config: Mapping[str, Any],
        mode: str | None = None,
        folder: Path | None = None,
        env_steps: int = 0,
    ) -> None:
        wandb = _require("wandb")
        directory = None if folder is None else str(folder)
        try:
            self._run = wandb.init(
                project=project, name=name, config=dict(config), mode=mode, dir=directory
            )
        except wandb.Error as error:
            raise LoggerError(f"W&B: {error}") from error
        self._env_steps = env_steps

    def __call__(self, stats: EpisodeStats) -> None:
        """Write an episode's numbers."""
        self._env_steps += stats.env_steps
        self._run.log(scalars(stats) | {"env_steps": self._env_steps}, step=stats.episode)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def scalars(stats: EpisodeStats) -> dict[str, float]:
    """Return what is worth a curve, by the name it is shown under."""
    numbers = asdict(stats)
    steps_per_s = stats.env_steps / stats.seconds if stats.seconds > 0 else 0.0
    losses = ("policy_loss", "value_loss", "entropy", "approx_kl", "explained_variance")
    played = ("mean_return", "solve_rate", "mean_length")
    return (
        {f"rollout/{name}": numbers[name] for name in played}
        | {f"loss/{name}": numbers[name] for name in losses}
        | {f"reward_parts/{name}": value for name, value in stats.reward_parts.items()}
        | {"time/steps_per_s": steps_per_s}
    )


def _require(extra: str) -> Any:
    try:
        return import_module(extra)
    except ImportError as error:
        raise MissingExtraError(extra) from error
