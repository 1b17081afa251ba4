"""One PPO minibatch and one forward of a rollout, done in four ways: `python -m benchmarks.fused`.

A minibatch is forward, gradient of the loss, backward, clipping and Adam, of an MLP with two hidden
layers of tanh and two heads. The ways: torch's autograd, as any policy is trained; numpy, as small
ones are (`simverse.training.fused`); loops compiled from C at first use, where a compiler is found;
the same loops compiled by numba, where that is installed. They take turns, in processor time.
"""

import argparse
import ctypes
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import describe
from simverse.core.distributions import Categorical
from simverse.training.actor_critic import ActorCritic
from simverse.training.config import PPOConfig
from simverse.training.fused import fused_learner
from simverse.training.loss import Batch
from simverse.training.update import torch_step
from simverse.training.utils import adam

SIZES = {"keydoor": (128, 36, 32, 4), "squad": (128, 200, 32, 9), "CartPole": (1024, 4, 64, 2)}
"""Rows of a minibatch, inputs, width of the hidden layers, actions."""
ACTING = 32
"""Rows of a rollout's forward."""
COMPARED = 10
"""Minibatches after which the ways' weights are compared."""
ALPHA, CLIP, ENTROPY, VALUE, LONGEST = 1e-3, 0.2, 0.01, 0.5, 0.5


class Policy(nn.Module):
    """The examples' kind of policy."""

    def __init__(self, inputs: int, hidden: int, actions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
        )
        self.actor, self.critic = nn.Linear(hidden, actions), nn.Linear(hidden, 1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Observations `[B, C, H, W]` to logits and values."""
        features = self.body(obs)
        return self.actor(features), self.critic(features)


# -- loops, in C and for numba ---------------------------------------------------------------------

C_SOURCE = r"""
#include <math.h>
#include <stdint.h>
#include <string.h>
static void dense(const float *x, const float *w, const float *b, float *y, int B, int I, int O,
                  int activated) {
  for (int r = 0; r < B; r++)
    for (int o = 0; o < O; o++) {
      float s = b[o];
      for (int i = 0; i < I; i++) s += x[r * I + i] * w[o * I + i];
      y[r * O + o] = s;
    }
  if (activated)
    for (int k = 0; k < B * O; k++) y[k] = tanhf(y[k]);
}
static void dense_back(const float *x, const float *w, const float *d, float *gw, float *gb,
                       float *dx, int B, int I, int O) {
  for (int r = 0; r < B; r++)
    for (int o = 0; o < O; o++) {
      float e = d[r * O + o];
      gb[o] += e;
      for (int i = 0; i < I; i++) gw[o * I + i] += e * x[r * I + i];
    }
  if (dx)
    for (int r = 0; r < B; r++) {
      float *row = dx + r * I;
      memset(row, 0, sizeof(float) * I);
      for (int o = 0; o < O; o++)
        for (int i = 0; i < I; i++) row[i] += d[r * O + o] * w[o * I + i];
      for (int i = 0; i < I; i++) row[i] *= 1.0f - x[r * I + i] * x[r * I + i];
    }
}
void act(const float *x, const float *w, float *h1, float *h2, float *y, int B, int I, int H,
         int A) {
  int K = A + 1;
  const float *b1 = w + H * I, *w2 = b1 + H, *b2 = w2 + H * H, *w3 = b2 + H, *b3 = w3 + K * H;
  dense(x, w, b1, h1, B, I, H, 1);
  dense(h1, w2, b2, h2, B, H, H, 1);
  dense(h2, w3, b3, y, B, H, K, 0);
}
void learn(const float *x, const int64_t *a, const float *old, const float *adv, const float *ret,
           float *w, float *g, float *m, float *v, float *h1, float *h2, float *y, float *d,
           float *e2, float *e1, int B, int I, int H, int A, float clip, float ent, float vc,
           float longest, float alpha, int step) {
  int K = A + 1, P = H * I + H + H * H + H + K * H + K;
  float *b1 = w + H * I, *w2 = b1 + H, *b2 = w2 + H * H, *w3 = b2 + H;
  float *c1 = g + H * I, *g2 = c1 + H, *c2 = g2 + H * H, *g3 = c2 + H, *c3 = g3 + K * H;
  act(x, w, h1, h2, y, B, I, H, A);
  for (int r = 0; r < B; r++) {
    float *z = y + r * K, *t = d + r * K, top = z[0], sum = 0, mean = 0;
    for (int k = 1; k < A; k++) top = fmaxf(top, z[k]);
    for (int k = 0; k < A; k++) sum += expf(z[k] - top);
    float norm = top + logf(sum);
    for (int k = 0; k < A; k++) mean += expf(z[k] - norm) * (z[k] - norm);
    float ratio = expf(z[a[r]] - norm - old[r]), gain = ratio * adv[r];
    float capped = fminf(fmaxf(ratio, 1 - clip), 1 + clip) * adv[r];
    float slope = gain <= capped ? -gain / B : 0;
    for (int k = 0; k < A; k++)
      t[k] = expf(z[k] - norm) * (ent / B * (z[k] - norm - mean) - slope);
    t[a[r]] += slope;
    t[A] = vc / B * (z[A] - ret[r]);
  }
  memset(g, 0, sizeof(float) * P);
  dense_back(h2, w3, d, g3, c3, e2, B, H, K);
  dense_back(h1, w2, e2, g2, c2, e1, B, H, H);
  dense_back(x, w, e1, g, c1, 0, B, I, H);
  float norm = 0;
  for (int i = 0; i < P; i++) norm += g[i] * g[i];
  float scale = fminf(1.0f, longest / (sqrtf(norm) + 1e-6f));
  float s1 = alpha / (1 - powf(0.9f, step)), s2 = 1 / sqrtf(1 - powf(0.999f, step));
  for (int i = 0; i < P; i++) {
    float gi = g[i] * scale;
    m[i] = 0.9f * m[i] + 0.1f * gi;
    v[i] = 0.999f * v[i] + 0.001f * gi * gi;
    w[i] -= s1 * m[i] / (sqrtf(v[i]) * s2 + 1e-5f);
  }
}
"""


def compiled(folder: Path) -> ctypes.CDLL | None:
    """Return the loops, compiled for this processor; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        return None
    source, library = folder / "loops.c", folder / "loops.so"
    source.write_text(C_SOURCE)
    options = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "-o", str(library)]
    started_s = time.perf_counter()
    subprocess.run([compiler, *options, str(source), "-lm"], check=True)
    print(f"compiled from C in {time.perf_counter() - started_s:.2f} s")
    return ctypes.CDLL(str(library))


