"""What is wrong with code that is called before a run, a line each. Imports torch."""

from collections.abc import Callable
from typing import TypeVar

from referee.candidate_code import CandidateContractError
from referee.records import CandidateError
from sandbox import Channel
from simverse.errors import EnvironmentContractError, PolicyError

T = TypeVar("T")
CONTRACT_ERRORS = (
    CandidateContractError,
    CandidateError,
    EnvironmentContractError,
    PolicyError,
)
"""Errors whose text says all; of any other the type is told too, and the line."""


class StoppedError(Exception):
    """What follows can't be checked; why is among the problems."""


class Problems:
    """The problems so far; whoever asked is told what is being called."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.problems: list[str] = []

    def attempt(self, what: str, call: Callable[[], T]) -> T:
        """Call something of another's. Raises `StoppedError` once its error is a problem."""
        self._channel.send({"at": what})  # so that it is known where a candidate hangs
        try:
            return call()
        except CONTRACT_ERRORS as error:
            self.problems.append(str(error))
        except Exception as error:  # noqa: BLE001 - candidate code may raise anything
            self.problems.append(f"{what} raised {described(error)}")
        raise StoppedError


def described(error: Exception) -> str:
    """Return an error's type, text and place, as `ValueError: no (candidate/env.py line 3)`."""
    place, trace = "", error.__traceback__
    while trace is not None:
        folder, _, file = trace.tb_frame.f_code.co_filename.rpartition("/")
        if folder.endswith(("/candidate", "/task")):
            place = f" ({folder.rpartition('/')[2]}/{file} line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}".rstrip(": ") + place
