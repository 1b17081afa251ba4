"""`loss_gradient` of `simverse.training.loss` in numpy, for outputs kept as `[n, B]`."""

from typing import Any

import numpy as np

from simverse.training.config import PPOConfig
from simverse.training.fused_network import Array, Pass, empty
from simverse.training.loss import Batch

_ILLEGAL_LOGIT = float(np.finfo(np.float32).min)


class LossGradient:
    """Writes the loss's gradient at the outputs of batches of `B` rows."""

    def __init__(self, outputs: Pass, config: PPOConfig) -> None:
        actions, rows = outputs.logits.shape
        self._outputs = outputs
        self._config = config
        self._log_probs, self._probs, self._plogp, self._legal = (
            empty(actions, rows) for _ in range(4)
        )
        self._total, self._ratio, self._gain, self._capped = (empty(rows) for _ in range(4))
        self._columns = np.arange(rows)
        self._taken = np.zeros(rows, dtype=np.int64)
        self._is_within = np.zeros(rows, dtype=bool)

    def write(self, batch: Batch) -> None:
        """Set the gradient at the logits and values of the last forward, of these transitions."""
        columns = (batch.actions, batch.log_probs, batch.advantages)
        actions, old_log_probs, advantages = (column.numpy() for column in columns)
        rows = len(actions)
        np.multiply(actions, rows, out=self._taken)
        np.add(self._taken, self._columns, out=self._taken)
        self._soften(None if batch.legal is None else batch.legal.numpy())
        slope = self._slope(old_log_probs, advantages)
        # p * (entropy_coef / B * (log p + H) - slope), and the slope at the action taken.
        log_probs, probs, at_logits = self._log_probs, self._probs, self._outputs.at_logits
        np.multiply(probs, log_probs, out=self._plogp)
        np.add.reduce(self._plogp, axis=0, out=self._total)
        np.subtract(log_probs, self._total, out=log_probs)
        np.multiply(log_probs, self._config.entropy_coef / rows, out=log_probs)
        np.subtract(log_probs, slope, out=log_probs)
        np.multiply(log_probs, probs, out=at_logits)
        at_logits.reshape(-1)[self._taken] += slope  # rows of one buffer: a view
        self._at_values(batch)

    def _soften(self, legal: "np.ndarray[Any, np.dtype[np.bool_]] | None") -> None:
        """Set probabilities and their logarithms from the logits."""
        logits = self._outputs.logits
        if legal is not None:
            self._legal.fill(_ILLEGAL_LOGIT)
            np.copyto(self._legal, logits, where=legal.T)
            logits = self._legal
        np.maximum.reduce(logits, axis=0, out=self._total)
        np.subtract(logits, self._total, out=self._log_probs)
        np.exp(self._log_probs, out=self._probs)
        np.add.reduce(self._probs, axis=0, out=self._total)
        np.divide(self._probs, self._total, out=self._probs)
        np.log(self._total, out=self._total)
        np.subtract(self._log_probs, self._total, out=self._log_probs)

    def _slope(self, old_log_probs: Array, advantages: Array) -> Array:
        """Return minus the surrogate's derivative by the log-probability of each action `[B]`."""
        ratio, gain, capped, clip = self._ratio, self._gain, self._capped, self._config.clip_epsilon
        self._log_probs.reshape(-1).take(self._taken, out=ratio, mode="clip")
        np.subtract(ratio, old_log_probs, out=ratio)
        np.exp(ratio, out=ratio)
        np.multiply(ratio, advantages, out=gain)
        np.minimum(ratio, 1.0 + clip, out=capped)
        np.maximum(capped, 1.0 - clip, out=capped)
        np.multiply(capped, advantages, out=capped)
        np.less_equal(gain, capped, out=self._is_within)
        np.multiply(gain, self._is_within, out=gain)
        return np.multiply(gain, -1.0 / len(gain), out=gain)

    def _at_values(self, batch: Batch) -> None:
        config, values, error = self._config, self._outputs.values, self._outputs.at_values
        returns = batch.returns.numpy()
        np.subtract(values, returns, out=error)
        if config.value_clip is not None and batch.values is not None:
            old = batch.values.numpy()
            moved = values - old
            near = old + np.clip(moved, -config.value_clip, config.value_clip) - returns
            is_beyond = np.abs(moved) > config.value_clip
            error[is_beyond & (near * near > error * error)] = 0.0
        np.multiply(error, config.value_coef / len(error), out=error)
