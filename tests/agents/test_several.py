"""The agents that a configuration leads to."""

from pathlib import Path

import pytest

from orchestrator.agents.anyone import AnyAgent
from orchestrator.agents.choice import review_settings, takes_time
from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.several import by_name, chosen_line, make_agents
from orchestrator.agents.team import Team
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from orchestrator.core.records import Files, Rung
from orchestrator.proposals.agent_events import AgentAsked, AgentBlocked, Replied
from orchestrator.proposals.brief import Brief

MODEL = {"backend": "openai", "model": "m", "base_url": "http://localhost/v1"}
SEARCH = {"backend": "optuna"}
TUNABLE = Files("", "LEARNING_RATE = 1e-3\n")


def config(*agents: dict[str, object], **sections: object) -> Config:
    return Config.model_validate({"agents": list(agents), **sections})


def made(root: Path, *agents: dict[str, object], **sections: object) -> AnyAgent:
    return make_agents(config(*agents, **sections), root, "nov22", lambda _: [])


def asked(agent: AnyAgent, ordinal: int, files: Files = TUNABLE) -> list[str]:
    """Return who is asked for a proposal, one after the other."""
    agent.ask("1", Brief(ordinal, "", files, Rung(12, 8), 1))
    told = [event for _ in range(3) for _, event in agent.poll()]
    assert not [event for event in told if isinstance(event, AgentBlocked)]
    return [event.agent for event in told if isinstance(event, AgentAsked)]


def test_one_agent_is_itself_and_several_are_a_team(tmp_path: Path) -> None:
    """Their names are those of the record."""
    alone = make_agents(Config.model_validate({"agent": SEARCH}), tmp_path, "t", lambda _: [])
    assert isinstance(alone, InlineAgent)
    team = made(tmp_path, MODEL, SEARCH, SEARCH | {"name": "second search"})
    assert isinstance(team, Team)
    assert team.name == "openai:m, optuna, second search"
    team.close()


def test_a_single_agents_own_name_is_recorded(tmp_path: Path) -> None:
    """Its errors are told without it: there is no other."""
    named = Config.model_validate({"agent": SEARCH | {"name": "tuner"}})
    agent = make_agents(named, tmp_path, "t", lambda _: [])
    assert agent.name == "tuner"
    assert asked(agent, 1) == ["tuner"]
    nothing = Config.model_validate({"agent": {"backend": "openai", "name": "x"}})
    with pytest.raises(UserError, match=r"^agent\.model is missing"):
        make_agents(nothing, tmp_path, "t", lambda _: [])


def test_turns_are_as_configured(tmp_path: Path) -> None:
    """Weights, schedules, and the name under which an answer is recorded."""
    script = {"backend": "scripted", "scripted_dir": "."}
    for k in (1, 2, 3, 5):
        (tmp_path / f"{k:04d}.md").write_text(f"reply {k}")
    team = made(tmp_path, script, SEARCH | {"every": 2, "name": "search"})
    assert [asked(team, k) for k in (1, 2, 3)] == [["scripted"], ["search"], ["scripted"]]
    # Without its file the script has ended; the search takes the turn.
    assert asked(team, 7) == ["scripted", "search"]
    # With nothing to tune it is the script's.
    plain = Files("", "x = y\n")
    (tmp_path / "0004.md").write_text("reply 4")
    assert asked(made(tmp_path, script, SEARCH | {"every": 2}), 4, plain) == ["optuna", "scripted"]


def test_an_answer_has_its_agents_name(tmp_path: Path) -> None:
    """The entry's own, where it has one."""
    team = made(tmp_path, SEARCH | {"name": "tuner"})
    team.ask("1", Brief(1, "", TUNABLE, Rung(12, 8), 1))
    (replied,) = [event for _, event in team.poll() if isinstance(event, Replied)]
    assert replied.agent == "tuner"


@pytest.mark.parametrize(
    ("agents", "text"),
    [
        ([SEARCH, {"backend": "openai"}], r"agents, openai: agent\.model is missing"),
        ([SEARCH, {"backend": "scripted", "name": "s"}], r"agents, s: agent\.scripted_dir"),
        ([SEARCH, {}], r"agents: two entries are called 'optuna'.* `name`"),
    ],
)
def test_each_must_be_makeable(tmp_path: Path, agents: list[dict[str, object]], text: str) -> None:
    """What is missing is told with its name; `auto` may turn out to be what is there already."""
    with pytest.raises(UserError, match=text):
        made(tmp_path, *agents)


def test_one_that_takes_time_is_enough() -> None:
    """So that a team has a lane more."""
    assert takes_time(config(SEARCH, MODEL))
    assert not takes_time(config(SEARCH, SEARCH | {"name": "x"}))


def test_the_choice_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who, and why."""
    several = config(MODEL, {}, agents_by="gain_per_hour")
    assert [name for name, _ in by_name(several)] == ["openai:m", "optuna"]
    line = "agents: openai:m, optuna (agents in the configuration, by gain_per_hour)"
    assert chosen_line(several) == line
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert chosen_line(Config()) == "agent: openai ($OPENAI_API_KEY is set)"


def test_a_team_is_reviewed_as_its_first_model() -> None:
    """By default, and with what `review` sets; a team without a model is not."""
    other = {"backend": "openai", "model": "n", "base_url": "http://localhost:2/v1"}
    found = review_settings(config(SEARCH, MODEL, other))
    assert found is not None
    assert (found.model, found.base_url) == ("m", "http://localhost/v1")
    found = review_settings(config(SEARCH, MODEL, review={"model": "r"}))
    assert found is not None
    assert (found.model, found.base_url) == ("r", "http://localhost/v1")
    assert review_settings(config(SEARCH, SEARCH | {"name": "x"})) is None
