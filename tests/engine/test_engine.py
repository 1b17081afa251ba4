"""The engine with one lane, real git and a real ledger; agent, evaluator and monitor are fakes."""

import resource
from typing import Any

import pytest

from orchestrator.agents.inline import InlineAgent
from orchestrator.core.errors import AgentBlockedError, UserError
from orchestrator.core.evaluations import Evaluation, SeedResult
from orchestrator.core.experiments import StopKind, StopReason
from orchestrator.core.records import Files, Phase, Reply, Rung, Status
from orchestrator.engine.display import STOPPED_BY_USER
from orchestrator.planning.state import replay
from orchestrator.proposals.brief import Brief
from orchestrator.store.branch import Branch
from orchestrator.store.git import GitStore
from orchestrator.store.runs import Run
from tests.conftest import git
from tests.engine.conftest import TAG, Lab
from tests.fakes import QuietMonitor, StubEvaluator, reply


def test_better_is_kept_and_worse_put_aside(lab: Lab) -> None:
    """Baseline, keep, discard: the branch holds the first two and refs hold all three."""
    better, worse = lab.train(SCORE=1.0), lab.train(SCORE=0.5)
    reason = lab.engine([reply(better), reply(worse)]).run()
    assert reason.text == "script ended"
    assert lab.statuses() == ["baseline", "keep", "discard"]
    first, kept, discarded = lab.ledger.experiments(TAG)
    assert lab.tip() == kept.commit
    assert git(lab.root, "rev-list", "--count", f"{lab.head}..autorl/{TAG}") == "2"
    assert kept.parent == first.commit
    assert discarded.parent == kept.commit
    assert lab.file_at(kept.commit) == better
    for experiment, text in ((kept, better), (discarded, worse)):
        ref = f"refs/autorl/experiments/{experiment.n}"
        assert lab.store.read(ref) == experiment.commit
        assert lab.file_at(experiment.commit) == text
        assert lab.ledger.files(experiment.n) == Files(lab.files.env, text)


def test_an_equal_score_is_no_keep(lab: Lab) -> None:
    """A change that scores the same is discarded."""
    lab.engine([reply(lab.train(SCORE=0.0, OTHER=1))]).run()
    assert lab.statuses() == ["baseline", "discard"]


def test_only_the_two_files_differ_from_the_parent(lab: Lab) -> None:
    """A commit of ours changes candidate/env.py and candidate/train.py and nothing else."""
    env = lab.files.env + "\nEXTRA = 1\n"
    lab.engine([reply(lab.train(SCORE=1.0), env)]).run()
    changed = git(lab.root, "diff", "--name-only", lab.head, f"autorl/{TAG}").split()
    assert sorted(changed) == ["candidate/env.py", "candidate/train.py"]


def test_failures_are_recorded_and_the_next_experiment_runs(lab: Lab) -> None:
    """Invalid, crash, timeout and rejected replies each get their status, no score and a reason."""
    replies = [
        "no edit at all",
        reply("def broken(:\n"),
        reply(lab.train(DO="crash")),
        reply(lab.train(DO="timeout")),
        reply(lab.train(DO="rejected")),
        reply(lab.train(SCORE=2.0)),
    ]
    lab.engine(replies).run()
    assert lab.statuses() == [
        "baseline", "invalid", "invalid", "crash", "timeout", "rejected", "keep",
    ]  # fmt: skip
    for experiment in list(lab.ledger.experiments(TAG))[1:-1]:
        assert experiment.score is None
        assert experiment.reason


def test_a_vetoed_keep_is_rejected(lab: Lab) -> None:
    """It scored more: the branch stays, there is no score, the number and the cure are told."""
    flagged = lab.train(SCORE=9.0, FLAG="nondeterministic: at step 3")
    lab.engine([reply(flagged), reply(lab.train(SCORE=1.0))]).run()
    assert lab.statuses() == ["baseline", "rejected", "keep"]
    rejected = lab.ledger.experiment(2)
    assert rejected is not None
    assert (rejected.score, rejected.scores_by_seed) == (None, {})
    assert rejected.flags == ("nondeterministic: at step 3", "score 9.0000 (not counted)")
    assert rejected.reason.startswith(
        "vetoed for nondeterministic, in spite of +9.0000 ± 0.0000 over 2 seeds: the same actions"
    )
    assert "integrity.veto" in rejected.reason
    assert lab.tip() != rejected.commit
    assert lab.store.read("refs/autorl/experiments/2") == rejected.commit


