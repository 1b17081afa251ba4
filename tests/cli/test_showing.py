"""What a person sees: chosen, sorted and paged tables, runs, times, marks, and typing errors."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.core.experiments import Experiment, Seconds
from orchestrator.core.records import Files, Rung, Status
from orchestrator.reporting.results import SORT_KEYS
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call
from tests.conftest import REPOSITORY

_WHEN = "2026-11-22T23:30:00.000Z"


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's clock is an hour ahead of UTC; no database of zones is needed."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()


@pytest.fixture(autouse=True)
def _clock_as_before() -> object:
    yield
    time.tzset()


def add(ledger: Ledger, status: Status, *, tag: str = "t", **facts: object) -> int:
    """Record one more experiment."""
    n = ledger.begin(
        tag, is_baseline=False, rung=Rung(12, 8), agent="a", parent="2" * 40, when=_WHEN
    )
    known = {"description": f"idea {n}", "commit": str(n) * 40, "reason": "why not"} | facts
    experiment = Experiment(
        n=n, tag=tag, is_baseline=False, status=status, rung=Rung(12, 8), agent="a",
        finished_at=_WHEN, **known,
    )  # type: ignore[arg-type]  # fmt: skip
    ledger.finish(experiment, Files(f"env = {n}\n", f"train = {n}\n"), f"fp{n}")
    return n


@pytest.fixture
def stopped(ended: Workspace) -> Workspace:
    """The run, with two discards that were stopped early, and an override of the test's verdict."""
    with Ledger(ended.ledger) as ledger:
        add(ledger, Status.DISCARD, scores_by_seed={101: 0.31}, seconds=Seconds(0, 90, 0))
        add(ledger, Status.DISCARD, verdict={"foretold": 0.22})
        ledger.accept("t", 3, "c" * 40, _WHEN)
    return ended


# -- what is chosen --------------------------------------------------------------------------------


def numbers(text: str) -> list[int]:
    return [row["experiment"] for row in json.loads(text)]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--kept"], [2, 3]),
        (["-n", "2"], [5, 6]),
        (["--sort", "score"], [2, 3, 1, 4, 5, 6]),
        (["--sort", "score", "-n", "1"], [2]),
        (["--sort", "seconds", "-n", "1"], [5]),
        (["--sort", "experiment", "-n", "2"], [1, 2]),
        (["--kept", "--sort", "score", "-n", "5"], [2, 3]),
    ],
)
def test_results_are_chosen_and_sorted(
    stopped: Workspace, call: Call, options: list[str], shown: list[int]
) -> None:
    """In the table, the JSON and the rows alike: the best first, what has no score last."""
    assert numbers(call("results", "--json", *options, cwd=stopped.root).stdout) == shown
    rows = call("results", "--tsv", *options, cwd=stopped.root).stdout.splitlines()[1:]
    assert [int(row.split("\t")[-1].split()[0][1:]) for row in rows] == shown
    table = call("results", *options, cwd=stopped.root, COLUMNS="200").stdout
    lines = table[table.index("autorl/t") :].splitlines()
    assert [int(line.split()[0]) for line in lines if line[:4].strip().isdigit()] == shown


def test_a_stopped_discard_shows_how_far_it_came(stopped: Workspace, call: Call) -> None:
    """In `results`, `show` and `status`: a number with the seeds behind it, not a dash or a zero."""
    with Ledger(stopped.ledger) as ledger:
        ledger.create_run(Run("u", "p" * 40, {"evaluator.seed_count": 2}, _WHEN))
        n = add(ledger, Status.DISCARD, tag="u", scores_by_seed={101: 0.31})
    assert "0.3100 on 1 of 2 seeds" in call("results", cwd=stopped.root).stdout
    assert "score 0.3100 on 1 of 2 seeds\n" in call("show", str(n), cwd=stopped.root).stdout
    last = f"last      #{n} discard, 0.3100 on 1 of 2 seeds: idea {n}\n"
    assert last in call("status", cwd=stopped.root).stdout
    table = call("results", "--tag", "t", cwd=stopped.root).stdout
    assert "0.2200 predicted" in table
    assert "not comparable with full scores" in table
    rows = call("results", "--tsv", "--tag", "u", cwd=stopped.root).stdout.splitlines()
    assert rows[1].split("\t")[4:7] == ["", "", ""]


