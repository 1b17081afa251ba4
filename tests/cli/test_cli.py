"""The command line: what users get wrong, and what they read."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.experiments import Experiment, Seconds, StopKind, StopReason
from orchestrator.core.records import Files, Rung, Status, Tokens
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.conftest import DATA, Cli, git


def everything(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != "lock"}


def refuse(done: "subprocess.CompletedProcess[str]", says: str) -> None:
    """The command failed as a user's error should: exit 2, one clear line, no traceback."""
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


# -- bad input -------------------------------------------------------------------------------------


def spoil_config(workspace: Workspace) -> None:
    workspace.config.write_text("budget: {patience: many}\n")


def spoil_git(workspace: Workspace) -> None:
    (workspace.root / ".git").rename(workspace.root / "no-git")


def spoil_commit(workspace: Workspace) -> None:
    (workspace.root / ".git").rename(workspace.root.parent / "away")
    git(workspace.root, "init", "--quiet")


def spoil_program(workspace: Workspace) -> None:
    workspace.program.unlink()


def spoil_candidate(workspace: Workspace) -> None:
    (workspace.root / "candidate" / "env.py").unlink()


def spoil_framework(workspace: Workspace) -> None:
    (workspace.root / "framework.py").write_text("# theirs\n")


def spoil_ledger(workspace: Workspace) -> None:
    import sqlite3

    workspace.state.mkdir(exist_ok=True)
    Ledger(workspace.ledger).close()
    with sqlite3.connect(workspace.ledger) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("spoil", "arguments", "says"),
    [
        (spoil_config, [], "config.yaml:1: budget.patience"),
        (spoil_git, [], "not in a git repository"),
        (spoil_commit, [], "no commit yet"),
        (spoil_program, [], "program.md is missing"),
        (spoil_candidate, [], "candidate/env.py is missing"),
        (spoil_framework, [], "no EVALUATOR_PROTOCOL"),
        (spoil_ledger, [], "newer autorl-daemon"),
        (None, ["--set", "agent.backend=openai"], "agent.model is missing"),
        (None, ["--set", "agent.backend=openai", "--set", "agent.model=m"], "no API key"),
        (None, ["--set", "agent.backend=scripted"], "agent.scripted_dir is missing"),
        (
            None,
            ["--set", "agent.backend=scripted", "--set", "agent.scripted_dir=x"],
            "not a folder",
        ),
        (None, ["--set", "limits.experiments"], "must be KEY=VALUE"),
        (None, ["--set", "agent.backend=codex"], "not supported by this version yet"),
        (None, ["--set", "budget.screen_below=0.6"], "was removed in 0.2"),
        (None, ["--tag", "a b"], "can't be a branch name"),
    ],
)
def test_a_start_that_can_not_work_changes_nothing(
    stubbed: Workspace, cli: Cli, spoil: Any, arguments: list[str], says: str
) -> None:
    """Every user error is one line that names the thing and the cure, exit 2, nothing changed."""
    if spoil:
        spoil(stubbed)
    before = everything(stubbed.root)
    # Two settings at once would give two lines, so the message is looked for in one.
    refuse(cli("start", *arguments, cwd=stubbed.root), says)
    assert everything(stubbed.root) == before


def test_a_checked_out_run_branch_is_refused(stubbed: Workspace, cli: Cli) -> None:
    """The daemon would move the branch under the user's feet."""
    git(stubbed.root, "switch", "--quiet", "--create", "autorl/mine")
    refuse(cli("start", "--tag", "mine", cwd=stubbed.root), "is checked out in")


def test_a_branch_of_somebody_else_is_refused(stubbed: Workspace, cli: Cli) -> None:
    """A branch of that name that is no run of ours is left alone."""
    git(stubbed.root, "branch", "autorl/theirs")
    refuse(cli("start", "--tag", "theirs", cwd=stubbed.root), "choose --tag")