def test_a_flag_that_is_not_vetoed_is_kept_with_its_flag(lab: Lab) -> None:
    """With an empty list nothing is vetoed, and what is flagged stays on record."""
    flagged = lab.train(SCORE=9.0, FLAG="nondeterministic")
    lab.engine([reply(flagged)], integrity={"veto": []}).run()
    assert lab.statuses() == ["baseline", "keep"]
    assert [e.flags for e in lab.ledger.experiments(TAG)] == [(), ("nondeterministic",)]


def test_what_the_baseline_is_flagged_for_vetoes_no_keep(lab: Lab) -> None:
    """Without a veto on it, it is a property of the task; a flag of the challenger's own vetoes."""
    lab.files = Files(lab.files.env, lab.train(SCORE=0.0, FLAG="identical starts"))
    replies = [
        reply(lab.train(SCORE=1.0, FLAG="identical starts")),
        reply(lab.train(SCORE=2.0, FLAG="nondeterministic")),
    ]
    lab.engine(replies, integrity={"veto": ["nondeterministic"]}).run()
    assert lab.statuses() == ["baseline", "keep", "rejected"]


def test_another_horizon_is_another_task_at_every_rung(lab: Lab) -> None:
    """Shorter or longer; the horizon is the baseline's to the run's end, after a climb too."""
    replies = [
        reply(lab.train(SCORE=1.0)),
        reply(lab.train(SCORE=5.0, STEPS=10)),
        reply(lab.train(SCORE=5.0, STEPS=30)),
        reply(lab.train(SCORE=6.0, STEPS=20)),
    ]
    lab.engine(replies, budget={"ladder": [[12, 8], [32, 8]], "min_keeps": 1}).run()
    experiments = list(lab.ledger.experiments(TAG))
    assert [(e.status.value, str(e.rung)) for e in experiments] == [
        ("baseline", "12/8"), ("keep", "12/8"), ("baseline", "32/8"), ("discard", "32/8"),
        ("discard", "32/8"), ("keep", "32/8"),
    ]  # fmt: skip
    assert [e.flags[0] for e in experiments if e.flags] == [
        "horizon changed: from 20 to 10 steps", "horizon changed: from 20 to 30 steps",
    ]  # fmt: skip
    assert experiments[3].verdict["changed"] == ["horizon"]
    assert "`autorl-daemon accept 4`" in experiments[3].reason


def test_a_worse_score_is_discarded_with_its_flags(lab: Lab) -> None:
    """A veto is about keeps; what is put aside anyway keeps its score."""
    lab.engine([reply(lab.train(SCORE=-1.0, FLAG="nondeterministic"))]).run()
    (_, discarded) = lab.ledger.experiments(TAG)
    assert (discarded.status, discarded.score) == (Status.DISCARD, -1.0)
    assert discarded.flags == ("nondeterministic",)


def test_a_disqualified_score_is_kept_among_the_flags(lab: Lab) -> None:
    """What the referee rejects after scoring it has no score and keeps the number."""
    lab.engine([reply(lab.train(SCORE=3.5, DO="rejected"))]).run()
    (_, rejected) = lab.ledger.experiments(TAG)
    assert (rejected.status, rejected.score) == (Status.REJECTED, None)
    assert rejected.flags == ("score 3.5000 (not counted)",)


def test_the_agent_is_told_what_was_flagged(lab: Lab) -> None:
    """The prompt after a vetoed experiment names the flag and why that is no gain."""
    flagged = lab.train(SCORE=9.0, FLAG="nondeterministic: at step 3")
    lab.engine([reply(flagged), reply(lab.train(SCORE=1.0))]).run()
    prompt = lab.prompt(1)
    assert "- the last experiment, #2: nondeterministic: at step 3. Why that is no gain" in prompt
    assert "#2 rejected at 12/8: " in prompt
    assert "(no score)" in prompt


def test_a_reply_that_edits_another_file_is_refused_whole(lab: Lab) -> None:
    """One forbidden path and the legal edit beside it is not applied either."""
    forbidden = reply(lab.train(SCORE=9.0)) + "\nframework.py\n```python\nx = 1\n```\n"
    lab.engine([forbidden]).run()
    assert lab.statuses() == ["baseline", "invalid"]
    assert len(lab.evaluator.seen) == 1


