"""The measurements of the source tree: sizes, and imports between folders.

`python -m tests.house [FOLDER]` prints them for the checkout in FOLDER (this one by default).
A *room* is a folder directly below `orchestrator/`, or a module that lies there by itself.
"""

import argparse
import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LAYERS = (
    ("core",),
    ("config",),
    ("proposals", "judging"),
    ("planning",),
    ("store", "agents", "evaluation"),
    ("engine", "reporting"),
    ("daemon",),
    ("web",),
    ("cli",),
)
"""The folders of `orchestrator/`, the lowest layer first; those of one layer don't import each other."""
PACKAGES = ("orchestrator", "referee", "sandbox", "simverse")
LONG_FUNCTION, LONG_MODULE = 50, 300

Edges = frozenset[tuple[str, str]]
"""Who imports whom: pairs of importer and imported."""


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    """As it is imported, say `orchestrator.core.text`."""
    path: Path

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> frozenset[str]:
        """The dotted names that are imported, anywhere in the file, `TYPE_CHECKING` included.

        `from a.b import c` counts as `a.b.c`: `c` may be a module.
        """
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        return frozenset(names)

    @property
    def lines(self) -> int:
        return self.source.count("\n")

    @property
    def room(self) -> str:
        """The folder below the package, or the module's own name if it lies in the package."""
        parts = self.name.split(".")
        if len(parts) == 1:
            return "__init__"
        return parts[1]

    def functions(self) -> Iterator[tuple[str, int]]:
        """Yield each function's name and its lines, from `def` to the end."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield node.name, node.end_lineno - node.lineno + 1


def modules(root: Path, package: str) -> list[Module]:
    """Return a package's modules, in order of path; none if there is no such package."""
    found = []
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path))
    return found


def module_imports(found: Sequence[Module]) -> Edges:
    """Return the imports between modules."""
    names = {module.name for module in found}
    edges = set()
    for module in found:
        for name in module.imports:
            target = name if name in names else name.rpartition(".")[0]
            if target in names and target != module.name:
                edges.add((module.name, target))
    return frozenset(edges)


def room_imports(found: Sequence[Module]) -> Edges:
    """Return the imports between rooms."""
    rooms = {module.name: module.room for module in found}
    edges = {(rooms[a], rooms[b]) for a, b in module_imports(found)}
    return frozenset((a, b) for a, b in edges if a != b)


def cycles(edges: Edges) -> list[list[str]]:
    """Return the sets of nodes that import each other, directly or not, each sorted."""
    reach = _reachable(edges)
    found = {
        tuple(sorted(other for other in reach[node] if node in reach.get(other, ())))
        for node in reach
        if node in reach[node]
    }
    return [list(cycle) for cycle in sorted(found)]


def levels(nodes: Iterable[str], edges: Edges) -> int:
    """Return how many levels the nodes stand on, each above all it imports; a cycle is one node."""
    reach = _reachable(edges)
    below = {
        node: {other for other in reach.get(node, ()) if node not in reach.get(other, ())}
        for node in nodes
    }
    heights: dict[str, int] = {}
    # All that is below a node has fewer below itself, and so is placed before it.
    for node in sorted(below, key=lambda node: len(below[node])):
        heights[node] = 1 + max((heights[other] for other in below[node]), default=0)
    return max(heights.values(), default=0)


def upward(edges: Edges, layers: Iterable[Iterable[str]] = LAYERS) -> list[tuple[str, str]]:
    """Return the imports that go up a layer, or to another room of the same layer."""
    height = {room: n for n, layer in enumerate(layers) for room in layer}
    return sorted(
        (a, b) for a, b in edges if a in height and b in height and height[a] <= height[b]
    )


def _reachable(edges: Edges) -> Mapping[str, set[str]]:
    """Return what each importer reaches over one import or more."""
    direct: dict[str, set[str]] = {a: set() for a, _ in edges}
    for a, b in edges:
        direct[a].add(b)
    reach: dict[str, set[str]] = {}
    for start, first in direct.items():
        reach[start], new = set(), set(first)
        while new:
            reach[start] |= new
            new = set().union(*(direct.get(node, set()) for node in new)) - reach[start]
    return reach


def report(root: Path) -> list[str]:
    """Return the measurements of a checkout, a line each."""
    found = modules(root, "orchestrator")
    rooms, edges = {module.room for module in found}, room_imports(found)
    ordered = rooms >= {room for layer in LAYERS for room in layer}
    up = upward(edges)
    lines = ["orchestrator, files a folder:", *_folder_sizes(found), ""]
    lines += [f"rooms (folders, and modules outside of one)  {len(rooms)}"]
    lines += [f"import levels (floors)                       {levels(rooms, edges)}"]
    lines += [f"imports between rooms (arrows)               {len(edges)}"]
    lines += _listed("cycles between rooms (circles)", [" <-> ".join(c) for c in cycles(edges)])
    modules_in_cycles = [" <-> ".join(c) for c in cycles(module_imports(found))]
    lines += _listed("cycles between modules", modules_in_cycles)
    if ordered:
        lines += _listed("imports up or across a layer", [f"{a} -> {b}" for a, b in up])
    else:
        lines += ["imports up or across a layer                 no layers: the folders are missing"]
    lines += ["", *_long(root)]
    return lines


def _folder_sizes(found: Iterable[Module]) -> list[str]:
    folders = Counter(str(module.path.parent) for module in found)
    shortest = min(folders, key=len)
    return [
        f"  {Path(folder).relative_to(Path(shortest).parent)!s:<30} {count:>3}"
        for folder, count in sorted(folders.items())
    ]


def _long(root: Path) -> list[str]:
    """Return the long functions and modules of every package, `framework.py` included."""
    everything = [module for package in PACKAGES for module in modules(root, package)]
    everything.append(Module("framework", root / "framework.py"))
    functions = [
        (count, f"{module.name}.{name}")
        for module in everything
        for name, count in module.functions()
    ]
    counts = sorted(count for count, _ in functions)
    long_functions = sorted(((n, name) for n, name in functions if n > LONG_FUNCTION), reverse=True)
    sizes = [(module.lines, module.name) for module in everything]
    long_modules = sorted(((n, name) for n, name in sizes if n > LONG_MODULE), reverse=True)
    middle, most = counts[len(counts) // 2], counts[9 * len(counts) // 10]
    return [
        f"{', '.join(PACKAGES)} and framework.py: {len(everything)} modules, "
        f"{sum(n for n, _ in sizes):,} lines, {len(functions)} functions",
        f"function length, median / 90 % / longest     {middle} / {most} / {counts[-1]}",
        *_listed(f"functions over {LONG_FUNCTION} lines", [f"{n} {x}" for n, x in long_functions]),
        *_listed(f"modules over {LONG_MODULE} lines", [f"{n} {x}" for n, x in long_modules]),
    ]


def _listed(what: str, names: list[str]) -> list[str]:
    return [f"{what:<44} {len(names)}", *(f"  {name}" for name in names)]


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).parent.parent
    parser.add_argument("folder", type=Path, nargs="?", default=here, help="a checkout")
    print("\n".join(report(parser.parse_args().folder)))


if __name__ == "__main__":
    main()