def test_an_unknown_example_is_refused(tmp_path: Path, cli: Cli) -> None:
    """`init` and `demo` name the examples there are."""
    refuse(cli("init", "w", "--example", "chess", cwd=tmp_path), "unknown example 'chess'")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["show", "x"], ["start", "--max-experiments", "0"]]
)
def test_usage_errors_exit_2(tmp_path: Path, cli: Cli, arguments: list[str]) -> None:
    """What the parser refuses is exit 2, like all bad input."""
    assert cli(*arguments, cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("command", ["stop", "pause", "resume", "status"])
def test_commands_for_a_running_daemon_exit_3_without_one(
    stubbed: Workspace, cli: Cli, command: str
) -> None:
    """Not running is told apart from failed."""
    assert cli(command, cwd=stubbed.root).returncode == 3


@pytest.mark.parametrize("command", [["results"], ["show", "1"], ["plot"], ["export", "out"]])
def test_nothing_has_run_yet_is_a_clear_line(
    stubbed: Workspace, cli: Cli, command: list[str]
) -> None:
    """Before the first run the results commands say so."""
    refuse(cli(*command, cwd=stubbed.root), "nothing has run in")


# -- a run that has been ---------------------------------------------------------------------------


@pytest.fixture
def ended(stubbed: Workspace) -> Workspace:
    """A workspace whose ledger holds a run: baseline, keep, discard, crash, and a stranger's rows."""
    stubbed.state.mkdir(exist_ok=True)
    rows = [
        (Status.BASELINE, 0.1, "as it stands"),
        (Status.KEEP, 0.4, "raise [bold]the rate"),
        (Status.DISCARD, 0.3, "lower it"),
        (Status.CRASH, None, "divide by zero"),
    ]
    with Ledger(stubbed.ledger) as ledger:
        ledger.create_run(Run("t", "p" * 40, {}, "2026-11-22T00:00:00Z"))
        for status, score, description in rows:
            baseline = status is Status.BASELINE
            parent = ("p" if baseline else "1") * 40
            n = ledger.begin(
                "t", is_baseline=baseline, rung=Rung(12, 8), agent="a", parent=parent, when="now"
            )
            experiment = Experiment(
                n=n, tag="t", is_baseline=baseline, status=status, rung=Rung(12, 8), agent="a",
                description=description, parent=parent,
                commit=str(n) * 40, score=score,
                scores_by_seed={} if score is None else {101: score}, max_steps=20,
                reason="why not", details="Traceback \x1b[31mred" if score is None else "",
                seconds=Seconds(1, 2, 0.01), tokens=Tokens(10, None, 5, None),
                created_at="2026-11-22T00:00:00Z",
            )  # fmt: skip
            ledger.finish(experiment, Files(f"env = {n}\n", f"train = {n}\n"), f"fp{n}")
        stop = StopReason(StopKind.LIMIT, "limits.experiments reached (3 of 3)")
        ledger.set_stop_reason("t", stop)
    (stubbed.root / "results.tsv").write_bytes((DATA / "autorl-mar11-results.tsv").read_bytes())
    return stubbed


def test_results_json_has_the_contracts_fields(ended: Workspace, cli: Cli) -> None:
    """One JSON list, oldest first, every field of the contract, null where there is no score."""
    done = cli("results", "--json", cwd=ended.root)
    rows = json.loads(done.stdout)
    assert [row["experiment"] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0]) == set(
        "experiment commit parent status score scores_by_seed train_episodes eval_episodes "
        "max_steps agent description rationale seconds tokens flags reason created_at".split()
    ) | {"tag", "verdict", "validated_score", "validated_interval", "validated_seeds"}
    assert rows[1]["scores_by_seed"] == {"101": 0.4}
    assert rows[1]["seconds"] == {"agent": 1, "evaluator": 2, "overhead": 0.01}
    assert rows[1]["tokens"] == {"input": 10, "cached": None, "output": 5, "reasoning": None}
    assert rows[3]["score"] is None
    assert done.stderr == ""


def test_status_json_has_the_contracts_fields(ended: Workspace, cli: Cli) -> None:
    """Of a stopped run: the last state, exit code 3."""
    done = cli("status", "--json", cwd=ended.root)
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert set(document) >= set(
        "running pid tag phase experiment agent rung best_score validated_score baseline_score "
        "experiments tokens cost_usd started_at heartbeat_at stop_reason".split()
    )
    assert document["running"] is False
    assert document["phase"] == "stopped"
    assert document["rung"] == {"train_episodes": 12, "eval_episodes": 8}
    assert (document["best_score"], document["baseline_score"]) == (0.4, 0.1)
    assert document["experiments"] == {"baseline": 1, "keep": 1, "discard": 1, "crash": 1}
    assert document["stop_reason"] == "limits.experiments reached (3 of 3)"


def test_status_works_with_a_broken_config(ended: Workspace, cli: Cli) -> None:
    """What the daemon did is still true; the fault is named on stderr."""
    ended.config.write_text("nonsense: 1\n")
    done = cli("status", "--json", cwd=ended.root)
    assert json.loads(done.stdout)["best_score"] == 0.4
    assert "unknown key" in done.stderr
    assert done.returncode == 3


