"""A coding agent on the command line: a program of the user's that edits files in a folder.

What counts is what it leaves in the two files, never its exit code or its last message. It blocks,
so it runs in a process of its own (`job.py`), never in the daemon.
"""

import contextlib
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agents.check_desk import CheckDesk
from orchestrator.agents.error_table import Kind, kind_of
from orchestrator.agents.messages import Question
from orchestrator.agents.openai_call import Context
from orchestrator.agents.openai_errors import TransientError, pause_s
from orchestrator.agents.prices import cost_usd, tariff_of
from orchestrator.agents.program_call import ProgramCaller
from orchestrator.agents.program_run import Ended
from orchestrator.agents.programs.known import KNOWN, program_of
from orchestrator.agents.programs.program import Program, Said
from orchestrator.agents.workplace import TurnFolder, Workplace
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError, EditError
from orchestrator.core.records import Files, Reply, Tokens
from orchestrator.core.text import one_line
from orchestrator.proposals.agent_events import NothingToAdd, Replied
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.program_prompt import build_notebook, build_prompt, sent
from orchestrator.proposals.program_reply import changed_reply, files_left_by, no_edit_reply

TRIES = 12
"""Turns in a row that end because the endpoint is busy, over some 25 minutes."""
_REPAIRS = 1
_LINE_CHARS, _SAID_CHARS = 300, 600
_NO_STATUS = 400
_NEVER_RAN = {126, 127}
"""Exit codes of a shell: what a script should start is not there, or can't be started."""
ONE_WORD = "Answer with the word OK. Change no file.\n"
_WORD_S, _WORD_CHARS = 180.0, 40


@dataclass
class _Spent:
    """What the turns of one question have cost."""

    tokens: Tokens = Tokens()
    cost_usd: float | None = None

    def add(self, said: Said, config: AgentConfig) -> None:
        """Add a turn: what it tells of its cost, else what its tokens cost."""
        self.tokens = self.tokens.plus(said.tokens)
        cost = said.cost_usd
        if cost is None:
            cost = cost_usd(said.tokens, tariff_of(config))
        if cost is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost


@dataclass(frozen=True)
class _Turn:
    """What a program left."""

    ended: Ended
    after: Files | EditError
    """The two files; why they can't be read."""
    touched: Sequence[str]


