"""Several experiments at once, in random orders: whatever ends first, the record is consistent.

Each seed is a run of its own, with real git and ledger: proposals are answered and seeds told in a
random order, people pause, resume, stop and accept at random moments, and the daemon is killed.
"""

import functools
import itertools
import os
import random
import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.team import Member, Team
from orchestrator.core.evaluations import (
    Evaluation,
    EvaluationEnded,
    EvaluatorEvent,
    Measurement,
    Purpose,
    SeedDone,
    SeedResult,
)
from orchestrator.core.experiments import (
    Accept,
    Experiment,
    LeadMove,
    MoveKind,
    StopKind,
    StopReason,
)
from orchestrator.core.records import JUDGED, Files, Reply, Rung, Status
from orchestrator.engine.display import STOPPED_BY_USER
from orchestrator.engine.engine import Engine
from orchestrator.engine.ports import Agent
from orchestrator.judging.candidate_evidence import FRESH
from orchestrator.judging.reference import default_seeds
from orchestrator.planning.agent_choice import TurnTaker
from orchestrator.planning.state import Event, RunState, in_order, replay
from orchestrator.proposals.agent_events import (
    AgentBlocked,
    AgentEvent,
    AgentFinished,
    NothingToAdd,
    Replied,
)
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.candidate_code import fingerprint
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import git
from tests.engine.conftest import CHEAP, LEAD_RULES, TAG, Lab
from tests.fakes import QuietMonitor, ShufflingAgent, StubEvaluator, reply

PROPOSALS = 9
SEEDS_A_TEST = 25
NOISE = 0.02
LADDER = [[12, 8], [32, 8]]
CANDIDATE = Files(
    "def create_env(config): ...\n",
    "SCORE = 0.0\ndef build_policy(): ...\ndef training_overrides(): ...\n",
)
code_of = functools.cache(fingerprint)

_OWN_TIME = FRESH | {Purpose.AUDIT}
"""Purposes of the seeds that did not choose a candidate."""


class Killed(BaseException):
    """The daemon's process is gone."""


class RecordingEvaluator(StubEvaluator):
    """An evaluator that keeps what it has told, through restarts, and what work it had twice."""

    def __init__(self, run: "RandomRun") -> None:
        super().__init__(run.slots, run.rng)
        self._run = run
        self._open_code: dict[str, tuple[str, Rung]] = {}

    def begin(
        self, key: str, files: Files, what: Measurement, measured: Mapping[int, str] = {}
    ) -> None:
        """Begin, and note who has the same code in hand."""
        super().begin(key, files, what, measured)
        code = (code_of(files), what.rung)
        self._run.begun.append(key)
        others = [other for other, its in self._open_code.items() if its == code]
        self._run.side_by_side += [(key, other) for other in others]
        self._open_code[key] = code

    def poll(self) -> list[tuple[str, EvaluatorEvent]]:
        """Return the next event, and note whose seed it is."""
        events = super().poll()
        for key, event in events:
            if isinstance(event, SeedDone):
                self._run.told.append(Told(key, *self._open_code[key], event.result.seed))
            if key not in self._open:
                del self._open_code[key]
        return events

    def cancel(self, key: str) -> None:
        """Forget it."""
        super().cancel(key)
        self._open_code.pop(key, None)


@dataclass(frozen=True)
class Told:
    """One seed's result that the evaluator has told."""

    key: str
    code: str
    rung: Rung
    seed: int


class Meddler(QuietMonitor):
    """People who act at random moments, and a process that may die whenever it is heard of."""

    def __init__(self, run: "RandomRun", kill_at: int | None) -> None:
        super().__init__()
        self._run, self._kill_at = run, kill_at
        self._heard = 0

    def log(self, event: str, level: str = "info", **facts: object) -> None:
        """Check the state after each change of it."""
        super().log(event, level, **facts)
        if event in {
            "experiment finished", "accepted by a human", "lead proven", "lead went back",
        }:  # fmt: skip
            self._run.check_state()
        self._hear()

    def show(self, facts: Mapping[str, object]) -> None:
        """Live on, or not."""
        self._hear()

    def now(self) -> str:
        """Live on, or not."""
        self._hear()
        return super().now()

    def end_asked(self) -> StopReason | None:
        """Act now and then, between two turns."""
        self._hear()
        self._run.meddle()
        return super().end_asked()

    def _hear(self) -> None:
        self._heard += 1
        if self._heard == self._kill_at:
            raise Killed


