"""The loop, with real git and a real ledger; only agent, evaluator and host are fakes."""

from typing import Any

import pytest

from orchestrator.core.errors import AgentBlockedError, StopRequestedError, UserError
from orchestrator.core.evaluations import Evaluation
from orchestrator.core.records import Files, Phase, Reply, Rung, Status
from orchestrator.engine.loop import STOPPED_BY_USER
from orchestrator.engine.ports import Host
from orchestrator.planning.state import replay
from orchestrator.proposals.brief import Brief
from orchestrator.store.branch import Branch
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Run
from tests.conftest import git
from tests.engine.conftest import TAG, Bench
from tests.fakes import QuietHost, StubEvaluator, reply


def test_better_is_kept_and_worse_put_aside(bench: Bench) -> None:
    """Baseline, keep, discard: the branch holds the first two and refs hold all three."""
    better, worse = bench.train(SCORE=1.0), bench.train(SCORE=0.5)
    reason = bench.loop([reply(better), reply(worse)]).run()
    assert reason == "script ended"
    assert bench.statuses() == ["baseline", "keep", "discard"]
    first, kept, discarded = bench.ledger.experiments(TAG)
    assert bench.tip() == kept.commit
    assert git(bench.root, "rev-list", "--count", f"{bench.head}..autorl/{TAG}") == "2"
    assert kept.parent == first.commit
    assert discarded.parent == kept.commit
    assert bench.file_at(kept.commit) == better
    for experiment, text in ((kept, better), (discarded, worse)):
        ref = f"refs/autorl/experiments/{experiment.n}"
        assert bench.store.read(ref) == experiment.commit
        assert bench.file_at(experiment.commit) == text
        assert bench.ledger.files(experiment.n) == Files(bench.files.env, text)


def test_an_equal_score_is_no_keep(bench: Bench) -> None:
    """A change that scores the same is discarded."""
    bench.loop([reply(bench.train(SCORE=0.0, OTHER=1))]).run()
    assert bench.statuses() == ["baseline", "discard"]


def test_only_the_two_files_differ_from_the_parent(bench: Bench) -> None:
    """A commit of ours changes candidate/env.py and candidate/train.py and nothing else."""
    env = bench.files.env + "\nEXTRA = 1\n"
    bench.loop([reply(bench.train(SCORE=1.0), env)]).run()
    changed = git(bench.root, "diff", "--name-only", bench.head, f"autorl/{TAG}").split()
    assert sorted(changed) == ["candidate/env.py", "candidate/train.py"]


def test_failures_are_recorded_and_the_next_experiment_runs(bench: Bench) -> None:
    """Invalid, crash, timeout and rejected replies each get their status, no score and a reason."""
    replies = [
        "no edit at all",
        reply("def broken(:\n"),
        reply(bench.train(DO="crash")),
        reply(bench.train(DO="timeout")),
        reply(bench.train(DO="rejected")),
        reply(bench.train(SCORE=2.0)),
    ]
    bench.loop(replies).run()
    assert bench.statuses() == [
        "baseline", "invalid", "invalid", "crash", "timeout", "rejected", "keep",
    ]  # fmt: skip
    for experiment in list(bench.ledger.experiments(TAG))[1:-1]:
        assert experiment.score is None
        assert experiment.reason


def test_a_vetoed_keep_is_rejected(bench: Bench) -> None:
    """It scored more: the branch stays, there is no score, the number and the cure are told."""
    flagged = bench.train(SCORE=9.0, FLAG="nondeterministic: at step 3")
    bench.loop([reply(flagged), reply(bench.train(SCORE=1.0))]).run()
    assert bench.statuses() == ["baseline", "rejected", "keep"]
    rejected = bench.ledger.experiment(2)
    assert rejected is not None
    assert (rejected.score, rejected.scores_by_seed) == (None, {})
    assert rejected.flags == ("nondeterministic: at step 3", "score 9.0000 (not counted)")
    assert rejected.reason.startswith(
        "vetoed for nondeterministic, in spite of +9.0000 ± 0.0000 over 2 seeds: the same actions"
    )
    assert "integrity.veto" in rejected.reason
    assert bench.tip() != rejected.commit
    assert bench.store.read("refs/autorl/experiments/2") == rejected.commit


