"""A candidate's source code, parsed as Python does when it imports the file. Pure."""

import ast
import codecs
import re
import tokenize
import unicodedata
import warnings

BOM = "\ufeff"
MAX_BRACES = 20_000
"""Opening braces in a file: the parser needs quadratic time for the fields of an f-string."""
MAX_MARKS = 50
"""Combining characters in a row: normalising names takes quadratic time."""
MAX_DIGITS = 4300
"""Digits of an integer that Python converts to text."""
_LARGEST = 10**MAX_DIGITS
_LONG_NUMBER = re.compile(r"[0-9a-fA-F_]{3000}")
_ASCII_ALIKE = frozenset({"ascii", "iso8859-1", "iso8859-15", "cp1252"})


def parse_source(text: str) -> ast.Module:
    """Return the syntax tree of a file in UTF-8, with or without a byte order mark.

    Raises:
        SyntaxError: Python would not import it, it is declared to have another encoding, or it is
            made to take the parser's time: `lineno` and `text` are set where they are known.
    """
    _check_bounds(text)
    plain = text.removeprefix(BOM)
    _check_declaration(plain)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape like "\\d" is no error
            tree = ast.parse(plain)
    except (RecursionError, MemoryError):
        raise SyntaxError("nested too deeply") from None
    except ValueError as error:  # null characters, lone surrogates
        raise SyntaxError(str(error) or type(error).__name__) from None
    if _LONG_NUMBER.search(plain):
        _check_integers(tree)
    return tree


def dump_source(tree: ast.Module) -> str:
    """Return a tree of `parse_source` as text without places: equal for equal code.

    Raises:
        SyntaxError: it is nested too deeply.
    """
    try:
        return ast.dump(tree)
    except RecursionError:
        raise SyntaxError("nested too deeply") from None


def _check_bounds(text: str) -> None:
    if text.count("{") > MAX_BRACES:
        raise SyntaxError(f"more than {MAX_BRACES} opening braces")
    if text.isascii():
        return
    row = 0
    for character in text:
        row = row + 1 if unicodedata.combining(character) else 0
        if row > MAX_MARKS:
            raise SyntaxError(f"more than {MAX_MARKS} combining characters in a row")


def _check_declaration(text: str) -> None:
    """Refuse a coding line (PEP 263) by which Python would read another text than is there."""
    first = re.split(r"\r\n|\r|\n", text, maxsplit=2)[:2]
    try:
        lines = (f"{line}\n".encode(errors="replace") for line in first)
        declared, _ = tokenize.detect_encoding(lines.__next__)
        name = codecs.lookup(declared).name
    except (SyntaxError, LookupError) as error:
        raise SyntaxError(f"{str(error)[:100]}: remove its coding line") from None
    if name not in {"utf-8", "utf-8-sig"} and not (name in _ASCII_ALIKE and text.isascii()):
        raise SyntaxError(
            f"its coding line says {declared[:50]}, but it is UTF-8: remove that line"
        )


def _check_integers(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, int)
            and node.value >= _LARGEST
        ):
            message = f"an integer of more than {MAX_DIGITS} digits"
            raise SyntaxError(message, ("", node.lineno, None, None))
