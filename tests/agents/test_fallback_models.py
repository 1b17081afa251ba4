"""Further models, asked while the ones before can't answer."""

import threading
from collections.abc import Iterator

import pytest

from orchestrator.agents.openai_api import PATIENCE_S, OpenAIAgent
from orchestrator.agents.standby import AWAY_S
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.core.errors import AgentBlockedError
from orchestrator.proposals.agent_events import Replied
from tests.agents.openai_rig import BRIEF, LONG
from tests.agents.streams import chat_stream, streamed
from tests.fakes import (
    Answer,
    ChatServer,
    SimulatedContext,
    WaitingContext,
    completion,
    refusal,
)

USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
UNKNOWN = refusal(404, "The model `a` does not exist", code="model_not_found")
NO_CREDIT = refusal(429, "You exceeded your current quota", code="insufficient_quota")
NOT_YOURS = refusal(403, "You do not have access to this model")
BUSY = refusal(503, "overloaded")


class Models(ChatServer):
    """An endpoint with several models, each of which answers as it is told to at the time."""

    def __init__(self) -> None:
        self.says: dict[str, Answer] = {}
        self.asked: list[str] = []
        super().__init__()

    def _answer_to(self, handler: object) -> Answer:
        super()._answer_to(handler)  # type: ignore[arg-type]
        model = self.requests[-1]["model"]
        self.asked.append(model)
        return self.says.get(model) or completion(f"by {model}", usage=USAGE)


@pytest.fixture
def server() -> Iterator[Models]:
    """An endpoint whose models all answer."""
    server = Models()
    yield server
    server.close()


def agent_of(
    server: Models, context: SimulatedContext, *fallback: str, **options: object
) -> OpenAIAgent:
    known = {"model": "a", "fallback_models": list(fallback), "base_url": server.url}
    config = AgentConfig(**known | options)  # type: ignore[arg-type]
    return OpenAIAgent(config, {}, clock=lambda: context.now_s)


def simulated() -> SimulatedContext:
    return SimulatedContext(ends_at_s=1e6)


def test_the_first_answers_while_it_can(server: Models) -> None:
    """The others are never asked; the reply says which it was."""
    context = simulated()
    replied = agent_of(server, context, "b", "c").propose(BRIEF, context)
    assert (replied.reply.text, replied.agent, server.asked) == ("by a", "openai:a", ["a"])


def test_alone_it_needs_no_name(server: Models) -> None:
    """Without others the reply is the agent's."""
    context = simulated()
    assert agent_of(server, context).propose(BRIEF, context).agent == ""
    assert agent_of(server, context, "a").propose(BRIEF, context).agent == ""


@pytest.mark.parametrize("no", [UNKNOWN, NO_CREDIT, NOT_YOURS], ids=["unknown", "quota", "denied"])
def test_what_one_model_lacks_the_next_may_have(server: Models, no: Answer) -> None:
    """At once, and without asking the first again for a while."""
    context = simulated()
    agent = agent_of(server, context, "b")
    server.says["a"] = no
    for _ in range(3):
        replied = agent.propose(BRIEF, context)
        assert (replied.reply.text, replied.agent) == ("by b", "openai:b")
    assert server.asked == ["a", "b", "b", "b"]
    assert context.now_s == 0


def test_the_first_is_asked_again_after_a_pause(server: Models) -> None:
    """It may be back; if it is not, the next one answers for another while."""
    context = simulated()
    agent = agent_of(server, context, "b")
    server.says["a"] = NO_CREDIT
    agent.propose(BRIEF, context)
    context.now_s += AWAY_S
    assert agent.propose(BRIEF, context).agent == "openai:b"
    context.now_s += AWAY_S
    del server.says["a"]
    assert agent.propose(BRIEF, context).agent == "openai:a"
    assert server.asked == ["a", "b", "a", "b", "a"]


def test_a_busy_model_is_waited_for_within_bounds(server: Models) -> None:
    """A short outage is the first's own; a longer one is the next model's."""
    context = SimulatedContext(ends_at_s=1e6, on_wait=lambda _: server.says.pop("a", None))
    server.says["a"] = BUSY
    assert agent_of(server, context, "b").propose(BRIEF, context).agent == "openai:a"
    context = simulated()
    server.says["a"] = BUSY
    assert agent_of(server, context, "b").propose(BRIEF, context).agent == "openai:b"
    assert PATIENCE_S / 3 < context.now_s <= PATIENCE_S


def test_a_long_wish_is_not_waited_for(server: Models) -> None:
    """A server that asks for five minutes has said that it is down for some time."""
    context = simulated()
    server.says["a"] = Answer(503, BUSY.body, {"Retry-After": "300"})
    assert agent_of(server, context, "b").propose(BRIEF, context).agent == "openai:b"
    assert server.asked == ["a", "b"]
    assert context.now_s == 0


