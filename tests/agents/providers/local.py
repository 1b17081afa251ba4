"""Stand-ins of what runs on one's own machine: vLLM, Ollama, llama.cpp and LM Studio."""

from typing import Any

from tests.agents.providers.stand_in import Said, StandIn, error, length, stream
from tests.agents.streams import event
from tests.fakes import Answer


class VLLM(StandIn):
    """Takes every parameter, and tells reasoning under its new name."""

    title = "vLLM"
    names = ("Qwen/Qwen3-Coder-30B-A3B-Instruct",)

    def unknown_model(self, name: str) -> Answer:
        """404, with a type of Python's."""
        return error(404, f"The model `{name}` does not exist.", type="NotFoundError", param="model",
                     code=404)  # fmt: skip

    def too_long(self, tokens: int) -> Answer:
        """Its newest words."""
        limit = self.context_tokens
        return error(400, f"You passed {tokens} input tokens and requested 0 output tokens. However, "
                     f"the model's context length is only {limit} tokens, resulting in a maximum "
                     f"input length of {limit} tokens. Please reduce the length of the input prompt.",
                     type="BadRequestError", param="input_tokens", code=400)  # fmt: skip

    def usage(self, said: Said) -> dict[str, Any]:
        """No details, unless it is started with an option for them."""
        return {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.tokens,
                "total_tokens": said.prompt_tokens + said.tokens,
                "prompt_tokens_details": None}  # fmt: skip

    def message(self, said: Said) -> dict[str, Any]:
        """A parser of reasoning is on."""
        return super().message(said) | {"reasoning": said.thinks, "tool_calls": [], "refusal": None}

    def deltas(self, said: Said) -> list[dict[str, Any]]:
        """Reasoning comes first, and is a field of its own."""
        first, *texts = super().deltas(said)
        return [first, {"reasoning": said.thinks}, *texts]

    def ended(self, said: Said) -> dict[str, Any]:
        """With the token that ended it, if it was another than usual."""
        return super().ended(said) | {"stop_reason": None, "token_ids": None}


class Ollama(StandIn):
    """Knows one name of the output limit, loads a model when it is asked, and cuts prompts."""

    title = "Ollama"
    names = ("qwen3-coder:30b", "gemma3:12b")
    context_tokens = 4096

    def refusal(self, path: str, request: Any, headers: Any) -> Answer | None:
        """One of its models has no reasoning to be hard at."""
        effort = request.get("reasoning_effort") or request.get("reasoning")
        if request["model"] == "gemma3:12b" and effort:
            return error(400, '"gemma3:12b" does not support thinking',
                         type="invalid_request_error", param=None, code=None)  # fmt: skip
        return super().refusal(path, request, headers)

    def unknown_model(self, name: str) -> Answer:
        """404: it is not on this machine yet."""
        return error(404, f'model "{name}" not found, try pulling it first', type="not_found_error",
                     param=None, code=None)  # fmt: skip

    def too_long(self, tokens: int) -> None:
        """A long prompt is cut, and no word is said of it."""

    def limited(self, request: Any) -> Said:
        """`max_completion_tokens` is no name that it knows."""
        known = {name: value for name, value in request.items() if name != "max_completion_tokens"}
        return super().limited(known)

    def usage(self, said: Said) -> dict[str, Any]:
        """Three counts."""
        return {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.tokens,
                "total_tokens": said.prompt_tokens + said.tokens}  # fmt: skip

    def known(self, request: Any) -> dict[str, Any]:
        """With a fingerprint."""
        return super().known(request) | {"system_fingerprint": "fp_ollama"}

    def message(self, said: Said) -> dict[str, Any]:
        """With its reasoning."""
        return super().message(said) | {"reasoning": said.thinks}

    def deltas(self, said: Said) -> list[dict[str, Any]]:
        """Each has the role, and reasoning comes beside an empty text."""
        texts = [delta["content"] for delta in super().deltas(said)[1:]]
        role = {"role": "assistant"}
        thought = role | {"content": "", "reasoning": said.thinks}
        return [thought, *[role | {"content": text} for text in texts]]


