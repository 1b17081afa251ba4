"""One case as a record."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """An input that went wrong with version 0.1.0 (993ce74), and the test that holds its kind."""

    name: str
    """A few words, unique."""
    before: str
    """What was seen with 0.1.0, in a line."""
    after: str
    """What happens now, in a line: printed only where the tests pass."""
    tests: tuple[str, ...]
    """Node ids of pytest, relative to the repository (`tests/proposals/test_reply.py::test_x`)."""