def test_a_change_is_said(server: Models) -> None:
    """Why, and who is asked instead: the daemon logs it."""

    class Listening(SimulatedContext):
        said: list[str] = []  # noqa: RUF012 - of one test

        def wait(self, reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
            self.said.append(reason)

    context = Listening(ends_at_s=1e6)
    server.says["a"] = UNKNOWN
    agent_of(server, context, "b").propose(BRIEF, context)
    [said] = context.said
    assert said.startswith("asking b, for a can't answer: no model a at ")


def test_nobody_there_pauses_the_run(server: Models) -> None:
    """With what the first lacks; once a person has acted, each is asked again."""
    context = simulated()
    agent = agent_of(server, context, "b")
    server.says |= {"a": UNKNOWN, "b": NO_CREDIT}
    with pytest.raises(AgentBlockedError, match=r"no model a .*nor does any of agent\.fallback"):
        agent.propose(BRIEF, context)
    server.says.clear()
    assert agent.propose(BRIEF, context).agent == "openai:a"


def test_all_busy_is_waited_out(server: Models) -> None:
    """For hours, with pauses of minutes; who can't come back by itself is not asked for ten."""
    calls_at: list[float] = []

    def on_wait(now_s: float) -> None:
        calls_at.append(now_s)
        if now_s > 7200:
            server.says.pop("b", None)

    context = SimulatedContext(ends_at_s=1e6, on_wait=on_wait)
    server.says |= {"a": UNKNOWN, "b": BUSY}
    replied = agent_of(server, context, "b").propose(BRIEF, context)
    assert replied.agent == "openai:b"
    assert 7200 < context.now_s < 8000
    assert server.asked.count("a") <= 7200 / AWAY_S + 2
    assert server.asked.count("b") < 250


def test_a_wrong_key_is_nobodys_to_answer(server: Models) -> None:
    """The key is the same for all, and so is a request that is refused."""
    for no in (refusal(401, "Incorrect API key provided"), refusal(400, "bad request")):
        context = simulated()
        server.says["a"] = no
        with pytest.raises(AgentBlockedError):
            agent_of(server, context, "b").propose(BRIEF, context)
    assert "b" not in server.asked


def test_a_page_that_stays_is_a_wrong_address(server: Models) -> None:
    """Whatever the number of models."""
    context = simulated()
    page = Answer(200, "<html>Log in</html>")
    server.says |= {"a": page, "b": page}
    with pytest.raises(AgentBlockedError, match=r"not as a chat API \(agent\.base_url\)"):
        agent_of(server, context, "b").propose(BRIEF, context)


def test_each_model_has_its_own_length_and_parameters(server: Models) -> None:
    """What one does not take, and how short it wants its prompt, is none of the next one's."""
    context = simulated()
    agent = agent_of(server, context, "b", temperature=0.5)

    def answers() -> Iterator[Answer]:
        yield refusal(400, "Unsupported parameter: 'temperature'", param="temperature")
        yield refusal(400, "This model's maximum context length is 8192 tokens")
        while True:
            yield UNKNOWN

    script, lock = answers(), threading.Lock()

    class Scripted(dict[str, Answer]):
        def get(self, key: str, default: object = None) -> Answer | None:  # type: ignore[override]
            with lock:
                return next(script) if key == "a" else None

    server.says = Scripted()
    assert agent.propose(LONG, context).agent == "openai:b"
    first, _, shorter, other = server.requests
    assert "temperature" not in shorter
    assert other == first | {"model": "b"}


def test_prices_are_those_of_their_model(server: Models) -> None:
    """`agent.prices` are of `agent.model`: what another one costs is not known by them."""
    context = simulated()
    agent = agent_of(server, context, "b", prices=Prices(input=2.0, output=1.0))
    assert agent.propose(BRIEF, context).reply.cost_usd == 2.0
    server.says["a"] = UNKNOWN
    replied: Replied = agent.propose(BRIEF, context)
    assert replied.reply.cost_usd is None


def test_what_may_be_billed_is_told_of_each_call(server: Models) -> None:
    """A reply that broke off may cost, whoever is asked next; a refusal costs nothing."""
    context = WaitingContext()
    broken, rest = streamed(chat_stream("hello")[:2]), streamed(chat_stream("hello"))
    server.says |= {"a": broken, "b": UNKNOWN, "c": rest}
    agent = agent_of(server, SimulatedContext(ends_at_s=1e6), "b", "c", silence_s=5.0)
    assert agent.propose(BRIEF, context).agent == "openai:c"
    told = context.billed
    assert told == [True] * (len(told) - 1) + [False]
    assert context.waits[-1][0].startswith("asking c, for b")


def test_the_last_ones_bill_is_told_too(server: Models) -> None:
    """Where nobody is left to be asked, with the pause of all."""
    context = WaitingContext()
    server.says |= {"a": UNKNOWN, "b": streamed(chat_stream("hello")[:2])}
    agent = agent_of(server, SimulatedContext(ends_at_s=1e6), "b", silence_s=5.0)

    def wait(reason: str, seconds: float, *, may_be_billed: bool = False) -> None:
        WaitingContext.wait(context, reason, seconds, may_be_billed=may_be_billed)
        if reason.startswith("no model answers"):
            server.says.clear()

    context.wait = wait  # type: ignore[method-assign]
    agent.propose(BRIEF, context)
    assert context.waits[-1][0].startswith("no model answers")
    assert context.billed[-1]