def test_a_flag_that_is_not_vetoed_is_kept_with_its_flag(bench: Bench) -> None:
    """With an empty list nothing is vetoed, and what is flagged stays on record."""
    flagged = bench.train(SCORE=9.0, FLAG="nondeterministic")
    bench.loop([reply(flagged)], integrity={"veto": []}).run()
    assert bench.statuses() == ["baseline", "keep"]
    assert [e.flags for e in bench.ledger.experiments(TAG)] == [(), ("nondeterministic",)]


def test_a_flagged_baseline_is_a_baseline(bench: Bench) -> None:
    """What the human brought is never vetoed, nor is a challenger for what it shares with it."""
    bench.files = Files(bench.files.env, bench.train(SCORE=0.0, FLAG="identical starts"))
    replies = [
        reply(bench.train(SCORE=1.0, FLAG="identical starts")),
        reply(bench.train(SCORE=2.0, FLAG="nondeterministic")),
    ]
    bench.loop(replies).run()
    assert bench.statuses() == ["baseline", "keep", "rejected"]


def test_a_shorter_horizon_is_vetoed_at_every_rung(bench: Bench) -> None:
    """The incumbent's horizon is that of its latest score, after a climb too."""
    replies = [
        reply(bench.train(SCORE=1.0)),
        reply(bench.train(SCORE=5.0, STEPS=10)),
        reply(bench.train(SCORE=5.0, STEPS=30)),
        reply(bench.train(SCORE=6.0, STEPS=20)),
    ]
    bench.loop(replies, budget={"ladder": [[12, 8], [32, 8]], "min_keeps": 1}).run()
    rows = [(e.status.value, str(e.rung)) for e in bench.ledger.experiments(TAG)]
    assert rows == [
        ("baseline", "12/8"), ("keep", "12/8"), ("baseline", "32/8"), ("rejected", "32/8"),
        ("keep", "32/8"), ("rejected", "32/8"),
    ]  # fmt: skip
    flags = [e.flags[0] for e in bench.ledger.experiments(TAG) if e.flags]
    assert flags == [
        "horizon shortened: from 20 to 10 steps", "horizon shortened: from 30 to 20 steps",
    ]  # fmt: skip


def test_a_worse_score_is_discarded_with_its_flags(bench: Bench) -> None:
    """A veto is about keeps; what is put aside anyway keeps its score."""
    bench.loop([reply(bench.train(SCORE=-1.0, FLAG="nondeterministic"))]).run()
    (_, discarded) = bench.ledger.experiments(TAG)
    assert (discarded.status, discarded.score) == (Status.DISCARD, -1.0)
    assert discarded.flags == ("nondeterministic",)


def test_a_disqualified_score_is_kept_among_the_flags(bench: Bench) -> None:
    """What the referee rejects after scoring it has no score and keeps the number."""
    bench.loop([reply(bench.train(SCORE=3.5, DO="rejected"))]).run()
    (_, rejected) = bench.ledger.experiments(TAG)
    assert (rejected.status, rejected.score) == (Status.REJECTED, None)
    assert rejected.flags == ("score 3.5000 (not counted)",)


def test_the_agent_is_told_what_was_flagged(bench: Bench) -> None:
    """The prompt after a vetoed experiment names the flag and why that is no gain."""
    flagged = bench.train(SCORE=9.0, FLAG="nondeterministic: at step 3")
    bench.loop([reply(flagged), reply(bench.train(SCORE=1.0))]).run()
    prompt = (bench.root / "logs" / "experiments" / "3" / "prompt.md").read_text()
    assert "- the last experiment, #2: nondeterministic: at step 3. Why that is no gain" in prompt
    assert "#2 rejected at 12/8: no score" in prompt


def test_a_reply_that_edits_another_file_is_refused_whole(bench: Bench) -> None:
    """One forbidden path and the legal edit beside it is not applied either."""
    forbidden = reply(bench.train(SCORE=9.0)) + "\nframework.py\n```python\nx = 1\n```\n"
    bench.loop([forbidden]).run()
    assert bench.statuses() == ["baseline", "invalid"]
    assert len(bench.evaluator.seen) == 1


