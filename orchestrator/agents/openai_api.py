"""Any endpoint that speaks the OpenAI chat API. The only importer of `tenacity`.

`tenacity` does the retries: transient failures are retried however long they last, with exponential
back-off and jitter, honouring Retry-After; errors that need the user (a wrong key, no quota, an
unknown model, a certificate that is refused) raise `AgentBlockedError` at once.

It blocks, so it runs in a process of its own (`job.py`), never in the daemon.
"""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from orchestrator.agents.client_settings import read_settings
from orchestrator.agents.error_facts import ErrorFacts, read_error
from orchestrator.agents.error_table import Kind, kind_of, may_be_too_long, tokens_at_once
from orchestrator.agents.http_client import Answer, HttpClient
from orchestrator.agents.messages import Question
from orchestrator.agents.openai_answers import (
    error_in,
    error_words,
    is_of_another_api,
    read_document,
    read_reply,
)
from orchestrator.agents.openai_errors import (
    BlockedError,
    ContextOverflowError,
    NotChatError,
    TransientError,
    cure_of,
    pause_s,
    retry_after_s,
    unsupported_parameter,
)
from orchestrator.agents.prompt_length import build_chat, size_of, smaller_context
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.records import Reply
from orchestrator.core.text import one_line
from orchestrator.proposals.agent_events import Replied
from orchestrator.proposals.endings import ending
from orchestrator.proposals.prompt import Message
from orchestrator.proposals.shares import CHARS_PER_TOKEN

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

_LINE_CHARS = 300
_MOST_PAGES = 12
"""Answers of no chat API in a row, in some 20 minutes: a portal passes, a wrong address never."""
_OPTIONAL = ("temperature", "max_completion_tokens", "max_tokens")
_BAD_REQUEST_STATUS = {400, 422}
_LENGTH_STATUS = {400, 413, 422}


class Context(Protocol):
    """The process in which the agent runs: its pauses, and time limits of calls."""

    def wait(self, reason: str, seconds: float) -> None:
        """Return after so many seconds; the reason is shown meanwhile."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function that may block. Raises `TimeoutError` when its time is up."""


