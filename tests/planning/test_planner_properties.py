"""Any sequence of what can happen: every state is a legal one, and the ledger tells it again."""

from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import BudgetConfig, JudgeConfig, LimitsConfig
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Reply, Rung, Status, Tokens
from orchestrator.judging.incumbent import UNMEASURED
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.planner import Finish, RunBaseline, RunChallenge, Step, next_step
from orchestrator.planning.state import RunState, replay
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run

TAG = "t"
LADDER = [Rung(12, 8), Rung(32, 8), Rung(64, 12)]
SCORED = {Status.BASELINE, Status.KEEP, Status.DISCARD}
ACCEPTED = {Status.BASELINE, Status.KEEP}
_OF_BASELINES = [Status.BASELINE, Status.BASELINE, Status.CRASH, Status.INVALID, Status.ABORTED]
_OF_CHALLENGES = [status for status in Status if status is not Status.BASELINE]

budgets = st.builds(
    BudgetConfig,
    ladder=st.just([list(rung) for rung in LADDER]),
    patience=st.integers(1, 3),
    min_keeps=st.integers(1, 3),
)
limits = st.builds(
    LimitsConfig,
    experiments=st.none() | st.integers(1, 8),
    without_keep=st.none() | st.integers(1, 4),
    consecutive_failures=st.none() | st.integers(1, 4),
    tokens=st.none() | st.integers(1, 50),
)


def next_of(state: RunState, budget: BudgetConfig, most: LimitsConfig) -> Step:
    rules = JudgingRules(JudgeConfig(rule="naive"), 1)
    return next_step(state, budget, most, hours=0.0, rules=rules, evidence=UNMEASURED)


class History:
    """A run that is made of drawn events, recorded as the loop records it."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.ledger = Ledger(Path(":memory:"))
        self.ledger.create_run(Run(TAG, "p", {}, "then"))
        self.state = RunState()

    def experiment(self, step: RunBaseline | RunChallenge) -> Experiment:
        """Record an experiment for a step, with any outcome it can have."""
        is_baseline = isinstance(step, RunBaseline)
        status = self.data.draw(st.sampled_from(_OF_BASELINES if is_baseline else _OF_CHALLENGES))
        n = self.ledger.begin(
            TAG, is_baseline=is_baseline, rung=step.rung, agent="a", parent="p", when="then"
        )
        tokens = Tokens(input=self.data.draw(st.integers(0, 9)))
        if not is_baseline:
            self.ledger.save_reply(n, 1, Reply("r", tokens))
        score = self.data.draw(st.floats(-1, 1)) if status in SCORED else None
        incumbent = self.state.incumbent
        experiment = Experiment(
            n=n, tag=TAG, is_baseline=is_baseline, status=status, rung=step.rung, agent="a",
            score=score, scores_by_seed={} if score is None else {101: score}, parent="p",
            commit=incumbent.commit if is_baseline and incumbent else f"c{n}",
            tokens=Tokens() if is_baseline else tokens, created_at="then", finished_at="now",
        )  # fmt: skip
        experiment = self.ledger.finish(experiment, Files("e", f"t{n}"), None)
        self.state = self.state.after(experiment)
        return experiment

    def accept(self) -> None:
        """Have a human make any finished experiment the incumbent, as `accept` allows it."""
        incumbent = self.state.incumbent
        numbers = [e.n for e in self.ledger.experiments(TAG) if incumbent and e.n != incumbent.n]
        if numbers:
            n = self.data.draw(st.sampled_from(numbers))
            self.state = self.state.after_accept(self.ledger.accept(TAG, n, f"a{n}", "now"))

    def steps(self, budget: BudgetConfig, most: LimitsConfig) -> Iterator[tuple[RunState, Step]]:
        """Yield each state with its next step, and then let something happen."""
        for _ in range(self.data.draw(st.integers(1, 25))):
            before, step = self.state, next_of(self.state, budget, most)
            yield before, step
            happens = self.data.draw(st.sampled_from(["experiment"] * 6 + ["accept", "restart"]))
            if happens == "accept":
                self.accept()
            elif happens == "restart":
                tag = TAG
                past = replay(self.ledger.endings(tag), self.ledger.accepts(tag))
                assert past.at_start() == self.state.at_start()
                self.state = past.at_start()
            elif isinstance(step, Finish):
                return
            else:
                self.experiment(step)


@settings(max_examples=150, deadline=None)
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
        assert sum(state.by_status.values()) == len(experiments)
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
            case RunBaseline(at):
                assert state.rung is None or LADDER.index(at) >= LADDER.index(state.rung)
            case Finish(reason):
                assert reason


@settings(max_examples=150, deadline=None)
@given(st.data(), budgets)
def test_replaying_the_ledger_gives_the_same_state(
    data: st.DataObject, budget: BudgetConfig
) -> None:
    """Experiments and overrides in any order: the fold over the ledger is the state there was."""
    history = History(data)
    for _ in range(data.draw(st.integers(1, 25))):
        step = next_of(history.state, budget, LimitsConfig())
        if isinstance(step, Finish) or data.draw(st.integers(0, 6)) == 0:
            history.accept()
        else:
            history.experiment(step)
        ledger = history.ledger
        assert replay(ledger.endings(TAG), ledger.accepts(TAG)) == history.state
