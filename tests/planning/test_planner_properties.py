"""Any sequence of what can happen: every state is a legal one, and the ledger tells it again."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment, LeadMove, MoveKind
from orchestrator.core.flags import NO_TASK
from orchestrator.core.records import Files, Reply, Rung, Status, Tokens
from orchestrator.judging.candidate_evidence import SearchEvidence
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.events import in_order
from orchestrator.planning.planner import Finish, RunBaseline, RunChallenge, Step, next_step
from orchestrator.planning.state import RunState, replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from tests.conftest import examples

TAG = "t"
LADDER = [Rung(12, 8), Rung(32, 8), Rung(64, 12)]
SCORED = {Status.BASELINE, Status.KEEP, Status.LEAD, Status.DISCARD}
ACCEPTED = {Status.BASELINE, Status.KEEP}
_FAILS = [Status.CRASH, Status.INVALID, Status.ABORTED]
_OF_BASELINES = [*[Status.BASELINE] * 6, *_FAILS]
_OTHERWISE = [status for status in Status if status is not Status.BASELINE]
_OF_CHALLENGES = [*[Status.LEAD] * 6, *[Status.DISCARD] * 3, *_OTHERWISE]

budgets = st.builds(
    BudgetConfig,
    ladder=st.just([list(rung) for rung in LADDER]),
    patience=st.integers(1, 3),
    min_keeps=st.integers(1, 3),
    patience_unlearnt=st.none() | st.integers(1, 3),
)
limits = st.just(LimitsConfig(consecutive_failures=None)) | st.builds(
    LimitsConfig,
    experiments=st.none() | st.integers(1, 8),
    without_keep=st.none() | st.integers(1, 4),
    consecutive_failures=st.none() | st.integers(1, 4),
    tokens=st.none() | st.integers(1, 50),
)


def next_of(state: RunState, budget: BudgetConfig, most: LimitsConfig) -> Step:
    rules = JudgingRules(JudgeConfig(rule="naive"), 1)
    return next_step(state, budget, most, hours=0.0, rules=rules, evidence=SearchEvidence())


class History:
    """A run that is made of drawn events, recorded as the loop records it."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.ledger = Ledger(Path(":memory:"))
        self.ledger.create_run(Run(TAG, "p", {}, "then"))
        self.state = RunState()
        self.states = [self.state]
        """After each event, and before the first."""

    def experiment(self, step: RunBaseline | RunChallenge) -> Experiment:
        """Record an experiment for a step, with any outcome it can have."""
        is_baseline = isinstance(step, RunBaseline)
        status = self.data.draw(st.sampled_from(_OF_BASELINES if is_baseline else self.outcomes()))
        n = self.ledger.begin(
            TAG, is_baseline=is_baseline, rung=step.rung, agent="a", parent="p", when="then"
        )
        tokens = Tokens(input=self.data.draw(st.integers(0, 9)))
        if not is_baseline:
            self.ledger.save_reply(n, 1, Reply("r", tokens))
        score = self.data.draw(st.floats(-1, 1)) if status in SCORED else None
        scored = self.state.lead if isinstance(step, RunBaseline) and step.is_of_lead else None
        scored = scored or self.state.incumbent
        flags, verdict = self.drawn(status, is_baseline=is_baseline)
        experiment = Experiment(
            flags=flags, verdict=verdict, report=self.report(),
            n=n, tag=TAG, is_baseline=is_baseline, status=status, rung=step.rung, agent="a",
            score=score, scores_by_seed={} if score is None else {101: score}, parent="p",
            commit=scored.commit if is_baseline and scored else f"c{n}",
            tokens=Tokens() if is_baseline else tokens, created_at="then", finished_at="now",
        )  # fmt: skip
        experiment = self.ledger.finish(experiment, Files("e", f"t{n}"), None)
        self.become(self.state.after(experiment))
        return experiment

    def outcomes(self) -> list[Status]:
        """Return how a challenge may end: only what is compared with a task takes the lead."""
        return _OF_CHALLENGES if self.has_task else [s for s in _OF_CHALLENGES if s != Status.LEAD]

    def become(self, state: RunState) -> None:
        """Go on from a state, with what the engine does about leads that are none any more."""
        self.state = state
        self.states.append(state)
        self.ledger.leave_leads(TAG, [step.n for step in state.leads])

    @property
    def may_move(self) -> int:
        """How likely a move is: there must be a lead."""
        return min(3 * len(self.state.leads), 6)

    def move(self) -> None:
        """Have the lead go back to any step before it, or be proven where it is scored."""
        before, lead = self.state, self.state.lead
        assert lead is not None
        assert before.incumbent is not None
        numbers = [before.incumbent.n, *(step.n for step in before.leads[:-1])]
        is_proven = lead.score is not None and self.data.draw(st.booleans())
        to = lead.n if is_proven else self.data.draw(st.sampled_from(numbers))
        kind = MoveKind.PROMOTION if is_proven else MoveKind.ROLLBACK
        move = self.ledger.move_lead(TAG, LeadMove(kind, to, 0, "because", created_at="now"))
        if kind is MoveKind.PROMOTION:
            self.ledger.settle_leads([step.n for step in before.leads], Status.KEEP, "now")
        self.become(before.after_move(move))

    def drawn(
        self, status: Status, *, is_baseline: bool
    ) -> tuple[tuple[str, ...], dict[str, object]]:
        """Return flags and verdict: a baseline may be no task, a keep may be another one."""
        is_rare = self.data.draw(st.integers(0, 3)) == 0
        if is_baseline and status is Status.BASELINE and is_rare and not self.has_task:
            return (f"{NO_TASK}: why",), {}
        if status is Status.LEAD:
            return (), {"lead": True}
        return (), {"epoch": True} if status is Status.KEEP and is_rare else {}

    @property
    def has_task(self) -> bool:
        """Was anything accepted that others are compared with?"""
        return self.state.incumbent is not None and self.state.incumbent.is_task

    def report(self) -> Report:
        """Return a report in which something may be solved."""
        return Report({"mean_solve_rate": self.data.draw(st.sampled_from([0.0, 0.0, 0.5]))})

    def accept(self) -> None:
        """Have a human make any finished experiment the incumbent, as `accept` allows it."""
        incumbent = self.state.incumbent
        numbers = [e.n for e in self.ledger.experiments(TAG) if incumbent and e.n != incumbent.n]
        if numbers:
            n = self.data.draw(st.sampled_from(numbers))
            self.become(self.state.after_accept(self.ledger.accept(TAG, n, f"a{n}", "now")))

    def steps(self, budget: BudgetConfig, most: LimitsConfig) -> Iterator[tuple[RunState, Step]]:
        """Yield each state with its next step, and then let something happen."""
        for _ in range(self.data.draw(st.integers(1, 25) | st.just(25))):
            before, step = self.state, next_of(self.state, budget, most)
            yield before, step
            rare = ["accept", "restart"]
            happens = self.data.draw(
                st.sampled_from(["experiment"] * 6 + ["move"] * self.may_move + rare)
            )
            if happens == "accept":
                self.accept()
            elif happens == "move":
                self.move()
            elif happens == "restart":
                tag = TAG
                past = replay(self.ledger.endings(tag), self.ledger.moves(tag))
                assert past.at_start() == self.state.at_start()
                self.state = past.at_start()
            elif isinstance(step, Finish):
                return
            else:
                self.experiment(step)