def with_numba() -> Any:  # noqa: C901 - loops within loops
    """Return the layers of the loops as numba compiles them; None where it is not installed."""
    try:
        from numba import njit
    except ImportError:
        return None

    @njit(fastmath=True)
    def dense(x, w, b, y, activated):
        for r in range(x.shape[0]):
            for o in range(w.shape[0]):
                s = b[o]
                for i in range(w.shape[1]):
                    s += x[r, i] * w[o, i]
                y[r, o] = np.tanh(s) if activated else s

    @njit(fastmath=True)
    def dense_back(x, w, d, gw, gb, dx, deeper):  # noqa: PLR0917 - numba has no keywords
        gw[:] = 0.0
        gb[:] = 0.0
        for r in range(x.shape[0]):
            for o in range(w.shape[0]):
                gb[o] += d[r, o]
                for i in range(w.shape[1]):
                    gw[o, i] += d[r, o] * x[r, i]
            if deeper:
                dx[r] = 0.0
                for o in range(w.shape[0]):
                    for i in range(w.shape[1]):
                        dx[r, i] += d[r, o] * w[o, i]
                for i in range(w.shape[1]):
                    dx[r, i] *= np.float32(1.0) - x[r, i] * x[r, i]

    @njit(fastmath=True)
    def act(x, layers, h1, h2, y):
        dense(x, layers[0], layers[1][0], h1, True)
        dense(h1, layers[2], layers[3][0], h2, True)
        dense(h2, layers[4], layers[5][0], y, False)

    @njit(fastmath=True)
    def learn(  # noqa: PLR0917 - likewise
        x, a, old, adv, ret, layers, grads, w, g, m, v, h1, h2, y, d, e2, e1, s1, s2
    ):
        act(x, layers, h1, h2, y)
        rows, last = y.shape[0], y.shape[1] - 1
        low, high = np.float32(1 - CLIP), np.float32(1 + CLIP)  # else rounded in another way
        for r in range(rows):
            z = y[r, :last]
            top = z.max()
            norm = top + np.log(np.exp(z - top).sum())
            mean = (np.exp(z - norm) * (z - norm)).sum()
            ratio = np.exp(z[a[r]] - norm - old[r])
            gain = ratio * adv[r]
            capped = min(max(ratio, low), high) * adv[r]
            slope = -gain / rows if gain <= capped else 0.0
            for k in range(last):
                d[r, k] = np.exp(z[k] - norm) * (ENTROPY / rows * (z[k] - norm - mean) - slope)
            d[r, a[r]] += slope
            d[r, last] = VALUE / rows * (y[r, last] - ret[r])
        dense_back(h2, layers[4], d, grads[4], grads[5][0], e2, True)
        dense_back(h1, layers[2], e2, grads[2], grads[3][0], e1, True)
        dense_back(x, layers[0], e1, grads[0], grads[1][0], e1, False)
        scale = min(1.0, LONGEST / (np.sqrt((g * g).sum()) + 1e-6))
        for i in range(len(g)):
            step = g[i] * np.float32(scale)
            m[i] = np.float32(0.9) * m[i] + np.float32(0.1) * step
            v[i] = np.float32(0.999) * v[i] + np.float32(0.001) * step * step
            w[i] -= s1 * m[i] / (np.sqrt(v[i]) * s2 + np.float32(1e-5))

    return act, learn


