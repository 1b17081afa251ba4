"""Gathers what the agent is told: the files, program.md, the record, the notes."""

import re
from collections.abc import Collection, Sequence

from orchestrator.config.schema import Config
from orchestrator.core.errors import AgentBlockedError, is_shortage
from orchestrator.core.experiments import Accept, Experiment, LeadMove, MoveKind
from orchestrator.core.records import Attempt, Status
from orchestrator.core.text import one_line
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Kind, Lane
from orchestrator.engine.notebook import Notebook, slim
from orchestrator.judging.candidate_evidence import SearchEvidence
from orchestrator.judging.rules import JudgingRules
from orchestrator.judging.standing import lead_standing
from orchestrator.planning.events import in_order
from orchestrator.planning.state import RunState
from orchestrator.proposals.brief import PROGRAM_BYTES, Aside, Brief, Standing
from orchestrator.store.ledger import Ledger
from orchestrator.store.results_tsv import History
from orchestrator.store.user_files import read_regular

HISTORY_SHOWN = 300
HISTORY_STEP = 25
_OWN_ROW = re.compile(r"#\d+ ")


class Briefing:
    """The record as prompts show it; reading all of it anew each time would cost more and more."""

    def __init__(self, parts: Dependencies) -> None:
        self._run, self._config = parts.run, parts.config
        self._workspace, self._world = parts.workspace, parts.world
        self._ledger = parts.ledger
        self._notebook = Notebook(parts.ledger, parts.run.tag)
        # Rows of ours, of this run and of others, begin with an experiment's number.
        self._foreign = History(parts.workspace, _OWN_ROW.match)
        self.history = self._ledger.recent(self._run.tag, HISTORY_SHOWN)
        """The run's last experiments in the order in which they ended, oldest first."""

    def configure(self, config: Config) -> None:
        """Brief by another configuration from now on."""
        self._config = config

    def read_all(self) -> None:
        """Read the history from the ledger."""
        self.history = self._ledger.recent(self._run.tag, HISTORY_SHOWN)

    def read_again(self, numbers: Collection[int]) -> list[Experiment]:
        """Read what became of these experiments; return those that the history has."""
        found = {n: experiment for n in numbers if (experiment := self._ledger.experiment(n))}
        self.history = [slim(found[e.n]) if e.n in found else e for e in self.history]
        return [each for each in self.history if each.n in found]

    def add(self, experiment: Experiment) -> None:
        """Take note of an experiment that has ended."""
        self.history.append(slim(experiment))
        if len(self.history) > HISTORY_SHOWN + HISTORY_STEP:
            # In steps, so that the prompt's front stays the same and a provider's cache holds.
            del self.history[:HISTORY_STEP]

    def brief(
        self,
        lane: Lane,
        attempts: tuple[Attempt, ...],
        state: RunState,
        evidence: SearchEvidence,
        lanes: Sequence[Lane] = (),
    ) -> Brief:
        """Return what the agent is told.

        Args:
            lane: the experiment.
            attempts: its replies so far.
            state: of the run.
            evidence: what is known of the lead and the published candidate.
            lanes: all that is in flight.

        Raises:
            AgentBlockedError: program.md can't be read.
        """
        assert lane.ordinal is not None
        scored = self._scored(state)
        published_by = (state.incumbent and state.incumbent.scored_by) or 0
        notes = self._ledger.notes()
        tag, config = self._run.tag, self._config
        shown = [n for attempt in attempts for n in attempt.shows]
        return Brief(
            ordinal=lane.ordinal,
            program=self.program(),
            files=lane.files,
            rung=lane.rung,
            lead=lane.incumbent or 0,
            history=tuple(self.history),
            foreign=[" | ".join(row.values()) for row in self._foreign.read()],
            notes=notes,
            accepted=[accept.n for accept in self._ledger.accepts(tag)],
            attempts=attempts,
            proposer=lane.agent if attempts else "",
            task_max_steps=config.task.max_steps,
            world=self._world,
            lead_flags=scored.flags if scored else (),
            seed_count=config.evaluator.seed_count,
            veto=tuple(config.integrity.veto),
            num_envs=config.evaluator.num_envs,
            files_of=self._notebook.author_of(lane.files, lane.incumbent, self.history),
            known=self._notebook.known(scored, published_by),
            standing=self._standing(state, evidence),
            last=self._notebook.last_measured(self.history),
            comparisons=self._notebook.comparisons(self.history),
            asides=self._asides(),
            exhibits=self._notebook.exhibits(self.history, lane.files, notes),
            asked=self._notebook.asked(shown),
            lessons=self._ledger.lessons(tag),
            in_flight=in_flight(lane, lanes),
            proposed_by=proposed_by(lane, lanes),
            lessons_due=lessons_are_due(self._ledger, tag, config.agent.lessons_every),
        )

    def _scored(self, state: RunState) -> Experiment | None:
        """Return the experiment that scored the lead at this rung."""
        scored_by = state.lead.scored_by if state.lead else None
        return None if scored_by is None else self._notebook.experiment(scored_by)

    def _asides(self) -> tuple[Aside, ...]:
        """Return accepts, moves of the lead and notes, each after the ending that it followed."""
        asides = move_asides(self.history, self._ledger.moves(self._run.tag))
        for note in self._ledger.numbered_notes():
            ended = [e.ended for e in self.history if e.finished_at <= note.created_at]
            text = f"a note from the human: {one_line(note.text, 300)}"
            asides.append(Aside(max(ended, default=0), text))
        if self.history:  # what is older than the history is not shown
            first = self.history[0].ended - 1
            asides = [aside for aside in asides if aside.after_ended >= first]
        return tuple(sorted(asides, key=lambda aside: aside.after_ended))

    def _standing(self, state: RunState, evidence: SearchEvidence) -> Standing | None:
        """Return how the lead stands; None where the published candidate leads."""
        if not state.leads:
            return None
        config = self._config
        rules = JudgingRules(config.judge, config.evaluator.seed_count)
        known = lead_standing(evidence, rules)
        if known is None:
            return None
        gain, error = (known.gain.value, known.gain.standard_error) if known.gain else (None, None)
        return Standing(
            known.published, gain, error, known.probability, known.seeds, known.is_fresh,
            known.quantity,
        )  # fmt: skip

    def program(self) -> str:
        """Return the text of program.md.

        Raises:
            AgentBlockedError: it can't be read.
            OSError: nothing can, for now.
        """
        try:
            path = self._workspace / "program.md"
            return read_regular(path, PROGRAM_BYTES, follow=True).decode(errors="replace")
        except OSError as error:
            if is_shortage(error):
                raise
            raise AgentBlockedError(f"program.md can't be read ({error}): put it back") from None


