"""Stand-ins of what is somewhere else: OpenAI and OpenRouter."""

from typing import Any

from tests.agents.providers.stand_in import Said, StandIn, error, stream
from tests.agents.streams import DONE
from tests.fakes import Answer

KEY = "sk-of-a-stand-in-0123456789"
_CHAT = set(
    "model messages stream stream_options temperature max_completion_tokens reasoning_effort top_p "
    "service_tier prompt_cache_key seed verbosity".split()
)
_RESPONSES = set(
    "model input instructions stream temperature max_output_tokens reasoning store top_p text "
    "service_tier prompt_cache_key include".split()
)


class OpenAI(StandIn):
    """Refuses what it does not know, and streams some models to some keys alone."""

    title = "OpenAI"
    names = ("gpt-5.2", "gpt-5-mini", "gpt-4.1-mini")
    may_stream = True
    """Is the organisation verified?"""

    def refusal(self, path: str, request: Any, headers: Any) -> Answer | None:
        """Check the key, every parameter, the model and the length."""
        if headers.get("authorization") != f"Bearer {KEY}":
            return error(401, f"Incorrect API key provided: {headers.get('authorization')}.",
                         type="invalid_request_error", param=None, code="invalid_api_key")  # fmt: skip
        is_chat = path.endswith("completions")
        for name in request.keys() - (_CHAT if is_chat else _RESPONSES):
            if name == "max_tokens":
                return _unsupported(name, f"Unsupported parameter: '{name}' is not supported with "
                                    "this model. Use 'max_completion_tokens' instead.")  # fmt: skip
            if is_chat:
                return error(400, f"Unrecognized request argument supplied: {name}",
                             type="invalid_request_error", param=None, code=None)  # fmt: skip
            return error(400, f"Unknown parameter: '{name}'.", type="invalid_request_error",
                         param=name, code="unknown_parameter")  # fmt: skip
        reasons = request["model"].startswith("gpt-5")
        if reasons and request.get("temperature") not in (None, 1):
            return error(
                400, f"Unsupported value: 'temperature' does not support {request['temperature']} "
                "with this model. Only the default (1) value is supported.",
                type="invalid_request_error", param="temperature", code="unsupported_value",
            )  # fmt: skip
        effort = "reasoning_effort" if is_chat else "reasoning"
        if not reasons and request.get(effort):
            name = effort if is_chat else "reasoning.effort"
            return _unsupported(name, f"Unsupported parameter: '{name}' is not supported with this "
                                "model.")  # fmt: skip
        if request.get("stream") and not self.may_stream:
            return error(400, "Your organization must be verified to stream this model.",
                         type="invalid_request_error", param="stream", code="unsupported_value")  # fmt: skip
        return super().refusal(path, request, headers)

    def unknown_model(self, name: str) -> Answer:
        """404, or without access likewise."""
        return error(404, f"The model `{name}` does not exist or you do not have access to it.",
                     type="invalid_request_error", param=None, code="model_not_found")  # fmt: skip

    def too_long(self, tokens: int) -> Answer:
        """Name both lengths."""
        return error(400, f"This model's maximum context length is {self.context_tokens} tokens. "
                     f"However, your messages resulted in {tokens} tokens. Please reduce the length "
                     "of the messages.", type="invalid_request_error", param="messages",
                     code="context_length_exceeded")  # fmt: skip

    def message(self, said: Said) -> dict[str, Any]:
        """Reasoning is not told."""
        return super().message(said) | {"refusal": None, "annotations": []}

    def chunk(self, request: Any, delta: Any, **fields: Any) -> bytes:
        """Each chunk has a usage that is null, and letters of no meaning."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} | fields
        return self.beside(request, [choice], usage=None, obfuscation="aV3kp")


def _unsupported(name: str, message: str) -> Answer:
    return error(
        400, message, type="invalid_request_error", param=name, code="unsupported_parameter"
    )


class OpenRouter(StandIn):
    """Comments while it waits, tells what a call cost, and has errors with a good status."""

    title = "OpenRouter"
    names = ("anthropic/claude-sonnet-5", "qwen/qwen3-coder:free", "openai/gpt-5-mini")
    cost = 0.0123
    fails_amid: tuple[int, str] | None = None
    """An error within the reply: its code and words."""

    def refusal(self, path: str, request: Any, headers: Any) -> Answer | None:
        """Check the key."""
        if headers.get("authorization") != f"Bearer {KEY}":
            return Answer(401, {"error": {"message": "No auth credentials found", "code": 401}})
        return super().refusal(path, request, headers)

    def unknown_model(self, name: str) -> Answer:
        """400, in words of its own."""
        return error(400, f"{name} is not a valid model ID", code=400)

    def too_long(self, tokens: int) -> Answer:
        """As the chat says it; its responses have a code of their own for all that is refused."""
        said = (f"This endpoint's maximum context length is {self.context_tokens} tokens. However, "
                f"you requested about {tokens} tokens.")  # fmt: skip
        if self.paths[-1].endswith("responses"):
            return Answer(400, {"error": {"code": "invalid_prompt", "message": said},
                                "error_type": "context_length_exceeded", "metadata": None})  # fmt: skip
        return error(400, said, code=400)

    def usage(self, said: Said) -> dict[str, Any]:
        """With what it cost, in dollars."""
        return super().usage(said) | {
            "cost": self.cost, "is_byok": False,
            "cost_details": {"upstream_inference_cost": None},
        }  # fmt: skip

    def known(self, request: Any) -> dict[str, Any]:
        """With who answered."""
        return super().known(request) | {"provider": "Somebody"}

    def ended(self, said: Said) -> dict[str, Any]:
        """With the word of the one behind it."""
        native = "max_tokens" if said.finish == "length" else "end_turn"
        return super().ended(said) | {"native_finish_reason": native}

    def message(self, said: Said) -> dict[str, Any]:
        """With its reasoning."""
        return super().message(said) | {"reasoning": said.thinks, "refusal": None}

    def deltas(self, said: Said) -> list[dict[str, Any]]:
        """Reasoning comes first."""
        thought = {"role": "assistant", "content": "", "reasoning": said.thinks}
        return [thought, *super().deltas(said)[1:]]

    def chat(self, request: Any, said: Said) -> dict[str, Any]:
        """Or an error, with a status that says nothing of it."""
        if self.fails_amid is not None:
            code, words = self.fails_amid
            return {"error": {"code": code, "message": words}, "user_id": "user_1"}
        return super().chat(request, said)

    def chat_stream(self, request: Any, said: Said) -> Answer:
        """Comments, chunks, the usage always, and perhaps an error amid the reply."""
        life = b": OPENROUTER PROCESSING\n\n"
        chunks = [self.chunk(request, delta) for delta in self.deltas(said)]
        if self.fails_amid is not None:
            code, words = self.fails_amid
            choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
            broken = self.beside(request, [choice], error={"code": code, "message": words})
            return stream([life, *chunks[:2], broken])
        end = self.chunk(request, {"content": ""}, **self.ended(said))
        usage = self.beside(request, [{"index": 0, "delta": {"content": ""},
                                       "finish_reason": None}], usage=self.usage(said))  # fmt: skip
        return stream([life, 0.05, life, *chunks, end, usage, DONE])

    def response(self, request: Any, said: Said) -> dict[str, Any]:
        """With what it cost, likewise."""
        whole = super().response(request, said)
        whole["usage"] |= {"cost": self.cost, "is_byok": False}
        return whole
