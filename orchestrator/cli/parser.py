"""The argument parser: typing errors are answered with what may have been meant."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from orchestrator.core.text import did_you_mean

_CHOICE = re.compile(r"invalid choice: (['\"])(.*?)\1 \(choose from (.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the closest command, choice or option."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; refuse what is unknown here, where the command's own options are known."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [name for action in self._actions for name in action.option_strings]
            hints = (did_you_mean(word.partition("=")[0], options) for word in unknown)
            hint = next(filter(None, hints), "")
            text = f"unrecognized arguments: {' '.join(unknown)}"
            self.error(f"{text}; {hint}" if hint else text)
        return parsed, unknown

    def words(self) -> list[str]:
        """Return the options, and the choices of the arguments, that can be typed here."""
        shown = [action for action in self._actions if action.help is not argparse.SUPPRESS]
        options = [name for action in shown for name in action.option_strings]
        plain = (action for action in shown if not action.option_strings)
        return options + [str(choice) for action in plain for choice in action.choices or ()]

    def values(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the options that need a value, each with the choices there are for it."""
        return [
            (name, tuple(map(str, action.choices or ())))
            for action in self._actions
            if action.nargs is None and action.help is not argparse.SUPPRESS  # a flag has 0
            for name in action.option_strings
        ]

    def error(self, message: str) -> NoReturn:
        """Print usage and message, with the closest choice where one was mistyped; exit with 2."""
        if found := _CHOICE.search(message):
            hint = did_you_mean(found[2], re.findall(r"[\w.:-]+", found[3]))
            message = f"{message}; {hint}" if hint else message
        super().error(message)
