"""Any endpoint that speaks one of OpenAI's interfaces. The only importer of `tenacity`.

`tenacity` does the retries: transient failures are retried however long they last, with exponential
back-off and jitter, honouring Retry-After; errors that need the user (a wrong key, no quota, an
unknown model, a certificate that is refused) raise `AgentBlockedError` at once. Where there are
further models (`agent.fallback_models`), a model that is unknown, out of quota, or busy for a while
is left for the next one, and asked again some time later (`standby.py`).

It blocks, so it runs in a process of its own (`job.py`), never in the daemon.
"""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.agents.client_settings import read_settings
from orchestrator.agents.error_table import Kind
from orchestrator.agents.messages import Question
from orchestrator.agents.openai_answers import read_document
from orchestrator.agents.openai_call import Context, Endpoint, ModelCaller
from orchestrator.agents.openai_errors import (
    BlockedError,
    ContextOverflowError,
    NotChatError,
    TransientError,
    pause_s,
)
from orchestrator.agents.prompt_length import build_chat, size_of, smaller_context
from orchestrator.agents.standby import Standby
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.records import Reply
from orchestrator.core.text import one_line
from orchestrator.proposals.agent_events import Replied
from orchestrator.proposals.prompt import Message

if TYPE_CHECKING:
    import httpx2

PATIENCE_S = 60.0
"""How long one model is waited for where there are others."""
OF_ONE_MODEL = {Kind.MODEL, Kind.CREDIT, Kind.PERMISSION}
"""What keeps one model from answering, and perhaps no other."""
_MOST_PAGES = 12
"""Answers of another API in a row, in some 20 minutes: a portal passes, a wrong address never."""
_LATE = 5
"""Failures in a row that all models busy count as, for the length of the pause."""