def test_the_same_code_is_not_evaluated_twice(lab: Lab) -> None:
    """A proposal equal to an earlier one but for comments is invalid, and costs no evaluation."""
    train = lab.train(SCORE=-1.0)
    lab.engine([reply(train), reply("# again\n" + train), reply(lab.files.train)]).run()
    assert lab.statuses() == ["baseline", "discard", "invalid", "invalid"]
    reasons = [experiment.reason for experiment in lab.ledger.experiments(TAG)]
    assert "experiment #2" in reasons[2]
    assert reasons[3].startswith("unchanged")
    assert len(lab.evaluator.seen) == 2


def test_a_crash_is_rescued_once(lab: Lab) -> None:
    """A repair turn within the experiment: its reply is evaluated, the experiment counts once."""
    engine = lab.engine([reply(lab.train(DO="crash"))])
    (lab.script / "0001.repair-1.md").write_text(reply(lab.train(SCORE=1.0)))
    engine.run()
    assert lab.statuses() == ["baseline", "keep"]
    replies = lab.ledger.replies(2)
    assert [failure is None for _, failure in replies] == [False, True]
    assert replies[0][1] is not None
    assert replies[0][1].reason == "told to crash"


def test_a_second_crash_is_not_rescued(lab: Lab) -> None:
    """One crash is forgiven within an experiment, two are not, whatever max_repairs says."""
    engine = lab.engine([reply(lab.train(DO="crash"))])
    (lab.script / "0001.repair-1.md").write_text(reply(lab.train(DO="crash", X=1)))
    (lab.script / "0001.repair-2.md").write_text(reply(lab.train(SCORE=1.0)))
    engine.run()
    assert lab.statuses() == ["baseline", "crash"]


def test_repairs_have_a_limit(lab: Lab) -> None:
    """With `agent.max_repairs: 0` an unusable reply ends its experiment."""
    engine = lab.engine(["nothing"], agent={"max_repairs": 0})
    (lab.script / "0001.repair-1.md").write_text(reply(lab.train(SCORE=1.0)))
    engine.run()
    assert lab.statuses() == ["baseline", "invalid"]


def test_the_ladder_is_climbed_with_a_new_baseline(lab: Lab) -> None:
    """After `min_keeps` the kept candidate is run at the next rung, and beaten only there."""
    replies = [
        reply(lab.train(SCORE=1.0, PER_EPISODE=0.01)),
        reply(lab.train(SCORE=1.2)),  # better at 12, but worse than 1.32 at 32
        reply(lab.train(SCORE=1.5)),
    ]
    budget = {"ladder": [[12, 8], [32, 8]], "min_keeps": 1, "patience": 5}
    lab.engine(replies, budget=budget).run()
    rows = [(e.status.value, str(e.rung), e.score) for e in lab.ledger.experiments(TAG)]
    assert rows == [
        ("baseline", "12/8", 0.0),
        ("keep", "12/8", 1.12),
        ("baseline", "32/8", 1.32),
        ("discard", "32/8", 1.2),
        ("keep", "32/8", 1.5),
    ]


def test_a_failed_climb_stays(lab: Lab) -> None:
    """If the baseline fails at the next rung, the run goes on at the present one until a keep."""

    class FailsHigh(StubEvaluator):
        def begin(self, key, files, what, measured=None):  # type: ignore[no-untyped-def]
            if what.rung.train_episodes > 12:
                files = Files(files.env, 'DO = "timeout"\n' + files.train)
            super().begin(key, files, what, measured or {})

    lab.evaluator = FailsHigh()
    replies = [reply(lab.train(SCORE=1.0)), reply(lab.train(SCORE=2.0))]
    lab.engine(replies, budget={"ladder": [[12, 8], [32, 8]], "min_keeps": 1}).run()
    rows = [(e.status.value, str(e.rung)) for e in lab.ledger.experiments(TAG)]
    assert rows == [
        ("baseline", "12/8"), ("keep", "12/8"), ("timeout", "32/8"), ("keep", "12/8"),
        ("timeout", "32/8"),
    ]  # fmt: skip


def test_a_baseline_that_fails_ends_the_run(lab: Lab) -> None:
    """Without a baseline nothing can be compared: the run stops and says why."""
    lab.files = Files(lab.files.env, lab.train(DO="crash"))
    reason = lab.engine([reply(lab.train(SCORE=1.0))]).run()
    assert reason.text == "the baseline failed: crash: told to crash"
    assert lab.statuses() == ["crash"]