def test_the_same_code_is_not_evaluated_twice(bench: Bench) -> None:
    """A proposal equal to an earlier one but for comments is invalid, and costs no evaluation."""
    train = bench.train(SCORE=-1.0)
    bench.loop([reply(train), reply("# again\n" + train), reply(bench.files.train)]).run()
    assert bench.statuses() == ["baseline", "discard", "invalid", "invalid"]
    reasons = [experiment.reason for experiment in bench.ledger.experiments(TAG)]
    assert "experiment #2" in reasons[2]
    assert reasons[3].startswith("unchanged")
    assert len(bench.evaluator.seen) == 2


def test_a_crash_is_rescued_once(bench: Bench) -> None:
    """A repair turn within the experiment: its reply is evaluated, the experiment counts once."""
    loop = bench.loop([reply(bench.train(DO="crash"))])
    (bench.script / "0001.repair-1.md").write_text(reply(bench.train(SCORE=1.0)))
    loop.run()
    assert bench.statuses() == ["baseline", "keep"]
    replies = bench.ledger.replies(2)
    assert [failure is None for _, failure in replies] == [False, True]
    assert replies[0][1] is not None
    assert replies[0][1].reason == "told to crash"


def test_a_second_crash_is_not_rescued(bench: Bench) -> None:
    """One crash is forgiven within an experiment, two are not, whatever max_repairs says."""
    loop = bench.loop([reply(bench.train(DO="crash"))])
    (bench.script / "0001.repair-1.md").write_text(reply(bench.train(DO="crash", X=1)))
    (bench.script / "0001.repair-2.md").write_text(reply(bench.train(SCORE=1.0)))
    loop.run()
    assert bench.statuses() == ["baseline", "crash"]


def test_repairs_have_a_limit(bench: Bench) -> None:
    """With `agent.max_repairs: 0` an unusable reply ends its experiment."""
    loop = bench.loop(["nothing"], agent={"max_repairs": 0})
    (bench.script / "0001.repair-1.md").write_text(reply(bench.train(SCORE=1.0)))
    loop.run()
    assert bench.statuses() == ["baseline", "invalid"]


def test_the_ladder_is_climbed_with_a_new_baseline(bench: Bench) -> None:
    """After `min_keeps` the kept candidate is run at the next rung, and beaten only there."""
    replies = [
        reply(bench.train(SCORE=1.0, PER_EPISODE=0.01)),
        reply(bench.train(SCORE=1.2)),  # better at 12, but worse than 1.32 at 32
        reply(bench.train(SCORE=1.5)),
    ]
    budget = {"ladder": [[12, 8], [32, 8]], "min_keeps": 1, "patience": 5}
    bench.loop(replies, budget=budget).run()
    rows = [(e.status.value, str(e.rung), e.score) for e in bench.ledger.experiments(TAG)]
    assert rows == [
        ("baseline", "12/8", 0.0),
        ("keep", "12/8", 1.12),
        ("baseline", "32/8", 1.32),
        ("discard", "32/8", 1.2),
        ("keep", "32/8", 1.5),
    ]


def test_a_failed_climb_stays(bench: Bench) -> None:
    """If the baseline fails at the next rung, the run goes on at the present one until a keep."""

    class FailsHigh(StubEvaluator):
        def evaluate(self, files, what, *rest):  # type: ignore[no-untyped-def]
            if what.rung.train_episodes > 12:
                files = Files(files.env, 'DO = "timeout"\n' + files.train)
            return super().evaluate(files, what, *rest)

    bench.evaluator = FailsHigh()
    replies = [reply(bench.train(SCORE=1.0)), reply(bench.train(SCORE=2.0))]
    bench.loop(replies, budget={"ladder": [[12, 8], [32, 8]], "min_keeps": 1}).run()
    rows = [(e.status.value, str(e.rung)) for e in bench.ledger.experiments(TAG)]
    assert rows == [
        ("baseline", "12/8"), ("keep", "12/8"), ("timeout", "32/8"), ("keep", "12/8"),
        ("timeout", "32/8"),
    ]  # fmt: skip


