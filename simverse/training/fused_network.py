"""Forward and backward of a multilayer perceptron in numpy, into buffers that are made once.

At these sizes the cost of an operation is that of calling it, and numpy's calls cost a fraction of
torch's. `B` is rows of a batch. Layers that read the same are multiplied as one, and outputs are
kept as `[n, B]`, where sums over actions are sums of long rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from simverse.training.flat import flatten_parameters
from simverse.training.fused_structure import ActivationName, Columns, Dense, Structure

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class _Stack:
    """Layers that read the same columns, as one product."""

    source: tuple[int, int, int]
    """Which stack's output, -1 for the observation, and which of its columns."""
    weight: Array
    """`[outputs, inputs]`, a view of the network's parameters."""
    bias: Array | None
    """`[outputs]`."""
    weight_gradient: Array
    bias_gradient: Array | None
    activation: ActivationName | None
    is_output: bool
    """Whether it is an output of the network, kept as `[outputs, B]`."""


class Network:
    """A policy's parameters as one vector, of which they become views, and what it computes."""

    def __init__(self, structure: Structure) -> None:
        groups = _stacked(structure)
        parameters = [parameter for group in groups for parameter in _parameters(group)]
        # A parameter in blocks belongs to several layers.
        self.flat = flatten_parameters(list({id(p): p for p in parameters}.values()))
        gradient = self.flat.grad
        assert gradient is not None
        self.weights: Array = self.flat.data.numpy()
        """`[P]`: all parameters."""
        self.gradient: Array = gradient.numpy()
        """`[P]`: their gradient, as the last `Pass.backward` left it."""
        place = {
            index: (number, sum(layer.outputs for _, layer in group[:position]))
            for number, group in enumerate(groups)
            for position, (index, _) in enumerate(group)
        }
        outputs = {structure.logits.layer, structure.values.layer}
        self.stacks = [self._stack(group, place, outputs) for group in groups]
        self.logits = _placed(structure.logits, place)
        self.values = _placed(structure.values, place)

    def _stack(
        self,
        group: list[tuple[int, Dense]],
        place: dict[int, tuple[int, int]],
        outputs: set[int],
    ) -> _Stack:
        (index, first), total = group[0], sum(layer.outputs for _, layer in group)
        inputs, has_bias = first.source.width, first.bias is not None
        weight, bias, weight_gradient, bias_gradient = (
            None if parameter is None else self._view(vector, parameter, shape, first.block)
            for vector in (self.weights, self.gradient)
            for parameter, shape in (
                (first.weight, (total, inputs) if first.block is None else (inputs, total)),
                (first.bias, (total,)),
            )
        )
        assert weight is not None
        assert weight_gradient is not None
        if first.block is not None:
            weight, weight_gradient = weight.T, weight_gradient.T
        assert has_bias == (bias is not None)
        return _Stack(
            source=_placed(first.source, place),
            weight=weight,
            bias=bias,
            weight_gradient=weight_gradient,
            bias_gradient=bias_gradient,
            activation=first.activation,
            is_output=index in outputs,
        )

    def _view(
        self, vector: Array, parameter: nn.Parameter, shape: tuple[int, ...], block: int | None
    ) -> Array:
        """Return the part of a vector at which a parameter lies, or one block of it."""
        size = int(np.prod(shape))
        start = parameter.storage_offset() - self.flat.storage_offset() + (block or 0) * size
        return vector[start : start + size].reshape(shape)


def _placed(columns: Columns, place: dict[int, tuple[int, int]]) -> tuple[int, int, int]:
    """Return columns of a layer's output as columns of a stack's."""
    if columns.layer < 0:
        return -1, columns.start, columns.stop
    number, start = place[columns.layer]
    return number, start + columns.start, start + columns.stop


def _stacked(structure: Structure) -> list[list[tuple[int, Dense]]]:
    """Return the layers, with their numbers, by what can be multiplied as one."""
    outputs = {structure.logits.layer, structure.values.layer}

    def kind(numbered: tuple[int, Dense]) -> tuple[Any, ...]:
        index, layer = numbered
        alone = -1 if layer.block is None else index
        has_bias = layer.bias is not None
        return layer.source, layer.activation, index in outputs, has_bias, alone

    groups: dict[tuple[Any, ...], list[tuple[int, Dense]]] = {}
    for numbered in enumerate(structure.layers):
        groups.setdefault(kind(numbered), []).append(numbered)
    return list(groups.values())  # each as late as its first layer, whose source came before


def _parameters(group: Sequence[tuple[int, Dense]]) -> list[nn.Parameter]:
    """Return the parameters of a stack in the order in which they must lie."""
    weights = [layer.weight for _, layer in group]
    return weights + [layer.bias for _, layer in group if layer.bias is not None]