def test_what_the_user_accepted_is_marked(stopped: Workspace, call: Call, berlin: None) -> None:
    """`results` with a legend, `show` and `status`; the test's own keeps have no mark."""
    table = call("results", cwd=stopped.root).stdout
    assert "   3 discard*" in table
    assert "*: published by you" in table
    assert table[table.index("autorl/t") :].count("*") == 2
    shown = call("show", "3", cwd=stopped.root).stdout
    assert "accepted   by you on 2026-11-23 00:30:00 CET; not proven" in shown
    assert "accepted  " not in call("show", "2", cwd=stopped.root).stdout
    assert (
        "#3: not measured on fresh seeds at this budget yet (accepted by you, not proven)"
        in call("status", cwd=stopped.root).stdout
    )


def test_the_chart_marks_what_the_user_accepted(
    stopped: Workspace, call: Call, tmp_path: Path
) -> None:
    """A star with an entry in the legend; a run without an override has neither."""
    chart = tmp_path / "chart.svg"
    assert call("plot", "-o", str(chart), cwd=stopped.root).code == 0
    assert "<!-- accepted by you, whatever the test said -->" in chart.read_text()
    with Ledger(stopped.ledger) as ledger:
        ledger.create_run(Run("u", "p" * 40, {}, _WHEN))
        add(ledger, Status.KEEP, tag="u", score=0.4)
    assert call("plot", "-o", str(chart), "--tag", "u", cwd=stopped.root).code == 0
    assert "accepted" not in chart.read_text()


# -- runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["results"], ["results", "--json"], ["plot"]])
def test_an_unknown_tag_names_the_runs_there_are(
    ended: Workspace, call: Call, command: list[str]
) -> None:
    """With the closest one, whatever the form of the output."""
    with Ledger(ended.ledger) as ledger:
        ledger.create_run(Run("nov22", "p" * 40, {}, _WHEN))
    done = call(*command, "--tag", "nov23", cwd=ended.root)
    done.refuses("there is no run 'nov23' here; there are t, nov22; did you mean nov22?")
    assert done.stdout == ""


def test_runs_are_listed(ended: Workspace, call: Call, berlin: None) -> None:
    """Each with when it began, what it tried and kept, and the best: for people and as JSON."""
    with Ledger(ended.ledger) as ledger:
        ledger.create_run(Run("later", "p" * 40, {}, _WHEN))
    lines = call("runs", cwd=ended.root).stdout.splitlines()
    assert lines[1].split() == "t 2026-11-22 01:00 3 1 0.4000 (not validated) stopped".split()
    assert lines[2].split() == "later 2026-11-23 00:30 0 0 — stopped".split()
    assert lines[3].endswith("times: CET (UTC+01:00)")
    assert max(map(len, lines)) <= 80
    first, _ = json.loads(call("runs", "--json", cwd=ended.root).stdout)
    facts = {"tag": "t", "started_at": "2026-11-22T00:00:00Z", "running": False, "keeps": 1}
    assert first.items() >= facts.items()


def test_no_run_yet_is_a_clear_line(stubbed: Workspace, call: Call) -> None:
    """`runs` before the first start says so, as the other commands do."""
    call("runs", cwd=stubbed.root).refuses("nothing has run in")


# -- typing errors and places ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["reslts"], "did you mean results?"),
        (["results", "--kepd"], "did you mean --kept?"),
        (["results", "--sort", "scor"], "did you mean score?"),
        (["service", "instal"], "did you mean install?"),
        (["init", "w", "--nested", "--example", "keydor"], "did you mean keydoor?"),
        (["start", "--set", "limits.experimens=3"], "did you mean experiments?"),
        (["start", "--set", "limit.experiments=3"], "did you mean limits?"),
    ],
)
def test_typing_errors_are_answered_with_what_was_meant(
    stubbed: Workspace, call: Call, arguments: list[str], meant: str
) -> None:
    """Commands, options, choices, examples and keys of the configuration; exit code 2."""
    done = call(*arguments, cwd=stubbed.root)
    assert done.code == 2
    assert meant in done.stderr