def test_a_baseline_that_fails_ends_the_run(bench: Bench) -> None:
    """Without a baseline nothing can be compared: the run stops and says why."""
    bench.files = Files(bench.files.env, bench.train(DO="crash"))
    reason = bench.loop([reply(bench.train(SCORE=1.0))]).run()
    assert reason == "the baseline failed: crash: told to crash"
    assert bench.statuses() == ["crash"]


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
    bench: Bench, limits: dict[str, Any], reason: str | None, count: int
) -> None:
    """Each limit ends the run, and the reason is in the ledger."""
    replies = [
        reply(bench.train(SCORE=1.0)),
        reply(bench.train(SCORE=0.5)),
        reply(bench.train(DO="crash")),
        reply(bench.train(SCORE=3.0)),
    ]
    got = bench.loop(replies, limits=limits).run()
    run = bench.ledger.run(TAG)
    assert run is not None
    assert run.stop_reason == got
    assert len(bench.statuses()) == count
    if reason:
        assert got == reason
    else:
        assert got.startswith("limits.hours reached")


def test_a_stop_request_ends_the_run_between_experiments(bench: Bench) -> None:
    """`stop` is obeyed before the next experiment begins."""
    loop = bench.loop([reply(bench.train(SCORE=1.0))])
    bench.ledger.add_request("stop", None, "now")
    assert loop.run() == STOPPED_BY_USER
    assert bench.statuses() == []


def test_an_end_at_once_records_the_experiment_as_aborted(bench: Bench) -> None:
    """What was being evaluated is in the ledger with its files, and counts towards no limit."""
    loop = bench.loop([reply(bench.train(DO="stop"))])
    assert loop.run() == "stopped by a test"
    assert bench.statuses() == ["baseline", "aborted"]
    assert bench.ledger.files(2) is not None
    assert loop.state.counted == 0


def test_a_broken_evaluator_pauses_the_run(bench: Bench) -> None:
    """The evaluator's own failure is nobody's experiment: aborted, paused, and resumed by request."""
    loop = bench.loop([reply(bench.train(DO="broken")), reply(bench.train(SCORE=1.0))])
    loop.turn()
    loop.turn()
    assert bench.statuses() == ["baseline", "aborted"]
    loop.turn()
    assert bench.host.phases[-1] is Phase.PAUSED
    run = bench.ledger.run(TAG)
    assert run is not None
    assert run.pause_reason == "broken by a test"
    bench.ledger.add_request("resume", None, "now")
    (bench.script / "0001.md").write_text(reply(bench.train(SCORE=1.0)))
    loop.turn()
    assert bench.statuses() == ["baseline", "aborted", "keep"]


def test_an_agent_that_needs_a_person_pauses_the_run(bench: Bench) -> None:
    """A refused key pauses with its reason and uses up no experiment."""

    class Blocked:
        name = "blocked"

        def propose(self, brief: Brief, host: Host) -> Reply:
            raise AgentBlockedError("the endpoint refuses the key in $KEY")

        def can_repair(self, brief: Brief) -> bool:
            return True

    loop = bench.loop(proposer=Blocked())
    loop.turn()
    loop.turn()
    assert bench.statuses() == ["baseline"]
    run = bench.ledger.run(TAG)
    assert run is not None
    assert run.pause_reason == "the endpoint refuses the key in $KEY"


def test_a_brief_that_is_gone_pauses_the_run(bench: Bench) -> None:
    """Without program.md nothing can be asked; once it is back, the run goes on."""
    loop = bench.loop([reply(bench.train(SCORE=1.0))])
    loop.turn()
    program = bench.root / "program.md"
    text = program.read_text()
    program.unlink()
    loop.turn()
    run = bench.ledger.run(TAG)
    assert run is not None
    assert "program.md can't be read" in str(run.pause_reason)
    program.write_text(text)
    bench.ledger.add_request("resume", None, "now")
    loop.turn()
    assert bench.statuses() == ["baseline", "keep"]


