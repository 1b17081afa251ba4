"""Text and numbers of others come out of every command harmless."""

import json
import os
import re
from pathlib import Path

import pytest

from orchestrator.core.experiments import Experiment, Seconds, StopKind, StopReason
from orchestrator.core.records import Files, Rung, Status, Tokens
from orchestrator.store.branch import commit_message
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call

BAD = (
    "\x1b[31mred\x1b]0;title\x07\x9b2Jcsi\u202eevil\u2066\u200bx\U000e0041a"
    + "\u0301" * 40
    + "\rend"
)
HARM = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e\u2066\U000e0041]|\u0301{4}")


@pytest.fixture
def hostile(stubbed: Workspace) -> Workspace:
    """A workspace in whose record and files every text is hostile."""
    stubbed.make_folders()
    with Ledger(stubbed.ledger) as ledger:
        ledger.create_run(Run("t", "p" * 40, {}, "2026-11-22T00:00:00Z"))
        for status in (Status.BASELINE, Status.KEEP, Status.CRASH):
            n = ledger.begin(
                "t", is_baseline=status is Status.BASELINE, rung=Rung(12, 8), agent=BAD,
                parent="p" * 40, when="now",
            )  # fmt: skip
            scored = status is not Status.CRASH
            experiment = Experiment(
                n=n, tag="t", is_baseline=status is Status.BASELINE, status=status,
                rung=Rung(12, 8), agent=BAD, description=BAD, rationale=BAD, parent="p" * 40,
                commit=str(n) * 40, score=1.0 if scored else None,
                scores_by_seed={101: 1.0} if scored else {}, max_steps=20, reason=BAD, details=BAD,
                flags=(f"identical starts: {BAD}",), seconds=Seconds(1, 2, 0.01),
                tokens=Tokens(10, None, 5, None), created_at="2026-11-22T00:00:00Z",
            )  # fmt: skip
            ledger.finish(experiment, Files(f"e = {n}\n", f"# {BAD}\nt = {n}\n"), f"fp{n}")
            assert not HARM.search(commit_message(experiment))
        ledger.set_stop_reason("t", StopReason(StopKind.STUCK, BAD))
    row = "\t".join([BAD, "12", "8", "20", BAD, "0", "0", BAD, BAD]).replace("\r", " ")
    (stubbed.root / "results.tsv").write_text(
        "commit\ttrain_episodes\teval_episodes\tmax_steps\tscore\tsolve_rate\teval_return\tstatus"
        f"\tdescription\n{row}\n"
    )
    entry = {"timestamp": "2026-11-22T00:00:00Z", "level": "info", "event": BAD, "reason": BAD}
    lines = [
        json.dumps(entry),
        json.dumps(entry, ensure_ascii=False),
        f"torn {BAD}".replace("\r", ""),
        "[1]",
        "1",
    ]
    stubbed.daemon_log.write_text("\n".join(lines) + "\n")
    return stubbed