@dataclass
class RandomRun:
    """A run in which everything that is left to chance is drawn from one seed."""

    seed: int
    lab: Lab
    kills: int = 0
    """So often its process is killed."""
    told: list[Told] = field(default_factory=list)
    side_by_side: list[tuple[str, str]] = field(default_factory=list)
    """Evaluations that had the same code at once."""
    begun: list[str] = field(default_factory=list)
    """Each evaluation that was begun: twice where a test began anew, or a daemon."""
    engine: Engine = field(init=False)
    started_after: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.slots, self.is_sound = 1 + self.seed % 2, self.seed // 2 % 2 == 1
        self.lab.files = CANDIDATE
        self.lab.files = Files(CANDIDATE.env, self.lab.train(SCORE=0.0, NOISE=NOISE))
        most = self.rng.choice([None, None, 6])
        # Where a step may be too small to publish, several are proven together.
        rules = LEAD_RULES | {"min_effect": self.rng.choice([0.0, 0.5])}
        self.sections: dict[str, dict[str, Any]] = {
            "judge": rules if self.is_sound else {"rule": "naive"},
            "budget": {"ladder": LADDER, "min_keeps": self.rng.choice([2, 5]), "patience": 6},
            "limits": {"experiments": most, "consecutive_failures": None},
        }
        self.most = most or PROPOSALS
        self.replies = {k: self.script(k) for k in range(1, PROPOSALS + 1)}
        self.meddlings = self.sessions = 0

    # What is proposed.

    def script(self, ordinal: int) -> list[str]:
        """Return the replies of one proposal: the first, and its repairs."""
        scores = [-1.0, -0.5, 0.5, 1.0, 1.5, 2.0]
        if self.is_sound:  # small steps, so that the lead moves often
            scores = [-1.0, 0.4 * ordinal, 0.4 * ordinal + 0.2]
        score = self.rng.choice(scores)
        # Every third one owes its score to the seeds that choose it: fresh ones find it out.
        lucky = {"FRESH": -2.5} if self.is_sound and self.rng.random() < 1 / 3 else {}
        own = reply(self.lab.train(SCORE=score, NOISE=NOISE, X=ordinal, **lucky))
        crash = reply(self.lab.train(DO="crash", X=ordinal))
        kinds = {
            "usable": [own],
            "the same": [reply(self.lab.train(SCORE=1.0, NOISE=NOISE, X=0))],
            "the same, mended": [reply(self.lab.train(SCORE=1.0, NOISE=NOISE, X=0)), own],
            "garbage": ["nothing"] * 3,
            "garbage, mended": ["nothing", own],
            "crash": [crash],
            "crash, mended": [crash, own],
            "crash, the same": [crash, crash, own],
            "timeout": [reply(self.lab.train(DO="timeout", X=ordinal))],
        }
        kind = self.rng.choices(list(kinds), weights=[9, 3, 3, 1, 1, 1, 2, 1, 1])[0]
        return kinds[kind]

    def answer(self, brief: Brief) -> AgentEvent:
        """Answer a question."""
        replies = self.replies.get(brief.ordinal)
        if replies is None:
            return AgentFinished("script ended")
        if len(brief.attempts) >= len(replies):
            return NothingToAdd()
        return Replied(Reply(replies[len(brief.attempts)]))

    def agent(self) -> Agent:
        """Return an agent; in every third run there are three, which are blocked now and then."""
        if self.seed % 3:
            return self.shuffling(blocks=0.0)
        turns = (TurnTaker("one", 2.0), TurnTaker("two"), TurnTaker("three", 0.0, every=3))
        return Team([Member(turn, self.shuffling(blocks=0.1), patience_s=0.0) for turn in turns])

    def shuffling(self, blocks: float) -> ShufflingAgent:
        """Return an agent that is blocked with some probability."""

        def answer(brief: Brief) -> AgentEvent:
            is_blocked = blocks and self.rng.random() < blocks
            return AgentBlocked("a bad key") if is_blocked else self.answer(brief)

        agent = ShufflingAgent(answer, self.rng)
        agent.on_ask = self.check_question
        return agent

    # What happens.

    def play(self) -> None:
        """Run to the end of the script or a limit, through kills and stops."""
        for self.sessions in range(1, 30):
            kill_at = self.rng.randint(5, 300) if self.sessions <= self.kills else None
            reason = self.session(kill_at)
            is_over = reason is not None and (
                reason.text == "script ended" or reason.kind is StopKind.LIMIT
            )
            if is_over and not self.engine.run_record.paused:
                return  # in a pause, what needed a baseline was aborted, and is still to be made
            if reason is not None and reason.kind in {StopKind.BASELINE_FAILED, StopKind.STUCK}:
                self.lab.ledger.add_request("accept", "1", "now")  # a person helps
        raise AssertionError("it never ended")

    def session(self, kill_at: int | None) -> StopReason | None:
        """Run one daemon; return why it ended, None if it was killed."""
        lab = self.lab
        self.started_after = max((e.ended for e in lab.ledger.endings(TAG)), default=0)
        lab.monitor = Meddler(self, kill_at)
        lab.evaluator = RecordingEvaluator(self)
        try:
            self.engine = lab.engine(proposer=self.agent(), lanes=4, **self.sections)
            reason = self.engine.run()
        except Killed:
            reason = None
            lab.ledger.close()
            lab.ledger = Ledger(lab.script.parent / "ledger.sqlite")
        if reason is not None:
            self.check_state()
        self.forget_what_was_lost()
        return reason

    def meddle(self) -> None:
        """Pause, stop or accept now and then; what is paused is resumed."""
        ledger, rng = self.lab.ledger, self.rng
        if self.engine.run_record.paused and rng.random() < 0.2:
            ledger.add_request("resume", None, "now")
        if self.meddlings >= 6 or rng.random() > 0.04:
            return
        self.meddlings += 1
        match rng.choice(["accept"] * 4 + ["pause", "stop", "terminate"]):
            case "accept":
                ended = [e.n for e in ledger.experiments(TAG)]
                if ended:
                    ledger.add_request("accept", str(rng.choice(ended)), "now")
            case "terminate":
                self.lab.monitor.end_now()
            case kind:
                ledger.add_request(kind, None, "now")

    def forget_what_was_lost(self) -> None:
        """Keep of what was told in a session what must not be told again in the next one.

        That is all but seeds that a kill kept from being recorded, and experiments that were
        aborted, whose proposals come again.
        """
        ledger = self.lab.ledger
        opened = {str(e.n): e for e in ledger.open_experiments(TAG) if not e.is_baseline}
        aborted = {str(e.n) for e in ledger.experiments(TAG) if e.status is Status.ABORTED}
        self.told[:] = [
            told
            for told in self.told
            if told.key not in aborted
            and (
                told.key not in opened
                or told.seed in ledger.measured_seeds(opened[told.key].n, told.rung)
            )
            and (not told.key.endswith("-reference") or self.is_recorded(told))
        ]

    def is_recorded(self, told: Told) -> bool:
        n = int(told.key.removesuffix("-reference"))
        return told.seed in {seed.seed for seed in self.lab.ledger.reference(n, told.rung)}

    # What must hold.

    def check_state(self) -> None:
        """The state in memory is the one that the ledger tells."""
        ledger = self.lab.ledger
        told = replay(ledger.endings(TAG), ledger.moves(TAG), started_after=self.started_after)
        assert self.engine.run_record.state == told
        assert sum(told.by_status.values()) == len(list(ledger.endings(TAG)))

    def check_question(self, ordinal: int, attempts: int) -> None:
        """No reply that is recorded is asked for again."""
        assert (ordinal, attempts) not in self.paid()

    def paid(self) -> list[tuple[int, int]]:
        """Return ordinal and attempt of each reply, but for aborted experiments."""
        return self.rows(
            "SELECT ordinal, k - 1 FROM attempts JOIN experiments USING (n)"
            " WHERE ended IS NULL OR experiments.status != 'aborted'"
        )

    def rows(self, query: str) -> list[tuple[int, int]]:
        with sqlite3.connect(self.lab.script.parent / "ledger.sqlite") as db:
            found = db.execute(query).fetchall()
        db.close()
        return found

    def check(self) -> None:
        """Everything that must hold at the end."""
        self.check_numbers()
        self.check_verdicts()
        self.check_moves()
        self.check_branch()
        self.check_code()

    def check_numbers(self) -> None:
        """Numbers and ordinals have no gaps, nothing is open, no limit is passed."""
        ledger = self.lab.ledger
        assert ledger.open_experiments(TAG) == []
        assert not self.engine.lanes
        endings = list(ledger.endings(TAG))
        assert sorted(e.n for e in endings) == list(range(1, len(endings) + 1))
        assert [e.ended for e in endings] == list(range(1, len(endings) + 1))
        counted = [e.n for e in endings if not e.is_baseline and e.status is not Status.ABORTED]
        assert len(counted) <= self.most
        ordinals = dict(self.rows("SELECT n, ordinal FROM experiments"))
        assert sorted(ordinals[n] for n in counted) == list(range(1, len(counted) + 1))
        paid = self.paid()
        assert len(set(paid)) == len(paid)
        table = (self.lab.root / "results.tsv").read_text()
        assert [int(n) for n in re.findall(r"\t#(\d+)", table)] == [e.n for e in endings]
        rows = [line.split("\t")[7] for line in table.splitlines() if "\t#" in line]
        assert rows == [e.status.value for e in endings]

    def events(self) -> Iterator[tuple[RunState, Event]]:
        """Yield what has happened in order, each with the state before it."""
        state = RunState()
        for event in in_order(self.lab.ledger.endings(TAG), self.lab.ledger.moves(TAG)):
            yield state, event
            state = state.after_event(event)

    def check_verdicts(self) -> None:
        """Whoever is judged is judged against the lead of its time, at its rung."""
        for state, event in self.events():
            if not isinstance(event, Experiment) or event.is_baseline or not event.verdict:
                continue
            lead, verdict = state.lead, event.verdict
            assert lead is not None
            assert event.rung == state.rung
            assert verdict["incumbent"] == lead.scored_by
            # What a lucky lead is compared by depends on how many fresh seeds there were.
            if verdict["gain"] is not None and not self.constant(lead.n, "FRESH"):
                expected = self.true_score(event.n) - self.true_score(lead.n)
                assert verdict["gain"] == pytest.approx(expected, abs=8 * NOISE)
                if abs(expected) > 8 * NOISE:
                    is_adopted = event.took_lead or event.status is Status.KEEP
                    # Luck widens the run's spread: then small gains may be put aside.
                    if is_adopted or not self.is_lucky():
                        assert is_adopted == (expected > 0)
            if self.is_sound and verdict["stage"] != "curves":
                own = [s for s in self.lab.ledger.evidence(event.n) if s.purpose not in _OWN_TIME]
                assert len(own) == verdict["evaluations"]

    def check_moves(self) -> None:
        """What is proven is better on fresh seeds; what led and does not is neither."""
        proven: set[int] = set()
        for state, event in self.events():
            if not isinstance(event, LeadMove):
                continue
            assert self.is_sound
            lead, published = state.lead, state.incumbent
            assert lead is not None
            assert published is not None
            if event.kind is MoveKind.PROMOTION:
                assert event.n == lead.n
                assert self.fresh_score(lead.n) > self.fresh_score(published.n)
                proven |= {step.n for step in state.leads}
            else:
                assert event.n in {published.n, *(step.n for step in state.leads[:-1])}
                assert self.fresh_score(lead.n) <= self.fresh_score(event.n)
        state = self.engine.run_record.state
        for experiment in self.lab.ledger.experiments(TAG):
            assert (experiment.proven_at is not None) == (experiment.n in proven)
            if experiment.took_lead:
                leads = experiment.n in {step.n for step in state.leads}
                became = Status.LEAD if leads else Status.DISCARD
                assert experiment.status is (Status.KEEP if experiment.n in proven else became)

    def is_lucky(self) -> bool:
        """Did something owe its score to the seeds that chose it?"""
        ended = [e.n for e in self.lab.ledger.experiments(TAG) if self.lab.ledger.files(e.n)]
        return any(self.constant(n, "FRESH") for n in ended)

    def fresh_score(self, n: int) -> float:
        return self.true_score(n) + self.constant(n, "FRESH")

    def true_score(self, n: int) -> float:
        return self.constant(n, "SCORE")

    def constant(self, n: int, name: str) -> float:
        files = self.lab.ledger.files(n)
        assert files is not None
        found = re.search(rf"^{name} = (.*)$", files.train, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def check_branch(self) -> None:
        """The branch holds what was published, with the leads on the way, each on the one before.

        The lead's own ref is where the last step to it is, or the branch after that.
        """
        chain, tip = [], self.lab.head
        for state, event in self.events():
            if isinstance(event, Accept):
                chain.append(event.commit)
            elif isinstance(event, LeadMove):
                if event.kind is MoveKind.PROMOTION:
                    chain += [step.commit for step in state.leads]
            elif event.took_lead:
                assert state.lead is not None
                assert event.parent == state.lead.commit
            elif event.status is Status.KEEP or (
                event.status is Status.BASELINE and state.incumbent is None
            ):
                assert event.parent == tip
                assert event.commit is not None
                chain.append(event.commit)
            tip = chain[-1] if chain else tip
        branch = git(
            self.lab.root, "rev-list", "--reverse", f"{self.lab.head}..autorl/{TAG}"
        ).split()
        assert branch == chain
        lead = self.engine.run_record.state.lead
        has_led = any(e.took_lead for e in self.lab.ledger.experiments(TAG))
        assert self.lab.lead() == (lead.commit if lead and has_led else None)

    def check_code(self) -> None:
        """No code is judged twice at one rung against one incumbent, no seed measured twice at all."""
        baselines = {str(e.n) for e in self.lab.ledger.experiments(TAG) if e.is_baseline}
        told = [told for told in self.told if told.key not in baselines]
        # A person may make a candidate the incumbent whose code is just being evaluated.
        challenges = {one.key for one in told if not one.key.endswith("-reference")}
        assert not [pair for pair in self.side_by_side if challenges.issuperset(pair)]
        assert len(set(told)) == len(told)
        by_code: dict[tuple[str, Rung], set[str]] = {}
        for one in told:
            if one.key in challenges:
                by_code.setdefault((one.code, one.rung), set()).add(one.key)
        for keys in by_code.values():
            tried = [self.lab.ledger.experiment(int(key)) for key in keys]
            judged = [one for one in tried if one is not None and one.status in JUDGED]
            for one, other in itertools.combinations(judged, 2):
                is_same = one.verdict["incumbent"] == other.verdict["incumbent"]
                assert not is_same or self.went_back_between(one.ended, other.ended)

    def went_back_between(self, one: int, other: int) -> bool:
        """Did an earlier candidate lead again, while the same code was tried against a later one?"""
        moves = self.lab.ledger.moves(TAG)
        first, last = sorted((one, other))
        return any(first <= move.after_ended < last for move in moves)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if there is one: thousands of durable writes would wait for a disk."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=where) as name:
        yield Path(name)


def random_run(workspace: Workspace, folder: Path, seed: int, kills: int = 0) -> RandomRun:
    shutil.copytree(workspace.root, folder / "workspace")
    return RandomRun(seed, Lab(Workspace(folder / "workspace"), folder), kills)


def played(workspace: Workspace, folder: Path, part: int, kills: int = 0) -> None:
    """Play and check the runs of one test; much must have happened in them."""
    seen = Counter[str]()
    for seed in range(SEEDS_A_TEST * part, SEEDS_A_TEST * (part + 1)):
        run = random_run(workspace, folder / str(seed), seed, kills)
        try:
            run.play()
            run.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}, {kills} kills: {run.lab.statuses()}")
            raise
        seen.update(run.lab.statuses())
        begun_anew = len(run.begun) - len(set(run.begun))
        accepts = len(run.lab.ledger.accepts(TAG))
        seen.update(move.kind.value for move in run.lab.ledger.lead_moves(TAG))
        seen.update(accepts=accepts, starts=run.sessions, begun_anew=begun_anew)
        run.lab.ledger.close()
    assert min(seen["keep"], seen["begun_anew"], seen["starts"]) >= SEEDS_A_TEST
    assert min(seen["accepts"], seen["aborted"], seen["crash"]) > 0
    assert min(seen["lead"], seen["rollback"], seen["promotion"]) > 0