def test_a_restart_goes_on_from_a_recorded_reply(bench: Bench) -> None:
    """A reply that was recorded before a kill is evaluated after it; the agent is not asked."""
    bench.loop([]).run()
    n = bench.ledger.begin(
        TAG, is_baseline=False, rung=Rung(12, 8), agent="scripted",
        parent=str(bench.tip()), when="2026-11-22T03:04:05.000Z",
    )  # fmt: skip
    bench.ledger.save_reply(n, 1, Reply(reply(bench.train(SCORE=4.0))))
    bench.loop([]).run()
    experiment = bench.ledger.experiment(n)
    assert experiment is not None
    assert (experiment.status, experiment.score) == (Status.KEEP, 4.0)
    assert bench.tip() == experiment.commit


def test_a_restart_goes_on_with_a_killed_baseline(bench: Bench) -> None:
    """A baseline that was cut off is run again, from the bytes that it began with."""
    bench.ledger.create_run(Run(TAG, bench.head, {}, bench.host.now()))
    bench.ledger.begin(
        TAG, is_baseline=True, rung=Rung(12, 8), agent="none", parent=bench.head,
        when="2026-11-22T03:04:05.000Z", files=bench.files,
    )  # fmt: skip
    begun_with = bench.files
    bench.files = Files(begun_with.env, bench.train(SCORE=7.0))  # edited meanwhile
    bench.loop([]).run()
    assert bench.statuses() == ["baseline"]
    assert bench.ledger.files(1) == begun_with
    assert bench.file_at(bench.tip()) == begun_with.train


def test_a_killed_baseline_scores_nobody_else(bench: Bench) -> None:
    """Another was made the incumbent meanwhile: it gets a baseline of its own."""
    ladder = {"ladder": [[12, 8], [32, 8]], "min_keeps": 1}
    replies = [reply(bench.train(SCORE=-1.0)), reply(bench.train(SCORE=5.0))]
    bench.loop(replies, budget=ladder | {"min_keeps": 9}).run()
    assert bench.statuses() == ["baseline", "discard", "keep"]
    n = bench.ledger.begin(
        TAG, is_baseline=True, rung=Rung(32, 8), agent="none", parent=str(bench.tip()),
        when="2026-11-22T03:04:05.000Z", files=bench.ledger.files(3),
    )  # fmt: skip
    bench.ledger.save_evaluation(n, Evaluation(None, score=5.0, scores_by_seed={101: 5.0}), 1.5)
    run = bench.ledger.run(TAG)
    assert run is not None
    Branch(run, bench.ledger, bench.store).accept(2, bench.host.now())
    loop = bench.loop([], budget=ladder)  # the climb is still due, by the one keep there was
    loop.run()
    abandoned = bench.ledger.experiment(n)
    assert abandoned is not None
    assert abandoned.status is Status.ABORTED
    assert loop.state.incumbent is not None
    assert (loop.state.incumbent.n, loop.state.incumbent.score) == (2, -1.0)
    scored_by = bench.ledger.experiment(loop.state.incumbent.scored_by or 0)
    assert scored_by is not None
    assert (scored_by.rung, scored_by.score) == (Rung(32, 8), -1.0)


def test_a_recorded_evaluation_is_not_run_again(bench: Bench) -> None:
    """Killed between an evaluation and its verdict: the verdict follows from what was recorded."""
    bench.loop([]).run()
    n = begin(bench, reply(bench.train(SCORE=-4.0)))
    scores = {101: 4.0, 138: 4.0}
    bench.ledger.save_evaluation(n, Evaluation(None, score=4.0, scores_by_seed=scores), 1.5)
    evaluated = len(bench.evaluator.seen)
    bench.loop([]).run()
    experiment = bench.ledger.experiment(n)
    assert experiment is not None
    assert (experiment.status, experiment.score) == (Status.KEEP, 4.0)
    assert experiment.scores_by_seed == scores
    assert experiment.seconds.evaluator == 1.5
    assert len(bench.evaluator.seen) == evaluated
    assert bench.ledger.evaluation(n) is None


def begin(bench: Bench, *replies: str) -> int:
    """Begin an experiment as a daemon did that was killed after its last reply was recorded."""
    n = bench.ledger.begin(
        TAG, is_baseline=False, rung=Rung(12, 8), agent="scripted",
        parent=str(bench.tip()), when="2026-11-22T03:04:05.000Z",
    )  # fmt: skip
    for k, text in enumerate(replies, 1):
        bench.ledger.save_reply(n, k, Reply(text))
    return n


