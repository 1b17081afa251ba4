"""Reads a `forward` that is nothing but calls of layers, activations and reshapes.

Its source is followed statement by statement; whatever is not known (a condition, an operator, a
buffer, a call of anything else) ends the reading with `NotRecognisedError`. So what is read has no
effect besides its result, which depends on nothing but the observation and the parameters.
"""

import ast
import inspect
import linecache
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn
from torch.nn import functional

from simverse.policies import simple
from simverse.training.fused_structure import ActivationName, Columns, NotRecognisedError

_FUNCTIONS: tuple[tuple[Any, ActivationName], ...] = (
    (torch.tanh, "tanh"),
    (functional.tanh, "tanh"),
    (simple.tanh, "tanh"),
    (torch.relu, "relu"),
    (functional.relu, "relu"),
    (functional.silu, "silu"),
)
_METHODS: dict[str, ActivationName] = {"tanh": "tanh", "relu": "relu"}
_MOST_STEPS = 1000
"""Of a forward, so that reading one ends."""


class Observation(NamedTuple):
    """Stands for `[B, C, H, W]`."""


class Blocks(NamedTuple):
    """Columns cut in equal parts: `[B, K, H]`, or `[K, B, H]` once `is_stacked`."""

    parts: tuple[Columns, ...]
    is_stacked: bool


class Rows(NamedTuple):
    """Stands for the number `B` of a batch."""


class _Shape(NamedTuple):
    """Stands for the shape of a batch."""


class _Method(NamedTuple):
    """A method of a tensor, about to be called."""

    owner: Any
    name: str


_TENSORS = (Observation, Columns, Blocks)


class Calls(Protocol):
    """What is done with the calls in a forward; each raises `NotRecognisedError` or returns."""

    def call(self, module: nn.Module, value: Any) -> Any:
        """Call a module."""

    def activate(self, value: Any, name: ActivationName) -> Any:
        """Apply an activation."""

    def flatten(self, value: Any, start_dim: Any = 0, end_dim: Any = -1) -> Any:
        """Flatten a batch."""

    def reshape(self, value: Any, sizes: tuple[Any, ...]) -> Any:
        """Give a batch another shape."""

    def baddbmm(self, bias: Any, value: Any, weight: Any) -> Any:
        """Multiply blocks and add."""


def read_forward(calls: Calls, module: nn.Module, value: Any) -> Any:
    """Return what a module's `forward` makes of a value.

    Raises:
        NotRecognisedError: it does something that is not understood.
    """
    function = inspect.getattr_static(type(module), "forward", None)
    if not isinstance(function, FunctionType):
        raise NotRecognisedError(f"{type(module).__name__}.forward")
    return _Forward(calls, function).run(_definition(function), module, value)


