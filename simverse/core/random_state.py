"""The state of generators and environments, as what a checkpoint may hold: tensors and text.

What is covered: the buffers of an environment and of all modules in it (`state_dict`, with
`get_extra_state` where one has more to say), the generators (torch's, numpy's, Python's) that are
attributes of these modules, and the three libraries' global generators. What is not: other
attributes, and generators that are hidden elsewhere.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

State = Tensor | str
"""Of one generator."""


class _Kind(NamedTuple):
    """How generators of a type are read and set."""

    type: type
    get: Callable[[Any], State]
    set: Callable[[Any, Any], object]


def _text(state: Any) -> str:
    return json.dumps(state, default=lambda value: value.tolist())


def _set_python(generator: random.Random, text: str) -> None:
    version, internal, gauss = json.loads(text)
    generator.setstate((version, tuple(internal), gauss))


def numpy_state(generator: np.random.Generator) -> str:
    """Return the state of a generator of numpy's."""
    return _text(generator.bit_generator.state)


def set_numpy_state(generator: np.random.Generator, text: str) -> None:
    """Set the state of a generator of the same kind."""
    generator.bit_generator.state = json.loads(text)


_KINDS = (
    _Kind(torch.Generator, lambda g: g.get_state(), lambda g, state: g.set_state(state)),
    _Kind(np.random.Generator, numpy_state, set_numpy_state),
    _Kind(
        np.random.RandomState,
        lambda g: _text(g.get_state(legacy=False)),
        lambda g, text: g.set_state(json.loads(text)),
    ),
    _Kind(random.Random, lambda g: _text(g.getstate()), _set_python),
)


def env_state(env: Any) -> dict[str, Any]:
    """Return what an environment draws from and remembers, as far as it is covered."""
    module = _module(env)
    if module is None:
        return {"modules": {}, "generators": {}}
    generators = {name: kind.get(found) for name, found, kind in _generators(module)}
    return {"modules": module.state_dict(), "generators": generators}


def set_env_state(env: Any, state: Mapping[str, Any]) -> None:
    """Put an environment that was made alike, and reset since, into a state.

    Raises `ValueError` where it does not fit.
    """
    module = _module(env)
    own = {} if module is None else {name: rest for name, *rest in _generators(module)}
    stored = state["generators"]
    if own.keys() != stored.keys():
        raise ValueError(f"other generators: {sorted(own)} here, {sorted(stored)} there")
    if module is not None:
        try:
            module.load_state_dict(state["modules"])
        except (RuntimeError, KeyError, TypeError) as error:
            raise ValueError(" ".join(str(error).split())) from error
    for name, (generator, kind) in own.items():
        kind.set(generator, stored[name])


def global_state(device: str | torch.device = "cpu") -> dict[str, State]:
    """Return the states of torch's (with a CUDA device's), numpy's and Python's generators."""
    states: dict[str, State] = {
        "torch": torch.get_rng_state(),
        "numpy": _text(np.random.get_state(legacy=False)),  # noqa: NPY002 - others may use it
        "python": _text(random.getstate()),
    }
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_global_state(states: Mapping[str, Any], device: str | torch.device = "cpu") -> None:
    """Set the global generators; that of a CUDA device where there is one in both."""
    torch.set_rng_state(states["torch"])
    np.random.set_state(json.loads(states["numpy"]))  # noqa: NPY002
    version, internal, gauss = json.loads(states["python"])
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in states and torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def _module(env: Any) -> nn.Module | None:
    """Return the environment as a module, or the first that it stands around."""
    while env is not None and not isinstance(env, nn.Module):
        env = getattr(env, "env", None)
    return env


def _generators(module: nn.Module) -> Iterator[tuple[str, Any, _Kind]]:
    """Yield the generators that are attributes of modules, by name."""
    for path, part in module.named_modules():
        for attribute, value in vars(part).items():
            for kind in _KINDS:
                if isinstance(value, kind.type):
                    yield f"{path}.{attribute}", value, kind