@pytest.mark.parametrize(
    ("limits", "reason", "count"),
    [
        ({"experiments": 2}, "limits.experiments reached (2 of 2)", 3),
        ({"without_keep": 1}, "limits.without_keep reached (1 of 1)", 3),
        ({"consecutive_failures": 1}, "limits.consecutive_failures reached (1 of 1)", 4),
        ({"hours": 1e-9}, None, 0),
    ],
)
def test_limits_end_the_run(
    lab: Lab, limits: dict[str, Any], reason: str | None, count: int
) -> None:
    """Each limit ends the run, and the reason is in the ledger."""
    replies = [
        reply(lab.train(SCORE=1.0)),
        reply(lab.train(SCORE=0.5)),
        reply(lab.train(DO="crash")),
        reply(lab.train(SCORE=3.0)),
    ]
    got = lab.engine(replies, limits=limits).run()
    run = lab.ledger.run(TAG)
    assert run is not None
    assert run.stop == got
    assert len(lab.statuses()) == count
    if reason:
        assert got.text == reason
    else:
        assert got.text.startswith("limits.hours reached")


def test_a_stop_request_ends_the_run_between_experiments(lab: Lab) -> None:
    """`stop` is obeyed before the next experiment begins."""
    engine = lab.engine([reply(lab.train(SCORE=1.0))])
    lab.ledger.add_request("stop", None, "now")
    assert engine.run() == STOPPED_BY_USER
    assert lab.statuses() == []


def test_an_end_at_once_records_the_experiment_as_aborted(lab: Lab) -> None:
    """What was being evaluated is in the ledger with its files, and counts towards no limit."""
    engine = lab.engine([reply(lab.train(DO="stop"))])
    assert engine.run().text == "stopped by a test"
    assert lab.statuses() == ["baseline", "aborted"]
    assert lab.ledger.files(2) is not None
    assert engine.run_record.state.counted == 0


def test_a_broken_evaluator_pauses_the_run(lab: Lab) -> None:
    """The evaluator's own failure is nobody's experiment: aborted, paused, and resumed by request."""
    engine = lab.engine([reply(lab.train(DO="broken")), reply(lab.train(SCORE=1.0))])
    assert lab.until_paused(engine) == "broken by a test"
    assert lab.statuses() == ["baseline", "aborted"]
    assert lab.monitor.shown[-1]["phase"] == Phase.PAUSED
    lab.ledger.add_request("resume", None, "now")
    (lab.script / "0001.md").write_text(reply(lab.train(SCORE=1.0)))
    lab.until(engine, 3)
    assert lab.statuses() == ["baseline", "aborted", "keep"]


def test_an_agent_that_needs_a_person_pauses_the_run(lab: Lab) -> None:
    """A refused key pauses with its reason and uses up no experiment."""

    class Blocked:
        name = "blocked"

        def propose(self, brief: Brief) -> Reply:
            raise AgentBlockedError("the endpoint refuses the key in $KEY")

    engine = lab.engine(proposer=InlineAgent(Blocked()))
    reason = lab.until_paused(engine)
    assert lab.statuses() == ["baseline"]
    assert reason == "the endpoint refuses the key in $KEY"


def test_a_brief_that_is_gone_pauses_the_run(lab: Lab) -> None:
    """Without program.md nothing can be asked; once it is back, the run goes on."""
    engine = lab.engine([reply(lab.train(SCORE=1.0))])
    lab.until(engine, 1)
    program = lab.root / "program.md"
    text = program.read_text()
    program.unlink()
    assert "program.md can't be read" in lab.until_paused(engine)
    program.write_text(text)
    lab.ledger.add_request("resume", None, "now")
    lab.until(engine, 2)
    assert lab.statuses() == ["baseline", "keep"]


def test_a_brief_that_no_descriptor_is_left_for_is_read_later(lab: Lab) -> None:
    """A shortage passes by itself: it is waited out, and no person has to say so."""
    engine = lab.engine([])
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            engine.run_record.briefing.program()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    assert engine.run_record.briefing.program() == (lab.root / "program.md").read_text()