class OpenAIAgent:
    """Asks a model for the next experiment, or for a review of one."""

    def __init__(
        self,
        config: AgentConfig,
        environment: Mapping[str, str] = os.environ,
        *,
        transport: "httpx2.BaseTransport | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the configuration and the environment, without a call and without importing HTTP.

        Args:
            config: the agent's configuration.
            environment: key, proxies and certificates.
            transport: in place of the network.
            clock: the seconds, for how long a model is left alone.

        Raises:
            UserError: no model, no key where one is needed, or a variable that can't be used.
        """
        if config.model is None:
            raise UserError(
                "agent.model is missing: name the model to use, or set agent.backend to optuna"
            )
        self.name = f"openai:{config.model}"
        has_key = bool(environment.get(config.api_key_env, "").strip())
        settings = read_settings(config, environment)
        self._endpoint = Endpoint(config, settings, has_key, transport)
        names = dict.fromkeys([config.model, *config.fallback_models])
        self._callers = {name: ModelCaller(self._endpoint, name) for name in names}
        self._standby = Standby(list(names), clock)
        self._pages = 0
        """Answers of another API in a row."""

    def warm_up(self) -> None:
        """Import the libraries of a call, which takes half a second."""
        import openai  # noqa: F401 - for its effect, so that `HttpClient` finds it loaded
        import tenacity  # noqa: F401 - likewise

    def propose(self, question: Question, context: Context) -> Replied:
        """Ask for one reply, retrying transient failures.

        Returns:
            The reply, the chat as it was sent (shorter than the configured context allows if the
            model accepts less), and, where there are several, which model it was.

        Raises:
            AgentBlockedError: the user must act before any model can answer.
        """
        self._pages = 0
        if len(self._callers) == 1:
            (only,) = self._callers.values()
            reply, sent = self._fitting(only, question, context, None)
            return Replied(reply, sent=tuple(sent))
        is_lost = False
        while True:
            for model in self._standby.turn():
                try:
                    reply, sent = self._fitting(self._callers[model], question, context, PATIENCE_S)
                except (TransientError, BlockedError) as error:
                    is_lost = self._pass_on(model, error, context)
                else:
                    self._standby.answered(model)
                    return Replied(reply, sent=tuple(sent), agent=f"openai:{model}")
            pause = pause_s(_LATE + self._standby.rounds, None, jitter=_jitter())
            context.wait(self._standby.why_all_wait(), pause, may_be_billed=is_lost)

    def _pass_on(self, model: str, error: TransientError | BlockedError, context: Context) -> bool:
        """Leave a model for a while, and say which is asked instead. Raises what concerns all.

        Returns:
            Whether its last call may be billed, and that is not said yet.
        """
        if isinstance(error, BlockedError) and error.kind not in OF_ONE_MODEL:
            raise error
        if isinstance(error, NotChatError) and self._pages >= _MOST_PAGES:
            raise BlockedError(Kind.REFUSED, str(error)) from error
        self._standby.failed(model, error)
        is_lost = isinstance(error, TransientError) and error.may_be_billed
        if (following := self._standby.next_after(model)) is None:
            return is_lost
        said = one_line(f"asking {following}, for {model} can't answer: {error}", 400)
        context.wait(said, 0, may_be_billed=is_lost)
        return False

    def ask_once(self, messages: Sequence[Message], context: Context) -> Reply:
        """Make one call to the first model.

        Raises:
            TransientError: it may succeed later.
            ContextOverflowError: the prompt is too long.
            AgentBlockedError: the user must act first.
        """
        return next(iter(self._callers.values())).ask_once(messages, context)

    def model_names(self, context: Context) -> list[str]:
        """Return the names of the endpoint's models, as far as it tells them.

        Raises:
            TransientError, AgentBlockedError: no answer.
        """
        answer = self._endpoint.call(lambda client: client.get("models"), context)
        document = read_document(answer.body)
        listed = document.get("data") if isinstance(document, dict) else None
        rows = listed if isinstance(listed, list) else []
        names = [row.get("id") for row in rows[:10_000] if isinstance(row, dict)]
        settings = self._endpoint.settings
        return [settings.redacted(name, 100) for name in names if isinstance(name, str)]

    @property
    def where(self) -> str:
        """The endpoint's address, without what is secret in it."""
        return self._endpoint.settings.where

    def _fitting(
        self, caller: ModelCaller, question: Question, context: Context, patience_s: float | None
    ) -> tuple[Reply, list[Message]]:
        """Ask one model, with ever less history while its context is too small."""
        start_tokens = caller.context_tokens
        while True:
            messages = build_chat(question, caller.context_tokens)
            try:
                return self._patiently(caller, messages, context, patience_s), messages
            except ContextOverflowError as error:
                smaller = smaller_context(question, caller.context_tokens, size_of(messages))
                if smaller is None and error.otherwise is not None:
                    caller.context_tokens = start_tokens
                    raise error.otherwise from error
                if smaller is None:
                    raise AgentBlockedError(
                        f"the prompt is too long for {caller.model} even without history: "
                        "shorten program.md, the candidate or the notes, or use a model with a "
                        f"longer context (agent.model): {error}"
                    ) from error
                caller.context_tokens = smaller

    def _patiently(
        self,
        caller: ModelCaller,
        messages: list[Message],
        context: Context,
        patience_s: float | None,
    ) -> Reply:
        """Retry transient failures; where there are other models, not for longer than so."""
        import tenacity

        failed: BaseException | None = None

        def may_pass(error: BaseException) -> bool:
            self._pages = self._pages + 1 if isinstance(error, NotChatError) else 0
            return isinstance(error, TransientError) and self._pages < _MOST_PAGES

        def note(state: tenacity.RetryCallState) -> None:
            nonlocal failed
            assert state.outcome is not None
            failed = state.outcome.exception()

        def wait(seconds: float) -> None:
            is_lost = isinstance(failed, TransientError) and failed.may_be_billed
            context.wait(one_line(str(failed)), seconds, may_be_billed=is_lost)

        def is_over(state: tenacity.RetryCallState) -> bool:
            taken_s = max(state.idle_for, state.seconds_since_start or 0.0)
            return patience_s is not None and taken_s + state.upcoming_sleep > patience_s

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_pass),
            wait=_wait,
            stop=is_over,
            before_sleep=note,
            sleep=wait,
            reraise=True,
        )
        try:
            reply: Reply = retrying(caller.ask_once, messages, context)
        except NotChatError as error:
            if patience_s is not None:
                raise
            raise BlockedError(Kind.REFUSED, str(error)) from error
        return reply


def _wait(state: Any) -> float:
    """Return the seconds before the next try, for `tenacity`."""
    error = state.outcome.exception()
    wish_s = error.retry_after_s if isinstance(error, TransientError) else None
    return pause_s(state.attempt_number, wish_s, jitter=_jitter())


def _jitter() -> float:
    return random.random()
