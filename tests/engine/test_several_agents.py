"""Several agents in one run: who is asked, what is recorded, and that their work meets."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.anyone import AnyAgent
from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.optuna_search import OptunaAgent
from orchestrator.agents.scripted import ScriptedAgent
from orchestrator.agents.several import make_agents
from orchestrator.agents.team import PAUSE_S, Member, Team
from orchestrator.config.schema import Config
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Reply, Status
from orchestrator.planning.agent_choice import TurnTaker
from orchestrator.proposals.brief import Brief
from tests.engine.conftest import TAG, Lab, RecordingAgent
from tests.fakes import ChatServer, StubEvaluator, completion, reply, write_script

MOST = 9


class Broken:
    """An agent that is blocked, until it is mended."""

    name = "broken"

    def __init__(self, proposer: ScriptedAgent) -> None:
        self.is_broken = True
        self._proposer = proposer

    def propose(self, brief: Brief) -> Reply | None:
        """Propose, or tell that a person must act."""
        if self.is_broken:
            raise AgentBlockedError("no quota")
        return self._proposer.propose(brief)


class Fickle:
    """An agent whose first reply can't be used, and which is then blocked."""

    name = "fickle"

    def propose(self, brief: Brief) -> Reply:
        """Say nothing of use, once."""
        if brief.attempts:
            raise AgentBlockedError("no quota")
        return Reply("nothing")


def script(lab: Lab, tmp_path: Path, name: str) -> Path:
    """Write a script with a change of its own for every proposal of a run."""
    texts = [
        reply(lab.train(SCORE=-1.0, X=k, BY=name), description=f"{name}'s idea {k}")
        for k in range(1, MOST + 1)
    ]
    return write_script(tmp_path / name, texts)


def scripted(lab: Lab, tmp_path: Path, **turns: dict[str, Any]) -> AnyAgent:
    """Return scripted agents with these names and turns, as a configuration has them."""
    entries = [
        {
            "backend": "scripted",
            "name": name,
            "scripted_dir": str(script(lab, tmp_path, name)),
            **turn,
        }
        for name, turn in turns.items()
    ]
    return make_agents(Config.model_validate({"agents": entries}), lab.root, TAG, lambda _: [])


def challenges(lab: Lab) -> list[Experiment]:
    return [e for e in lab.ledger.experiments(TAG) if not e.is_baseline]


def proposers(lab: Lab) -> list[str]:
    """Return who proposed the run's experiments, in their order."""
    return [experiment.agent for experiment in challenges(lab)]


def test_every_experiment_records_who_proposed_it(lab: Lab, tmp_path: Path) -> None:
    """By the weights, one after the other; the run ends when both scripts have."""
    team = scripted(lab, tmp_path, a={"weight": 2.0}, b={})
    reason = lab.engine(proposer=team).run()
    assert reason.text == "script ended"
    assert proposers(lab) == list("abaabaaba")
    assert [e.description for e in challenges(lab)][:3] == [
        "a's idea 1",
        "b's idea 2",
        "a's idea 3",
    ]
    live = {facts["agent"] for facts in lab.monitor.shown if facts.get("phase") == "evaluating"}
    assert live >= {"a", "b"}


def test_a_restart_goes_on_with_the_next_turn(lab: Lab, tmp_path: Path) -> None:
    """The ledger is all that a team remembers."""
    turns: dict[str, dict[str, Any]] = {"a": {"weight": 2.0}, "b": {}, "c": {"every": 4}}
    whole = ["a", "b", "a", "c", "a", "b", "a", "c", "a"]
    for count in (2, 5, 8):
        lab.until(lab.engine(proposer=scripted(lab, tmp_path, **turns)), count + 1)
        assert proposers(lab) == whole[:count]


def test_who_has_failed_repairs_its_own_reply(lab: Lab, tmp_path: Path) -> None:
    """Though it would be the other one's turn by the weights."""
    team = scripted(lab, tmp_path, a={}, b={"weight": 9.0})
    (tmp_path / "a" / "0001.md").write_text("nothing")
    (tmp_path / "b" / "0001.md").write_text("nothing")
    mended = reply(lab.train(SCORE=-1.0, X=99), description="mended")
    for name in "ab":
        (tmp_path / name / "0001.repair-1.md").write_text(
            mended.replace("mended", f"{name} mended")
        )
    lab.until(lab.engine(proposer=team), 2)
    (first,) = challenges(lab)
    assert (first.agent, first.description) == ("b", "b mended")


def test_another_agent_repairs_for_one_that_is_blocked(lab: Lab, tmp_path: Path) -> None:
    """The experiment stays the first one's; each reply is billed to who wrote it."""
    folder = script(lab, tmp_path, "b")
    (folder / "0001.repair-1.md").write_text(reply(lab.train(SCORE=-1.0, X=99)))
    members = [
        Member(TurnTaker("a"), InlineAgent(Fickle())),
        Member(TurnTaker("b"), InlineAgent(ScriptedAgent(folder))),
    ]
    lab.until(lab.engine(proposer=Team(members)), 2)
    (first,) = challenges(lab)
    assert (first.agent, first.status) == ("a", Status.DISCARD)
    assert [(row.agent, row.calls) for row in lab.ledger.bill(TAG)] == [("a", 1), ("b", 1)]


