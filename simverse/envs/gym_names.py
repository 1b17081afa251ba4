"""Gymnasium's environments by name: `[MODULE:]ID[?option=value&...]`, and wrappers by theirs."""

import ast
import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium

from simverse.arguments import did_you_mean

WRAPPERS = "wrappers"
MakeWrapper = Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]

# A name is written into Python files between double quotes, and shown in one line.
_PLAIN = re.compile(r"""[^"\\\n\r]*""")


@dataclass(frozen=True)
class GymName:
    """What a name says: `minigrid:MiniGrid-Empty-5x5-v0?wrappers=ImgObsWrapper&scale=10`."""

    env_id: str
    """As it is registered: `MiniGrid-Empty-5x5-v0`."""
    module: str | None
    """What is imported first, because it registers the environment: `minigrid`."""
    options: Mapping[str, Any]
    """`{"wrappers": (ImgObsWrapper by its name,), "scale": 10}`."""

    @classmethod
    def parse(cls, text: str) -> "GymName":
        """Return what a name says; nothing is imported yet.

        Values are Python's literals, or plain words. Raises `ValueError` for what can't be read.
        """
        if not _PLAIN.fullmatch(text):
            raise ValueError(f"a name has no double quotes, backslashes or line ends: {text!r:.80}")
        head, _, query = text.partition("?")
        module, colon, env_id = head.rpartition(":")
        if colon and not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(f"{module!r} is no module's name: write MODULE:ID, got {head!r}")
        if not env_id:
            raise ValueError(f"no environment is named in {text!r}: write ID or MODULE:ID")
        options: dict[str, Any] = {}
        for part in filter(None, query.split("&")):
            name, equals, value = part.partition("=")
            if not (equals and name.isidentifier()):
                raise ValueError(f"options are written ?name=value&name=value, got {part!r}")
            options[name] = wrapper_calls(value) if name == WRAPPERS else _literal(value)
        return cls(env_id, module or None, options)

    def spec(self) -> gymnasium.envs.registration.EnvSpec:
        """Import the module, if one is named, and return what is registered by the ID.

        Raises `ValueError` in one line: no such module or ID, with what to do.
        """
        if self.module is not None:
            imported(self.module)
        try:
            return gymnasium.spec(self.env_id)
        except gymnasium.error.Error as error:
            hint = "" if self.module else "; a package's own are named gym:PACKAGE:ID"
            raise ValueError(f"Gymnasium has no {self.env_id!r}: {error}{hint}") from error


@dataclass(frozen=True)
class WrapperCall:
    """A wrapper by its name, with its arguments beside the environment."""

    name: str
    arguments: Mapping[str, Any]


def wrapper_calls(text: str) -> tuple[WrapperCall, ...]:
    """Return the wrappers of `A,B(number=1)`, the innermost first.

    Raises `ValueError` if it is something else.
    """
    try:
        parsed = ast.parse(f"[{text.strip('[]')}]", mode="eval").body
        elements = parsed.elts if isinstance(parsed, ast.List) else [parsed]
        return tuple(_wrapper_call(element) for element in elements)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"wrappers are written A,B(number=1), got {text!r:.80}") from error


def _wrapper_call(node: ast.expr) -> WrapperCall:
    match node:
        case ast.Name(id=name):
            return WrapperCall(name, {})
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            given = {str(each.arg): ast.literal_eval(each.value) for each in keywords}
            return WrapperCall(name, given)
    raise ValueError("neither a name nor a call")


def imported(name: str) -> ModuleType:
    """Import a module that registers environments.

    Raises `ValueError` in one line: there is no such module, or it can't be imported.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package, missing = name.partition(".")[0], str(error.name)
        if missing.partition(".")[0] != package:
            raise ValueError(
                f"the module {name} needs {missing}, which is not installed: pip install {missing}"
            ) from error
        is_here = Path(package).is_dir() or Path(f"{package}.py").is_file()
        cure = "PYTHONPATH=. finds the one in this folder" if is_here else f"pip install {package}"
        raise ValueError(f"there is no module {missing}: {cure}") from error
    except Exception as error:
        raise ValueError(f"importing {name} raised {type(error).__name__}: {error}") from error


def wrappers_named(wrappers: Any, module: str | None) -> tuple[MakeWrapper, ...]:
    """Return what wraps an environment, the innermost first.

    Args:
        wrappers: a text as in `wrapper_calls`, or any number of such texts and of functions.
        module: where a name is looked up first: in `MODULE.wrappers`, then in the module itself;
            at last in `gymnasium.wrappers`.

    Raises:
        ValueError: there is no wrapper of that name; the message has the closest one.
    """
    given = [wrappers] if isinstance(wrappers, str) or callable(wrappers) else list(wrappers)
    places = _places(module)
    found: list[MakeWrapper] = []
    for each in given:
        calls = wrapper_calls(each) if isinstance(each, str) else (each,)
        found += [_wrapper(call, places) for call in calls]
    return tuple(found)


def _wrapper(call: Any, places: list[ModuleType]) -> MakeWrapper:
    if callable(call):
        return call  # type: ignore[no-any-return]
    if not isinstance(call, WrapperCall):
        raise ValueError(f"a wrapper is a name or a function, got {call!r:.60}")  # noqa: TRY004 - its value
    for place in places:
        wrapper: Any = getattr(place, call.name, None)
        if _is_wrapper(wrapper):
            return partial(wrapper, **call.arguments)
    where = " and ".join(place.__name__ for place in places)
    hint = did_you_mean(call.name, _names(places))
    raise ValueError(f"there is no wrapper {call.name!r} in {where}{hint}")


def _places(module: str | None) -> list[ModuleType]:
    places: list[ModuleType] = []
    if module is not None:
        places.append(imported(module))
        if importlib.util.find_spec(f"{module}.wrappers") is not None:
            places.insert(0, imported(f"{module}.wrappers"))
    return [*places, importlib.import_module("gymnasium.wrappers")]


def _names(places: Iterable[ModuleType]) -> list[str]:
    return [name for place in places for name in dir(place) if _is_wrapper(getattr(place, name))]


def _is_wrapper(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, gymnasium.Wrapper)


def _literal(text: str) -> Any:
    """Return a literal of Python's, else the text itself: `4`, `False`, `human`."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
