"""One call to one model of an endpoint: what is sent, and every answer sorted by what to do."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from orchestrator.agents.answer_body import AnswerBody
from orchestrator.agents.client_settings import ClientSettings
from orchestrator.agents.error_facts import ErrorFacts, read_error
from orchestrator.agents.error_table import Kind, kind_of, may_be_too_long, tokens_at_once
from orchestrator.agents.http_client import Answer, HttpClient
from orchestrator.agents.interfaces import interface_of
from orchestrator.agents.openai_answers import (
    error_in,
    error_words,
    read_document,
    refused_prompt,
    with_bill_of,
)
from orchestrator.agents.openai_errors import (
    BlockedError,
    ContextOverflowError,
    NotChatError,
    TransientError,
    cure_of,
    retry_after_s,
    unsupported_parameter,
)
from orchestrator.agents.prices import tariff_of
from orchestrator.agents.prompt_length import size_of
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.records import Reply
from orchestrator.proposals.endings import ending
from orchestrator.proposals.prompt import Message
from orchestrator.proposals.shares import CHARS_PER_TOKEN

if TYPE_CHECKING:
    from orchestrator.agents.http_client import Transport

T = TypeVar("T")

_OK = 200
_LINE_CHARS = 300
_BAD_REQUEST_STATUS = {400, 422}
_LENGTH_STATUS = {400, 413, 422}


class Context(Protocol):
    """The process in which the agent runs: its pauses, and time limits of calls."""

    def wait(self, reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
        """Pause, and show why; `may_be_billed` is the call before the pause."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function that may block. Raises `TimeoutError` when its time is up."""


@dataclass(frozen=True)
class Endpoint:
    """Where calls go, and within which limits."""

    config: AgentConfig
    settings: ClientSettings
    has_key: bool
    transport: "Transport | None" = None

    def call(
        self,
        function: Callable[[HttpClient], Answer],
        context: Context,
        body: AnswerBody | None = None,
    ) -> Answer:
        """Call it. Raises `TransientError` or `AgentBlockedError`."""
        limit_s = self.config.time_limit_s
        try:
            client = HttpClient(
                self.settings,
                limit_s,
                silence_s=self.config.silence_s,
                body=body,
                transport=self.transport,
            )
        except UserError as error:  # a file of certificates that was there at the start
            raise AgentBlockedError(str(error)) from error
        try:
            # The client's timeout counts between bytes; this one is for the whole answer.
            return context.call(lambda: function(client), limit_s)
        except TimeoutError as error:
            if body is not None and body.is_whole:  # nothing that is wanted is missing
                return Answer(_OK, b"")
            said = f"no answer within {limit_s:g} s"
            raise TransientError(said, may_be_billed=True) from error
        finally:
            client.close()


class ModelCaller:
    """Calls one model, and remembers what it does not take."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.model = model
        self.context_tokens = endpoint.config.context_tokens
        """The longest prompt that it accepts, as far as it is known."""
        self._endpoint, self._config = endpoint, endpoint.config
        self._settings = endpoint.settings
        self._interface = interface_of(endpoint.config)
        self._tariff = tariff_of(self._config, model)
        self.broken_off = Reply("")
        """What calls have cost whose replies were broken off, and no later one has counted yet."""
        self._dropped: set[str] = set()

    def ask_once(self, messages: Sequence[Message], context: Context) -> Reply:
        """Make one call.

        Raises:
            TransientError: it may succeed later.
            ContextOverflowError: the prompt is too long.
            AgentBlockedError: the user must act first.
        """
        request = self._interface.request(self._config, self.model, messages, self._dropped)
        body = AnswerBody(self._interface.stream() if request.get("stream") else None)
        answer = self._endpoint.call(
            lambda client: client.post(self._interface.path, request), context, body
        )
        document = body.document() if body.is_stream else read_document(answer.body)
        is_good = 200 <= answer.status < 300 and not error_in(document)
        reply = self._interface.read_reply(document, self._tariff) if is_good else None
        if reply is None:
            return self._refused(answer, document, request.keys(), size_of(messages))
        if ending(reply.finish_reason) == "transient":
            self.broken_off = with_bill_of(self.broken_off, reply)
            raise TransientError(
                "the endpoint broke the reply off: finish_reason "
                f"{self._settings.redacted(reply.finish_reason, 60)}",
                may_be_billed=True,
            )
        lost, self.broken_off = self.broken_off, Reply("")
        return with_bill_of(reply, lost)

    def _refused(self, answer: Answer, document: object, sent: Iterable[str], size: int) -> Reply:
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
            return refused_prompt(line, document, self._tariff)
        self._drop_unsupported(status, facts, sent)
        if 300 <= answer.status < 400 and answer.location:
            to = self._settings.redacted(answer.location, 200)
            raise BlockedError(
                Kind.REFUSED,
                f"{self._settings.where} redirects to {to}: set agent.base_url to where it is",
            )
        says_nothing = status is None and kind_of(400, facts.text) is Kind.REFUSED
        if answer.status < 300 and says_nothing and self._interface.is_foreign(document):
            raise NotChatError(
                f"{self._settings.where} answers, but not as {self._interface.title}: {line}"
            )
        if kind is Kind.BUSY:
            wish_s = retry_after_s({"retry-after": answer.retry_after})
            raise TransientError(line, wish_s, may_be_billed=answer.status < 300)
        where, has_key = self._settings.where, self._endpoint.has_key
        cure = cure_of(kind, self._config, self.model, where, has_key=has_key)
        refused = BlockedError(kind, f"{cure}: {line}")
        if kind is Kind.REFUSED and status in _LENGTH_STATUS and may_be_too_long(facts.text):
            raise ContextOverflowError(line, otherwise=refused)
        raise refused

    def _drop_unsupported(self, status: int | None, facts: ErrorFacts, sent: Iterable[str]) -> None:
        """Leave a parameter out from now on that the model does not take, and try again at once."""
        own = (self._config.extra or {}).keys()  # the user's, whatever the model says
        optional = {
            name: words
            for name, words in self._interface.optional.items()
            if name in sent and name not in own
        }
        if status not in _BAD_REQUEST_STATUS:
            return
        if name := unsupported_parameter(facts, optional):
            self._dropped.add(name)
            raise TransientError(f"the model does not take {name}; trying without", 0.0)

    def _line(self, status: int, facts: ErrorFacts) -> str:
        """Return what the server says, in one line that holds no secret."""
        said = facts.message.strip() or facts.text.strip() or "the answer holds no reply"
        return self._settings.redacted(f"HTTP {status}: {said}", _LINE_CHARS)
