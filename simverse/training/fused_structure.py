"""What a multilayer perceptron of a policy consists of, and what must hold of it to be fused."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn

ActivationName = Literal["tanh", "relu", "silu"]


class NotRecognisedError(Exception):
    """A policy does something besides dense layers and activations; the text says what."""


@dataclass(frozen=True)
class Columns:
    """Features of each row: some columns of the flattened observation or of a layer's output."""

    layer: int
    """Which layer's output; -1 is the observation."""
    start: int
    stop: int
    is_activated: bool = False
    """Whether they are what the layer's activation makes of its product."""

    @property
    def width(self) -> int:
        """How many columns."""
        return self.stop - self.start


@dataclass
class Dense:
    """One dense layer: `activation(source @ weight.T + bias)`."""

    source: Columns
    weight: nn.Parameter
    """`[outputs, inputs]`; with `block` it is `[K, inputs, outputs]`, of which one is meant."""
    bias: nn.Parameter | None
    """`[outputs]`; with `block` it is `[K, 1, outputs]`."""
    outputs: int
    block: int | None = None
    activation: ActivationName | None = None


class Structure(NamedTuple):
    """A multilayer perceptron with an output for the actions and one for the value."""

    layers: list[Dense]
    """Each reads the observation or layers before it."""
    logits: Columns
    values: Columns


def check_structure(structure: Structure, policy: nn.Module, num_actions: int) -> None:
    """Raise `NotRecognisedError` unless each value is used as made, each parameter in one place."""
    layers, logits, values = structure
    for columns in (logits, values):
        if not isinstance(columns, Columns) or columns.layer < 0:
            raise NotRecognisedError("an output that is no layer's")
        if columns.width != layers[columns.layer].outputs:
            raise NotRecognisedError("an output that is part of a layer's")
    if (logits.width, values.width) != (num_actions, 1) or logits.layer == values.layer:
        raise NotRecognisedError("outputs of other sizes")
    read = [layer.source for layer in layers]
    for columns in (*read, logits, values):
        is_activated = columns.layer >= 0 and layers[columns.layer].activation is not None
        if columns.is_activated != is_activated:
            raise NotRecognisedError("a value from before its activation")
    inner, outer = {columns.layer for columns in read} - {-1}, {logits.layer, values.layer}
    if inner & outer or inner | outer != set(range(len(layers))):
        raise NotRecognisedError("an output that is used again, or a layer that never is")
    _check_overlaps(read)
    _check_parameters(layers, list(policy.parameters()))


def _check_overlaps(read: list[Columns]) -> None:
    """Raise unless the parts of a layer's output that layers read are the same or disjoint."""
    for one in read:
        for other in read:
            is_apart = one.stop <= other.start or other.stop <= one.start
            if one.layer == other.layer and one != other and not is_apart:
                raise NotRecognisedError("parts of a layer that overlap")


def _check_parameters(layers: list[Dense], parameters: list[nn.Parameter]) -> None:
    places: list[tuple[int, int | None]] = []
    for layer in layers:
        both = (layer.weight, layer.bias)
        places += [(id(parameter), layer.block) for parameter in both if parameter is not None]
    if len(places) != len(set(places)) or {place for place, _ in places} != set(
        map(id, parameters)
    ):
        raise NotRecognisedError("parameters that are shared, or not used")
    for parameter in parameters:
        is_plain = type(parameter) is nn.Parameter and parameter.dtype == torch.float32
        if not is_plain or parameter.device.type != "cpu" or not parameter.requires_grad:
            raise NotRecognisedError("a parameter that is frozen or of another kind")
        own = parameter._backward_hooks, parameter._post_accumulate_grad_hooks  # noqa: SLF001 - no public way
        if any(own):
            raise NotRecognisedError("a hook of a parameter")
