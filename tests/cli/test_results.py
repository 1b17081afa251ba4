"""The commands on what a run came to: a workspace whose run has ended, read and drawn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.config.endpoints import AgentConfig
from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call


@pytest.mark.parametrize("command", [["results"], ["show", "1"], ["plot"], ["export", "out"]])
def test_nothing_has_run_yet_is_a_clear_line(
    stubbed: Workspace, call: Call, command: list[str]
) -> None:
    """Before the first run the results commands say so."""
    call(*command, cwd=stubbed.root).refuses("nothing has run in")


def test_results_json_has_the_contracts_fields(ended: Workspace, call: Call) -> None:
    """One JSON list, oldest first, every field of the contract, null where there is no score."""
    rows = json.loads(call("results", "--json", cwd=ended.root).stdout)
    assert [row["experiment"] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0]) == set(
        "experiment commit parent status score scores_by_seed train_episodes eval_episodes "
        "max_steps agent description rationale seconds tokens flags reason created_at".split()
    ) | {
        "tag", "verdict", "accepted", "validated_score", "validated_interval", "validated_seeds",
        "changed", "review", "epoch", "reference_seconds",
        "estimate", "se", "judged_against", "proven_at", "became", "cost_usd",
    }  # fmt: skip
    assert rows[1]["scores_by_seed"] == {"101": 0.4}
    assert rows[1]["seconds"] == {"agent": 1, "evaluator": 2, "overhead": 0.01}
    assert rows[1]["tokens"] == {"input": 10, "cached": None, "output": 5, "reasoning": None}
    assert rows[3]["score"] is None


def test_the_agents_of_a_run_are_compared(ended: Workspace, call: Call) -> None:
    """As a table and as JSON; of the last run, or of the one that is named."""
    text = call("results", "--by", "agent", cwd=ended.root).stdout
    assert text.startswith("autorl/t, by agent\nagent")
    (row,) = json.loads(call("results", "--by", "agent", "--json", cwd=ended.root).stdout)
    assert (row["agent"], row["proposals"], row["keeps"]) == ("a", 3, 1)
    assert row["tokens"] == {"input": 30, "cached": None, "output": 15, "reasoning": None}
    assert (row["cost_usd"], row["cost_unknown"]) == (None, 3)
    with Ledger(ended.ledger) as ledger:
        search = AgentConfig(backend="optuna", name="a")
        ledger.set_config("t", RunningConfig(Config(agent=search)).as_json())
    (row,) = json.loads(call("results", "--by", "agent", "--json", cwd=ended.root).stdout)
    assert (row["cost_usd"], row["cost_unknown"]) == (0.0, 0)
    text = call("results", "--by", "agent", cwd=ended.root).stdout
    with Ledger(ended.ledger) as ledger:
        ledger.create_run(Run("later", "p" * 40, {}, "2026-11-23T00:00:00Z"))
    named = call("results", "--by", "agent", "--tag", "t", cwd=ended.root).stdout
    assert named == text
    call("results", "--by", "agent", "--tag", "no", cwd=ended.root).refuses("no run 'no'")
    for option in (["--kept"], ["-n", "3"], ["--sort", "score"], ["--tsv"]):
        refused = call("results", "--by", "agent", *option, cwd=ended.root)
        refused.refuses(f"{option[0]} has no effect beside --by agent")


def test_show_names_the_agent_and_what_it_took(ended: Workspace, call: Call) -> None:
    """Its name in lines and in JSON; the tokens of its replies."""
    text = call("show", "2", cwd=ended.root).stdout
    assert "agent      a\n" in text
    assert "everything else\ntokens     10 in, 5 out\n" in text
    assert json.loads(call("show", "2", "--json", cwd=ended.root).stdout)["agent"] == "a"


def test_the_table_shows_all_and_sets_strangers_apart(ended: Workspace, call: Call) -> None:
    """Descriptions are shown as they are, and foreign rows under their own heading."""
    text = call("results", cwd=ended.root, COLUMNS="200").stdout
    assert "raise [bold]the rate" in text
    assert "24 rows of results.tsv are from another evaluator" in text
    assert text.index("another evaluator") < text.index("as it stands")


def test_flags_are_shown_everywhere(flagged: Workspace, call: Call) -> None:
    """`results`, `show`, `status` and their JSON name what is flagged, `show` says what it means."""
    table = call("results", cwd=flagged.root, COLUMNS="200").stdout
    assert "⚑ identical starts" in table
    assert "⚑ nondeterministic, score 0.9000 (not counted)" in table
    rows = json.loads(call("results", "--json", cwd=flagged.root).stdout)
    assert rows[4]["flags"] == ["identical starts: no seed matters"]
    shown = call("show", "6", cwd=flagged.root).stdout
    assert "flag       nondeterministic: at step 3; the same actions from the same seed" in shown
    assert "flag       score 0.9000 (not counted)\n" in shown
    assert (
        "flagged   identical starts: no seed matters (published)"
        in call("status", cwd=flagged.root).stdout
    )
    status = json.loads(call("status", "--json", cwd=flagged.root).stdout)
    assert status["incumbent_flags"] == ["identical starts: no seed matters"]


def test_what_a_person_accepted_is_shown_everywhere(
    ended: Workspace, call: Call, tmp_path: Path
) -> None:
    """`results`, `show`, `status`, their JSON and the chart; of others there is no such word."""
    chart = tmp_path / "chart.svg"
    assert "accept" not in call("results", cwd=ended.root).stdout
    with Ledger(ended.ledger) as ledger:
        ledger.accept("t", 3, "c" * 40, "2026-11-22T03:00:00Z")
    table = call("results", cwd=ended.root).stdout
    assert table.count("discard* ") == 1
    assert table.count("published by you") == 1
    rows = json.loads(call("results", "--json", cwd=ended.root).stdout)
    assert [row["accepted"] for row in rows] == [False, False, True, False]
    assert "accepted   by you on 2026" in call("show", "3", cwd=ended.root).stdout
    assert "accepted   by you" not in call("show", "2", cwd=ended.root).stdout
    assert json.loads(call("show", "3", "--json", cwd=ended.root).stdout)["accepted"] is True
    assert (
        "published #3: not measured on fresh seeds at this budget yet (accepted by you, not proven)"
        in call("status", cwd=ended.root).stdout
    )
    assert json.loads(call("status", "--json", cwd=ended.root).stdout)["incumbent_accepted_at"]
    assert call("plot", "-o", str(chart), cwd=ended.root).code == 0
    assert "accepted by you" in chart.read_text()


def test_an_accept_beside_an_experiment_in_hand_says_so(ended: Workspace, call: Call) -> None:
    """Where nobody can be asked it is said and done; with `--yes` it is done."""
    ended.live.write_text(json.dumps({"lanes": [{"experiment": 5, "agent": "a"}]}))
    with WorkspaceLock(ended.lock):
        done = call("accept", "3", cwd=ended.root)
        assert done.code == 0
        assert "#5 in flight: judged anew against 3" in done.stderr
        done = call("accept", "3", "--yes", cwd=ended.root)
        assert (done.code, done.stderr) == (0, "")
    with Ledger(ended.ledger) as ledger:
        assert [request.kind for request in ledger.requests()] == ["accept", "accept"]


def test_on_a_terminal_an_accept_is_asked_about(ended: Workspace) -> None:
    """A no changes nothing and exits 1; a yes goes on."""
    ended.live.write_text(json.dumps({"lanes": [{"experiment": 5, "agent": "a"}]}))
    with WorkspaceLock(ended.lock):
        codes = [_answered(ended.root, answer) for answer in (b"\n", b"n\n", b"y\n")]
    assert codes == [1, 1, 0]
    with Ledger(ended.ledger) as ledger:
        assert [request.kind for request in ledger.requests()] == ["accept"]


def _answered(root: Path, answer: bytes) -> int:
    """Run `accept 3` on a terminal of its own, answer its question, and return its exit code."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "accept", "3"],
        cwd=root, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs,
    ) as process:  # fmt: skip
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 1000)
        os.write(ours, answer)
        process.wait(timeout=60)
    os.close(ours)
    os.close(theirs)
    return process.returncode


