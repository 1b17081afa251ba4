"""Boundaries fuzzed: `python -m tests.fuzz NAME --inputs N`; a short form runs with the tests."""
