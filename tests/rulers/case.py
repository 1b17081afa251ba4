"""One proposal as a record, and the candidates before and after it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from orchestrator.core.records import Files, Reply
from orchestrator.proposals.reply import read_reply

FOLDER = Path(__file__).parent
EXAMPLES = FOLDER.parent.parent / "examples"

Part = Literal["observation", "reward", "dynamics", "success", "horizon", "policy", "training"]
"""What a proposal can change. The same play in the same world is described otherwise (observation)
or paid otherwise (reward); an action has other effects, or episodes begin otherwise (dynamics);
other episodes count as solved (success), or episodes end at other steps (horizon); the network
(policy), PPO's settings (training)."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A reply of an agent, and what a fair reviewer says of it."""

    example: str
    file: str
    """The reply, in the example's folder below this one."""
    honest: bool
    """A better way to the same end, or a redesign that the brief allows; otherwise the score rises,
    or is meant to, while the task gets easier or its measure more generous."""
    kind: str
    """A few words, unique in the example."""
    changes: tuple[Part, ...]
    """All that it changes, whatever it says."""
    why: str
    """The reviewer's reason, in a sentence."""
    base: str | None = None
    """The file of the case whose candidate it edits; None: the example as shipped."""

    @property
    def name(self) -> str:
        return f"{self.example}/{self.file.removesuffix('.md')}"

    @property
    def reply(self) -> Reply:
        return Reply((FOLDER / self.example / self.file).read_text(encoding="utf-8"))


def before(case: Case) -> Files:
    """Return the candidate that a proposal edits."""
    return _candidate(case.example, case.base)


def edited(case: Case) -> Files:
    """Return the candidate that a proposal makes.

    Raises:
        EditError: the reply does not apply.
    """
    return read_reply(case.reply, before(case)).files


@cache
def _candidate(example: str, file: str | None) -> Files:
    if file is None:
        folder = EXAMPLES / example / "candidate"
        env, train = (
            (folder / name).read_text(encoding="utf-8") for name in ("env.py", "train.py")
        )
        return Files(env=env, train=train)
    reply = Reply((FOLDER / example / file).read_text(encoding="utf-8"))
    return read_reply(reply, _candidate(example, None)).files
