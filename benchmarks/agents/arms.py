"""The agents that are compared, and the tasks on which they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import optuna

from orchestrator.agents.anyone import AnyAgent
from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.optuna_search import OptunaAgent, Trials
from orchestrator.agents.team import Member, Team
from orchestrator.core.errors import AgentFinishedError
from orchestrator.core.records import Files, Reply
from orchestrator.planning.agent_choice import TurnTaker
from orchestrator.proposals.brief import Brief
from tests.fakes import reply
from tests.transcripts.catalogue import LINES, REPLIES, Line, files_of

TRANSCRIPT_ENDED = "transcript ended"


@dataclass(frozen=True)
class Task:
    """Where a run begins, and what the strong model proposed there."""

    name: str
    example: str | None
    """Whose brief and settings it has; None for the empty canvas, with a brief of its own."""
    begins_with: int
    """Number of the transcript's experiment whose candidate is the baseline."""
    settings: tuple[str, ...] = ()

    @property
    def start(self) -> Files:
        """The baseline."""
        return files_of(self.name, self.begins_with)

    @property
    def brief(self) -> str | None:
        """The text of program.md; None for the example's own."""
        if self.example is not None:
            return None
        return (REPLIES / self.name / "program.md").read_text(encoding="utf-8")

    @property
    def lines(self) -> list[Line]:
        """The strong model's proposals from there on."""
        return [line for line in LINES if line.run == self.name and line.n > self.begins_with]


TASKS = {
    "squad": Task("squad", "squad", 1),
    # On the empty canvas there is nothing to tune: all begin with the model's own warehouse.
    "warehouse": Task("warehouse", None, 3, ("task.max_steps=60",)),
}


class RandomSearch(OptunaAgent):
    """The embedded search's spaces, and uniform draws in place of its model of them."""

    name = "random"

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """Return what draws each value by itself."""
        return optuna.samplers.RandomSampler(seed=seed)


@dataclass
class Replay:
    """A strong model's proposals as whole files, in their order, whatever leads by now."""

    lines: Sequence[Line]
    name: str = "model"
    _given: dict[int, int] = field(default_factory=dict)

    def propose(self, brief: Brief) -> Reply | None:
        """Return the next proposal; there are no repairs.

        Raises:
            AgentFinishedError: there are no more.
        """
        if brief.attempts:
            return None
        index = self._given.setdefault(brief.ordinal, len(self._given))
        if index >= len(self.lines):
            raise AgentFinishedError(TRANSCRIPT_ENDED)
        line = self.lines[index]
        files = files_of(line.run, line.n)
        env = files.env if files.env != brief.files.env else None
        return Reply(reply(files.train, env, line.what))


def _search(task: Task, trials: Trials, tag: str) -> AnyAgent:  # noqa: ARG001 - as all arms
    return InlineAgent(OptunaAgent(trials, tag))


def _random(task: Task, trials: Trials, tag: str) -> AnyAgent:  # noqa: ARG001 - as all arms
    return InlineAgent(RandomSearch(trials, tag))


def _model(task: Task, trials: Trials, tag: str) -> AnyAgent:  # noqa: ARG001 - as all arms
    return InlineAgent(Replay(task.lines))


def _team(task: Task, trials: Trials, tag: str) -> AnyAgent:
    """Structure by the model, constants by the search: after two ideas in a row that failed."""
    turns = (TurnTaker("model"), TurnTaker("search", 0.0, after_failures=2))
    agents = (_model(task, trials, tag), _search(task, trials, tag))
    return Team([Member(turn, agent) for turn, agent in zip(turns, agents, strict=True)])


ARMS: dict[str, Callable[[Task, Trials, str], AnyAgent]] = {
    "model": _model,
    "search": _search,
    "random": _random,
    "team": _team,
}
NAMES = {
    "model": "strong model (transcript)",
    "search": "embedded search",
    "random": "random search",
    "team": "model, and search after two failures",
}