def test_a_restart_records_a_failure_that_was_known(bench: Bench) -> None:
    """Killed after the last attempt had failed: the verdict is recorded, the agent is not asked."""
    bench.loop([]).run()
    n = begin(bench, reply(bench.train(DO="crash")))
    bench.ledger.save_failure(n, 1, Evaluation(Status.CRASH, reason="boom", details="Traceback"))
    evaluated = len(bench.evaluator.seen)
    assert bench.loop([]).run() == "script ended"
    experiment = bench.ledger.experiment(n)
    assert experiment is not None
    assert (experiment.status, experiment.reason) == (Status.CRASH, "boom")
    assert len(bench.evaluator.seen) == evaluated


def test_a_restart_counts_the_crashes_there_were(bench: Bench) -> None:
    """One crash is forgiven before and after a restart together, not once each."""
    bench.loop([]).run()
    n = begin(bench, reply(bench.train(DO="crash")), reply(bench.train(DO="crash", X=1)))
    crash = Evaluation(Status.CRASH, reason="boom")
    bench.ledger.save_failure(n, 1, crash)
    loop = bench.loop([])
    (bench.script / "0001.repair-2.md").write_text(reply(bench.train(SCORE=1.0)))
    loop.run()
    assert bench.statuses() == ["baseline", "crash"]


def test_an_accept_while_an_experiment_is_open_does_not_undo_it(bench: Bench) -> None:
    """What is kept after an override stays the incumbent through every later restart."""
    bench.loop([reply(bench.train(SCORE=-1.0))]).run()
    run = bench.ledger.run(TAG)
    assert run is not None
    n = begin(bench, reply(bench.train(SCORE=5.0)))
    Branch(run, bench.ledger, bench.store).accept(2, bench.host.now())
    for _ in range(2):
        loop = bench.loop([])
        loop.run()
        assert loop.state.incumbent is not None
        assert loop.state.incumbent.n == n
        assert bench.file_at(f"autorl/{TAG}") == bench.train(SCORE=5.0)


def test_a_repair_that_changes_nothing_is_not_evaluated(bench: Bench) -> None:
    """The same crashing code again costs no evaluation, and the crash is what is recorded."""
    loop = bench.loop([reply(bench.train(DO="crash"))])
    (bench.script / "0001.repair-1.md").write_text(reply(bench.train(DO="crash")))
    loop.run()
    assert len(bench.evaluator.seen) == 2
    experiment = bench.ledger.experiment(2)
    assert experiment is not None
    assert (experiment.status, experiment.reason) == (Status.CRASH, "told to crash")
    assert experiment.details


def test_an_end_at_once_is_obeyed_without_an_evaluation(bench: Bench) -> None:
    """Replies that never reach the evaluator do not keep the run from ending."""

    class Ending(QuietHost):
        def wait(self, reason: str, seconds: float) -> None:
            if len([e for e, _ in self.events if e == "experiment finished"]) >= 3:
                raise StopRequestedError("now")

    bench.host = Ending()
    assert bench.loop(["nothing"] * 50, agent={"max_repairs": 0}).run() == "now"
    assert bench.statuses() == ["baseline", "invalid", "invalid"]


def test_unusable_replies_do_not_climb(bench: Bench) -> None:
    """A rung is not left because an agent sends garbage: only judged experiments count."""
    budget = {"ladder": [[12, 8], [32, 8]], "patience": 2}
    bench.loop(["nothing"] * 5, budget=budget).run()
    assert {str(e.rung) for e in bench.ledger.experiments(TAG)} == {"12/8"}


def test_a_failed_baseline_is_tried_again_at_the_next_start(bench: Bench) -> None:
    """Whoever mends the candidate and starts again gets a new baseline."""
    good = bench.files
    bench.files = Files(good.env, bench.train(DO="crash"))
    assert bench.loop([]).run().startswith("the baseline failed")
    bench.files = good
    bench.loop([reply(bench.train(SCORE=1.0))]).run()
    assert bench.statuses() == ["crash", "baseline", "keep"]