@pytest.mark.parametrize(
    "command",
    [
        ["results"], ["results", "--json"], ["results", "--tsv"], ["results", "--tag", BAD],
        ["results", "--kept"], ["runs"], ["note", "--list"], ["show", "2"], ["show", "3"], ["show", "3", "--json"], ["status"], ["status", "--json"],
        ["logs"], ["logs", "--json"], ["plot"], ["accept", "1"], ["start", f"--tag={BAD}"],
        ["start", f"--set=agent.model={BAD}"], ["start", f"--set={BAD}=1"],
        ["export", "1", BAD.replace("\x07", "") + "/x"], ["export", BAD], ["doctor"],
    ],
    ids=lambda command: " ".join(command)[:20].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_nothing_that_a_terminal_obeys_is_printed(
    hostile: Workspace, call: Call, command: list[str]
) -> None:
    """Escape codes, direction and unseen characters and floods of marks are gone, the words stay."""
    done = call(*command, cwd=hostile.root)
    assert not HARM.search(done.stdout)
    assert not HARM.search(done.stderr)
    assert "Traceback" not in done.stderr


def test_the_words_are_still_there(hostile: Workspace, call: Call) -> None:
    """Harmless is not empty: what the text says can be read."""
    for command in (["results"], ["show", "3"], ["status"], ["logs"]):
        assert "evil" in call(*command, cwd=hostile.root).stdout


@pytest.mark.parametrize("score", ["1e308", "-1e308", "inf", "-inf", "nan", "1e200", "1e149", "x"])
def test_scores_that_no_picture_holds_are_left_out(
    ended: Workspace, call: Call, tmp_path: Path, score: str
) -> None:
    """Whatever number a row has, the rest is drawn."""
    with (ended.root / "results.tsv").open("a") as file:
        for number in (score, "0.5"):
            file.write(f"a\t12\t8\t20\t{number}\t0\t0\tkeep\tx\n")
    chart = tmp_path / "chart.png"
    assert call("plot", "-o", str(chart), cwd=ended.root).code == 0
    assert chart.stat().st_size > 10_000


@pytest.mark.parametrize("tag", ["$_$", "$x^{$", "\\frac{", "a_b^c", "%s{0}", "数" * 60])
def test_a_name_is_no_formula(stubbed: Workspace, call: Call, tmp_path: Path, tag: str) -> None:
    """Dollars and braces in a run's name are drawn as they are."""
    stubbed.make_folders()
    with Ledger(stubbed.ledger) as ledger:
        ledger.create_run(Run(tag, "p" * 40, {}, "2026-11-22T00:00:00Z"))
    chart = tmp_path / "chart.svg"
    assert call("plot", "-o", str(chart), cwd=stubbed.root).code == 0
    assert chart.stat().st_size > 1000


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_nothing_is_written_through_what_stands_in_the_way(
    ended: Workspace, call: Call, tmp_path: Path, kind: str
) -> None:
    """`plot` and `export` leave a link's target alone and wait for no pipe."""
    target, folder = tmp_path / "target", tmp_path / "out"
    folder.mkdir()
    ended.logs.mkdir(exist_ok=True)
    for path in (ended.logs / "plot.png", folder / "env.py"):
        path.symlink_to(target) if kind == "link" else os.mkfifo(path)
    plotted = call("plot", cwd=ended.root)
    assert plotted.code == 1
    assert "plot.png is a " in plotted.stderr
    call("export", "1", str(folder), cwd=ended.root).refuses("exists already")
    assert not target.exists()
    assert not (folder / "train.py").exists()


def test_names_of_folders_are_not_expanded(ended: Workspace, call: Call, tmp_path: Path) -> None:
    """`export` and `init` make the folder that they are told, whatever it is called."""
    for name in ("$HOME", "~nobody-of-that-name", "~"):
        assert call("export", "1", name, cwd=tmp_path).code == 2  # no workspace there
        assert call("export", "1", f"{tmp_path}/{name}", cwd=ended.root).code == 0
        assert (tmp_path / name / "env.py").is_file()
        assert call("init", f"w{name}", cwd=tmp_path).code == 0
        assert (tmp_path / f"w{name}" / "config.yaml").is_file()
    assert call("init", "~/below", cwd=tmp_path).code == 0
    assert (tmp_path / "~" / "below" / "config.yaml").is_file()


@pytest.mark.parametrize(
    "name", [".autorl", "logs", "logs/experiments", ".autorl/work", ".autorl/agents"]
)
@pytest.mark.parametrize("goal", ["elsewhere", "nowhere"])
def test_folders_of_the_workspace_that_are_links_are_refused(
    stubbed: Workspace, call: Call, tmp_path: Path, name: str, goal: str
) -> None:
    """`start` writes only into the workspace, and names the folder and the cure."""
    (tmp_path / "elsewhere").mkdir()
    path = stubbed.root / name
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    path.symlink_to(tmp_path / goal)
    call("start", cwd=stubbed.root).refuses("is a link: put a folder there")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["daemon.jsonl", "daemon.jsonl.1"])
def test_a_log_that_is_a_pipe_is_not_waited_for(ended: Workspace, call: Call, name: str) -> None:
    """`logs` says what stands there."""
    ended.logs.mkdir(exist_ok=True)
    (ended.logs / "daemon.jsonl").write_text("")
    (ended.logs / name).unlink(missing_ok=True)
    os.mkfifo(ended.logs / name)
    done = call("logs", cwd=ended.root)
    assert (done.code, "is a pipe" in done.stderr) == (1, True)


@pytest.mark.parametrize("name", ["live.json", "lock"])
def test_a_state_that_is_a_link_is_left_alone(
    stubbed: Workspace, call: Call, tmp_path: Path, name: str
) -> None:
    """A daemon doesn't empty the file that somebody's link leads to."""
    target = tmp_path / "target"
    target.write_text("theirs")
    stubbed.make_folders()
    (stubbed.state / name).symlink_to(target)
    stubbed.config.write_text("sandbox: off\n")
    done = call("start", "--foreground", "--no-check", cwd=stubbed.root)
    assert done.code == 1
    assert f"{name} is a link" in done.stderr
    assert target.read_text() == "theirs"


def test_a_start_names_where_rows_go(stubbed: Workspace, call: Call) -> None:
    """With another tool's file in the way, the start's notes say where ours are."""
    from orchestrator.daemon.start_checks import check_start, start_notes

    (stubbed.root / "results.tsv").write_text("commit\tval_bpb\n")
    notes = start_notes(check_start(stubbed, "t", ()))
    assert any("rows go to logs/results.tsv" in note for note in notes)