def test_a_restart_goes_on_from_a_recorded_reply(lab: Lab) -> None:
    """A reply that was recorded before a kill is evaluated after it; the agent is not asked."""
    lab.engine([]).run()
    n = lab.ledger.begin(
        TAG, is_baseline=False, rung=Rung(12, 8), agent="scripted",
        parent=str(lab.tip()), when="2026-11-22T03:04:05.000Z",
    )  # fmt: skip
    lab.ledger.save_reply(n, 1, Reply(reply(lab.train(SCORE=4.0))))
    lab.engine([]).run()
    experiment = lab.ledger.experiment(n)
    assert experiment is not None
    assert (experiment.status, experiment.score) == (Status.KEEP, 4.0)
    assert lab.tip() == experiment.commit


def test_a_restart_goes_on_with_a_killed_baseline(lab: Lab) -> None:
    """A baseline that was cut off is run again, from the bytes that it began with."""
    lab.ledger.create_run(Run(TAG, lab.head, {}, lab.monitor.now()))
    lab.ledger.begin(
        TAG, is_baseline=True, rung=Rung(12, 8), agent="none", parent=lab.head,
        when="2026-11-22T03:04:05.000Z", files=lab.files,
    )  # fmt: skip
    begun_with = lab.files
    lab.files = Files(begun_with.env, lab.train(SCORE=7.0))  # edited meanwhile
    lab.engine([]).run()
    assert lab.statuses() == ["baseline"]
    assert lab.ledger.files(1) == begun_with
    assert lab.file_at(lab.tip()) == begun_with.train


def test_a_killed_baseline_scores_nobody_else(lab: Lab) -> None:
    """Another was made the incumbent meanwhile: it gets a baseline of its own."""
    ladder = {"ladder": [[12, 8], [32, 8]], "min_keeps": 1}
    replies = [reply(lab.train(SCORE=-1.0)), reply(lab.train(SCORE=5.0))]
    lab.engine(replies, budget=ladder | {"min_keeps": 9}).run()
    assert lab.statuses() == ["baseline", "discard", "keep"]
    n = lab.ledger.begin(
        TAG, is_baseline=True, rung=Rung(32, 8), agent="none", parent=str(lab.tip()),
        when="2026-11-22T03:04:05.000Z", files=lab.ledger.files(3),
    )  # fmt: skip
    lab.ledger.save_report(n, Evaluation(None, score=5.0, scores_by_seed={101: 5.0}), 1.5)
    run = lab.ledger.run(TAG)
    assert run is not None
    Branch(run, lab.ledger, lab.store).accept(2, lab.monitor.now())
    engine = lab.engine([], budget=ladder)  # the climb is still due, by the one keep there was
    engine.run()
    abandoned = lab.ledger.experiment(n)
    assert abandoned is not None
    assert abandoned.status is Status.ABORTED
    assert engine.run_record.state.incumbent is not None
    assert (engine.run_record.state.incumbent.n, engine.run_record.state.incumbent.score) == (
        2,
        -1.0,
    )
    scored_by = lab.ledger.experiment(engine.run_record.state.incumbent.scored_by or 0)
    assert scored_by is not None
    assert (scored_by.rung, scored_by.score) == (Rung(32, 8), -1.0)


def test_a_recorded_evaluation_is_not_run_again(lab: Lab) -> None:
    """Killed between an evaluation and its verdict: the verdict follows from what was recorded."""
    lab.engine([]).run()
    n = begin(lab, reply(lab.train(SCORE=-4.0)))
    scores = {101: 4.0, 138: 4.0}
    seeds = tuple(SeedResult(seed, score) for seed, score in scores.items())
    for seed in seeds:
        lab.ledger.save_seed(n, Rung(12, 8), seed)
    report = Evaluation(None, score=4.0, scores_by_seed=scores, seeds=seeds)
    lab.ledger.save_report(n, report, 1.5)
    evaluated = len(lab.evaluator.seen)
    lab.engine([]).run()
    experiment = lab.ledger.experiment(n)
    assert experiment is not None
    assert (experiment.status, experiment.score) == (Status.KEEP, 4.0)
    assert experiment.scores_by_seed == scores
    assert experiment.seconds.evaluator == 1.5
    assert len(lab.evaluator.seen) == evaluated
    assert lab.ledger.saved_report(n) is None


def begin(lab: Lab, *replies: str) -> int:
    """Begin an experiment as a daemon did that was killed after its last reply was recorded."""
    n = lab.ledger.begin(
        TAG, is_baseline=False, rung=Rung(12, 8), agent="scripted",
        parent=str(lab.tip()), when="2026-11-22T03:04:05.000Z",
    )  # fmt: skip
    for k, text in enumerate(replies, 1):
        lab.ledger.save_reply(n, k, Reply(text))
    return n