class OpenAIAgent:
    """Asks a model for the next experiment, or for a review of one."""

    def __init__(
        self,
        config: AgentConfig,
        environment: Mapping[str, str] = os.environ,
        *,
        transport: "httpx2.BaseTransport | None" = None,
    ) -> None:
        """Check the configuration and the environment, without a call and without importing HTTP.

        Args:
            config: the agent's configuration.
            environment: key, proxies and certificates.
            transport: in place of the network.

        Raises:
            UserError: no model, no key where one is needed, or a variable that can't be used.
        """
        if config.model is None:
            raise UserError(
                "agent.model is missing: name the model to use, or set agent.backend to optuna"
            )
        self.name = f"openai:{config.model}"
        self._config = config
        self._has_key = bool(environment.get(config.api_key_env, "").strip())
        self._settings = read_settings(config, environment)
        self._transport = transport
        self._dropped_parameters: set[str] = set()
        self._context_tokens = config.context_tokens

    def warm_up(self) -> None:
        """Import the libraries of a call, which takes half a second."""
        import openai  # noqa: F401 - for its effect, so that `HttpClient` finds it loaded
        import tenacity  # noqa: F401 - likewise

    def propose(self, question: Question, context: Context) -> Replied:
        """Ask the model for one reply, retrying transient failures.

        Returns:
            The reply, and the chat as it was sent: shorter than the configured context allows if
            the model accepts less.

        Raises:
            AgentBlockedError: the user must act before the model can answer.
        """
        start_tokens = self._context_tokens
        while True:
            messages = build_chat(question, self._context_tokens)
            try:
                return Replied(self._ask(messages, context), sent=tuple(messages))
            except ContextOverflowError as error:
                smaller = smaller_context(question, self._context_tokens, size_of(messages))
                if smaller is None and error.otherwise is not None:
                    self._context_tokens = start_tokens
                    raise error.otherwise from error
                if smaller is None:
                    raise AgentBlockedError(
                        f"the prompt is too long for {self._config.model} even without history: "
                        "shorten program.md, the candidate or the notes, or use a model with a "
                        f"longer context (agent.model): {error}"
                    ) from error
                self._context_tokens = smaller

    def ask_once(self, messages: Sequence[Message], context: Context) -> Reply:
        """Make one call.

        Raises:
            TransientError: it may succeed later.
            ContextOverflowError: the prompt is too long.
            AgentBlockedError: the user must act first.
        """
        answer = self._answer(
            lambda client: client.post("chat/completions", self._parameters(messages)), context
        )
        document = read_document(answer.body)
        is_good = 200 <= answer.status < 300 and not error_in(document)
        reply = read_reply(document, self._config.prices) if is_good else None
        if reply is None:
            return self._refused(answer, document, size_of(messages))
        if ending(reply.finish_reason) == "transient":
            raise TransientError(
                "the endpoint broke the reply off: finish_reason "
                f"{self._settings.redacted(reply.finish_reason, 60)}"
            )
        return reply

    def model_names(self, context: Context) -> list[str]:
        """Return the names of the endpoint's models, as far as it tells them.

        Raises:
            TransientError, AgentBlockedError: no answer.
        """
        answer = self._answer(lambda client: client.get("models"), context)
        document = read_document(answer.body)
        listed = document.get("data") if isinstance(document, dict) else None
        rows = listed if isinstance(listed, list) else []
        names = [row.get("id") for row in rows[:10_000] if isinstance(row, dict)]
        return [self._settings.redacted(name, 100) for name in names if isinstance(name, str)]

    @property
    def where(self) -> str:
        """The endpoint's address, without what is secret in it."""
        return self._settings.where

    def _ask(self, messages: list[Message], context: Context) -> Reply:
        import tenacity

        reason = ""
        pages = 0

        def may_pass(error: BaseException) -> bool:
            nonlocal pages
            pages = pages + 1 if isinstance(error, NotChatError) else 0
            return isinstance(error, TransientError) and pages < _MOST_PAGES

        def note(state: tenacity.RetryCallState) -> None:
            nonlocal reason
            assert state.outcome is not None
            reason = one_line(str(state.outcome.exception()))

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_pass),
            wait=_wait,
            before_sleep=note,
            sleep=lambda seconds: context.wait(reason, seconds),
            reraise=True,
        )
        try:
            reply: Reply = retrying(self.ask_once, messages, context)
        except NotChatError as error:
            raise BlockedError(Kind.REFUSED, str(error)) from error
        return reply

    def _answer(self, call: Callable[[HttpClient], Answer], context: Context) -> Answer:
        """Call the endpoint. Raises `TransientError` or `AgentBlockedError`."""
        try:
            client = HttpClient(
                self._settings, self._config.time_limit_s, transport=self._transport
            )
        except UserError as error:  # a file of certificates that was there at the start
            raise AgentBlockedError(str(error)) from error
        try:
            # The client's timeout counts between bytes; this one is for the whole answer.
            return context.call(lambda: call(client), self._config.time_limit_s)
        except TimeoutError as error:
            raise TransientError(f"no answer within {self._config.time_limit_s:g} s") from error
        finally:
            client.close()

    def _parameters(self, messages: Sequence[Message]) -> dict[str, Any]:
        optional = {
            "temperature": self._config.temperature,
            "max_completion_tokens": self._config.max_output_tokens,
        }
        if "max_completion_tokens" in self._dropped_parameters:
            optional["max_tokens"] = self._config.max_output_tokens
        return {
            "model": self._config.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            **{
                name: value
                for name, value in optional.items()
                if value is not None and name not in self._dropped_parameters
            },
        }

    def _refused(self, answer: Answer, document: object, size: int) -> Reply:
        """Sort an answer without a reply to `size` characters: too long, transient, the user's.

        Returns:
            A reply that was filtered, which is the experiment's.
        """
        facts = read_error(error_words(document, answer.status))
        status = facts.status or (answer.status if answer.status >= 400 else None)
        line = self._line(answer.status, facts)
        kind = kind_of(status, facts.text)
        limit = tokens_at_once(facts.text) if kind is Kind.BUSY else None
        if kind is Kind.TOO_LONG or (limit is not None and size / CHARS_PER_TOKEN > limit):
            raise ContextOverflowError(line)
        if kind is Kind.POLICY:
            return Reply(line, finish_reason="content_filter")
        sent = [name for name in _OPTIONAL if name in self._parameters([])]
        if status in _BAD_REQUEST_STATUS and (name := unsupported_parameter(facts, sent)):
            self._dropped_parameters.add(name)
            raise TransientError(f"the model does not take {name}; trying without", 0.0)
        if 300 <= answer.status < 400 and answer.location:
            to = self._settings.redacted(answer.location, 200)
            raise BlockedError(
                Kind.REFUSED, f"{self.where} redirects to {to}: set agent.base_url to where it is"
            )
        says_nothing = status is None and kind_of(400, facts.text) is Kind.REFUSED
        if answer.status < 300 and says_nothing and is_of_another_api(document):
            raise NotChatError(
                f"{self.where} answers, but not as a chat API (agent.base_url): {line}"
            )
        if kind is Kind.BUSY:
            raise TransientError(line, retry_after_s({"retry-after": answer.retry_after}))
        cure = cure_of(kind, self._config, self.where, has_key=self._has_key)
        refused = BlockedError(kind, f"{cure}: {line}")
        if kind is Kind.REFUSED and status in _LENGTH_STATUS and may_be_too_long(facts.text):
            raise ContextOverflowError(line, otherwise=refused)
        raise refused

    def _line(self, status: int, facts: ErrorFacts) -> str:
        """Return what the server says, in one line that holds no secret."""
        said = facts.message.strip() or facts.text.strip() or "the answer holds no reply"
        return self._settings.redacted(f"HTTP {status}: {said}", _LINE_CHARS)


def _wait(state: Any) -> float:
    """Return the seconds before the next try, for `tenacity`."""
    error = state.outcome.exception()
    wish_s = error.retry_after_s if isinstance(error, TransientError) else None
    return pause_s(state.attempt_number, wish_s, jitter=random.random())
