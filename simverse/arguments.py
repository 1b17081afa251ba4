"""The arguments of `sim`: numbers within bounds, and typing errors answered with what was meant."""

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

_CHOICE = re.compile(r"invalid choice: (['\"])(.*?)\1 \(choose from (.*)\)", re.DOTALL)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` with the closest of the known words, empty where none is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the closest command or option."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; refuse what is unknown here, where the command's own options are known."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [name for action in self._actions for name in action.option_strings]
            hints = (did_you_mean(word.partition("=")[0], options) for word in unknown)
            hint = next(filter(None, hints), "")
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Print usage and message, with the closest choice where one was mistyped; exit with 2."""
        if found := _CHOICE.search(message):
            message += did_you_mean(found[2], re.findall(r"[\w.:-]+", found[3]))
        super().error(message)


def count(most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from 1 to `most`."""

    def number(text: str) -> int:
        found = int(text)
        if found < 1:
            raise argparse.ArgumentTypeError(f"must be at least 1, got {found}")
        if found > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}, got {found}")
        return found

    return number


def bound(text: str) -> float:
    """Return a number that is finite and above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be finite and above 0, got {number}")
    return number


def seed(text: str) -> int:
    """Return a seed: at least 0, below 2**31."""
    number = int(text)
    if not 0 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 2**31, got {number}")
    return number
