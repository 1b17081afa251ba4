"""Workspaces with runs for the page: a hostile one, and a long one."""

import random
from pathlib import Path
from typing import Any

from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.evaluations import Evaluation, Purpose, Report, SeedResult
from orchestrator.core.experiments import Experiment, Seconds, StopKind, StopReason
from orchestrator.core.records import Files, Reply, Rung, Status, Tokens
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace

RUNGS = (Rung(12, 8), Rung(32, 8), Rung(64, 12))
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "</pre></script>';alert(1)//\u202e\u2066\x1b[31m${7*7}"
)
"""Would run if it were ever markup, in an attribute, in a script or in a template."""
_WORDS = "wider deeper slower entropy reward shaping curriculum mask normalise clip".split()


def workspace_at(root: Path) -> Workspace:
    """Return a workspace that has no git: enough to be looked at."""
    workspace = Workspace(root)
    for folder in (root / "candidate", workspace.state, workspace.logs):
        folder.mkdir(parents=True, exist_ok=True)
    workspace.config.write_text("")
    workspace.program.write_text("# The brief\n\nMake it better.\n")
    (root / "candidate" / "env.py").write_text("ENV = 1\n")
    (root / "candidate" / "train.py").write_text("TRAIN = 1\n")
    return workspace


def begin(ledger: Ledger, tag: str, *, cost_limit: float | None = None) -> None:
    """Begin a run."""
    ledger.create_run(Run(tag, "a" * 40, {"evaluator.seed_count": 2}, "2026-11-01T00:00:00.000Z"))
    config = Config().model_copy(
        update={"limits": Config().limits.model_copy(update={"cost_usd": cost_limit})}
    )
    ledger.set_config(tag, RunningConfig(config).as_json())


def add(ledger: Ledger, tag: str, *, seeds: tuple[SeedResult, ...] = (), **facts: Any) -> int:
    """Record an experiment that has ended; return its number."""
    rung, is_baseline = facts.get("rung", RUNGS[0]), facts.get("is_baseline", False)
    when = facts.pop("created_at", "2026-11-27T20:00:01.000Z")
    n = ledger.begin(
        tag, is_baseline=is_baseline, rung=rung, agent="scripted", parent=facts.get("parent", "a" * 40),
        when=when,
    )  # fmt: skip
    files = facts.pop("files", Files("ENV = 1\n", f"TRAIN = {n}\n"))
    default: dict[str, Any] = {
        "is_baseline": False, "status": Status.DISCARD, "rung": rung, "agent": "scripted",
        "commit": f"{n:040x}", "finished_at": when, "created_at": when,
    }  # fmt: skip
    ledger.finish(Experiment(n=n, tag=tag, **default | facts), files, f"fingerprint {n}", seeds)
    return n


def fill_hostile(workspace: Workspace, tag: str = "hostile") -> None:
    """Record a run with hostile text in every field that an agent, a candidate or a user writes."""
    x = HOSTILE
    curve = tuple(i / 10 for i in range(12))
    seeds = tuple(
        SeedResult(seed, 0.5, 0.5, curve, purpose=Purpose.SCREEN, rung=RUNGS[0])
        for seed in (101, 138)
    )
    facts = {
        "mean_solve_rate": 0.5, "env_description": x, x: 1.0,
        "seed_results": [{"seed": 101, "reward_parts": {x: {"at": [0.1, 0.2]}}, "learning": {x: [1.0, 2.0]}}],
    }  # fmt: skip
    with Ledger(workspace.ledger) as ledger:
        begin(ledger, tag)
        add(ledger, tag, is_baseline=True, status=Status.BASELINE, score=0.25, seeds=seeds,
            scores_by_seed={101: 0.25, 138: 0.25}, report=Report(facts), description=x, reason=x)  # fmt: skip
        n = add(
            ledger, tag, status=Status.KEEP, score=-0.5, scores_by_seed={101: 0.5, 138: 0.5}, seeds=seeds,
            description=x, rationale=x, reason=x, details=x, flags=(f"nondeterministic: {x}", x),
            agent=x, report=Report(facts), parent=f"{1:040x}", max_steps=20,
            verdict={"against": 1, "estimate": 0.25, "estimate_se": 0.1, "gain": 0.3, "quantity": x,
                     "standard_error": 0.1, "statistic": 3.0, "boundary": 2.0, "changed": ["reward", x],
                     "review": {"opinion": x, "by": x, "reason": x}},
            files=Files(f"ENV = 2  # {x}\n", f"TRAIN = 2\n+++ {x}\n--- {x}\n@@ -1,3 +1,9 @@ {x}\n"),
        )  # fmt: skip
        ledger.save_reply(n, 1, Reply(x, Tokens(10, None, 2, None), 0.5))
        ledger.save_failure(n, 1, Evaluation(Status.CRASH, reason=x, details=x))
        ledger.save_reply(n, 2, Reply(x))
        add(ledger, tag, status=Status.CRASH, description=x, reason=x, details=x, report=Report({}))
        ledger.add_note(x, "2026-11-27T20:00:02.000Z")
        ledger.add_lessons(tag, x, x, "2026-11-27T20:00:03.000Z")
        ledger.set_stop_reason(tag, StopReason(StopKind.STUCK, x))
    workspace.program.write_text(x)
    folder = workspace.logs / "experiments" / str(n)
    folder.mkdir(parents=True)
    for name in ("prompt.md", "review.md", "review-prompt.md", "evaluator.log", "reply.md"):
        (folder / name).write_text(x)
    (folder / "prompt.repair-1.md").write_text(x)
    workspace.daemon_log.write_text(
        '{"event": "' + x.replace("\\", "").replace('"', "'").replace("\x1b", "") + '"}\n'
    )


