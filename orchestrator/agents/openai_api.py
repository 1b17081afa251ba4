"""Any endpoint that speaks the OpenAI chat API. The only importer of `openai` and `tenacity`.

`tenacity` does the retries (the client's own are off): transient failures are retried however long
they last, with exponential back-off and jitter, honouring Retry-After; errors that need the user (a
wrong key, no quota, an unknown model) raise `AgentBlockedError` at once.

It blocks, so it runs in a process of its own (`job.py`), never in the daemon.
"""

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from orchestrator.agents.openai_answers import field, read_reply
from orchestrator.agents.openai_errors import (
    ContextOverflowError,
    Refusal,
    TransientError,
    pause_s,
    retry_after_s,
)
from orchestrator.config.schema import AgentConfig
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.records import Reply
from orchestrator.core.text import one_line
from orchestrator.proposals.agent_events import Replied
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import CHARS_PER_TOKEN, Message, build_messages

if TYPE_CHECKING:
    import openai

T = TypeVar("T")

_ERROR_CHARS = 4000
_NO_KEY_NEEDED = "none"
_OPTIONAL = ("temperature", "max_completion_tokens", "max_tokens")


class Context(Protocol):
    """The process in which the agent runs: its pauses, and time limits of calls."""

    def wait(self, reason: str, seconds: float) -> None:
        """Return after so many seconds; the reason is shown meanwhile."""

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function that may block. Raises `TimeoutError` when its time is up."""


class OpenAIAgent:
    """Asks a model for the next experiment."""

    def __init__(self, config: AgentConfig, environment: Mapping[str, str] = os.environ) -> None:
        """Check the configuration, without a call and without importing `openai`.

        Raises:
            UserError: no model, or no key where one is needed.
        """
        if config.model is None:
            raise UserError(
                "agent.model is missing: name the model to use, or set agent.backend to optuna"
            )
        key = environment.get(config.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise UserError(f"${config.api_key_env} holds no key: a key is one line of plain ASCII")
        if not key and config.base_url is None:
            raise UserError(
                f"no API key: set ${config.api_key_env} (agent.api_key_env), or agent.base_url "
                "for a server that needs none, or agent.backend to optuna"
            )
        self.name = f"openai:{config.model}"
        self._config = config
        self._key = key or _NO_KEY_NEEDED
        self._dropped_parameters: set[str] = set()
        self._context_tokens = config.context_tokens

    def warm_up(self) -> None:
        """Import the libraries of a call, which takes a second."""
        import tenacity  # noqa: F401 - for its effect, so that `_ask` finds it loaded

        with self._client() as client:
            _ = client.chat.completions

    def propose(self, brief: Brief, context: Context) -> Replied:
        """Ask the model for one reply, retrying transient failures.

        Returns:
            The reply, and the chat as it was sent: shorter than the configured context allows if
            the model accepts less.

        Raises:
            AgentBlockedError: the user must act before the model can answer.
        """
        while True:
            messages = build_messages(brief, context_tokens=self._context_tokens)
            try:
                return Replied(self._ask(messages, context), sent=tuple(messages))
            except ContextOverflowError:
                self._context_tokens = self._smaller_context(brief, _size(messages))

    def _smaller_context(self, brief: Brief, size: int) -> int:
        """Return a context that makes a shorter prompt than `size` characters.

        Raises:
            AgentBlockedError: nothing more can be left out.
        """
        smaller = min(self._context_tokens, int(size / CHARS_PER_TOKEN)) * 2 // 3
        if _size(build_messages(brief, context_tokens=smaller)) < size:
            return smaller
        raise AgentBlockedError(
            f"the prompt is too long for {self._config.model} even without history: shorten "
            "program.md, the candidate or the notes, or use a model with a longer context "
            "(agent.model)"
        )

    def _ask(self, messages: list[Message], context: Context) -> Reply:
        import tenacity

        reason = ""

        def note(state: tenacity.RetryCallState) -> None:
            nonlocal reason
            assert state.outcome is not None
            reason = one_line(str(state.outcome.exception()))

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=_wait,
            before_sleep=note,
            sleep=lambda seconds: context.wait(reason, seconds),
            reraise=True,
        )
        reply: Reply = retrying(self._call, messages, context)
        return reply

    def _call(self, messages: list[Message], context: Context) -> Reply:
        """Make one call. Raises `TransientError`, `ContextOverflowError`, `AgentBlockedError`."""
        import openai

        client = self._client()
        try:
            # The client's timeout counts between bytes; this one is for the whole answer.
            answer = context.call(
                lambda: client.chat.completions.create(**self._parameters(messages)),
                self._config.timeout_s,
            )
        except TimeoutError as error:
            raise TransientError(f"no answer within {self._config.timeout_s:g} s") from error
        except openai.APIStatusError as error:
            raise self._sorted(error) from error
        except (openai.APIError, json.JSONDecodeError, UnicodeDecodeError) as error:
            # Connection refused or reset, a body cut off or not JSON.
            raise TransientError(f"{type(error).__name__}: {self._redacted(str(error))}") from error
        finally:
            client.close()
        reply = read_reply(answer, self._config.prices)
        if reply is None:
            said = field(field(answer, "error"), "message") or ""
            text = f"the endpoint's answer holds no message {said}".strip()
            raise TransientError(self._redacted(text))
        return reply

    def _client(self) -> "openai.OpenAI":
        import openai

        return openai.OpenAI(
            api_key=self._key,
            base_url=self._config.base_url,
            timeout=self._config.timeout_s,
            max_retries=0,
        )

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

    def _sorted(self, error: "openai.APIStatusError") -> Exception:
        """Classify a refused request: transient, a prompt too long, or one that needs the user."""
        said = field(error.body, "message") or error.response.text
        refusal = Refusal(
            error.status_code,
            self._redacted(f"HTTP {error.status_code}: {said}"[:_ERROR_CHARS]),
            frozenset({str(error.code), str(error.type)}),
            str(error.param),
            retry_after_s(error.response.headers),
        )
        if refusal.is_overflow:
            return ContextOverflowError()
        sent = [name for name in _OPTIONAL if name in self._parameters([])]
        if name := refusal.unsupported(sent):
            self._dropped_parameters.add(name)
            return TransientError(f"the model does not take {name}; trying without", 0.0)
        if refusal.is_transient:
            return TransientError(refusal.line, refusal.retry_after_s)
        return AgentBlockedError(f"{self._cure(refusal)}: {refusal.line}")

    def _cure(self, refusal: Refusal) -> str:
        """Return what the user must check before the endpoint can answer."""
        variable = f"${self._config.api_key_env}"
        if refusal.is_out_of_quota:
            return f"the quota of the key in {variable} is used up"
        if refusal.status_code in {401, 403}:
            if self._has_no_key():
                return f"the endpoint wants a key, and {variable} is not set"
            return f"the endpoint refuses the key in {variable}"
        if refusal.status_code == 404:
            where = self._config.base_url or "OpenAI's address"
            return (
                f"no model {self._config.model} at {where} for the key in {variable} "
                "(agent.model, agent.base_url)"
            )
        return "the endpoint refuses the request"

    def _has_no_key(self) -> bool:
        return self._key == _NO_KEY_NEEDED

    def _redacted(self, text: str) -> str:
        return text if self._has_no_key() else text.replace(self._key, "[key]")


def _wait(state: Any) -> float:
    """Return the seconds before the next try, for `tenacity`."""
    error = state.outcome.exception()
    wish_s = error.retry_after_s if isinstance(error, TransientError) else None
    return pause_s(state.attempt_number, wish_s, jitter=random.random())


def _size(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)