# -- the contenders --------------------------------------------------------------------------------

Ways = dict[str, tuple[Callable[[], Any], Callable[[], Any], Tensor | np.ndarray]]
"""By name: a minibatch, a rollout's forward, and the weights they work on."""


class Loops:
    """Weights `[P]` and buffers for the loops, which know the network's layout."""

    def __init__(self, policy: nn.Module, batch: Batch, sizes: tuple[int, ...]) -> None:
        rows, inputs, hidden, actions = sizes
        self.sizes, self.steps = sizes, 0
        parameters = dict(policy.named_parameters())
        pairs = [f"body.{layer}.{kind}" for layer in (1, 3) for kind in ("weight", "bias")]
        heads = [f"{head}.{kind}" for kind in ("weight", "bias") for head in ("actor", "critic")]
        flat = [parameters[name].detach().flatten() for name in (*pairs, *heads)]
        self.weights = torch.cat(flat).numpy()
        self.vectors = [self.weights, *(np.zeros_like(self.weights) for _ in range(3))]
        self.columns = [column.contiguous().numpy() for column in batch[:5]]
        widths = (hidden, hidden, actions + 1, actions + 1, hidden, hidden)
        self.buffers = [np.zeros((rows, width), np.float32) for width in widths]
        del inputs

    def layers(self, vector: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return a vector's parts as matrices, a bias as one of one row."""
        _, inputs, hidden, actions = self.sizes
        shapes = [(hidden, inputs), (1, hidden), (hidden, hidden), (1, hidden)]
        shapes += [(actions + 1, hidden), (1, actions + 1)]
        ends = np.cumsum([one * other for one, other in shapes])
        return tuple(
            part.reshape(shape)
            for part, shape in zip(np.split(vector, ends[:-1]), shapes, strict=True)
        )


def from_c(library: ctypes.CDLL, loops: Loops) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return a minibatch and a forward."""
    pointers = [
        array.ctypes.data_as(ctypes.c_void_p)
        for array in (*loops.columns, *loops.vectors, *loops.buffers)
    ]
    numbers = [ctypes.c_float(number) for number in (CLIP, ENTROPY, VALUE, LONGEST, ALPHA)]

    def learn() -> None:
        loops.steps += 1
        library.learn(*pointers, *loops.sizes, *numbers, loops.steps)

    x, weights, h1, h2, y = pointers[0], pointers[5], *pointers[9:12]
    act = partial(library.act, x, weights, h1, h2, y, ACTING, *loops.sizes[1:])
    return learn, act


def from_numba(made: Any, loops: Loops) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return a minibatch and a forward."""
    act, step = made
    x, *others = loops.columns
    x = x.reshape(len(x), -1)
    layers, grads = loops.layers(loops.weights), loops.layers(loops.vectors[1])
    h1, h2, y = (buffer[:ACTING] for buffer in loops.buffers[:3])

    def learn() -> None:
        loops.steps += 1
        s1 = np.float32(ALPHA / (1 - 0.9**loops.steps))
        s2 = np.float32((1 - 0.999**loops.steps) ** -0.5)
        step(x, *others, layers, grads, *loops.vectors, *loops.buffers, s1, s2)

    return learn, partial(act, x[:ACTING], layers, h1, h2, y)


def contenders(sizes: tuple[int, ...], library: Any, numba: Any) -> Ways:
    """Return the ways there are here, all from the same weights and transitions."""
    rows, inputs, hidden, actions = sizes
    torch.manual_seed(0)
    first = Policy(inputs, hidden, actions)
    batch = Batch(
        torch.randn(rows, inputs, 1, 1), torch.randint(actions, (rows,)),
        torch.full((rows,), -float(np.log(actions))), torch.randn(rows), torch.randn(rows),
    )  # fmt: skip
    config = PPOConfig(
        lr=ALPHA, clip_epsilon=CLIP, entropy_coef=ENTROPY, value_coef=VALUE, max_grad_norm=LONGEST,
        batch_size=rows, buffer_size=rows, max_steps=1, training_epochs=1,
    )  # fmt: skip
    ways: Ways = {}

    policy = _copy(first, sizes)
    actor, optimizer = ActorCritic(policy, actions), adam(policy, lr=ALPHA, flat=True)
    learn = partial(torch_step(actor, optimizer, config), batch)
    ways["torch"] = learn, partial(torch.no_grad()(actor), batch.obs[:ACTING]), _flat(policy)

    policy = _copy(first, sizes)
    learner = fused_learner(policy, (inputs, 1, 1), Categorical(actions), config)
    assert learner is not None
    ways["numpy"] = (
        partial(learner.learn, batch),
        partial(learner, batch.obs[:ACTING]),
        _flat(policy),
    )
    if library is not None:
        loops = Loops(first, batch, sizes)
        ways["C"] = *from_c(library, loops), loops.weights
    if numba is not None:
        loops = Loops(first, batch, sizes)
        ways["numba"] = *from_numba(numba, loops), loops.weights
    return ways


def _copy(policy: nn.Module, sizes: tuple[int, ...]) -> Policy:
    copied = Policy(*sizes[1:])
    copied.load_state_dict(policy.state_dict())
    return copied


def _flat(policy: nn.Module) -> Tensor:
    """Return the vector that the policy's parameters are views of."""
    first = next(policy.parameters())
    count = sum(parameter.numel() for parameter in policy.parameters())
    return first.detach().as_strided((count,), (1,), 0)


def _sorted(weights: "Tensor | np.ndarray") -> np.ndarray:
    """Return weights in an order that does not depend on the network's layout."""
    return np.sort(np.asarray(weights))


def measure(calls: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Return the median microseconds of processor time of each call."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            started_s = time.process_time()
            for _ in range(100):
                call()
            taken[name].append((time.process_time() - started_s) / 100)
    return {name: 1e6 * statistics.median(times) for name, times in taken.items()}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        library, numba = compiled(Path(folder)), with_numba()
        for name, sizes in SIZES.items():
            ways = contenders(sizes, library, numba)
            print(f"{name}: {sizes}")
            for way, (learn, act, _) in ways.items():
                started_s = time.perf_counter()
                learn()
                act()
                first_s = time.perf_counter() - started_s
                for _ in range(COMPARED - 1):
                    learn()
                off = np.abs(_sorted(ways[way][2]) - _sorted(ways["torch"][2])).max()
                print(f"  {way:<6} weights {off:.0e} off torch's; first call {first_s:.2f} s")
            for what, index in (("minibatch", 0), (f"forward of {ACTING}", 1)):
                found = measure({way: calls[index] for way, calls in ways.items()}, args.turns)
                shown = ", ".join(
                    f"{way} {us:.0f} ({found['torch'] / us:.1f}x)" for way, us in found.items()
                )
                print(f"  {what:<14} in microseconds: {shown}")


if __name__ == "__main__":
    main()