def _parts(first: int, end: int) -> list[Any]:
    """Return the parts of 200 random orders, the first of them for the short form."""
    others = [pytest.param(part, marks=pytest.mark.long_form) for part in range(first + 1, end)]
    return [first, *others]


@pytest.mark.parametrize("part", _parts(0, 4))
def test_whatever_ends_first_the_record_is_consistent(
    stubbed: Workspace, folder: Path, part: int
) -> None:
    """Verdicts, branch, numbers and code, while people act at random moments."""
    played(stubbed, folder, part)


@pytest.mark.parametrize("part", _parts(4, 8))
def test_a_kill_at_any_moment_loses_nothing_that_was_recorded(
    stubbed: Workspace, folder: Path, part: int
) -> None:
    """The same holds, no recorded reply is paid again and no recorded seed measured again."""
    played(stubbed, folder, part, kills=2)


# -- what must not stand still ---------------------------------------------------------------------


class TellingAgent(ShufflingAgent):
    """A shuffling agent that tells what a test puts into its hands, and nothing else."""

    def __init__(self) -> None:
        super().__init__(lambda _: AgentFinished("unasked"), random.Random(0))
        self.news: list[tuple[str, AgentEvent]] = []

    def poll(self) -> list[tuple[str, AgentEvent]]:
        """Tell what there is to tell of questions in hand."""
        told = [(key, event) for key, event in self.news if self._questions.pop(key, None)]
        self.news = [one for one in self.news if one not in told]
        return told


