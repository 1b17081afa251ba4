"""Which policies are plain multilayer perceptrons: told from their modules and their source."""

from typing import Any

from torch import nn
from torch.nn.modules import module as torch_modules

from simverse.training.fused_source import Blocks, Observation, Rows, read_forward
from simverse.training.fused_structure import (
    ActivationName,
    Columns,
    Dense,
    NotRecognisedError,
    Structure,
    check_structure,
)

_ACTIVATIONS: dict[type, ActivationName] = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.SiLU: "silu"}
_HOOKS = ("_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_pre_hooks")
_GLOBAL_HOOKS = tuple(f"_global{name}" for name in _HOOKS)
_METHODS = ("__call__", "__getattr__", "__getattribute__", "_call_impl", "_wrapped_call_impl")
"""What decides that calling a module calls its class's `forward`, and what its attributes are."""


def recognise(policy: nn.Module, inputs: int, num_actions: int) -> Structure:
    """Return what a policy computes from observations of `inputs` numbers each.

    Raises:
        NotRecognisedError: it is not known to be a multilayer perceptron.
    """
    if any(True for _ in policy.buffers()):
        raise NotRecognisedError("buffers")
    if any(getattr(torch_modules, name) for name in _GLOBAL_HOOKS):
        raise NotRecognisedError("hooks of all modules")
    reader = _Reader(inputs)
    outputs = reader.call(policy, Observation())
    if type(outputs) is not tuple or len(outputs) != 2:
        raise NotRecognisedError("an output that is not (logits, value)")
    structure = Structure(reader.layers, *outputs)
    check_structure(structure, policy, num_actions)
    return structure


class _Reader:
    """Follows a policy's modules from the observation to its outputs and notes each layer."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        self.layers: list[Dense] = []

    def call(self, module: nn.Module, value: Any) -> Any:
        """Return what a module makes of a value."""
        _check_untouched(module)
        kind = type(module)
        if isinstance(module, nn.Linear) and kind is nn.Linear:
            weight = module.weight
            if not isinstance(weight, nn.Parameter):
                raise NotRecognisedError("a weight that is no parameter")
            return self._add(Dense(value, weight, module.bias, weight.shape[0]), weight.shape[1])
        if kind in _ACTIVATIONS:
            return self.activate(value, _ACTIVATIONS[kind])
        if isinstance(module, nn.Flatten) and kind is nn.Flatten:
            return self.flatten(value, module.start_dim, module.end_dim)
        if kind is nn.Identity:
            return value
        if kind is nn.Sequential:
            for inner in module.children():
                value = self.call(inner, value)
            return value
        if kind.__module__.split(".")[0] == "torch":
            raise NotRecognisedError(kind.__name__)
        return read_forward(self, module, value)

    def activate(self, value: Any, name: ActivationName) -> Any:
        """Return an activation of whole layers."""
        if isinstance(value, Blocks) and value.is_stacked:
            return Blocks(tuple(self.activate(part, name) for part in value.parts), True)
        if not isinstance(value, Columns) or value.layer < 0:
            raise NotRecognisedError("an activation of something that is no layer's")
        layer = self.layers[value.layer]
        if layer.activation is not None or value.width != layer.outputs:
            raise NotRecognisedError("a second activation, or one of a part")
        layer.activation = name
        return Columns(value.layer, 0, layer.outputs, is_activated=True)

    def flatten(self, value: Any, start_dim: Any = 0, end_dim: Any = -1) -> Any:
        """Return a batch with one row of features each."""
        if (start_dim, end_dim) != (1, -1):
            raise NotRecognisedError("another way to flatten")
        if isinstance(value, Observation):
            return Columns(-1, 0, self._inputs)
        if isinstance(value, Columns):
            return value
        raise NotRecognisedError("another way to flatten")

    def reshape(self, value: Any, sizes: tuple[Any, ...]) -> Any:
        """Return a batch flattened, or its columns cut in equal parts."""
        match value, sizes:
            case ((Observation() | Columns()), (Rows(), -1)):
                return self.flatten(value, 1)
            case Columns(), (Rows() | -1, int() as count, int() as size) if (
                count > 0 and count * size == value.width
            ):
                starts = [value.start + index * size for index in range(count)]
                cut = [Columns(value.layer, at, at + size, value.is_activated) for at in starts]
                return Blocks(tuple(cut), False)
        raise NotRecognisedError("another shape")

    def baddbmm(self, bias: Any, value: Any, weight: Any) -> Any:
        """Return a dense layer of each block, `bias + value @ weight`."""
        if not isinstance(value, Blocks) or not value.is_stacked:
            raise NotRecognisedError("a batched product of something else")
        count, width = len(value.parts), value.parts[0].width
        if not isinstance(weight, nn.Parameter) or not isinstance(bias, nn.Parameter):
            raise NotRecognisedError("a batched product with something else than parameters")
        outputs = weight.shape[-1]
        if weight.shape != (count, width, outputs) or bias.shape != (count, 1, outputs):
            raise NotRecognisedError("a batched product of other sizes")
        made = [
            self._add(Dense(part, weight, bias, outputs, block=index), width)
            for index, part in enumerate(value.parts)
        ]
        return Blocks(tuple(made), True)

    def _add(self, layer: Dense, inputs: int) -> Columns:
        """Note a layer and return its output."""
        if not isinstance(layer.source, Columns) or layer.source.width != inputs:
            raise NotRecognisedError("a layer of something that is not flat, or of another width")
        self.layers.append(layer)
        return Columns(len(self.layers) - 1, 0, layer.outputs)


def _check_untouched(module: nn.Module) -> None:
    """Raise unless calling a module is calling its class's `forward`, and no more."""
    kind = type(module)
    if any(getattr(kind, name) is not getattr(nn.Module, name) for name in _METHODS):
        raise NotRecognisedError(f"another way to call {kind.__name__}")
    own = vars(module)
    if own.get("_compiled_call_impl") is not None or any(name in own for name in _METHODS):
        raise NotRecognisedError(f"a compiled {kind.__name__}")
    if "forward" in own or any(own.get(name) for name in _HOOKS):
        raise NotRecognisedError(f"a hook of {kind.__name__}")