def test_a_restart_records_a_failure_that_was_known(lab: Lab) -> None:
    """Killed after the last attempt had failed: the verdict is recorded, the agent is not asked."""
    lab.engine([]).run()
    n = begin(lab, reply(lab.train(DO="crash")))
    lab.ledger.save_failure(n, 1, Evaluation(Status.CRASH, reason="boom", details="Traceback"))
    evaluated = len(lab.evaluator.seen)
    assert lab.engine([]).run().text == "script ended"
    experiment = lab.ledger.experiment(n)
    assert experiment is not None
    assert (experiment.status, experiment.reason) == (Status.CRASH, "boom")
    assert len(lab.evaluator.seen) == evaluated


def test_a_restart_keeps_the_seeds_that_a_repair_has_measured(lab: Lab) -> None:
    """The failure before it is known; only what the second candidate lacks is evaluated."""
    lab.engine([]).run()
    n = begin(lab, reply(lab.train(DO="crash")), reply(lab.train(SCORE=1.0)))
    lab.ledger.save_failure(n, 1, Evaluation(Status.CRASH, reason="boom"))
    lab.ledger.save_seed(n, Rung(12, 8), SeedResult(101, 1.0, 0.5), "1.0")
    lab.engine([]).run()
    assert lab.statuses() == ["baseline", "keep"]
    assert [seed for key, seed in lab.evaluator.told if key == str(n)] == [138]


def test_a_restart_counts_the_crashes_there_were(lab: Lab) -> None:
    """One crash is forgiven before and after a restart together, not once each."""
    lab.engine([]).run()
    n = begin(lab, reply(lab.train(DO="crash")), reply(lab.train(DO="crash", X=1)))
    crash = Evaluation(Status.CRASH, reason="boom")
    lab.ledger.save_failure(n, 1, crash)
    engine = lab.engine([])
    (lab.script / "0001.repair-2.md").write_text(reply(lab.train(SCORE=1.0)))
    engine.run()
    assert lab.statuses() == ["baseline", "crash"]


def test_an_accept_while_an_experiment_is_open_does_not_undo_it(lab: Lab) -> None:
    """What is kept after an override stays the incumbent through every later restart."""
    lab.engine([reply(lab.train(SCORE=-1.0))]).run()
    run = lab.ledger.run(TAG)
    assert run is not None
    n = begin(lab, reply(lab.train(SCORE=5.0)))
    Branch(run, lab.ledger, lab.store).accept(2, lab.monitor.now())
    for _ in range(2):
        engine = lab.engine([])
        engine.run()
        assert engine.run_record.state.incumbent is not None
        assert engine.run_record.state.incumbent.n == n
        assert lab.file_at(f"autorl/{TAG}") == lab.train(SCORE=5.0)


def test_a_repair_that_changes_nothing_is_not_evaluated(lab: Lab) -> None:
    """The same crashing code again costs no evaluation, and the crash is what is recorded."""
    engine = lab.engine([reply(lab.train(DO="crash"))])
    (lab.script / "0001.repair-1.md").write_text(reply(lab.train(DO="crash")))
    engine.run()
    assert len(lab.evaluator.seen) == 2
    experiment = lab.ledger.experiment(2)
    assert experiment is not None
    assert (experiment.status, experiment.reason) == (Status.CRASH, "told to crash")
    assert experiment.details


def test_an_end_at_once_is_obeyed_without_an_evaluation(lab: Lab) -> None:
    """Replies that never reach the evaluator do not keep the run from ending."""

    class Ending(QuietMonitor):
        def end_asked(self) -> StopReason | None:
            if len([e for e, _ in self.events if e == "experiment finished"]) >= 3:
                self.end_now()
            return self.ends

    lab.monitor = Ending()
    reason = lab.engine(["nothing"] * 50, agent={"max_repairs": 0}).run()
    assert reason.text == "stopped by a test"
    assert lab.statuses() == ["baseline", "invalid", "invalid"]


def test_unusable_replies_do_not_climb(lab: Lab) -> None:
    """A rung is not left because an agent sends garbage: only judged experiments count."""
    budget = {"ladder": [[12, 8], [32, 8]], "patience": 2}
    lab.engine(["nothing"] * 5, budget=budget).run()
    assert {str(e.rung) for e in lab.ledger.experiments(TAG)} == {"12/8"}