def fill_long(workspace: Workspace, count: int, tag: str = "long", seed: int = 1) -> None:
    """Record a run of so many experiments, with reports as large as real ones."""
    draw = random.Random(seed)
    episodes = [round(draw.random(), 6) for _ in range(400)]
    kinds = [Status.DISCARD] * 30 + [
        Status.INVALID,
        Status.CRASH,
        Status.TIMEOUT,
        Status.ABORTED,
        Status.REJECTED,
    ]
    proven = []
    with Ledger(workspace.ledger) as ledger:
        begin(ledger, tag, cost_limit=1000.0)
        with ledger.transaction():
            parent, level = "a" * 40, -1.0
            for i in range(count):
                rung = RUNGS[min(2, i * 3 // count)]
                is_baseline = i == 0 or rung != RUNGS[min(2, (i - 1) * 3 // count)]
                status = Status.BASELINE if is_baseline else draw.choice(kinds)
                if not is_baseline and i % 97 == 96:
                    status, level = Status.KEEP, level + 0.05 * draw.random()
                has_score = status in {Status.BASELINE, Status.KEEP} or (
                    status is Status.DISCARD and draw.random() < 0.8
                )
                score = (
                    level + draw.gauss(0, 0.2) - (0.1 if status is Status.DISCARD else 0)
                    if has_score
                    else None
                )
                report = {
                    "mean_solve_rate": draw.random(),
                    "seed_results": [{"seed": 101, "episode_returns": episodes}],
                }
                minutes = i * 2
                n = add(
                    ledger, tag, rung=rung, is_baseline=is_baseline, status=status, score=score, parent=parent,
                    description=f"{draw.choice(_WORDS)} {draw.choice(_WORDS)} {i}", rationale=" ".join(draw.choices(_WORDS, k=60)),
                    reason=f"{status}: by chance", report=Report(report if has_score else {}), files=Files("ENV = 1\n", f"TRAIN = {i}\n"),
                    flags=("nondeterministic: twice",) if draw.random() < 0.03 else (), seconds=Seconds(3.0, 40.0, 0.1),
                    tokens=Tokens(5000, None, 900, None), cost_usd=0.02, scores_by_seed={101: score, 138: score} if has_score else {},
                    created_at=f"2026-11-{1 + minutes // 1440:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:00.000Z",
                    verdict={"estimate": draw.gauss(0, 0.1), "estimate_se": 0.1, "against": 1} if has_score else {},
                )  # fmt: skip
                if status in {Status.KEEP, Status.BASELINE}:
                    parent = f"{n:040x}"
                    proven.append((n, rung, level))
        for n, rung, level in proven:
            for fresh in range(1_000_000 + 10_000 * n, 1_000_006 + 10_000 * n):
                ledger.save_seed(
                    n,
                    rung,
                    SeedResult(
                        fresh, level + draw.gauss(0, 0.1), seconds=1.0, purpose=Purpose.TRIAL
                    ),
                )
        ledger.set_stop_reason(tag, StopReason(StopKind.LIMIT, "limits.experiments reached"))