def _definition(function: FunctionType) -> ast.FunctionDef:
    """Return the source of a function as a tree, if that is what was compiled."""
    code = function.__code__
    try:
        # Not by `inspect`, which asks every module there is for its file: 15 ms. The whole of it:
        # how a name is read depends on what the module imports.
        lines = linecache.getlines(code.co_filename, function.__globals__)
        tree = ast.parse("".join(lines))
        compiled = compile(tree, code.co_filename, "exec", dont_inherit=True)
    except (ValueError, SyntaxError) as error:
        raise NotRecognisedError("a forward without source") from error
    if code not in _codes(compiled):
        raise NotRecognisedError("a forward that is not its source")
    for node in ast.walk(tree):
        # With a decorator, the first line would be the decorator's.
        if isinstance(node, ast.FunctionDef) and node.lineno == code.co_firstlineno:
            return node
    raise NotRecognisedError("a forward that is no plain function")


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Return a piece of code and all that is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class _Forward:
    """One call of a `forward`."""

    def __init__(self, calls: Calls, function: FunctionType) -> None:
        self._calls = calls
        self._globals = function.__globals__
        self._defaults = function.__defaults__ or ()
        self._locals: dict[str, Any] = {}
        self._steps = 0

    def run(self, definition: ast.FunctionDef, module: nn.Module, value: Any) -> Any:
        """Return what it returns for `forward(module, value)`."""
        names = [argument.arg for argument in definition.args.args]
        others = definition.args
        left_out = self._defaults[len(self._defaults) - len(names[2:]) :]
        if others.vararg or others.kwarg or others.kwonlyargs or others.posonlyargs:
            raise NotRecognisedError("other arguments")
        if len(names) != 2 + len(left_out) or any(each is not None for each in left_out):
            raise NotRecognisedError("arguments that are not given")
        self._locals = dict(zip(names, (module, value, *left_out), strict=True))
        for statement in definition.body:
            if isinstance(statement, ast.Return) and statement.value is not None:
                return self._value(statement.value)
            self._execute(statement)
        raise NotRecognisedError("no result")

    def _execute(self, statement: ast.stmt) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise NotRecognisedError("a long forward")
        match statement:
            case ast.Expr(value=ast.Constant()):  # a docstring
                return
            case ast.Assign(targets=[target], value=value):
                self._assign(target, self._value(value))
            case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value):
                self._assign(target, self._value(value))
            case ast.If(
                test=ast.Compare(
                    left=asked,
                    ops=[ast.Is() | ast.IsNot() as operator],
                    comparators=[ast.Constant(value=None)],
                )
            ):  # what a policy has or lacks since it was built
                is_so = (self._value(asked) is None) == isinstance(operator, ast.Is)
                for inner in statement.body if is_so else statement.orelse:
                    self._execute(inner)
            case ast.For(target=ast.Name() as target, iter=ast.expr() as many, orelse=[]):
                for each in _children(self._value(many)):
                    self._assign(target, each)
                    for inner in statement.body:
                        self._execute(inner)
            case _:
                raise NotRecognisedError(f"a statement: {type(statement).__name__}")

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self._locals[name] = value
            case ast.Tuple(elts=targets) if type(value) is tuple and len(value) == len(targets):
                for each, part in zip(targets, value, strict=True):
                    self._assign(each, part)
            case _:
                raise NotRecognisedError("an assignment to something else than names")

    def _value(self, expression: ast.expr) -> Any:
        match expression:
            case ast.Name(id=name):
                return self._named(name)
            case ast.Constant(value=int() as number) if type(number) is int:
                return number
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number)):
                return -number
            case ast.Tuple(elts=elements):
                return tuple(map(self._value, elements))
            case ast.Attribute(value=owner, attr=name):
                return _attribute(self._value(owner), name)
            case ast.Subscript(value=owner, slice=index):
                return _item(self._value(owner), self._value(index))
            case ast.Call(func=function, args=arguments, keywords=keywords):
                named = {str(word.arg): self._value(word.value) for word in keywords}
                return self._call(self._value(function), [*map(self._value, arguments)], named)
        raise NotRecognisedError(f"an expression: {type(expression).__name__}")

    def _named(self, name: str) -> Any:
        for names in (self._locals, self._globals):
            if name in names:
                return names[name]
        if name == "len":
            return len
        raise NotRecognisedError(f"the name {name}")

    def _call(self, called: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        name = next((name for function, name in _FUNCTIONS if function is called), None)
        match called, arguments, named:
            case nn.Module(), [value], {**rest} if not rest:
                return self._calls.call(called, value)
            case _Method(), _, _:
                return self._method(called, arguments, named)
            case _, [value], {**rest} if name is not None and not rest:
                return self._calls.activate(value, name)
            case _, [value, *dims], _ if called is torch.flatten and named.keys() <= _DIMS:
                return self._calls.flatten(value, *dims, **named)
            case _, [bias, value, weight], {**rest} if called is torch.baddbmm and not rest:
                return self._calls.baddbmm(bias, value, weight)
            case _, [Observation() | Columns()], _ if called is len:
                return Rows()
        raise NotRecognisedError("a call of something else")

    def _method(self, method: _Method, arguments: list[Any], named: dict[str, Any]) -> Any:
        owner, name = method
        if name == "flatten" and named.keys() <= _DIMS and len(arguments) <= 2:
            return self._calls.flatten(owner, *arguments, **named)
        if named:
            raise NotRecognisedError(f"a call of {name}")
        match name, arguments:
            case _, [] if name in _METHODS:
                return self._calls.activate(owner, _METHODS[name])
            case "view" | "reshape", [tuple() as sizes] | [*sizes]:
                return self._calls.reshape(owner, tuple(sizes))
            case "size", [0] if not isinstance(owner, Blocks):
                return Rows()
            case "transpose", [0, 1] if isinstance(owner, Blocks):
                return Blocks(owner.parts, not owner.is_stacked)
        raise NotRecognisedError(f"a call of {name}")


_DIMS = {"start_dim", "end_dim"}


def _attribute(owner: Any, name: str) -> Any:
    if isinstance(owner, ModuleType) and name in vars(owner):
        return vars(owner)[name]
    if isinstance(owner, _TENSORS):
        return _Shape() if name == "shape" else _Method(owner, name)
    if isinstance(owner, nn.Module) and inspect.getattr_static(type(owner), name, None) is None:
        own = vars(owner)
        if name in own and (own[name] is None or type(own[name]) is int):
            return own[name]
        for found in (own["_modules"], own["_parameters"]):
            if name not in own and found.get(name) is not None:
                return found[name]
    raise NotRecognisedError(f"the attribute {name}")


def _item(owner: Any, index: Any) -> Any:
    if isinstance(owner, _Shape) and index == 0 and type(index) is int:
        return Rows()
    items: tuple[Any, ...] = ()
    if isinstance(owner, Blocks) and owner.is_stacked:
        items = owner.parts
    elif type(owner) is tuple:
        items = owner
    elif isinstance(owner, nn.Module):
        items = _children(owner)
    if type(index) is not int or not -len(items) <= index < len(items):
        raise NotRecognisedError("an item of something else")
    return items[index]


def _children(module: Any) -> tuple[nn.Module, ...]:
    if type(module) not in {nn.ModuleList, nn.Sequential}:
        raise NotRecognisedError("a loop over something else than modules")
    return tuple(vars(module)["_modules"].values())