@settings(max_examples=examples(150), deadline=None)
@given(st.data(), budgets, limits)
def test_every_event_leads_to_a_legal_state(
    data: st.DataObject, budget: BudgetConfig, most: LimitsConfig
) -> None:
    """Whatever happens, the state is consistent and the step that follows it is a possible one."""
    history = History(data)
    rung: Rung | None = None
    for state, step in history.steps(budget, most):
        experiments = list(history.ledger.experiments(TAG))
        counted = [e for e in experiments if not e.is_baseline and e.status is not Status.ABORTED]
        assert state.counted == len(counted)
        assert state.by_status == Counter(experiment.status for experiment in experiments)
        leads = [e.n for e in experiments if e.status is Status.LEAD]
        assert leads == sorted(step.n for step in state.leads)
        assert (state.rung is None) == (state.incumbent is None)
        assert state.rung is None or state.rung in LADDER
        if rung is not None and state.rung is not None:
            assert LADDER.index(state.rung) >= LADDER.index(rung)  # never down
        rung = state.rung
        if state.incumbent:
            made_by_hand = {accept.n for accept in history.ledger.accepts(TAG)}
            (incumbent,) = [e for e in experiments if e.n == state.incumbent.n]
            assert incumbent.status in ACCEPTED or incumbent.n in made_by_hand
        match step:
            case RunChallenge(at):
                assert at == state.rung
                assert state.incumbent is not None
                assert state.incumbent.score is not None
                assert state.lead is not None
                assert state.lead.score is not None
            case RunBaseline(at):
                assert state.rung is None or LADDER.index(at) >= LADDER.index(state.rung)
            case Finish(reason):
                assert reason


@settings(max_examples=examples(150), deadline=None)
@given(st.data(), budgets)
def test_replaying_the_ledger_gives_the_same_state(
    data: st.DataObject, budget: BudgetConfig
) -> None:
    """Endings, moves and overrides in any order: the fold over any part of them is the state then.

    The ledger has what became of leads by now; each state is as it was before that was known.
    """
    history = History(data)
    for _ in range(data.draw(st.integers(1, 25) | st.just(25))):
        step = next_of(history.state, budget, LimitsConfig())
        rare = ["move"] * history.may_move + ["accept"]
        happens = data.draw(st.sampled_from(["experiment"] * 6 + rare))
        if happens == "move":
            history.move()
        elif isinstance(step, Finish) or happens == "accept":
            history.accept()
        else:
            history.experiment(step)
    endings, moves = list(history.ledger.endings(TAG)), history.ledger.moves(TAG)
    events = list(in_order(endings, moves))
    assert len(events) == len(history.states) - 1
    assert history.state.by_status == Counter(experiment.status for experiment in endings)
    for count, state in enumerate(history.states):
        past = events[:count]
        assert state == replay(
            [event for event in past if isinstance(event, Experiment)],
            [event for event in past if not isinstance(event, Experiment)],
        )
