"""Any endpoint that speaks the OpenAI chat API. The only importer of `openai` and `tenacity`.

`tenacity` owns the retries (the client's own are off): what passes by itself is waited out, however
long it takes, with growing, jittered pauses that honour Retry-After; what needs a person (a wrong
key, no quota, an unknown model) raises `AgentBlockedError` at once.
"""

import datetime as dt
import email.utils
import json
import os
import random
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.config.schema import AgentConfig, Prices
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.records import Reply, Tokens
from orchestrator.core.text import one_line
from orchestrator.engine.ports import Host
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import CHARS_PER_TOKEN, Message, build_messages

if TYPE_CHECKING:
    import openai

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
_TRANSIENT_STATUS = {408, 409, 425, 429}
_PATIENT_TRIES = 3
_ERROR_CHARS = 4000
_NO_KEY_NEEDED = "none"
_OPTIONAL = ("temperature", "max_completion_tokens", "max_tokens")
_NO_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
# What servers say, each in its own words.
_OVERFLOW = re.compile(
    r"context.{0,20}(?:length|size|window)|prompt is too long|too many (?:input )?tokens",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"un(?:supported|recognized|known|expected)|not (?:supported|support|permitted|allowed)|extra",
    re.IGNORECASE,
)


class _TransientError(Exception):
    """Will pass by itself. `retry_after_s` is the server's wish, if it had one."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _ContextOverflowError(Exception):
    """The prompt is longer than the model takes."""


class OpenAIAgent:
    """Asks a model for the next experiment."""

    def __init__(self, config: AgentConfig, environment: Mapping[str, str] = os.environ) -> None:
        """Check what is configured, without a call.

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

    def can_repair(self, brief: Brief) -> bool:
        """A model may always answer again."""
        del brief
        return True

    def propose(self, brief: Brief, host: Host) -> Reply:
        """Ask the model once, waiting out what passes by itself."""
        while True:
            messages = build_messages(brief, context_tokens=self._context_tokens)
            try:
                return self._ask(messages, host)
            except _ContextOverflowError:
                self._context_tokens = self._smaller_context(brief, _size(messages))

    def _smaller_context(self, brief: Brief, size: int) -> int:
        """Return a context that makes a shorter prompt than `size` characters.

        Raises:
            AgentBlockedError: there is nothing more to leave out.
        """
        smaller = min(self._context_tokens, int(size / CHARS_PER_TOKEN)) * 2 // 3
        if _size(build_messages(brief, context_tokens=smaller)) < size:
            return smaller
        raise AgentBlockedError(
            f"the prompt is too long for {self._config.model} even without history: shorten "
            "program.md, the candidate or the notes, or use a model with a longer context "
            "(agent.model)"
        )

    def _ask(self, messages: list[Message], host: Host) -> Reply:
        import tenacity

        reason = ""

        def note(state: tenacity.RetryCallState) -> None:
            nonlocal reason
            assert state.outcome is not None
            reason = one_line(str(state.outcome.exception()))

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TransientError),
            wait=_wait,
            before_sleep=note,
            sleep=lambda seconds: host.wait(reason, seconds),
            reraise=True,
        )
        reply: Reply = retrying(self._call, messages, host)
        return reply

    def _call(self, messages: list[Message], host: Host) -> Reply:
        """Make one call. Raises `_TransientError`, `_ContextOverflowError`, `AgentBlockedError`."""
        import openai

        client = openai.OpenAI(
            api_key=self._key,
            base_url=self._config.base_url,
            timeout=self._config.timeout_s,
            max_retries=0,
        )
        try:
            # The client's timeout counts between bytes; this one is for the whole answer.
            answer = host.call(
                lambda: client.chat.completions.create(**self._parameters(messages)),
                self._config.timeout_s,
            )
        except TimeoutError as error:
            raise _TransientError(f"no answer within {self._config.timeout_s:g} s") from error
        except openai.APIStatusError as error:
            raise self._sorted(error) from error
        except (openai.APIError, json.JSONDecodeError, UnicodeDecodeError) as error:
            # Connection refused or reset, a body cut off or not JSON.
            raise _TransientError(
                f"{type(error).__name__}: {self._redacted(str(error))}"
            ) from error
        finally:
            client.close()
        return self._reply(answer)

    def _parameters(self, messages: list[Message]) -> dict[str, Any]:
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
        """Sort a refused request: will it pass, is the prompt too long, or must a person act?"""
        said = _get(error.body, "message") or error.response.text
        full = self._redacted(f"HTTP {error.status_code}: {said}"[:_ERROR_CHARS])
        text = one_line(full, 300)
        codes = {str(error.code), str(error.type)}
        if error.status_code in {400, 413, 422}:
            too_long = error.status_code == 413 or "context_length_exceeded" in codes
            if too_long or _OVERFLOW.search(full):
                return _ContextOverflowError()
            if name := self._drop(str(error.param), full):
                return _TransientError(f"the model does not take {name}; trying without", 0.0)
        is_transient = error.status_code in _TRANSIENT_STATUS or error.status_code >= 500
        if is_transient and not codes & _NO_QUOTA:
            return _TransientError(text, retry_after_s(error.response.headers))
        return AgentBlockedError(f"{self._cure(error.status_code, codes)}: {text}")

    def _cure(self, status_code: int, codes: set[str]) -> str:
        """Say what a person must look at before the endpoint can answer."""
        variable = f"${self._config.api_key_env}"
        if codes & _NO_QUOTA:
            return f"the quota of the key in {variable} is used up"
        if status_code in {401, 403}:
            if self._has_no_key():
                return f"the endpoint wants a key, and {variable} is not set"
            return f"the endpoint refuses the key in {variable}"
        if status_code == 404:
            where = self._config.base_url or "OpenAI's address"
            return (
                f"no model {self._config.model} at {where} for the key in {variable} "
                "(agent.model, agent.base_url)"
            )
        return "the endpoint refuses the request"

    def _drop(self, param: str, text: str) -> str | None:
        """Stop sending an optional parameter the server does not take; None if it is none."""
        if not _UNSUPPORTED.search(text):
            return None
        sent = [name for name in _OPTIONAL if name in self._parameters([])]
        name = param if param in sent else next((n for n in sent if n in text), None)
        if name:
            self._dropped_parameters.add(name)
        return name

    def _reply(self, answer: object) -> Reply:
        # A 200 whose body is not the expected JSON comes back as text, or with anything inside.
        choices = _get(answer, "choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = _get(choice, "message")
        if message is None:
            said = _get(_get(answer, "error"), "message") or ""
            raise _TransientError(
                self._redacted(f"the endpoint's answer holds no message {said}".strip())
            )
        refusal = _text(_get(message, "refusal"))
        tokens = _usage(answer)
        return Reply(
            text=refusal or _text(_get(message, "content")),
            tokens=tokens,
            cost_usd=cost_usd(tokens, self._config.prices),
            finish_reason="refusal" if refusal else str(_get(choice, "finish_reason") or "stop"),
        )

    def _has_no_key(self) -> bool:
        return self._key == _NO_KEY_NEEDED

    def _redacted(self, text: str) -> str:
        return text if self._has_no_key() else text.replace(self._key, "[key]")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the server's Retry-After in seconds (given as seconds or a date), None without one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"[-+]?(?:\d+\.?\d*|\.\d+)", value, re.ASCII):
        return max(0.0, float(value))
    try:
        when = email.utils.parsedate_to_datetime(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=dt.UTC)
        return max(0.0, when.timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def cost_usd(tokens: Tokens, prices: Prices | None) -> float | None:
    """Return what a call cost, None where prices or counts are unknown."""
    if prices is None or tokens.input is None or tokens.output is None:
        return None
    cached = min(tokens.cached or 0, tokens.input)
    cached_price = prices.input if prices.cached is None else prices.cached
    total = (tokens.input - cached) * prices.input + cached * cached_price
    return (total + tokens.output * prices.output) / 1e6


def _wait(state: Any) -> float:
    """Return the seconds before the next try, as `tenacity` asks for them."""
    error = state.outcome.exception()
    wish_s = error.retry_after_s if isinstance(error, _TransientError) else None
    return pause_s(state.attempt_number, wish_s, jitter=random.random())


def pause_s(failures: int, wish_s: float | None, *, jitter: float) -> float:
    """Return the seconds before the next try: the server's wish, capped, or growing with jitter.

    A server that keeps wishing for short pauses gets growing ones in the end.

    Args:
        failures: tries that have failed in a row, at least 1.
        wish_s: the server's Retry-After, if it had one.
        jitter: from 0 to 1, drawn anew each time: between half of the pause and all of it.
    """
    if wish_s is not None and (wish_s >= LONGEST_PAUSE_S or failures <= _PATIENT_TRIES):
        return min(wish_s, LONGEST_PAUSE_S)
    ceiling = min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE_S)
    return max(wish_s or 0.0, ceiling * (1 + jitter) / 2)


def _size(messages: list[Message]) -> int:
    return sum(len(message.content) for message in messages)


def _get(holder: object, name: str) -> Any:
    """Return a field of an answer that may have any shape; None if it is not there."""
    if isinstance(holder, dict):
        return holder.get(name)
    return getattr(holder, name, None)


def _text(value: object) -> str:
    """Return the text of a message, which some servers send in parts."""
    if isinstance(value, list):
        return "".join(_text(_get(part, "text")) for part in value)
    return value if isinstance(value, str) else ""


def _usage(answer: object) -> Tokens:
    usage = _get(answer, "usage")

    def count(holder: object, name: str) -> int | None:
        value = _get(holder, name)
        return value if type(value) is int and value >= 0 else None

    return Tokens(
        input=count(usage, "prompt_tokens"),
        cached=count(_get(usage, "prompt_tokens_details"), "cached_tokens"),
        output=count(usage, "completion_tokens"),
        reasoning=count(_get(usage, "completion_tokens_details"), "reasoning_tokens"),
    )