def test_the_table_shows_all_and_sets_strangers_apart(ended: Workspace, cli: Cli) -> None:
    """Descriptions are shown as they are, and foreign rows under their own heading."""
    text = cli("results", cwd=ended.root, COLUMNS="200").stdout
    assert "raise [bold]the rate" in text
    assert "24 rows of results.tsv are from another evaluator" in text
    assert text.index("another evaluator") < text.index("as it stands")


@pytest.fixture
def flagged(ended: Workspace) -> Workspace:
    """The run, its incumbent flagged, and a last experiment that was vetoed."""
    with Ledger(ended.ledger) as ledger:
        for status, score, flags in [
            (Status.KEEP, 0.5, ("identical starts: no seed matters",)),
            (Status.REJECTED, None, ("nondeterministic: at step 3", "score 0.9000 (not counted)")),
        ]:
            n = ledger.begin(
                "t", is_baseline=False, rung=Rung(12, 8), agent="a", parent="2" * 40, when="now"
            )
            experiment = Experiment(
                n=n, tag="t", is_baseline=False, status=status, rung=Rung(12, 8), agent="a",
                description="pay more", commit=str(n) * 40, score=score, flags=flags,
                reason="why not",
            )  # fmt: skip
            ledger.finish(experiment, Files(f"env = {n}\n", f"train = {n}\n"), f"fp{n}")
    return ended


def test_flags_are_shown_everywhere(flagged: Workspace, cli: Cli) -> None:
    """`results`, `show`, `status` and their JSON name what is flagged, `show` says what it means."""
    table = cli("results", cwd=flagged.root, COLUMNS="200").stdout
    assert "⚑ identical starts" in table
    assert "⚑ nondeterministic, score 0.9000 (not counted)" in table
    rows = json.loads(cli("results", "--json", cwd=flagged.root).stdout)
    assert rows[4]["flags"] == ["identical starts: no seed matters"]
    shown = cli("show", "6", cwd=flagged.root).stdout
    assert "flag       nondeterministic: at step 3; the same actions from the same seed" in shown
    assert "flag       score 0.9000 (not counted)\n" in shown
    assert (
        "flagged   identical starts: no seed matters (the incumbent)"
        in cli("status", cwd=flagged.root).stdout
    )
    status = json.loads(cli("status", "--json", cwd=flagged.root).stdout)
    assert status["incumbent_flags"] == ["identical starts: no seed matters"]


def test_the_chart_marks_what_is_flagged(flagged: Workspace, cli: Cli, tmp_path: Path) -> None:
    """A ring each, at its score or at the lower edge, and one entry in the legend."""
    chart = tmp_path / "chart.svg"
    assert cli("plot", "-o", str(chart), cwd=flagged.root).returncode == 0
    text = chart.read_text()
    assert text.count("<!-- flagged -->") == 1
    assert text.count("stroke: #ff7f00") >= 3


def test_a_run_without_flags_has_no_mark(ended: Workspace, cli: Cli, tmp_path: Path) -> None:
    """Neither in the table, nor in `status`, nor in the chart."""
    assert "⚑" not in cli("results", cwd=ended.root, COLUMNS="200").stdout
    assert "flagged" not in cli("status", cwd=ended.root).stdout
    chart = tmp_path / "chart.svg"
    assert cli("plot", "-o", str(chart), cwd=ended.root).returncode == 0
    assert "flagged" not in chart.read_text()


def test_results_tsv_is_the_files_format(ended: Workspace, cli: Cli) -> None:
    """Header and one row an experiment, a crash with zeros."""
    lines = cli("results", "--tsv", cwd=ended.root).stdout.splitlines()
    assert len(lines) == 5
    assert lines[4].split("\t")[4:8] == ["0.000000", "0.000000", "0.000000", "crash"]


def test_show_tells_all_and_strips_control_characters(ended: Workspace, cli: Cli) -> None:
    """Verdict, output and change are there; an escape sequence of a candidate is not."""
    text = cli("show", "4", cwd=ended.root).stdout
    assert "crash" in text
    assert "Traceback" in text
    assert "\x1b" not in text
    assert "-train = 1" in cli("show", "4", "--diff", cwd=ended.root).stdout
    document = json.loads(cli("show", "4", "--json", cwd=ended.root).stdout)
    assert document["experiment"] == 4


