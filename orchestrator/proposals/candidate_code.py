"""Checks of a candidate's source code, and its fingerprint. Pure."""

import ast
import functools
import hashlib

from orchestrator.core.errors import EditError
from orchestrator.core.python_source import dump_source, parse_source
from orchestrator.core.records import ENV_PATH, TRAIN_PATH, Files

MAX_FILE_BYTES = 256 * 1024
REQUIRED = {ENV_PATH: ("create_env",), TRAIN_PATH: ("build_policy", "training_overrides")}


def check_file(path: str, text: str) -> None:
    """Check one file by itself: size, encoding, syntax, required functions.

    Raises:
        EditError: naming what is wrong, with a line number where there is one.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise EditError("encoding", f"{path} is not valid text (UTF-8)") from None
    if size > MAX_FILE_BYTES:
        raise EditError("too_large", f"{path} has {size} bytes; at most {MAX_FILE_BYTES}")
    if "\0" in text:
        raise EditError("encoding", f"{path} holds a null character")
    tree = parse(path, text)
    bound = _module_names(tree)
    missing = [name for name in REQUIRED[path] if name not in bound and "*" not in bound]
    if missing:
        raise EditError("missing_function", f"{path} lacks {', '.join(missing)}()")


@functools.lru_cache(maxsize=8)
def fingerprint(files: Files) -> str:
    """Return a hash of both files' syntax trees: equal if only comments or layout differ.

    Raises:
        EditError: a file does not parse.
    """
    trees = "\n".join(_dump(path, text) for path, text in files.by_path().items())
    return hashlib.sha256(trees.encode(errors="surrogatepass")).hexdigest()


def parse(path: str, text: str) -> ast.Module:
    """Return the syntax tree of a file as Python sees it. Raises `EditError`: it has none."""
    try:
        return parse_source(text)
    except SyntaxError as error:
        raise _syntax_error(path, error) from None


@functools.lru_cache(maxsize=8)  # one of the two files often stays the same
def _dump(path: str, text: str) -> str:
    try:
        return dump_source(parse_source(text))
    except SyntaxError as error:
        raise _syntax_error(path, error) from None


def _syntax_error(path: str, error: SyntaxError) -> EditError:
    at = f" line {error.lineno}" if error.lineno else ""
    quoted = f": {error.text.strip()[:200]}" if error.text else ""
    return EditError("syntax_error", f"{path}{at}: {error.msg[:300]}{quoted}")


def _module_names(tree: ast.Module) -> set[str]:
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
