"""Sources of the configuration: the file, the environment, `--set`.

Stricter than YAML 1.1: booleans are `true` and `false` alone, `1e-4` is a number, times are text,
and a duplicate key is an error. Problems are collected with their places, all in one pass.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from orchestrator.core.text import one_line

ENVIRONMENT_PREFIX = "AUTORL_"
_MOST_KEYS = 20

Path_ = tuple[str | int, ...]
MOST_BYTES = 64 * 1024
"""Of the file and of each setting: YAML's reader takes minutes for a key of some megabytes."""


@dataclass(frozen=True)
class Source:
    """One source, a file or a setting: a tree of values, and the place of each path."""

    values: Mapping[str, Any]
    places: Mapping[Path_, str]


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of YAML 1.2: no yes/no booleans, no sexagesimal numbers, no dates."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse anchors, aliases and tags, which a config never needs."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not supported", problem_mark=event.start_mark
            )
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="tags are not supported", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"~|null|", "~n"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first, ""]
    )


def _integer(_loader: Any, node: yaml.ScalarNode) -> int:
    # YAML 1.1 reads a leading zero as octal, which is rarely meant.
    if len(node.value) > 100:
        raise yaml.MarkedYAMLError(
            problem="a number with too many digits", problem_mark=node.start_mark
        )
    return int(node.value)


def _number(_loader: Any, node: yaml.ScalarNode) -> float:
    text = node.value.lower()
    return math.nan if "nan" in text else float(text.replace(".inf", "inf"))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


@dataclass(frozen=True)
class _Reader:
    """Reads one YAML text into plain values, noting the place of every key."""

    name: str
    """The file, or the setting."""
    has_lines: bool
    places: dict[Path_, str]
    problems: list[str]

    def read(self, text: str, path: Path_) -> Any:
        """Return the values of the text; None, with a problem noted, if it is not YAML."""
        try:
            loader = _Loader(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            character = ord(text[error.position])
            self._complain(line, f"not YAML: character U+{character:04X} may not stand in it")
            return None
        try:
            node = loader.get_single_node()
            return None if node is None else self._value(loader, node, path)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = ", ".join(filter(None, [error.context, error.problem]))
            self._complain(mark.line + 1 if mark else 1, f"not YAML: {one_line(what)}")
        except RecursionError:
            self._complain(1, "not a configuration: nested too deeply")
        except (ValueError, OverflowError):  # an escape such as \\UFFFFFFFF
            self._complain(1, "not YAML: an escape names no character")
        finally:
            loader.dispose()
        return None

    def _value(self, loader: _Loader, node: yaml.Node, path: Path_) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [
                self._value(loader, child, (*path, index)) for index, child in enumerate(node.value)
            ]
        if not isinstance(node, yaml.MappingNode):
            return loader.construct_object(node)
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key, child in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._complain(line, "a key must be a word")
                continue
            inner = (*path, key.value)
            if key.value in first:
                also = f", first on line {first[key.value]}" if self.has_lines else ""
                self._complain(line, f"{dotted(inner)}: stands twice{also}")
            first.setdefault(key.value, line)
            self.places[inner] = self._at(line)
            values[key.value] = self._value(loader, child, inner)
        return values

    def _at(self, line: int) -> str:
        return f"{self.name}:{line}" if self.has_lines else self.name

    def _complain(self, line: int, problem: str) -> None:
        self.problems.append(f"{self._at(line)}: {problem}")


def from_file(text: str, name: str, problems: list[str]) -> Source:
    """Read the text of the YAML file `name`."""
    places: dict[Path_, str] = {}
    values = _Reader(name, True, places, problems).read(text, ())
    if values is not None and not isinstance(values, dict):
        problems.append(f"{name}: must be a mapping of sections, not {type(values).__name__}")
    return Source(values if isinstance(values, dict) else {}, places)


def from_environment(
    environment: Mapping[str, str], problems: list[str], left_out: Collection[str] = ()
) -> list[Source]:
    """Read every `AUTORL_A__B=value` but those left out, in the order of their names."""
    sources = []
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in left_out:
            continue
        keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        if all(keys):
            sources.append(_setting(keys, environment[name], name, problems))
        else:
            problems.append(f"{name}: names no key, as AUTORL_LIMITS__EXPERIMENTS does")
    return sources


def from_settings(settings: Iterable[str], problems: list[str]) -> list[Source]:
    """Read the `a.b=value` of each `--set`."""
    sources = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        keys = key.strip().split(".")
        if equals and all(keys):
            sources.append(_setting(keys, value, f"--set {key.strip()}", problems))
        else:
            problems.append(
                f"--set {one_line(setting)}: must be KEY=VALUE, as in limits.experiments=20"
            )
    return sources


def _setting(keys: list[str], text: str, place: str, problems: list[str]) -> Source:
    if len(text) > MOST_BYTES or len(keys) > _MOST_KEYS:
        problems.append(f"{one_line(place)}: is too long for a setting")
        return Source({}, {})
    places: dict[Path_, str] = {tuple(keys[: i + 1]): place for i in range(len(keys))}
    before = len(problems)
    tree: Any = _Reader(place, False, places, problems).read(text, tuple(keys))
    if len(problems) > before:
        return Source({}, {})
    for key in reversed(keys):
        tree = {key: tree}
    return Source(tree, places)


def merge(base: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Merge the values of `more` into `base`, section by section, in place of former ones."""
    for key, value in more.items():
        below = base.get(key)
        if isinstance(value, Mapping) and (below is None or isinstance(below, dict)):
            base[key] = below = {} if below is None else below
            merge(below, value)
        else:
            base[key] = value


def dotted(path: Path_) -> str:
    """Return a path as it is written: `budget.ladder`."""
    return ".".join(str(part) for part in path)