def turns(engine: Engine, count: int = 200) -> StopReason | None:
    """Let an engine make turns; return why it stops, None if it does not."""
    for _ in range(count):
        if reason := engine.turn():
            return reason
    return None


def test_what_waits_for_an_incumbent_that_fails_on_every_seed_ends(lab: Lab) -> None:
    """A challenger is in flight when the reference turns out to be of no use: the run ends."""

    class Fails(StubEvaluator):
        def events(self, key, evaluation, measured):  # type: ignore[no-untyped-def]
            if not key.endswith("-reference"):
                yield from super().events(key, evaluation, measured)
            failed = (SeedResult(evaluation.what.order[0], None),)
            yield EvaluationEnded(Evaluation(Status.CRASH, reason="told to fail", seeds=failed))

    lab.evaluator = Fails(slots=1)
    engine = lab.engine([reply(lab.train(SCORE=1.0))] * 9, lanes=2, judge=LEAD_RULES)
    reason = engine.run()
    assert reason.kind is StopKind.STUCK
    assert "accept" in reason.text
    assert lab.statuses() == ["baseline", "aborted"]


def test_a_run_that_ends_scores_the_accepted_candidate_for_those_that_wait(lab: Lab) -> None:
    """Stopped after an accept at another rung: what is in flight is judged against it."""
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=2, budget={"ladder": LADDER, "min_keeps": 1})
    turns(engine)
    scores = {1: -1.0, 2: 1.0, 3: -2.0}
    agent.news = [(f"proposal-{k}", replied(lab, SCORE=x)) for k, x in scores.items()]
    turns(engine)
    assert lab.statuses() == ["baseline", "discard", "keep", "discard", "baseline"]
    lab.ledger.add_request("accept", "2", "now")  # it was scored at the rung below
    lab.ledger.add_request("stop", None, "now")
    scores = {4: 2.0, 5: -3.0}
    agent.news = [(f"proposal-{k}", replied(lab, SCORE=x)) for k, x in scores.items()]
    reason = turns(engine)
    assert reason == STOPPED_BY_USER
    endings = [(e.status.value, e.rung.train_episodes) for e in lab.ledger.endings(TAG)]
    assert endings[5:] == [("baseline", 32), ("keep", 32), ("discard", 32)]