def test_notes_are_listed_and_deleted(stubbed: Workspace, call: Call) -> None:
    """With their numbers; what makes no sense together is refused."""
    assert call("note", "--list", cwd=stubbed.root).stdout == ""
    call("note", "be", "bold", cwd=stubbed.root)
    call("note", "smaller", cwd=stubbed.root)
    listed = call("note", "--list", cwd=stubbed.root).stdout.splitlines()
    assert [(line.split()[0], line.split("  ")[-1]) for line in listed] == [
        ("1", "be bold"), ("2", "smaller"),
    ]  # fmt: skip
    assert call("note", "--delete", "1", cwd=stubbed.root).code == 0
    assert "be bold" not in call("note", "--list", cwd=stubbed.root).stdout
    call("note", "--delete", "1", cwd=stubbed.root).refuses("no note 1")
    call("note", "--list", "text", cwd=stubbed.root).refuses("note takes one of")
    call("note", cwd=stubbed.root).refuses("note takes one of")
    call("note", "x" * 2001, cwd=stubbed.root).refuses("a prompt shows 2000")


def test_the_chart_marks_what_is_flagged(flagged: Workspace, call: Call, tmp_path: Path) -> None:
    """A ring each, at its score or at the lower edge, and one entry in the legend."""
    chart = tmp_path / "chart.svg"
    assert call("plot", "-o", str(chart), cwd=flagged.root).code == 0
    text = chart.read_text()
    assert text.count("<!-- flagged -->") == 1
    assert text.count("stroke: #ff7f00") >= 3