def move_asides(history: Sequence[Experiment], moves: Sequence[LeadMove | Accept]) -> list[Aside]:
    """Return what the history says of moves of the lead, and of a human's overrides.

    Args:
        history: in the order of endings; the oldest may be left out.
        moves: all of the run's, in their order.
    """
    asides: list[Aside] = []
    leads: list[int] = []
    for event in in_order(history, moves):
        match event:
            case Accept(n=n):
                leads.clear()
                text = f"the human accepted #{n}: it is published, and leads from here on"
                asides.append(Aside(event.after_ended, text, is_accept=True))
            case LeadMove(n=n):
                at = leads.index(n) + 1 if n in leads else 0
                gone = leads[at:] if event.kind is MoveKind.ROLLBACK else leads[:at]
                leads = [each for each in leads if each not in gone]
                asides.append(Aside(event.after_ended, _move_text(event, gone)))
            case Experiment(took_lead=True):
                leads.append(event.n)
            case Experiment(status=Status.KEEP):
                leads.clear()
    return asides


def _move_text(move: LeadMove, steps: Sequence[int]) -> str:
    named = ", ".join(f"#{n}" for n in steps if n != move.n)
    if move.kind is MoveKind.PROMOTION:
        before = f", with the steps to it: {named}" if named else ""
        return f"the lead #{move.n} is {move.reason}; it is published now{before}"
    undone = f" No gain, and undone in the files: {named}." if named else ""
    return f"the lead went back to #{move.n}: {move.reason}.{undone}"


def _others(lane: Lane, lanes: Sequence[Lane]) -> list[Lane]:
    return [other for other in lanes if other is not lane and other.kind is Kind.CHALLENGE]


def proposed_by(lane: Lane, lanes: Sequence[Lane]) -> tuple[str, ...]:
    """Return the agents that other lanes have an answer of, one for each lane."""
    return tuple(other.agent for other in _others(lane, lanes) if other.n is not None)


def in_flight(lane: Lane, lanes: Sequence[Lane]) -> tuple[str, ...]:
    """Return what other lanes than this one do, a line each, for its agent."""
    others = _others(lane, lanes)
    said = [
        f"#{other.n} is being evaluated: {one_line(other.description)}"
        for other in others
        if other.n is not None and other.description
    ]
    asked = len(others) - len(said)
    if asked == 1:
        said.append(
            "Another proposal is being made now from the same record: do not take the first idea "
            "that comes to mind."
        )
    elif asked:
        said.append(
            f"{asked} other proposals are being made now from the same record: do not take the "
            "first idea that comes to mind."
        )
    return tuple(said)


def lessons_are_due(ledger: Ledger, tag: str, every: int | None, *, besides: int = 0) -> bool:
    """Were the lessons due to be written down anew, before the last `besides` experiments?"""
    if every is None:
        return False
    return ledger.experiments_since_lessons(tag, every + besides) - besides >= every
