"""Source code is what Python's import makes of it, and no source code ends or delays the daemon."""

import ast
import importlib.util
import time
import warnings
from pathlib import Path

import pytest

from orchestrator.core.python_source import BOM, dump_source, parse_source

LEGAL = {
    "plain": "x = 1\n",
    "empty": "",
    "byte order mark": f"{BOM}x = 1\n",
    "byte order mark and coding": f"{BOM}# -*- coding: utf-8 -*-\nx = 'é'\n",
    "coding": "# coding: utf-8\nx = 'é'\n",
    "coding by another name": "#!/usr/bin/python\n# vim: set fileencoding=UTF8 :\nx = 'é'\n",
    "ascii": "# coding: ascii\nx = 1\n",
    "latin-1 without need": "# coding: latin-1\nx = 1\n",
    "coding in the third line": "x = 1\n\n# coding: latin-1\ny = 'é'\n",
    "windows lines": "x = 1\r\nif x:\r\n    y = 2\r\n",
    "old Mac lines": "x = 1\rif x:\r    y = '''a\rb'''\r",
    "old Mac lines after a comment": "# hm\rx = 'coding: latin-1 é'\r",
    "form feed": "x = 1\n\x0cy = 2\n",
    "separators in texts": "x = 'a\u2028b\u2029c\x85d\x0be\x1cf'\ny = 2\n",
    "surrogate by its escape": r"x = '\ud800'",
    "byte order mark in a text": f"x = '{BOM}'\n",
    "unknown escape": r"x = '\d'",
    "large hexadecimal": "x = 0x" + "f" * 3500,
    "infinity": "x = 1e999",
}


@pytest.mark.parametrize("text", LEGAL.values(), ids=list(LEGAL))
def test_what_python_imports_is_parsed_as_python_does(tmp_path: Path, text: str) -> None:
    """The tree is that of the file's bytes, and Python imports the file."""
    file = tmp_path / "candidate.py"
    file.write_bytes(text.encode())
    spec = importlib.util.spec_from_file_location("candidate", file)
    assert spec is not None
    assert spec.loader is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        tree = ast.parse(text.encode())
    assert dump_source(parse_source(text)) == ast.dump(tree)


ILLEGAL = {
    "two byte order marks": (f"{BOM}{BOM}x = 1\n", r"U\+FEFF"),
    "byte order mark amid": (f"x = 1\n{BOM}y = 2\n", r"U\+FEFF"),
    "latin-1": ("# coding: latin-1\nx = 'é'\n", "coding line says iso-8859-1"),
    "latin-1 in the second line": ("#\n# coding: latin-1\nx = 'é'\n", "remove that line"),
    "utf-7": ("# coding: utf-7\nx = 1\n", "coding line says utf-7"),
    "utf-16": ("# coding: utf-16\nx = 1\n", "coding line"),
    "no such coding": ("# coding: klingon\nx = 1\n", "klingon"),
    "no text's coding": ("# coding: zip\nx = 1\n", "coding line"),
    "coding against the mark": (f"{BOM}# coding: latin-1\nx = 'é'\n", "remove that line"),
    "null": ("x = 1\0\n", "null"),
    "surrogate": ("x = '\ud800'\n", "surrogates"),
    "decimal of 5,000 digits": ("x = " + "1" * 5000, "4300 digits"),
    "hexadecimal of 4,000": ("x = 0x" + "f" * 4000, "more than 4300 digits"),
    "binary of 20,000": ("y = 1\nx = 0b" + "1_1" * 10_000, "more than 4300 digits"),
    "negative hexadecimal": ("x = [-0x" + "f" * 4000 + "]", "more than 4300 digits"),
    "many brackets": ("(" * 5000, "too many nested parentheses"),
    "brackets": ("x = " + "[" * 250 + "]" * 250, "too many nested"),
    "signs": ("x = " + "-" * 100_000 + "1", "nested too deeply"),
    "not": ("x = " + "not " * 60_000 + "1", "nested too deeply"),
    "attributes": ("x" + ".a" * 100_000, "nested too deeply"),
    "lambdas": ("lambda:" * 30_000 + "1", "nested too deeply"),
    "conditions": ("x = " + "1 if 1 else " * 20_000 + "1", "nested too deeply"),
    "sums": ("x = 1" + "+1" * 100_000, "nested too deeply"),
    "branches": ("if x: pass\n" + "elif x: pass\n" * 20_000, "nested too deeply"),
    "indentation": ("".join(" " * i + "if x:\n" for i in range(101)), "indentation"),
    "fields": ("f'" + "{x}" * 80_000 + "'", "opening braces"),
    "combining characters": ("a" + "\u0301\u0316" * 60_000 + " = 1", "combining characters"),
}


@pytest.mark.parametrize(("text", "said"), ILLEGAL.values(), ids=list(ILLEGAL))
def test_what_cant_be_used_is_a_syntax_error(text: str, said: str) -> None:
    """Whatever is wrong with it, in size, depth, coding or digits, it is SyntaxError, and soon."""
    began = time.process_time()
    with pytest.raises(SyntaxError, match=said):
        dump_source(parse_source(text))
    assert time.process_time() - began < 10