class Pass:
    """A network's forward and backward for batches of `B` rows."""

    def __init__(self, network: Network, rows: int) -> None:
        self._network = network
        self._ones = empty(rows)
        self._ones.fill(1.0)
        stacks = network.stacks
        self._outputs = [_buffer(stack, rows) for stack in stacks]
        self._deltas = [_buffer(stack, rows) for stack in stacks]
        self._scratch = [_buffer(stack, rows) for stack in stacks]
        self._before = [
            _buffer(stack, rows) if stack.activation == "silu" else None for stack in stacks
        ]
        self._sources = [_columns(self._outputs, stack.source) for stack in stacks]
        self._sent = _sent(stacks, self._deltas)
        self._inputs: Array | None = None
        self.logits = _rows(self._outputs, network.logits)
        """`[n, B]`, of the last forward."""
        (self.values,) = _rows(self._outputs, network.values)
        """`[B]`."""
        self.at_logits = _rows(self._deltas, network.logits)
        """`[n, B]`: the gradient at the logits, for `backward`."""
        (self.at_values,) = _rows(self._deltas, network.values)
        """`[B]`: likewise at the values."""
        self.tensors = torch.from_numpy(self.logits.T), torch.from_numpy(self.values)
        """The logits `[B, n]` and values of the last forward, as torch sees them."""

    def forward(self, inputs: Array) -> None:
        """Compute the outputs of `inputs [B, I]`, to which a `backward` still refers."""
        self._inputs = inputs
        for stack, source, output, before, scratch in zip(
            self._network.stacks, self._sources, self._outputs, self._before, self._scratch,
            strict=True,
        ):  # fmt: skip
            read = inputs if source is None else source
            if stack.is_output:
                np.matmul(stack.weight, read.T, out=output)
                if stack.bias is not None:
                    np.add(output, stack.bias[:, None], out=output)
            else:
                np.matmul(read, stack.weight.T, out=output)
                if stack.bias is not None:
                    np.add(output, stack.bias, out=output)
            if stack.activation is not None:
                _activate(stack.activation, output, before, scratch)

    def backward(self) -> None:
        """Compute the parameters' gradient from that at the outputs."""
        assert self._inputs is not None
        network = self._network
        for number in reversed(range(len(network.stacks))):
            stack, delta = network.stacks[number], self._deltas[number]
            source = self._sources[number]
            read = self._inputs if source is None else source
            if stack.activation is not None:
                output, before = self._outputs[number], self._before[number]
                _differentiate(stack.activation, delta, output, before, self._scratch[number])
            by_output = delta if stack.is_output else delta.T
            _product(by_output, read, stack.weight_gradient)
            if stack.bias_gradient is not None:
                np.matmul(by_output, self._ones, out=stack.bias_gradient)
            if (sent := self._sent[number]) is not None:
                np.matmul(by_output.T, stack.weight, out=sent.into)
                if sent.added_to is not None:
                    np.add(sent.added_to, sent.into, out=sent.added_to)


def _product(left: Array, right: Array, out: Array) -> None:
    """Multiply into `out`; BLAS writes rows, so that a transposed one is written as such."""
    if out.flags.c_contiguous:
        np.matmul(left, right, out=out)
    else:
        np.matmul(right.T, left.T, out=out.T)


@dataclass(frozen=True)
class _Sent:
    """Where a stack's gradient goes on to."""

    into: Array
    added_to: Array | None = None


def _sent(stacks: Sequence[_Stack], deltas: Sequence[Array]) -> list[_Sent | None]:
    """Return for each stack where its gradient at what it reads belongs.

    The last reader of some columns writes there, as the first in the order of `backward`; the
    others add to it. The gradient at columns that nothing reads stays 0.
    """
    sent: list[_Sent | None] = [None] * len(stacks)
    written = set()
    for number in reversed(range(len(stacks))):
        source = stacks[number].source
        place = _columns(deltas, source)
        if place is None:
            continue
        if source in written:
            sent[number] = _Sent(empty(*place.shape), place)
        else:
            sent[number] = _Sent(place)
            written.add(source)
    return sent


def empty(*shape: int) -> Array:
    """Return zeros that begin where vector instructions like it."""
    zeros: Array = torch.zeros(shape).numpy()
    return zeros


def _buffer(stack: _Stack, rows: int) -> Array:
    outputs = len(stack.weight)
    return empty(outputs, rows) if stack.is_output else empty(rows, outputs)


def _columns(buffers: Sequence[Array], place: tuple[int, int, int]) -> Array | None:
    """Return columns of a stack's buffer `[B, outputs]`, None for those of the observation."""
    number, start, stop = place
    return None if number < 0 else buffers[number][:, start:stop]


def _rows(buffers: Sequence[Array], place: tuple[int, int, int]) -> Array:
    """Return rows of an output's buffer `[outputs, B]`."""
    number, start, stop = place
    return buffers[number][start:stop]


def _activate(name: ActivationName, values: Array, before: Array | None, scratch: Array) -> None:
    """Apply an activation in place; `before` keeps what SiLU's derivative needs."""
    if name == "tanh":
        np.tanh(values, out=values)
    elif name == "relu":
        np.maximum(values, 0.0, out=values)
    else:
        assert before is not None
        np.copyto(before, values)
        np.multiply(values, _sigmoid(values, scratch), out=values)


def _differentiate(
    name: ActivationName, delta: Array, output: Array, before: Array | None, scratch: Array
) -> None:
    """Turn the gradient at an activation's output into that at its input."""
    if name == "tanh":
        np.multiply(output, output, out=scratch)
        np.subtract(1.0, scratch, out=scratch)
    elif name == "relu":
        np.greater(output, 0.0, out=scratch)
    else:
        assert before is not None
        # d silu / dz = s + silu * (1 - s), with s the sigmoid of z.
        _sigmoid(before, scratch)
        np.multiply(delta, scratch, out=before)
        np.subtract(1.0, scratch, out=scratch)
        np.multiply(scratch, output, out=scratch)
        np.multiply(delta, scratch, out=delta)
        np.add(delta, before, out=delta)
        return
    np.multiply(delta, scratch, out=delta)


def _sigmoid(values: Array, out: Array) -> Array:
    """Write the logistic function of each element: `(1 + tanh(z / 2)) / 2` can't overflow."""
    np.multiply(values, 0.5, out=out)
    np.tanh(out, out=out)
    np.multiply(out, 0.5, out=out)
    return np.add(out, 0.5, out=out)
