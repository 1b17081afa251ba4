"""Names of a package that are looked up on first use: importing the package costs nothing."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def looked_up(package: str, home: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`; `home` says in which module each of its names is."""

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return get
