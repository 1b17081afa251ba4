"""Each provider of docs/endpoints.md, with the configuration that stands there, through whole replies."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.agents.endpoint_check import find_out
from orchestrator.agents.openai_api import OpenAIAgent
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.config.loading import load_config
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.records import Reply, Tokens
from orchestrator.proposals.agent_events import Replied
from tests.agents.openai_rig import BRIEF, LONG, length
from tests.agents.providers.hosted import KEY, OpenAI, OpenRouter
from tests.agents.providers.local import VLLM, LlamaCpp, LMStudio, Ollama
from tests.agents.providers.stand_in import SAYS, Said, StandIn
from tests.conftest import REPOSITORY
from tests.fakes import WaitingContext, refusal

PAGE = (REPOSITORY / "docs" / "endpoints.md").read_text()
KINDS: tuple[type[StandIn], ...] = (OpenAI, OpenRouter, VLLM, Ollama, LlamaCpp, LMStudio)
COUNTS = {
    "OpenAI": Tokens(100, 60, 20, 5), "OpenRouter": Tokens(100, 60, 20, 5),
    "vLLM": Tokens(100, None, 20, None), "Ollama": Tokens(100, None, 20, None),
    "llama.cpp": Tokens(100, 60, 20, None), "LM Studio": Tokens(100, None, 20, 5),
}  # fmt: skip
"""What each tells of a chat completion."""
EVERY = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)

Make = Callable[..., StandIn]


@pytest.fixture
def make() -> Iterator[Make]:
    """Start stand-ins that are closed afterwards."""
    servers: list[StandIn] = []

    def start(kind: type[StandIn]) -> StandIn:
        servers.append(kind())
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def configured(server: StandIn, tmp_path: Path, **options: object) -> AgentConfig:
    """Return the configuration of a page, but for its address."""
    section = PAGE.split(f"\n## {server.title}\n", 1)[1].split("\n## ", 1)[0]
    [text] = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    file = tmp_path / "config.yaml"
    file.write_text(text)
    config = load_config(file).agent
    assert config.base_url != server.url
    return config.model_copy(update={"base_url": server.url} | options)


def agent_of(config: AgentConfig) -> OpenAIAgent:
    return OpenAIAgent(config, {config.api_key_env: KEY}, clock=lambda: 0.0)


def propose(config: AgentConfig, context: WaitingContext | None = None) -> Replied:
    return agent_of(config).propose(BRIEF, context or WaitingContext())


def ask(config: AgentConfig, context: WaitingContext | None = None) -> Reply:
    return propose(config, context).reply


# -- what holds for all ----------------------------------------------------------------------------


def test_every_page_has_its_stand_in() -> None:
    """And there is no configuration beside them."""
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert titles[1:] == [kind.title for kind in KINDS]
    assert PAGE.count("```yaml") == len(KINDS)


@EVERY
def test_the_page_works(make: Make, kind: type[StandIn], tmp_path: Path) -> None:
    """As it stands there: a reply at once, and the parameters of the page sent."""
    server, context = make(kind), WaitingContext()
    config = configured(server, tmp_path)
    replied = propose(config, context)
    assert (replied.reply.text, replied.reply.finish_reason) == (SAYS, "stop")
    assert replied.reply.tokens.input == 100
    assert context.waits == []
    assert len(server.requests) == 1
    for name, value in (config.extra or {}).items():
        assert server.requests[0][name] == value


@EVERY
@pytest.mark.parametrize("silence_s", [None, 5.0], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_both_interfaces_whole_and_streamed(
    make: Make, kind: type[StandIn], api: str, silence_s: float | None, tmp_path: Path
) -> None:
    """The same reply by every way, with the counts that the provider tells."""
    server = make(kind)
    reply = ask(configured(server, tmp_path, api=api, silence_s=silence_s))
    told = COUNTS[kind.title] if api == "chat" else Tokens(100, 60, 20, 5)
    assert (reply.text, reply.finish_reason, reply.tokens) == (SAYS, "stop", told)
    assert ("stream" in server.requests[-1]) is (silence_s is not None)


@EVERY
@pytest.mark.parametrize("silence_s", [None, 5.0], ids=["whole", "streamed"])
def test_a_reply_that_was_cut_says_so(
    make: Make, kind: type[StandIn], silence_s: float | None, tmp_path: Path
) -> None:
    """Whatever the provider calls it, and under whatever name the limit is sent."""
    server = make(kind)
    server.said = Said(tokens=9000)
    limit = {"max_output_tokens": 50, "extra": None, "api": "chat"}
    if kind is Ollama:
        limit |= {"max_output_tokens": None, "extra": {"max_tokens": 50}}
    reply = ask(configured(server, tmp_path, silence_s=silence_s, **limit))
    assert (reply.text, reply.finish_reason) == (SAYS[:50], "length")


@EVERY
@pytest.mark.parametrize("silence_s", [None, 5.0], ids=["whole", "streamed"])
def test_a_prompt_too_long_is_shortened(
    make: Make, kind: type[StandIn], silence_s: float | None, tmp_path: Path
) -> None:
    """At once; but Ollama cuts it, and says nothing."""
    server, context = make(kind), WaitingContext()
    for api in kind.apis:
        server.requests.clear()
        kind_limit, server.context_tokens = kind.context_tokens, 9000  # type: ignore[misc]
        config = configured(server, tmp_path, api=api, silence_s=silence_s, context_tokens=64_000)
        assert agent_of(config).propose(LONG, context).reply.text == SAYS
        lengths = [len(str(request)) for request in server.requests]
        assert len(lengths) == 1 if kind is Ollama else lengths == sorted(lengths, reverse=True)
        assert (len(lengths) > 1) is (kind is not Ollama)
        assert kind_limit
    assert context.waits == []


@EVERY
def test_a_model_that_is_unknown_is_named(make: Make, kind: type[StandIn], tmp_path: Path) -> None:
    """The run pauses at once, with the keys to look at; a start names the nearest ones too."""
    server = make(kind)
    options = {"model": f"{kind.names[0]}x", "fallback_models": []}
    config = configured(server, tmp_path, **options)
    if kind is LlamaCpp:  # any name is its own
        assert ask(config).text == SAYS
        return
    with pytest.raises(AgentBlockedError, match=r"no model .*x at .*agent\.model"):
        ask(config)
    if kind not in {OpenAI, OpenRouter}:  # whose keys a start reads from the environment
        found = find_out(config)
        assert found.state == "bad"
        assert f"did you mean {kind.names[0]}" in found.says


@EVERY
def test_a_fallback_model_answers_instead(make: Make, kind: type[StandIn], tmp_path: Path) -> None:
    """And is named."""
    server = make(kind)
    options = {"model": "gone", "fallback_models": ["gone-too", kind.names[0]]}
    replied = propose(configured(server, tmp_path, **options))
    assert replied.reply.text == SAYS
    name = "gone" if kind is LlamaCpp else kind.names[0]
    assert replied.agent == f"openai:{name}"


@EVERY
@pytest.mark.parametrize("silence_s", [None, 5.0], ids=["whole", "streamed"])
def test_reasoning_alone_is_no_answer(
    make: Make, kind: type[StandIn], silence_s: float | None, tmp_path: Path
) -> None:
    """A model that thinks to its limit says nothing; its thoughts are not taken for an edit."""
    server = make(kind)
    server.said = Said(text="", thinks=SAYS, finish="length")
    reply = ask(configured(server, tmp_path, api="chat", silence_s=silence_s))
    assert SAYS not in reply.text
    assert reply.finish_reason == "length"


# -- each one's own --------------------------------------------------------------------------------


def test_openai_refuses_what_a_model_does_not_take(make: Make, tmp_path: Path) -> None:
    """Temperature, effort and streams go, one by one; the reply is the same."""
    for options in ({"temperature": 0.5}, {"model": "gpt-4.1-mini"}):
        for api in ("chat", "responses"):
            server, context = make(OpenAI), WaitingContext()
            assert ask(configured(server, tmp_path, api=api, **options), context).text == SAYS
            assert [seconds for _, seconds in context.waits] == [0.0]
    server, context = make(OpenAI), WaitingContext()
    server.may_stream = False  # type: ignore[attr-defined]
    assert ask(configured(server, tmp_path), context).text == SAYS
    assert "stream" not in server.requests[-1]


def test_openai_refuses_a_slip_in_extra(make: Make, tmp_path: Path) -> None:
    """The user's own parameter is not dropped: the line names it."""
    for api in ("chat", "responses"):
        config = configured(make(OpenAI), tmp_path, api=api, extra={"top_pp": 0.9})
        with pytest.raises(AgentBlockedError, match="top_pp"):
            ask(config)


