"""What the runner of coding agents must know of a program: how it is called, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.records import Tokens


@dataclass(frozen=True)
class Place:
    """Where a program runs: paths as the program itself sees them."""

    folder: Path
    """Its working folder, with the files to edit; no git repository."""
    home: Path
    """Its `$HOME`: a folder of its own, or the user's (`agent.home`)."""
    has_own_home: bool
    is_confined: bool = False
    """Is it confined already? Then a sandbox of its own may not work, nor is it needed."""


@dataclass(frozen=True)
class Call:
    """A program's call, without a shell."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables besides the scrubbed environment: its key, its endpoint, its settings."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Files to write before the call into its own home, text by path below it."""
    prompt_file: str | None = None
    """Where the program reads its prompt from a file, its name in the folder; None: from its
    standard input, which then ends."""


@dataclass(frozen=True)
class Said:
    """What a program's output tells besides the edit, which is the diff of the files."""

    text: str = ""
    """Its last message."""
    tokens: Tokens = Tokens()
    """Input includes what was cached, as in OpenAI's count."""
    cost_usd: float | None = None
    """As the program tells it; None where it does not."""
    error: str = ""
    """Why its turn failed, in its own words; empty if it says of no failure."""
    status: int | None = None
    """The HTTP status behind the error, where it is told."""
    is_known: bool = True
    """False if the output is in no format that is known: then the diff is all there is."""


class Output(Protocol):
    """Reads a program's output as it comes. No value in it can raise."""

    def feed(self, line: bytes) -> None:
        """Take one line of its standard output; a very long one comes cut."""

    @property
    def is_over(self) -> bool:
        """Has it told that its turn is over? Some programs never exit after that."""

    def said(self, exit_code: int | None, stderr: str) -> Said:
        """Return what it told, once it is over; `exit_code` is None if it was killed."""


class Program(Protocol):
    """One coding agent."""

    name: str
    """The backend's name, such as `codex`."""
    streams: bool
    """Does it tell what it does while it does it? Then `agent.silence_s` holds."""
    needs: tuple[str, ...]
    """Variables of the environment, one of which holds its key; empty if it has no such."""
    login: tuple[str, ...]
    """Paths below the user's home that hold its login and settings; empty if nobody knows them."""

    def call(self, config: AgentConfig, place: Place, environment: Mapping[str, str]) -> Call:
        """Return its call.

        Args:
            config: the agent's configuration.
            place: where it will run.
            environment: the daemon's, of which only what the program needs is passed on.
        """

    def output(self) -> Output:
        """Return a reader of one call's output."""

    def version(self, text: str) -> str | None:
        """Return the version in what `PROGRAM --version` printed; None if there is none."""
