"""The records that pass between modules: frozen and typed.

The *evaluator* scores candidates (`framework.py`), the *referee* is its trusted process, and a
*worker* is a confined process that runs candidate code.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

ENV_PATH = "candidate/env.py"
TRAIN_PATH = "candidate/train.py"
CANDIDATE_PATHS = (ENV_PATH, TRAIN_PATH)
BASELINE_AGENT = "none"
"""Nobody proposes a baseline: it is the accepted candidate, evaluated again."""
HUMAN = "human"
"""The agent of an experiment that a person proposed."""


class Status(StrEnum):
    """How an experiment ended."""

    BASELINE = "baseline"
    KEEP = "keep"
    LEAD = "lead"
    """Looks better than what was best, so the next proposal starts from it; not proven yet."""
    DISCARD = "discard"
    INVALID = "invalid"
    """Refused before training: reply, path, syntax, contract, overrides, duplicate."""
    REJECTED = "rejected"
    """Evaluated, then disqualified by the referee or a veto."""
    CRASH = "crash"
    """The candidate raised or died."""
    TIMEOUT = "timeout"
    """Killed after `evaluator.timeout_s`."""
    ABORTED = "aborted"
    """Stopped before its end; counts as no experiment, but its tokens, cost and time count."""


PUBLISHED = frozenset({Status.BASELINE, Status.KEEP})
"""Of what is, or was, the published candidate by the rule; a person may accept any other."""
ADOPTED = frozenset({Status.KEEP, Status.LEAD})
"""Verdicts that move the branch or the lead."""
JUDGED = frozenset({Status.KEEP, Status.LEAD, Status.DISCARD})
FAILED = frozenset({Status.INVALID, Status.REJECTED, Status.CRASH, Status.TIMEOUT})


class Phase(StrEnum):
    """What the daemon is doing."""

    STARTING = "starting"
    PLANNING = "planning"
    PROPOSING = "proposing"
    CHECKING = "checking"
    EVALUATING = "evaluating"
    JUDGING = "judging"
    RECORDING = "recording"
    WAITING = "waiting"
    PAUSED = "paused"
    STOPPED = "stopped"


class Rung(NamedTuple):
    """A budget: training episodes and greedy evaluation episodes a seed."""

    train_episodes: int
    eval_episodes: int

    def __str__(self) -> str:
        return f"{self.train_episodes}/{self.eval_episodes}"


@dataclass(frozen=True)
class Files:
    """The two files of a candidate, as text."""

    env: str
    train: str

    def by_path(self) -> dict[str, str]:
        """Return `{path: text}`."""
        return {ENV_PATH: self.env, TRAIN_PATH: self.train}


@dataclass(frozen=True)
class Tokens:
    """Tokens of a model call; None where the server did not report them."""

    input: int | None = None
    cached: int | None = None
    output: int | None = None
    reasoning: int | None = None

    def plus(self, other: "Tokens") -> "Tokens":
        """Add two counts; unknown plus known is known."""

        def add(a: int | None, b: int | None) -> int | None:
            return None if a is None and b is None else (a or 0) + (b or 0)

        return Tokens(
            add(self.input, other.input),
            add(self.cached, other.cached),
            add(self.output, other.output),
            add(self.reasoning, other.reasoning),
        )

    @property
    def total(self) -> int:
        """Tokens that count towards `limits.tokens`: input and output."""
        return (self.input or 0) + (self.output or 0)


@dataclass(frozen=True)
class Reply:
    """An agent's answer to one prompt."""

    text: str
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    finish_reason: str = "stop"
    """The server's word for how the reply ended; `proposals.endings` sorts them."""


@dataclass(frozen=True)
class Proposal:
    """A checked reply: its description, and the two files that result."""

    description: str
    rationale: str
    files: Files


@dataclass(frozen=True)
class Attempt:
    """A reply of this experiment that led to no verdict; quoted with its answer in the next prompt.

    It failed, or it asked to see the code of other experiments, which is no failure.
    """

    reply: str
    error: str = ""
    """Why it failed."""
    shows: tuple[int, ...] = ()
    """The experiments that it asked to see; empty if it failed."""