def test_a_checked_out_branch_is_not_moved(bench: Bench) -> None:
    """Somebody looks at the branch while a keep is due: the run pauses until they are done."""
    loop = bench.loop([reply(bench.train(SCORE=1.0))])
    loop.turn()
    first = bench.tip()
    git(bench.root, "worktree", "add", "--quiet", str(bench.root.parent / "look"), f"autorl/{TAG}")
    loop.turn()
    run = bench.ledger.run(TAG)
    assert run is not None
    assert "is checked out in" in str(run.pause_reason)
    assert bench.tip() == first
    git(bench.root, "worktree", "remove", str(bench.root.parent / "look"))
    bench.ledger.add_request("resume", None, "now")
    loop.turn()
    kept = bench.ledger.experiment(2)
    assert kept is not None
    assert bench.tip() == kept.commit


def test_a_missing_row_is_made_up_for(bench: Bench) -> None:
    """A kill between the ledger and results.tsv costs no row."""
    bench.loop([reply(bench.train(SCORE=1.0))]).run()
    table = bench.root / "results.tsv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:-1]))
    bench.loop([]).run()
    assert table.read_text() == "".join(rows)


def test_a_journal_that_can_not_be_written_does_not_end_the_run(bench: Bench) -> None:
    """The ledger has it all; the fault is in the log."""
    (bench.root / "results.tsv").mkdir()
    bench.loop([reply(bench.train(SCORE=1.0))]).run()
    assert bench.statuses() == ["baseline", "keep"]
    assert "journal not written" in [event for event, _ in bench.host.events]


def test_the_state_after_a_restart_is_the_state_before(bench: Bench) -> None:
    """Replaying the ledger gives the state that the loop had."""
    loop = bench.loop([reply(bench.train(SCORE=1.0)), reply(bench.train(SCORE=0.1))])
    loop.run()
    assert replay(bench.ledger.experiments(TAG), bench.ledger.accepts(TAG)) == loop.state


def test_lost_refs_come_back(bench: Bench) -> None:
    """A branch that is behind the ledger (killed between the two) is moved on at the next start."""
    bench.loop([reply(bench.train(SCORE=1.0))]).run()
    first, kept = bench.ledger.experiments(TAG)
    git(bench.root, "update-ref", f"refs/heads/autorl/{TAG}", str(first.commit))
    git(bench.root, "update-ref", "-d", f"refs/autorl/experiments/{kept.n}")
    bench.loop([]).run()
    assert bench.tip() == kept.commit
    assert bench.store.read(f"refs/autorl/experiments/{kept.n}") == kept.commit


def test_a_number_that_another_workspace_has_used_is_no_conflict(bench: Bench) -> None:
    """Two workspaces of one repository: each keeps its experiment under a ref of its own."""
    theirs = git(bench.root, "commit-tree", f"{bench.head}^{{tree}}", "-m", "theirs")
    git(bench.root, "update-ref", "refs/autorl/experiments/2", theirs)
    for _ in range(2):
        bench.loop([reply(bench.train(SCORE=1.0))]).run()
        assert bench.statuses() == ["baseline", "keep"]
        assert bench.store.read("refs/autorl/experiments/2") == theirs
        assert bench.store.read(f"refs/autorl/experiments/2-{TAG}") == bench.tip()


def test_lost_commits_come_back(bench: Bench) -> None:
    """Commits that a power cut took are written again from the ledger, to the bit."""
    loop = bench.loop([reply(bench.train(SCORE=1.0)), reply(bench.train(SCORE=0.5))])
    loop.run()
    bench.ledger.add_request("accept", "3", "now")
    bench.loop([reply(bench.train(SCORE=1.0))] * 2).turn()
    tip = bench.tip()
    made = git(bench.root, "rev-list", "--objects", "--all", f"^{bench.head}").splitlines()
    git(bench.root, "update-ref", "-d", f"refs/heads/autorl/{TAG}")
    for n in (1, 2, 3):
        git(bench.root, "update-ref", "-d", f"refs/autorl/experiments/{n}")
    for name in (line.split()[0] for line in made):
        (bench.root / ".git" / "objects" / name[:2] / name[2:]).unlink()
    bench.store = GitStore(bench.root)
    bench.loop([]).run()
    assert bench.tip() == tip
    assert bench.file_at(tip) == bench.train(SCORE=0.5)
    for experiment in bench.ledger.experiments(TAG):
        ref = f"refs/autorl/experiments/{experiment.n}"
        assert bench.store.read(ref) == experiment.commit
    assert git(bench.root, "fsck", "--strict", "--no-dangling") == ""