def replied(lab: Lab, **constants: object) -> Replied:
    return Replied(Reply(reply(lab.train(**constants))))


def test_stop_does_not_wait_for_an_agent_that_a_person_must_see_to(lab: Lab) -> None:
    """One lane's question blocked the agent, another lane would repair: both are aborted."""
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=2)
    turns(engine)
    agent.news = [("proposal-1", AgentBlocked("no key"))]
    turns(engine)
    agent.news = [("proposal-2", Replied(Reply("nothing")))]
    turns(engine)
    assert engine.run_record.paused == "no key"
    assert len(engine.lanes) == 1
    lab.ledger.add_request("stop", None, "now")
    assert turns(engine) == STOPPED_BY_USER
    assert lab.statuses() == ["baseline", "aborted"]


def test_stop_does_not_wait_for_an_evaluator_that_a_person_must_see_to(lab: Lab) -> None:
    """It failed under one candidate; the other one in flight is aborted too."""
    agent = TellingAgent()
    engine = lab.engine(proposer=agent, lanes=2)
    turns(engine)
    agent.news = [
        ("proposal-1", replied(lab, DO="broken")), ("proposal-2", replied(lab, SCORE=1.0)),
    ]  # fmt: skip
    turns(engine)
    assert engine.run_record.paused == "broken by a test"
    assert len(engine.lanes) == 1
    lab.ledger.add_request("stop", None, "now")
    assert turns(engine) == STOPPED_BY_USER
    assert lab.statuses() == ["baseline", "aborted", "aborted"]


