"""Checks of a candidate's source code, and its fingerprint. Pure."""

import ast
import functools
import hashlib

from orchestrator.core.candidate_mode import CREATE_ENV, OBSERVATION_SPACE, bound_names
from orchestrator.core.errors import EditError
from orchestrator.core.python_source import dump_source, parse_source
from orchestrator.core.records import ENV_PATH, TRAIN_PATH, Files

MAX_FILE_BYTES = 256 * 1024
REQUIRED = {ENV_PATH: (CREATE_ENV,), TRAIN_PATH: ("build_policy", "training_overrides")}
REQUIRED_WITH_WORLD = {**REQUIRED, ENV_PATH: (OBSERVATION_SPACE,)}
OBSERVERS = ("observe", "Observer")
"""With a world, env.py defines one of them."""


def check_file(path: str, text: str, *, has_world: bool = False) -> None:
    """Check one file by itself: size, encoding, syntax, required functions.

    `has_world` says that the task is a world of the user's own.

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
    bound = bound_names(parse(path, text))
    if has_world and path == ENV_PATH:
        _check_observer(bound)
    required = REQUIRED_WITH_WORLD if has_world else REQUIRED
    missing = [name for name in required[path] if name not in bound and "*" not in bound]
    if missing == [CREATE_ENV] and bound & {OBSERVATION_SPACE, *OBSERVERS}:
        raise EditError(
            "missing_function",
            f"{path} says what is seen of a world, but there is no task/world.py here: the task is "
            f"an environment that {path} itself defines and {CREATE_ENV}() returns",
        )
    if missing:
        raise EditError("missing_function", f"{path} lacks {', '.join(missing)}()")


def _check_observer(bound: set[str]) -> None:
    """Refuse an env.py that is an environment, or defines no observer, where there is a world."""
    if CREATE_ENV in bound or "*" in bound:
        what = f"{CREATE_ENV}()" if CREATE_ENV in bound else "whatever `import *` brings"
        raise EditError(
            "world",
            f"{ENV_PATH} defines {what}, but the task is the world in task/world.py, which is "
            "fixed: define observation_space(view_spaces) and observe(view) or a class Observer, "
            "and shape_reward(before, actions, after, reward, done) for what training is paid",
        )
    found = [name for name in OBSERVERS if name in bound]
    if len(found) != 1:
        what = "both observe() and Observer" if found else "neither observe(view) nor Observer"
        raise EditError("missing_function", f"{ENV_PATH} defines {what}: define one of them")


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