def test_the_patch_of_a_killed_experiment_is_its_change(bench: Bench) -> None:
    """What the journal missed is made up for, with the change itself."""
    bench.loop([reply(bench.train(SCORE=1.0))]).run()
    patch = bench.root / "logs" / "experiments" / "2" / "patch.diff"
    before = patch.read_text()
    patch.unlink()
    table = bench.root / "results.tsv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:-1]))
    bench.loop([]).run()
    assert patch.read_text() == before
    assert table.read_text() == "".join(rows)


def test_a_branch_moved_by_somebody_else_pauses_the_run(bench: Bench) -> None:
    """The run pauses, nothing is overwritten, and the reason says what to do."""
    loop = bench.loop([reply(bench.train(SCORE=1.0))])
    loop.turn()
    stranger = git(bench.root, "commit-tree", f"{bench.head}^{{tree}}", "-m", "stranger")
    git(bench.root, "update-ref", f"refs/heads/autorl/{TAG}", stranger)
    loop.turn()
    assert bench.tip() == stranger
    run = bench.ledger.run(TAG)
    assert run is not None
    assert "moved by somebody else" in str(run.pause_reason)
    assert bench.statuses() == ["baseline", "keep"]


def test_accept_makes_an_experiment_the_incumbent(bench: Bench) -> None:
    """A human's override: later challengers are judged against it, on top of its commit."""
    replies = [reply(bench.train(SCORE=-1.0)), reply(bench.train(SCORE=-0.5))]
    loop = bench.loop(replies)
    loop.turn()
    loop.turn()
    bench.ledger.add_request("accept", "2", "now")
    loop.turn()
    assert bench.statuses() == ["baseline", "discard", "keep"]
    assert bench.file_at(f"autorl/{TAG}") == bench.train(SCORE=-0.5)
    assert replay(bench.ledger.experiments(TAG), bench.ledger.accepts(TAG)) == loop.state


def test_notes_history_and_failures_reach_the_prompt(bench: Bench) -> None:
    """The prompt written for an experiment holds notes, former results and the last failure."""
    bench.ledger.add_note("try fewer epochs", "now")
    loop = bench.loop([reply(bench.train(DO="crash")), reply(bench.train(SCORE=1.0))])
    loop.run()
    prompt = (bench.root / "logs" / "experiments" / "3" / "prompt.md").read_text()
    assert "try fewer epochs" in prompt
    assert "#1 baseline at 12/8: score 0.0000" in prompt
    assert "#2 crash: told to crash" in prompt


def test_the_journal_has_prompt_reply_patch_and_output(bench: Bench) -> None:
    """Each experiment leaves a folder a person can read, and a row in results.tsv."""
    bench.loop([reply(bench.train(SCORE=1.0), description="raise it")]).run()
    folder = bench.root / "logs" / "experiments" / "2"
    assert "raise it" in (folder / "reply.md").read_text()
    assert "+SCORE = 1.0" in (folder / "patch.diff").read_text()
    assert "keep" in (folder / "evaluator.log").read_text()
    rows = (bench.root / "results.tsv").read_text().splitlines()
    assert rows[0].startswith("commit\ttrain_episodes")
    assert rows[2].endswith("keep\t#2 raise it")


def test_an_unusable_reply_keeps_its_description(bench: Bench) -> None:
    """What was tried is told even when the reply could not be used."""
    bench.loop(["description: a bold idea\n\nframework.py\n```python\nx = 1\n```\n"]).run()
    experiment = bench.ledger.experiment(2)
    assert experiment is not None
    assert (experiment.status, experiment.description) == (Status.INVALID, "a bold idea")


def test_accepting_the_incumbent_is_refused(bench: Bench) -> None:
    """Asking twice makes one commit."""
    bench.loop([reply(bench.train(SCORE=1.0))]).run()
    run = bench.ledger.run(TAG)
    assert run is not None
    with pytest.raises(UserError, match="is the incumbent already"):
        Branch(run, bench.ledger, bench.store).accept(2, bench.host.now())