def test_what_resembles_nothing_gets_no_suggestion(stubbed: Workspace, call: Call) -> None:
    """A wrong hint would be worse than none."""
    assert "did you mean" not in call("zzz", cwd=stubbed.root).stderr


def test_the_workspace_may_come_before_the_command(
    ended: Workspace, call: Call, tmp_path: Path
) -> None:
    """And after it, which is the last word; `init` makes its own."""
    where = ("--workspace", str(ended.root))
    before = call(*where, "results", "--json", cwd=tmp_path)
    assert numbers(before.stdout) == [1, 2, 3, 4]
    assert call("results", "--json", *where, cwd=tmp_path).stdout == before.stdout
    twice = call("--workspace", "nowhere", "results", "--json", *where, cwd=tmp_path)
    assert twice.stdout == before.stdout
    call(*where, "init", "w", cwd=tmp_path).refuses("init takes its folder without --workspace")


def test_printed_commands_quote_paths(tmp_path: Path, call: Call) -> None:
    """What `init` prints can be copied into a shell, whatever the folder is called."""
    done = call("init", "my folder; $HOME", cwd=tmp_path)
    assert done.code == 0
    line = done.stdout.splitlines()[-1]
    command = line[line.index("cd ") : line.index(", write")]
    said = subprocess.run(["sh", "-c", f"{command} && pwd"], capture_output=True, text=True)
    assert said.stdout.strip() == str(tmp_path / "my folder; $HOME")


@pytest.mark.parametrize("place", ["missing/chart.png", "a b/c/chart.svg"])
def test_a_chart_goes_into_no_missing_folder(ended: Workspace, call: Call, place: str) -> None:
    """One clear line with the cure, and no folder is made of a typing error."""
    call("plot", "-o", place, cwd=ended.root).refuses("make it first (`mkdir -p ")
    assert not (ended.root / place).parent.exists()
    assert call("plot", cwd=ended.root).code == 0  # `logs/` is the daemon's own


@pytest.mark.system
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["res"], "resume results"),
        (["results", "--ke"], "--kept"),
        (["service", "in"], "install"),
        (["--workspace", "show", "res"], "resume results"),
        (["--workspace", "=", "show", "results", "--ke"], "--kept"),
        (["results", "-n", "3", "--workspace", "w", "--ke"], "--kept"),
        (["results", "--sort", "sc"], "score"),
        (["results", "--sort", "="], " ".join(SORT_KEYS)),
        (["results", "--sort", "score", "--ke"], "--kept"),
        (["results", "--tag", "--ke"], ""),
        (["lessons", "--edit", "--work"], "--workspace"),
    ],
)
def test_bash_completes_commands_options_and_choices(
    tmp_path: Path, call: Call, typed: list[str], offered: str
) -> None:
    """By the script that `completion bash` prints, run in bash itself."""
    script = call("completion", "bash", cwd=tmp_path).stdout
    words = " ".join(["autorl-daemon", *typed])
    ask = f'COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _autorl_daemon; echo "${{COMPREPLY[*]}}"'
    said = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True)
    assert (said.stdout.strip(), said.stderr) == (offered, "")


@pytest.mark.parametrize(("shell", "line"), [
    ("zsh", "complete -o default -F _autorl_daemon autorl-daemon"),
    ("fish", "complete -c autorl-daemon -n '__fish_seen_subcommand_from results' -l kept"),
])  # fmt: skip
def test_other_shells_have_their_scripts(tmp_path: Path, call: Call, shell: str, line: str) -> None:
    """In the form that each of them reads; hidden options are not offered."""
    lines = call("completion", shell, cwd=tmp_path).stdout.splitlines()
    assert line in lines
    assert "ready-fd" not in "\n".join(lines)