def test_openai_never_sees_the_older_name_of_the_limit(make: Make, tmp_path: Path) -> None:
    """Models that reason refuse `max_tokens`."""
    server, context = make(OpenAI), WaitingContext()
    ask(configured(server, tmp_path, api="chat", max_output_tokens=9000), context)
    assert context.waits == []


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("silence_s", [None, 5.0], ids=["whole", "streamed"])
def test_openrouter_tells_the_dollars(
    make: Make, api: str, silence_s: float | None, tmp_path: Path
) -> None:
    """What the call cost, whatever the prices are."""
    server = make(OpenRouter)
    prices = Prices(input=1.0, output=1.0)
    config = configured(server, tmp_path, api=api, silence_s=silence_s, prices=prices)
    assert ask(config).cost_usd == 0.0123


def test_openrouter_adds_what_the_one_behind_it_charges(make: Make, tmp_path: Path) -> None:
    """`usage.cost` is its own part then."""
    server = make(OpenRouter)
    own = {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}
    server.usage = lambda said: StandIn.usage(server, said) | own  # type: ignore[method-assign]
    assert ask(configured(server, tmp_path)).cost_usd == pytest.approx(0.21)


@pytest.mark.parametrize("cost", [-1, float("inf"), 1e9, True, "0.1", None, {"total": 1}, [1]])
def test_dollars_that_can_not_be_are_unknown(make: Make, cost: object, tmp_path: Path) -> None:
    """A cost of another kind is none; it is not 0 either."""
    server = make(OpenRouter)
    server.cost = cost  # type: ignore[attr-defined]
    assert ask(configured(server, tmp_path)).cost_usd is None