def test_a_run_goes_on_while_one_agent_is_blocked(lab: Lab, tmp_path: Path) -> None:
    """It is told why, not paused; after a while the blocked one is asked again."""
    now_s = [0.0]
    broken = Broken(ScriptedAgent(script(lab, tmp_path, "a")))
    whole = ScriptedAgent(script(lab, tmp_path, "b"))
    members = [
        Member(TurnTaker("a"), InlineAgent(broken)), Member(TurnTaker("b"), InlineAgent(whole))
    ]  # fmt: skip
    engine = lab.engine(proposer=Team(members, clock=lambda: now_s[0]))
    lab.until(engine, 4)
    assert proposers(lab) == ["b", "b", "b"]
    told = [facts for event, facts in lab.monitor.events if event == "another agent is asked"]
    assert [facts["agent"] for facts in told] == ["b", "b"]
    assert told[0]["reason"] == "a is blocked (no quota); tried again in 10 min"
    shown = {facts["stand_in"] for facts in lab.monitor.shown if facts.get("agent") == "b"}
    assert shown == {None, told[0]["reason"], told[1]["reason"]}
    broken.is_broken = False
    now_s[0] = PAUSE_S
    lab.until(engine, 7)
    assert proposers(lab)[3:] == ["b", "a", "b"]


def test_a_run_pauses_once_all_are_blocked(lab: Lab, tmp_path: Path) -> None:
    """With all reasons; a person's `resume` has all tried again."""
    both = [Broken(ScriptedAgent(script(lab, tmp_path, name))) for name in "ab"]
    members = [
        Member(TurnTaker(name), InlineAgent(one)) for name, one in zip("ab", both, strict=True)
    ]
    engine = lab.engine(proposer=Team(members))
    assert lab.until_paused(engine) == "no agent can work: a: no quota; b: no quota"
    both[0].is_broken = False
    lab.ledger.add_request("resume", None, "now")
    lab.until(engine, 3)
    assert proposers(lab) == ["a", "a"]


def test_the_search_is_asked_once_ideas_fail(lab: Lab, tmp_path: Path) -> None:
    """Structure by the one, constants by the other; what gains begins the count anew."""
    search = InlineAgent(OptunaAgent(lambda rung: lab.ledger.trials(TAG, rung), TAG))
    lab.files = Files(lab.files.env, lab.train(SCORE=1.0))
    ideas = InlineAgent(ScriptedAgent(script(lab, tmp_path, "ideas")))
    turns = (TurnTaker("ideas"), TurnTaker("search", 0.0, after_failures=2))
    team = Team([Member(turn, agent) for turn, agent in zip(turns, (ideas, search), strict=True)])
    lab.until(lab.engine(proposer=team), 4)
    assert proposers(lab) == ["ideas", "ideas", "search"]
    assert challenges(lab)[2].description.startswith("optuna: ")


def test_two_agents_never_have_the_same_code_evaluated(lab: Lab, tmp_path: Path) -> None:
    """The second is told that it is being tried, also while the first one's is in evaluation."""
    same = reply(lab.train(SCORE=-1.0, X=7))
    agents = []
    for name in "ab":
        folder = write_script(tmp_path / name, [same] * 2)
        agents.append(Member(TurnTaker(name), InlineAgent(RecordingAgent(folder, lab.briefs))))
    lab.engine(proposer=Team(agents), lanes=2, agent={"max_repairs": 0}).run()
    first, second = challenges(lab)
    assert (first.status, second.status) == (Status.DISCARD, Status.INVALID)
    assert {first.agent, second.agent} == {"a", "b"}
    assert second.reason == f"duplicate: the same code was tried already, in experiment #{first.n}"
    # Both were asked at once; the next prompt names what the other lane tries.
    first_two, later = lab.briefs[:2], lab.briefs[2]
    assert all("do not take the first idea" in " ".join(each.in_flight) for each in first_two)
    assert (later.in_flight, later.proposed_by) == (
        (f"#{first.n} is being evaluated: a change",), (first.agent,)
    )  # fmt: skip


@pytest.mark.system
def test_several_samples_of_one_prompt_by_one_model(lab: Lab) -> None:
    """All lanes ask at once; of samples that are alike one is evaluated, the other mended."""
    one, two, three = (
        completion(reply(lab.train(SCORE=-1.0, X=k), description=f"idea {k}")) for k in (1, 2, 3)
    )
    server = ChatServer(one, one, two, three)
    model = {"backend": "openai", "model": "m", "base_url": server.url}
    agent = make_agents(Config.model_validate({"agent": model}), lab.root, TAG, lambda _: [])
    lab.evaluator = StubEvaluator(slots=3)
    engine = lab.engine(proposer=agent, lanes=3, limits={"experiments": 3})
    try:
        engine.run()
    finally:
        agent.close()
        server.close()
    assert sorted(e.description for e in challenges(lab)) == ["idea 1", "idea 2", "idea 3"]
    asked = [request["messages"][-1]["content"] for request in server.requests]
    at_once = [text for text in asked if "do not take the first idea" in text]
    assert len(at_once) >= 2
    assert any("duplicate: the same code was tried already" in text for text in asked)
    tried = [files.train for files, _ in lab.evaluator.seen if "X = " in files.train]
    assert len(tried) == len(set(tried)) == 3