def test_a_failed_baseline_is_tried_again_at_the_next_start(lab: Lab) -> None:
    """Whoever mends the candidate and starts again gets a new baseline."""
    good = lab.files
    lab.files = Files(good.env, lab.train(DO="crash"))
    assert lab.engine([]).run().kind is StopKind.BASELINE_FAILED
    lab.files = good
    lab.engine([reply(lab.train(SCORE=1.0))]).run()
    assert lab.statuses() == ["crash", "baseline", "keep"]


def test_a_checked_out_branch_is_not_moved(lab: Lab) -> None:
    """Somebody looks at the branch while a keep is due: the run pauses until they are done."""
    engine = lab.engine([reply(lab.train(SCORE=1.0))])
    lab.until(engine, 1)
    first = lab.tip()
    git(lab.root, "worktree", "add", "--quiet", str(lab.root.parent / "look"), f"autorl/{TAG}")
    assert "is checked out in" in lab.until_paused(engine)
    assert lab.tip() == first
    git(lab.root, "worktree", "remove", str(lab.root.parent / "look"))
    lab.ledger.add_request("resume", None, "now")
    engine.turn()
    kept = lab.ledger.experiment(2)
    assert kept is not None
    assert lab.tip() == kept.commit


def test_a_missing_row_is_made_up_for(lab: Lab) -> None:
    """A kill between the ledger and results.tsv costs no row."""
    lab.engine([reply(lab.train(SCORE=1.0))]).run()
    table = lab.root / "results.tsv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:-1]))
    lab.engine([]).run()
    assert table.read_text() == "".join(rows)


def test_a_journal_that_can_not_be_written_does_not_end_the_run(lab: Lab) -> None:
    """The ledger has it all; the fault is in the log."""
    (lab.root / "results.tsv").mkdir()
    lab.engine([reply(lab.train(SCORE=1.0))]).run()
    assert lab.statuses() == ["baseline", "keep"]
    assert "journal not written" in [event for event, _ in lab.monitor.events]


def test_the_state_after_a_restart_is_the_state_before(lab: Lab) -> None:
    """Replaying the ledger gives the state that the loop had."""
    engine = lab.engine([reply(lab.train(SCORE=1.0)), reply(lab.train(SCORE=0.1))])
    engine.run()
    assert replay(lab.ledger.endings(TAG), lab.ledger.accepts(TAG)) == engine.run_record.state


def test_lost_refs_come_back(lab: Lab) -> None:
    """A branch that is behind the ledger (killed between the two) is moved on at the next start."""
    lab.engine([reply(lab.train(SCORE=1.0))]).run()
    first, kept = lab.ledger.experiments(TAG)
    git(lab.root, "update-ref", f"refs/heads/autorl/{TAG}", str(first.commit))
    git(lab.root, "update-ref", "-d", f"refs/autorl/experiments/{kept.n}")
    lab.engine([]).run()
    assert lab.tip() == kept.commit
    assert lab.store.read(f"refs/autorl/experiments/{kept.n}") == kept.commit


def test_a_number_that_another_workspace_has_used_is_no_conflict(lab: Lab) -> None:
    """Two workspaces of one repository: each keeps its experiment under a ref of its own."""
    theirs = git(lab.root, "commit-tree", f"{lab.head}^{{tree}}", "-m", "theirs")
    git(lab.root, "update-ref", "refs/autorl/experiments/2", theirs)
    for _ in range(2):
        lab.engine([reply(lab.train(SCORE=1.0))]).run()
        assert lab.statuses() == ["baseline", "keep"]
        assert lab.store.read("refs/autorl/experiments/2") == theirs
        assert lab.store.read(f"refs/autorl/experiments/2-{TAG}") == lab.tip()


def test_lost_commits_come_back(lab: Lab) -> None:
    """Commits that a power cut took are written again from the ledger, to the bit."""
    engine = lab.engine([reply(lab.train(SCORE=1.0)), reply(lab.train(SCORE=0.5))])
    engine.run()
    lab.ledger.add_request("accept", "3", "now")
    lab.engine([]).turn()
    tip = lab.tip()
    made = git(lab.root, "rev-list", "--objects", "--all", f"^{lab.head}").splitlines()
    git(lab.root, "update-ref", "-d", f"refs/heads/autorl/{TAG}")
    for n in (1, 2, 3):
        git(lab.root, "update-ref", "-d", f"refs/autorl/experiments/{n}")
    for name in (line.split()[0] for line in made):
        (lab.root / ".git" / "objects" / name[:2] / name[2:]).unlink()
    lab.store = GitStore(lab.root)
    lab.engine([]).run()
    assert lab.tip() == tip
    assert lab.file_at(tip) == lab.train(SCORE=0.5)
    for experiment in lab.ledger.experiments(TAG):
        ref = f"refs/autorl/experiments/{experiment.n}"
        assert lab.store.read(ref) == experiment.commit
    assert git(lab.root, "fsck", "--strict", "--no-dangling") == ""