class LlamaCpp(StandIn):
    """Answers 503 while it loads, and to any name of a model."""

    title = "llama.cpp"
    names = ("qwen3-coder-30b-q4_k_m.gguf",)
    fails_amid = ""
    """Words of an error within the stream."""

    def refusal(self, path: str, request: Any, headers: Any) -> Answer | None:
        """It has one model, whatever it is called."""
        tokens = length(request)
        return self.too_long(tokens) if tokens > self.context_tokens else None

    def unknown_model(self, name: str) -> Answer:
        """There is none."""
        raise AssertionError(name)

    def too_long(self, tokens: int) -> Answer:
        """With both counts as numbers."""
        return error(400, f"request ({tokens} tokens) exceeds the available context size "
                     f"({self.context_tokens} tokens), try increasing it", code=400,
                     type="exceed_context_size_error", n_prompt_tokens=tokens,
                     n_ctx=self.context_tokens)  # fmt: skip

    def missing(self, path: str) -> Answer:
        """404, as it words all."""
        return error(404, "File Not Found", code=404, type="not_found_error")

    def usage(self, said: Said) -> dict[str, Any]:
        """With what was in its cache."""
        return {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.tokens,
                "total_tokens": said.prompt_tokens + said.tokens,
                "prompt_tokens_details": {"cached_tokens": said.cached}}  # fmt: skip

    def known(self, request: Any) -> dict[str, Any]:
        """With its timings."""
        timings = {"prompt_n": 40, "predicted_per_second": 31.4}
        return super().known(request) | {"model": self.names[0], "timings": timings}

    def message(self, said: Said) -> dict[str, Any]:
        """Reasoning under its older name."""
        return super().message(said) | {"reasoning_content": said.thinks}

    def deltas(self, said: Said) -> list[dict[str, Any]]:
        """The first text is null."""
        _, *texts = super().deltas(said)
        return [{"role": "assistant", "content": None}, {"reasoning_content": said.thinks}, *texts]

    def chat_stream(self, request: Any, said: Said) -> Answer:
        """And perhaps an error amid the reply, in a field that the standard does not have."""
        answer = super().chat_stream(request, said)
        if not self.fails_amid:
            return answer
        words = '{"code":500,"message":"' + self.fails_amid + '","type":"server_error"}'
        return stream([*answer.pieces[:3], f"error: {words}\n\n".encode()])


class LMStudio(StandIn):
    """Says what is wrong with a good status now and then, and as text."""

    title = "LM Studio"
    names = ("qwen/qwen3-coder-30b",)
    is_loaded = True
    crashes = False

    def refusal(self, path: str, request: Any, headers: Any) -> Answer | None:
        """Nothing may be loaded."""
        if not self.is_loaded:
            return Answer(400, {"error": "No models loaded. Please load a model in the developer "
                                "page or use the 'lms load' command."})  # fmt: skip
        return super().refusal(path, request, headers)

    def unknown_model(self, name: str) -> Answer:
        """With those that it has."""
        return error(404, f'Model "{name}" not found. Please specify a valid model.\n\nYour models:'
                     f"\n\n{self.names[0]}", type="invalid_request_error", param="model",
                     code="model_not_found")  # fmt: skip

    def too_long(self, tokens: int) -> Answer:
        """With a good status, as an event where one streams."""
        said = {"error": {"message": "The number of tokens to keep from the initial prompt is "
                "greater than the context length. Try to load the model with a larger context "
                "length, or provide a shorter input."}}  # fmt: skip
        if self.requests[-1].get("stream"):
            return stream([event(said, "error")])
        return Answer(200, said)

    def missing(self, path: str) -> Answer:
        """With a good status."""
        return Answer(200, {"error": f"Unexpected endpoint or method. (POST {path})"})

    def usage(self, said: Said) -> dict[str, Any]:
        """With reasoning, and no word on a cache."""
        return {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.tokens,
                "total_tokens": said.prompt_tokens + said.tokens,
                "completion_tokens_details": {"reasoning_tokens": said.thought_tokens}}  # fmt: skip

    def message(self, said: Said) -> dict[str, Any]:
        """Reasoning apart, where that is turned on."""
        return super().message(said) | {"reasoning_content": said.thinks, "tool_calls": []}

    def deltas(self, said: Said) -> list[dict[str, Any]]:
        """Reasoning comes first."""
        _, *texts = super().deltas(said)
        return [{"role": "assistant", "reasoning_content": said.thinks}, *texts]

    def chat_stream(self, request: Any, said: Said) -> Answer:
        """And perhaps the end of its model amid the reply."""
        answer = super().chat_stream(request, said)
        if not self.crashes:
            return answer
        words = "The model has crashed without additional information. (Exit code: null)"
        return stream([*answer.pieces[:3], event({"error": {"message": words}}, "error")])
