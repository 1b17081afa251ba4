"""Any endpoint that speaks the OpenAI chat API. The only importer of `openai` and `tenacity`.

`tenacity` owns the retries (the client's own are off): what passes by itself is waited out, however
long it takes, with growing, jittered pauses that honour Retry-After; what needs a person (a wrong
key, no quota, an unknown model) raises `AgentBlockedError` at once.
"""

import datetime as dt
import email.utils
import os
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.config import AgentConfig, Prices
from orchestrator.errors import AgentBlockedError, UserError
from orchestrator.ports import Host
from orchestrator.prompt import Brief, Message, build_messages
from orchestrator.records import Reply, Tokens
from orchestrator.text import one_line

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletion

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
_TRANSIENT_STATUS = {408, 409, 425, 429}
_NO_KEY_NEEDED = "none"


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
        key = environment.get(config.api_key_env, "")
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
        for _ in range(4):
            messages = build_messages(brief, context_tokens=self._context_tokens)
            try:
                return self._ask(messages, host)
            except _ContextOverflowError:
                self._context_tokens //= 2
        raise AgentBlockedError(
            f"the prompt is too long for {self._config.model} even without history: lower "
            "agent.context_tokens or shorten program.md"
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
            wait=_pause,
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
        except (openai.APIError, ValueError) as error:
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
        text = one_line(self._redacted(str(error)), 300)
        code = str(error.code or "")
        if error.status_code == 400:
            name = str(error.param or "")
            if code in {"unsupported_parameter", "unsupported_value"} and self._drop(name):
                return _TransientError(f"the model does not take {name}; trying without", 0.0)
            if code == "context_length_exceeded" or "context length" in text.lower():
                return _ContextOverflowError()
        if "insufficient_quota" in (code, str(getattr(error, "type", ""))):
            return AgentBlockedError(f"the model's quota is used up: {text}")
        if error.status_code in _TRANSIENT_STATUS or error.status_code >= 500:
            return _TransientError(text, retry_after_s(error.response.headers))
        if error.status_code in {401, 403}:
            return AgentBlockedError(
                f"the endpoint refuses the key in ${self._config.api_key_env}: {text}"
            )
        return AgentBlockedError(f"the endpoint refuses the request: {text}")

    def _drop(self, name: str) -> bool:
        """Stop sending a parameter; False if it was not being sent or can't be spared."""
        if name not in {"temperature", "max_completion_tokens", "max_tokens"}:
            return False
        fresh = name not in self._dropped_parameters
        self._dropped_parameters.add(name)
        return fresh

    def _reply(self, answer: "ChatCompletion") -> Reply:
        # A 200 whose body is not the expected JSON comes back as text, or with fields missing.
        choices = getattr(answer, "choices", None)
        if not choices:
            raise _TransientError("the endpoint's answer holds no choice")
        message = choices[0].message
        if message is None:
            raise _TransientError("the endpoint's answer holds no message")
        refusal = getattr(message, "refusal", None)
        finish = choices[0].finish_reason or "stop"
        tokens = _usage(answer)
        return Reply(
            text=refusal or message.content or "",
            tokens=tokens,
            cost_usd=cost_usd(tokens, self._config.prices),
            finish_reason="refusal" if refusal else str(finish),
        )

    def _redacted(self, text: str) -> str:
        return text if self._key == _NO_KEY_NEEDED else text.replace(self._key, "[key]")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the server's Retry-After in seconds (given as seconds or a date), None without one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return max(0.0, when.timestamp() - time.time())


def cost_usd(tokens: Tokens, prices: Prices | None) -> float | None:
    """Return what a call cost, None where prices or counts are unknown."""
    if prices is None or tokens.input is None or tokens.output is None:
        return None
    cached = tokens.cached or 0
    cached_price = prices.input if prices.cached is None else prices.cached
    total = (tokens.input - cached) * prices.input + cached * cached_price
    return (total + tokens.output * prices.output) / 1e6


def _pause(state: Any) -> float:
    """Return the seconds before the next try: the server's wish, capped, or growing with jitter."""
    error = state.outcome.exception()
    wish = error.retry_after_s if isinstance(error, _TransientError) else None
    if wish is not None:
        return float(min(wish, LONGEST_PAUSE_S))
    ceiling = min(FIRST_PAUSE_S * 2.0 ** min(state.attempt_number - 1, 16), LONGEST_PAUSE_S)
    return random.uniform(ceiling / 2, ceiling)


def _usage(answer: Any) -> Tokens:
    usage = getattr(answer, "usage", None)

    def count(holder: Any, name: str) -> int | None:
        value = getattr(holder, name, None)
        return value if isinstance(value, int) else None

    return Tokens(
        input=count(usage, "prompt_tokens"),
        cached=count(getattr(usage, "prompt_tokens_details", None), "cached_tokens"),
        output=count(usage, "completion_tokens"),
        reasoning=count(getattr(usage, "completion_tokens_details", None), "reasoning_tokens"),
    )