def test_the_patch_of_a_killed_experiment_is_its_change(lab: Lab) -> None:
    """What the journal missed is made up for, with the change itself."""
    lab.engine([reply(lab.train(SCORE=1.0))]).run()
    patch = lab.root / "logs" / "experiments" / "2" / "patch.diff"
    before = patch.read_text()
    patch.unlink()
    table = lab.root / "results.tsv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:-1]))
    lab.engine([]).run()
    assert patch.read_text() == before
    assert table.read_text() == "".join(rows)


def test_a_branch_moved_by_somebody_else_pauses_the_run(lab: Lab) -> None:
    """The run pauses, nothing is overwritten, and the reason says what to do."""
    engine = lab.engine([reply(lab.train(SCORE=1.0))])
    lab.until(engine, 1)
    stranger = git(lab.root, "commit-tree", f"{lab.head}^{{tree}}", "-m", "stranger")
    git(lab.root, "update-ref", f"refs/heads/autorl/{TAG}", stranger)
    assert "moved by somebody else" in lab.until_paused(engine)
    assert lab.tip() == stranger
    assert lab.statuses() == ["baseline", "keep"]


def test_accept_makes_an_experiment_the_incumbent(lab: Lab) -> None:
    """A human's override: later challengers are judged against it, on top of its commit."""
    replies = [reply(lab.train(SCORE=-1.0)), reply(lab.train(SCORE=-0.5))]
    engine = lab.engine(replies)
    lab.until(engine, 2)
    lab.ledger.add_request("accept", "2", "now")
    lab.until(engine, 3)
    assert lab.statuses() == ["baseline", "discard", "keep"]
    assert lab.file_at(f"autorl/{TAG}") == lab.train(SCORE=-0.5)
    assert replay(lab.ledger.endings(TAG), lab.ledger.accepts(TAG)) == engine.run_record.state


def test_notes_history_and_failures_reach_the_prompt(lab: Lab) -> None:
    """The prompt written for an experiment holds notes, former results and the last failure."""
    lab.ledger.add_note("try fewer epochs", "now")
    engine = lab.engine([reply(lab.train(DO="crash")), reply(lab.train(SCORE=1.0))])
    engine.run()
    prompt = lab.prompt(1)
    assert "try fewer epochs" in prompt
    assert "(score 0.0000 on the default seeds)" in prompt
    assert "#2 crash: told to crash" in lab.prompt(2)


def test_the_journal_has_prompt_reply_patch_and_output(lab: Lab) -> None:
    """Each experiment leaves a folder a person can read, and a row in results.tsv."""
    lab.engine([reply(lab.train(SCORE=1.0), description="raise it")]).run()
    folder = lab.root / "logs" / "experiments" / "2"
    assert "raise it" in (folder / "reply.md").read_text()
    assert "+SCORE = 1.0" in (folder / "patch.diff").read_text()
    assert "keep" in (folder / "evaluator.log").read_text()
    rows = (lab.root / "results.tsv").read_text().splitlines()
    assert rows[0].startswith("commit\ttrain_episodes")
    assert rows[2].endswith("keep\t#2 raise it")


def test_an_unusable_reply_keeps_its_description(lab: Lab) -> None:
    """What was tried is told even when the reply could not be used."""
    lab.engine(["description: a bold idea\n\nframework.py\n```python\nx = 1\n```\n"]).run()
    experiment = lab.ledger.experiment(2)
    assert experiment is not None
    assert (experiment.status, experiment.description) == (Status.INVALID, "a bold idea")


def test_accepting_the_incumbent_is_refused(lab: Lab) -> None:
    """Asking twice makes one commit."""
    lab.engine([reply(lab.train(SCORE=1.0))]).run()
    run = lab.ledger.run(TAG)
    assert run is not None
    with pytest.raises(UserError, match="is the incumbent already"):
        Branch(run, lab.ledger, lab.store).accept(2, lab.monitor.now())