def test_a_run_without_flags_has_no_mark(ended: Workspace, call: Call, tmp_path: Path) -> None:
    """Neither in the table, nor in `status`, nor in the chart."""
    assert "⚑" not in call("results", cwd=ended.root, COLUMNS="200").stdout
    assert "flagged" not in call("status", cwd=ended.root).stdout
    chart = tmp_path / "chart.svg"
    assert call("plot", "-o", str(chart), cwd=ended.root).code == 0
    assert "flagged" not in chart.read_text()


def test_results_tsv_is_the_files_format(ended: Workspace, call: Call) -> None:
    """Header and one row an experiment; what a crash has no number for is empty."""
    lines = call("results", "--tsv", cwd=ended.root).stdout.splitlines()
    assert len(lines) == 5
    assert lines[4].split("\t")[4:8] == ["", "", "", "crash"]


def test_show_tells_all_and_strips_control_characters(ended: Workspace, call: Call) -> None:
    """Verdict, output and change are there; an escape sequence of a candidate is not."""
    text = call("show", "4", cwd=ended.root).stdout
    assert "crash" in text
    assert "Traceback" in text
    assert "\x1b" not in text
    assert "-train = 1" in call("show", "4", "--diff", cwd=ended.root).stdout
    document = json.loads(call("show", "4", "--json", cwd=ended.root).stdout)
    assert document["experiment"] == 4


def test_export_writes_a_candidate_and_overwrites_nothing(
    ended: Workspace, call: Call, tmp_path: Path
) -> None:
    """Without a number the incumbent; a second time into the same folder is refused."""
    out = tmp_path / "out"
    assert call("export", str(out), cwd=ended.root).code == 0
    assert (out / "train.py").read_text() == "train = 2\n"
    call("export", "3", str(out), cwd=ended.root).refuses("exists already")
    assert (out / "train.py").read_text() == "train = 2\n"
    call("export", "99", str(tmp_path / "other"), cwd=ended.root).refuses(
        "no finished experiment 99"
    )


def test_export_takes_a_number_alone_for_no_folder(ended: Workspace, call: Call) -> None:
    """`show 3` means experiment 3; the line names both things that may be meant."""
    call("export", "3", cwd=ended.root).refuses("export 3 DIR writes experiment 3; ./3 is a folder")
    assert not (ended.root / "3").exists()
    assert call("export", "./3", cwd=ended.root).code == 0
    assert (ended.root / "3" / "train.py").read_text() == "train = 2\n"


def test_export_with_too_many_words_is_a_usage_error(ended: Workspace, call: Call) -> None:
    """One clear line, nothing written."""
    call("export", "1", "2", "3", cwd=ended.root).refuses("number and a folder")


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot_writes_a_picture(ended: Workspace, call: Call, tmp_path: Path, suffix: str) -> None:
    """The chart is drawn in each format; any other ending is refused."""
    chart = tmp_path / f"chart.{suffix}"
    assert call("plot", "-o", str(chart), cwd=ended.root).code == 0
    assert chart.stat().st_size > 5000
    call("plot", "-o", str(tmp_path / "chart.txt"), cwd=ended.root).refuses("must end in .png")


def test_a_file_that_can_not_be_written_is_one_line(ended: Workspace, call: Call) -> None:
    """The system's own fault is exit 1 and no traceback."""
    (ended.root / "file").touch()
    done = call("plot", "-o", "file/chart.png", cwd=ended.root)
    assert done.code == 1
    assert len(done.stderr.splitlines()) == 1
