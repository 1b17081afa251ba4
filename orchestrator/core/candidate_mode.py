"""Whether a candidate is an environment of its own, or acts in the user's world. Pure."""

import ast
import functools

from orchestrator.core.python_source import parse_source

CREATE_ENV, OBSERVATION_SPACE = "create_env", "observation_space"


@functools.lru_cache(maxsize=32)
def has_environment(env: str) -> bool:
    """Does env.py define an environment of its own, and not only what is seen of a world?

    Where the user has a world, only candidates without one are evaluated; elsewhere only those with
    one. So the code tells which of the two a candidate was evaluated in.
    """
    try:
        bound = bound_names(parse_source(env))
    except SyntaxError:
        return True
    return OBSERVATION_SPACE not in bound or CREATE_ENV in bound or "*" in bound


def bound_names(tree: ast.Module) -> set[str]:
    """Return the names bound at module level, below `if`, `try` and `with` too."""
    names: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(node, ast.expr) or isinstance(node, ast.Tuple):
            waiting.extend(ast.iter_child_nodes(node))
    return names