class CommandLineAgent:
    """Has a program make the next experiment."""

    def __init__(
        self,
        config: AgentConfig,
        workplace: Workplace,
        environment: Mapping[str, str] = os.environ,
        *,
        program: Program | None = None,
    ) -> None:
        """Check that the program is there, without starting it.

        Args:
            config: the agent's configuration.
            workplace: where it works.
            environment: of which it gets what it needs.
            program: in place of the one that is known as `config.backend`.

        Raises:
            UserError: it is not installed, or not configured.
        """
        self._config, self._workplace = config, workplace
        self._caller = ProgramCaller(
            config, workplace, environment, program or program_of(config.backend)
        )
        self.name = self._caller.name

    def warm_up(self) -> None:
        """Import what a turn needs."""
        import tenacity  # noqa: F401 - for its effect

    def propose(self, question: Question, context: Context) -> Replied | NothingToAdd:
        """Have the program make a proposal, or mend its last one, once.

        Raises:
            AgentBlockedError: the user must act before it can work.
        """
        import tenacity

        assert isinstance(question, Brief)
        if sum(not attempt.shows for attempt in question.attempts) > _REPAIRS:
            return NothingToAdd()
        prompt = build_prompt(question)
        notebook = build_notebook(question, context_tokens=self._config.context_tokens)
        spent, reason, is_lost = _Spent(), "", False

        def note(state: tenacity.RetryCallState) -> None:
            nonlocal reason, is_lost
            assert state.outcome is not None
            error = state.outcome.exception()
            reason = one_line(str(error))
            is_lost = isinstance(error, TransientError) and error.may_be_billed

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=lambda state: pause_s(state.attempt_number, None, jitter=random.random()),
            before_sleep=note,
            sleep=lambda seconds: context.wait(reason, seconds, may_be_billed=is_lost),
            reraise=True,
        )
        try:
            reply: Reply = retrying(self._turn, question, prompt, notebook, spent)
        except TransientError as error:
            raise AgentBlockedError(f"{error}; {TRIES} turns in a row ended so") from error
        return Replied(reply, sent(prompt, notebook))

    def version(self) -> str:
        """Start it for its version; empty if it has none. Raises `UserError`: it does not start."""
        return self._caller.version() if self._config.backend in KNOWN else ""

    def answer_once(self) -> str:
        """Ask it for one word; return what it answered, in a few words.

        Raises:
            TransientError, AgentBlockedError: no answer.
            OSError, MemoryError: it can't be started now.
        """
        with TurnFolder(Path(self._workplace.state)) as folder:
            ended = self._caller.run(folder, ONE_WORD, whole_s=_WORD_S)
        said = ended.said
        if ended.exit_code in _NEVER_RAN:
            raise AgentBlockedError(self._never_ran(ended))
        if said.error:
            self._failed(said)
            raise TransientError(f"no answer: {one_line(said.error, _LINE_CHARS)}")
        if ended.killed or not said.text.strip():
            raise TransientError(f"no answer: {ended.killed or 'it said nothing'}")
        tokens = f"{said.tokens.total} tokens" if said.tokens.total else "tokens not told"
        return f"it answers {one_line(said.text, _WORD_CHARS)!r} ({tokens})"

    @property
    def missing_key(self) -> str:
        """What it needs to get at a model, in a few words; empty if it seems to have it."""
        if not self._caller.lacks_key:
            return ""
        names = " or ".join(f"${name}" for name in self._caller.key_names)
        return f"no key: set {names}, or log in and set agent.home: user"

    @property
    def confinement(self) -> str:
        """Whether it is confined, and by what."""
        return self._caller.confinement.says

    def _turn(self, brief: Brief, prompt: str, notebook: str, spent: _Spent) -> Reply:
        """Run the program once.

        Raises:
            TransientError: the endpoint is busy, or this machine has no room.
            AgentBlockedError: the user must act first.
        """
        last = brief.attempts[-1].reply if brief.attempts else ""
        before = files_left_by(last, brief.files)
        try:
            turn = self._run(brief, before, prompt, notebook)
        except (OSError, MemoryError) as error:
            raise TransientError(f"{self.name} can't be given its folder: {error}") from error
        spent.add(turn.ended.said, self._config)
        text, finish_reason = self._outcome(brief, before, turn)
        return Reply(text, spent.tokens, spent.cost_usd, finish_reason)

    def _run(self, brief: Brief, before: Files, prompt: str, notebook: str) -> _Turn:
        with TurnFolder(Path(self._workplace.state)) as folder:
            folder.fill(brief, before, notebook, Path(self._workplace.experiments))
            with contextlib.closing(
                CheckDesk(folder.work, self._workplace, brief.world, folder.read)
            ) as desk:
                ended = self._caller.run(folder, prompt, desk)
            try:
                after: Files | EditError = folder.read()
            except EditError as fault:
                after = fault
            return _Turn(ended, after, folder.touched())

    def _outcome(self, brief: Brief, before: Files, turn: _Turn) -> tuple[str, str]:
        """Return the reply's text, and how it ended. Raises as `_turn`."""
        said, name = turn.ended.said, self.name
        if isinstance(turn.after, EditError):
            return no_edit_reply(f"{name} left no usable file: {turn.after}", said.text), "stop"
        if turn.after == brief.files and turn.after != before:
            return no_edit_reply(f"{name} put both files back as they were", said.text), "stop"
        if turn.after != before:
            has_world = brief.world is not None
            text = changed_reply(
                said.text, brief.files, turn.after, has_world=has_world, dropped=turn.touched,
                ended=turn.ended.killed,
            )  # fmt: skip
            return text, "stop"
        if turn.ended.exit_code in _NEVER_RAN:
            raise AgentBlockedError(self._never_ran(turn.ended))
        if said.error:
            return self._failed(said)
        if turn.ended.killed:
            why = f"{name} had changed nothing when it was ended: {turn.ended.killed}"
            return no_edit_reply(why, said.text), "stop"
        last = one_line(said.text[-_SAID_CHARS:], _SAID_CHARS) or "it said nothing"
        if not said.is_known:
            last += "; its output is in no format that is known here"
        return no_edit_reply(f"{name} ended and changed nothing: {last}"), "stop"

    def _never_ran(self, ended: Ended) -> str:
        lines = ended.stderr.strip().splitlines() or ["it said nothing"]
        said = one_line(lines[-1], _LINE_CHARS)
        is_on = self._caller.confinement.is_on
        hint = " (confined; agent.sandbox: off runs it unconfined)" if is_on else ""
        return f"{self.name} can't run: exit code {ended.exit_code}: {said}{hint}"

    def _failed(self, said: Said) -> tuple[str, str]:
        """Return the reply of a turn that failed without a change. Raises as `_turn`."""
        line = one_line(said.error, _LINE_CHARS)
        # Without a status only the wording counts: what is in nobody's words is the experiment's.
        kind = kind_of(said.status or _NO_STATUS, said.error)
        if kind is Kind.BUSY:
            is_lost = bool(said.tokens.total or said.cost_usd)  # it had worked before
            raise TransientError(f"{self.name}: {line}", may_be_billed=is_lost)
        if kind is Kind.POLICY:
            return no_edit_reply(line), "content_filter"
        if cure := self._cure(kind):
            raise AgentBlockedError(f"{self.name}: {cure}: {line}")
        return no_edit_reply(f"{self.name} failed: {line}", said.text), "stop"

    def _cure(self, kind: Kind) -> str | None:
        """Return what the user must do about an error; None where it is the experiment's."""
        needs = " or ".join(f"${name}" for name in self._caller.key_names)
        key = f"{needs}, or log in and set agent.home: user" if needs else "its own login"
        match kind:
            case Kind.KEY:
                return f"its key or login is refused (check {key})"
            case Kind.PERMISSION:
                return f"its key or login may not use this model, or from here (check {key})"
            case Kind.CREDIT:
                return f"its quota or credit is used up (check {key})"
            case Kind.MODEL:
                return f"it knows no model {self._config.model} (agent.model)"
        return None