def test_a_restart_measures_no_seed_of_a_repair_again(lab: Lab) -> None:
    """The failure before it is known: replaying it forgets nothing that was measured since."""
    lab.engine([]).run()
    files = Files(lab.files.env, lab.train(SCORE=1.0))
    n = lab.ledger.begin(
        TAG, is_baseline=False, rung=Rung(12, 8), agent="scripted", parent=str(lab.tip()),
        when="2026-11-22T03:04:05.000Z", ordinal=1,
    )  # fmt: skip
    lab.ledger.save_reply(n, 1, Reply("nothing"))
    lab.ledger.save_failure(n, 1, Evaluation(Status.INVALID, reason="no_edit"))
    lab.ledger.save_reply(n, 2, Reply(reply(files.train)))
    lab.ledger.save_seed(n, Rung(12, 8), SeedResult(101, 1.0), resume="1.0")
    lab.evaluator = StubEvaluator()
    lab.engine([]).run()
    assert lab.evaluator.told == [(str(n), 138)]
    assert lab.statuses() == ["baseline", "keep"]


def test_a_seed_that_was_measured_before_those_ahead_of_it_is_reported_on(lab: Lab) -> None:
    """As after a restart that has another order of seeds."""
    rules = LEAD_RULES | {"cheap": CHEAP | {"adopt_early": 1e9}}
    lab.files = Files(lab.files.env, lab.train(SCORE=0.0, NOISE=0.1))
    lab.engine([], judge=rules).run()
    turns(lab.engine([], proposer=TellingAgent(), judge=rules))  # the lead's fresh seeds
    n = lab.ledger.begin(
        TAG, is_baseline=False, rung=Rung(12, 8), agent="scripted", parent=str(lab.tip()),
        when="2026-11-22T03:04:05.000Z", ordinal=1,
    )  # fmt: skip
    lab.ledger.save_reply(n, 1, Reply(reply(lab.train(SCORE=1.0, NOISE=0.1))))
    last = default_seeds(3)[-1]
    known = SeedResult(last, 1.0, purpose=Purpose.CONFIRM)
    lab.ledger.save_seed(n, Rung(12, 8), known, resume="1.0")
    lab.evaluator = StubEvaluator()
    lab.engine([], judge=rules).run()
    led = lab.ledger.experiment(n)
    assert led is not None
    assert (led.took_lead, led.verdict["evaluations"]) == (True, 3)
    own = [s.seed for s in lab.ledger.evidence(n) if s.purpose not in _OWN_TIME]
    assert own == list(default_seeds(3))
    assert (str(n), last) not in lab.evaluator.told