@pytest.mark.parametrize("silence_s", [None, 5.0], ids=["whole", "streamed"])
def test_openrouter_errors_with_a_good_status(
    make: Make, silence_s: float | None, tmp_path: Path
) -> None:
    """In the body, or amid the stream: an outage is the next model's, a filter the experiment's."""
    server = make(OpenRouter)
    server.fails_amid = (502, "Provider disconnected")  # type: ignore[attr-defined]
    config = configured(server, tmp_path, silence_s=silence_s, fallback_models=[])
    context = WaitingContext()

    class Passing(WaitingContext):
        def wait(self, reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
            super().wait(reason, seconds)
            server.fails_amid = None  # type: ignore[attr-defined]

    context = Passing()
    assert ask(config, context).text == SAYS
    assert "Provider disconnected" in context.waits[0][0]
    server.fails_amid = (403, "Input was flagged by moderation")  # type: ignore[attr-defined]
    assert ask(config).finish_reason == "content_filter"
    server.fails_amid = (402, "Insufficient credits")  # type: ignore[attr-defined]
    with pytest.raises(AgentBlockedError, match="credit"):
        ask(config)


def test_openrouter_responses_call_a_long_prompt_invalid(make: Make, tmp_path: Path) -> None:
    """Its code says little, its `error_type` all."""
    server, context = make(OpenRouter), WaitingContext()
    vague = refusal(400, "Provider returned error", code="invalid_prompt")
    assert isinstance(vague.body, dict)
    vague.body["error_type"] = "context_length_exceeded"
    server.first.append(vague)
    config = configured(server, tmp_path, api="responses")
    assert agent_of(config).propose(LONG, context).reply.text == SAYS
    assert context.waits == []


def test_a_local_server_is_waited_for_while_it_loads(make: Make, tmp_path: Path) -> None:
    """llama.cpp says so by 503, on every path."""
    server, context = make(LlamaCpp), WaitingContext()
    loading = refusal(503, "Loading model", code=503, type="unavailable_error")
    server.first += [loading] * 3
    assert ask(configured(server, tmp_path), context).text == SAYS
    assert len(context.waits) == 3
    assert "Loading model" in context.waits[0][0]


def test_llama_cpp_breaks_off_in_a_field_of_its_own(make: Make, tmp_path: Path) -> None:
    """Its context runs full amid the reply: less history, and no half reply."""
    server, context = make(LlamaCpp), WaitingContext()
    server.fails_amid = "Context size has been exceeded."  # type: ignore[attr-defined]
    with pytest.raises(AgentBlockedError, match="too long"):
        agent_of(configured(server, tmp_path)).propose(LONG, context)
    assert len(server.requests) > 1
    assert length(server.requests[-1]) < length(server.requests[0])


def test_lm_studio_with_nothing_loaded_pauses(make: Make, tmp_path: Path) -> None:
    """What it says is text, and what to do stands in it."""
    server = make(LMStudio)
    server.is_loaded = False  # type: ignore[attr-defined]
    with pytest.raises(AgentBlockedError, match="lms load"):
        ask(configured(server, tmp_path))


def test_lm_studio_crashes_amid_the_reply(make: Make, tmp_path: Path) -> None:
    """Half of it is not used; the model is loaded again meanwhile."""
    server = make(LMStudio)
    server.crashes = True  # type: ignore[attr-defined]

    class Reloading(WaitingContext):
        def wait(self, reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
            super().wait(reason, seconds)
            server.crashes = False  # type: ignore[attr-defined]

    context = Reloading()
    assert ask(configured(server, tmp_path, silence_s=5.0), context).text == SAYS
    assert "crashed" in context.waits[0][0]


def test_a_version_without_responses_is_named(make: Make, tmp_path: Path) -> None:
    """By 404, or with a good status: the line says which key to turn back."""
    for kind in (LlamaCpp, LMStudio):
        server = make(kind)
        server.apis = ("chat",)  # type: ignore[misc]
        with pytest.raises(AgentBlockedError, match=r"agent\.api"):
            ask(configured(server, tmp_path, api="responses"))


def test_ollama_knows_one_name_of_the_limit(make: Make, tmp_path: Path) -> None:
    """`max_output_tokens` has no effect there, as the page says; `extra` has."""
    server = make(Ollama)
    server.said = Said(tokens=9000)
    config = configured(server, tmp_path, extra=None, max_output_tokens=50)
    assert ask(config).text == SAYS


def test_ollama_says_which_model_does_not_think(make: Make, tmp_path: Path) -> None:
    """Effort is left out for it."""
    for api in ("chat", "responses"):
        server, context = make(Ollama), WaitingContext()
        config = configured(server, tmp_path, api=api, model="gemma3:12b", effort="high")
        assert ask(config, context).text == SAYS
        assert [seconds for _, seconds in context.waits] == [0.0]
