"""Progress in lines of text, through the standard library's logger `simverse`.

Nothing is shown until a program sets logging up, say with `configure_logging`.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG_FILE_VARIABLE = "SIMVERSE_LOG_FILE"
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logging(level: int = logging.INFO, log_file: str | None = None) -> None:
    """Show what is logged on standard error, and write it to a file if one is named.

    `log_file` defaults to the environment variable `SIMVERSE_LOG_FILE`; its folder is made.
    """
    logging.basicConfig(level=level, format=_FORMAT)
    named = log_file or os.environ.get(LOG_FILE_VARIABLE)
    if not named:
        return
    path = Path(named).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(_FORMAT))
    logging.getLogger().addHandler(handler)


def get_logger(name: str) -> logging.Logger:
    """Return the standard library's logger of that name."""
    return logging.getLogger(name)


class TrainingLogger:
    """A line for each thing that happens in a training."""

    def __init__(self, name: str = "simverse") -> None:
        self._log = logging.getLogger(name)
        self._episodes = 0

    def header(self, title: str | None = None) -> None:
        """Begin something that has a title."""
        self.info(title or self._log.name)

    def section(self, title: str) -> None:
        """Begin a part of it."""
        self.info(title)

    def config(self, config: Mapping[str, Any]) -> None:
        """List settings."""
        self.info(", ".join(f"{name}={value}" for name, value in config.items()))

    def start_training(self, total_episodes: int) -> None:
        """Say how many episodes there will be."""
        self._episodes = total_episodes
        self.info(f"training for {total_episodes} episodes")

    def start_episode(self, episode: int) -> None:
        """Say which episode begins, counted from 1; only for debugging."""
        self._log.debug("episode %d of %d", episode, self._episodes)

    def log_step(
        self, step: int, total_steps: int, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Say how far an episode is; only for debugging."""
        self._log.debug("step %d of %d%s", step, total_steps, _numbers(metrics))

    def log_epoch(
        self, epoch: int, total_epochs: int, policy_loss: float, value_loss: float
    ) -> None:
        """Give the losses of an epoch, counted from 0; only for debugging."""
        losses = _numbers({"policy_loss": policy_loss, "value_loss": value_loss})
        self._log.debug("epoch %d of %d%s", epoch + 1, total_epochs, losses)

    def end_episode(
        self, episode: int, total_reward: float, avg_reward: float, steps: float
    ) -> None:
        """Sum an episode up: its return, the mean reward of a step, its steps."""
        numbers = _numbers({"return": total_reward, "reward": avg_reward, "steps": steps})
        self.info(f"episode {episode} of {self._episodes}{numbers}")

    def metric(self, name: str, value: float, unit: str = "") -> None:
        """Give one number."""
        self.info(f"{name} {value:.4g} {unit}".rstrip())

    def info(self, message: str) -> None:
        """Say something."""
        self._log.info("%s", message)

    def success(self, message: str) -> None:
        """Say that something went well."""
        self.info(message)

    def warning(self, message: str) -> None:
        """Warn."""
        self._log.warning("%s", message)

    def error(self, message: str) -> None:
        """Say what went wrong."""
        self._log.error("%s", message)

    def finish(self, final_stats: Mapping[str, float] | None = None) -> None:
        """Say that the training is over."""
        self.info(f"done{_numbers(final_stats)}")


def _numbers(metrics: Mapping[str, float] | None) -> str:
    """Return `: name value, name value`, nothing without numbers."""
    if not metrics:
        return ""
    return ": " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


training_logger = TrainingLogger()
"""What `PPOTrainer` writes to."""