def test_export_writes_a_candidate_and_overwrites_nothing(
    ended: Workspace, cli: Cli, tmp_path: Path
) -> None:
    """Without a number the incumbent; a second time into the same folder is refused."""
    out = tmp_path / "out"
    assert cli("export", str(out), cwd=ended.root).returncode == 0
    assert (out / "train.py").read_text() == "train = 2\n"
    refuse(cli("export", "3", str(out), cwd=ended.root), "exists already")
    assert (out / "train.py").read_text() == "train = 2\n"
    refuse(
        cli("export", "99", str(tmp_path / "other"), cwd=ended.root), "no finished experiment 99"
    )


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot_writes_a_picture(ended: Workspace, cli: Cli, tmp_path: Path, suffix: str) -> None:
    """The chart is drawn in each format; any other ending is refused."""
    chart = tmp_path / f"chart.{suffix}"
    assert cli("plot", "-o", str(chart), cwd=ended.root).returncode == 0
    assert chart.stat().st_size > 5000
    refuse(cli("plot", "-o", str(tmp_path / "chart.txt"), cwd=ended.root), "must end in .png")


def test_logs_prints_what_is_there(ended: Workspace, cli: Cli) -> None:
    """JSON lines come out as they are with --json and as plain text without, across rotation."""
    ended.logs.mkdir(exist_ok=True)
    entry = {"timestamp": "2026-11-22T01:02:03Z", "level": "warning", "event": "waiting", "n": 1}
    Path(f"{ended.daemon_log}.1").write_text(json.dumps(entry | {"event": "older"}) + "\n")
    ended.daemon_log.write_text(json.dumps(entry) + '\n{"torn')
    assert cli("logs", "--json", "-n", "2", cwd=ended.root).stdout.splitlines()[-1] == '{"torn'
    plain = cli("logs", cwd=ended.root).stdout.splitlines()
    assert plain[:2] == ["01:02:03 WARNING older  n=1", "01:02:03 WARNING waiting  n=1"]


def test_doctor_finds_what_is_wrong(stubbed: Workspace, cli: Cli) -> None:
    """All well is exit 0; a workspace that can't start is exit 1 and named."""
    assert cli("doctor", cwd=stubbed.root).returncode == 0
    spoil_program(stubbed)
    done = cli("doctor", cwd=stubbed.root)
    assert done.returncode == 1
    assert "program.md is missing" in done.stdout


def test_export_with_too_many_words_is_a_usage_error(ended: Workspace, cli: Cli) -> None:
    """One clear line, nothing written."""
    refuse(cli("export", "1", "2", "3", cwd=ended.root), "number and a folder")


def test_a_file_that_can_not_be_written_is_one_line(ended: Workspace, cli: Cli) -> None:
    """The system's own fault is exit 1 and no traceback."""
    (ended.root / "file").touch()
    done = cli("plot", "-o", "file/chart.png", cwd=ended.root)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_start_names_the_agent_and_what_may_surprise(ended: Workspace, cli: Cli) -> None:
    """Which agent runs and why, that an older run could go on, that there is nothing to tune."""
    (ended.root / "candidate" / "train.py").write_text(
        "SCORE = None\n" + (ended.root / "candidate" / "train.py").read_text().split("\n", 1)[1]
    )
    text = cli("start", "--tag", "new", cwd=ended.root).stdout
    assert "agent: optuna (no agent.base_url and no $OPENAI_API_KEY" in text
    assert "`start --tag t` goes on with t instead" in text
    assert "no numeric constant" in text


def test_another_repository_in_the_environment_is_not_ours(
    stubbed: Workspace, cli: Cli, tmp_path: Path
) -> None:
    """What a hook says about which repository this is does not lead a run astray."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    done = cli(
        "start", "--foreground", "--tag", "t", "--set", "judge.min_effect=0.05",
        "--max-experiments", "1", cwd=stubbed.root, GIT_DIR=str(other / ".git"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert git(stubbed.root, "rev-parse", "--verify", "autorl/t")
    assert git(other, "for-each-ref", "refs/heads/autorl") == ""


def test_a_branch_in_the_way_is_named(stubbed: Workspace, cli: Cli) -> None:
    """`autorl` as a branch leaves no room for `autorl/<tag>`: said before anything is begun."""
    git(stubbed.root, "branch", "autorl")
    refuse(cli("start", "--tag", "t", cwd=stubbed.root), "a branch named autorl is in the way")