# -- times -----------------------------------------------------------------------------------------


def test_logs_are_in_local_time(ended: Workspace, call: Call, berlin: None) -> None:
    """With the zone once, beside the output; JSON stays as it is written."""
    ended.logs.mkdir(exist_ok=True)
    line = json.dumps({"timestamp": _WHEN, "level": "info", "event": "run started"})
    ended.daemon_log.write_text(line + "\n")
    done = call("logs", cwd=ended.root)
    assert done.stdout.splitlines() == ["00:30:00 run started"]
    assert done.stderr == "times: CET (UTC+01:00)\n"
    raw = call("logs", "--json", cwd=ended.root)
    assert (raw.stdout, raw.stderr) == (line + "\n", "")


@pytest.mark.parametrize("torn", ['{"tor\x1b[31mn', "[1]", "3", '{"timestamp": 7, "event": "x"}'])
def test_odd_lines_of_a_log_are_shown_clean(ended: Workspace, call: Call, torn: str) -> None:
    """A torn line is no traceback, and brings no code to the terminal."""
    ended.logs.mkdir(exist_ok=True)
    ended.daemon_log.write_text(torn + "\n")
    done = call("logs", cwd=ended.root)
    assert done.code == 0
    assert done.stdout.strip()
    assert "\x1b" not in done.stdout


# -- terminals -------------------------------------------------------------------------------------


def on_a_terminal(root: Path, *commands: list[str], **environment: str) -> str:
    """Return what a terminal of 80 x 24 gets from these commands, of both streams."""
    code = (
        "import json, sys\nfrom orchestrator.cli.main import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    try:\n        main(arguments)\n    except SystemExit:\n        pass\n"
    )
    leader, follower = pty.openpty()
    keep = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "PAGER", "LESS", "TERM"}}
    where = {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(commands)],
        cwd=root, stdin=follower, stdout=follower, stderr=follower, env=keep | where | environment,
    ) as process:  # fmt: skip
        os.close(follower)
        seen = b""
        try:
            while chunk := os.read(leader, 4096):
                seen += chunk
        except OSError:  # Linux's way to say that the other end is closed
            pass
    os.close(leader)
    assert process.returncode == 0
    return seen.decode().replace("\r\n", "\n")


SCREENS = (
    ["results"], ["results", "--sort", "score"], ["runs"], ["show", "4"], ["show", "4", "--diff"],
    ["status"], ["logs"], ["--help"], ["results", "--help"], ["reslts"], ["results", "--tag", "x"],
)  # fmt: skip


@pytest.mark.system
@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_code_is_sent_where_none_is_wanted(stopped: Workspace, plain: dict[str, str]) -> None:
    """No escape byte on a terminal from any command; without the wish `results` has colours."""
    stopped.logs.mkdir(exist_ok=True)
    stopped.daemon_log.write_text(
        '{"timestamp": "2026-11-22T01:02:03Z", "event": "x\\u001b[31m"}\n'
    )
    assert "\x1b" not in on_a_terminal(stopped.root, *SCREENS, **plain)
    assert "\x1b[" in on_a_terminal(stopped.root, ["results", "--no-pager"])


@pytest.mark.system
def test_long_output_is_paged_on_a_terminal_alone(stopped: Workspace, call: Call) -> None:
    """Through $PAGER, unless --no-pager; what fits on the screen, and a pipe, never."""
    pager = "sed s/^/paged:/"
    long, short = ["results"], ["runs"]
    assert "paged:" in on_a_terminal(stopped.root, long, PAGER=pager)
    assert "paged:" not in on_a_terminal(stopped.root, short, PAGER=pager)
    assert "paged:" not in on_a_terminal(stopped.root, [*long, "--no-pager"], PAGER=pager)
    assert "as it stands" in on_a_terminal(stopped.root, long, PAGER="no-such-pager-here")
    assert "paged:" not in call("results", cwd=stopped.root, PAGER=pager).stdout
