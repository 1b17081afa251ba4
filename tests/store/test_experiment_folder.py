"""What a person can read afterwards: folders, `results.tsv`, patches."""

import os
import re
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.diff import unified_diff
from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import ENV_PATH, TRAIN_PATH, Files, Rung, Status
from orchestrator.store.experiment_folder import ExperimentFolders
from orchestrator.store.results_tsv import COLUMNS, ForeignRows, History, own_description, tsv_row
from tests.conftest import DATA

HEADER = "\t".join(COLUMNS)
FILES = Files("a = 1\nb = 2\n", "c = 3\n")


def experiment(n: int = 1, **facts: object) -> Experiment:
    known = {
        "description": f"idea {n}",
        "score": 0.5,
        "max_steps": 20,
        "commit": "abcdef0123",
    } | facts
    return Experiment(n, "t", False, Status.KEEP, Rung(12, 8), "scripted", **known)  # type: ignore[arg-type]


def rows_of(folder: Path, own: set[str] | None = None) -> list[dict[str, str]]:
    return ForeignRows(folder / "results.tsv", (own or set()).__contains__).read()


# -- our rows --------------------------------------------------------------------------------------


def test_row_has_the_columns_of_the_contract() -> None:
    """A row is the contract's columns, with six decimals and the experiment's number."""
    done = experiment(7, report=Report({"mean_solve_rate": 0.25}))
    assert tsv_row(done) == "abcdef0\t12\t8\t20\t0.500000\t0.250000\t0.500000\tkeep\t#7 idea 7"


def test_row_without_a_score() -> None:
    """What is unknown is left empty, since 0 is a score as any other; no commit is `none`."""
    failed = Experiment(3, "t", False, Status.CRASH, Rung(12, 8), "scripted", description="x")
    assert tsv_row(failed) == "none\t12\t8\t\t\t\t\tcrash\t#3 x"
    zero = experiment(7, score=0.0, report=Report({"mean_solve_rate": 0.0}))
    assert tsv_row(zero).split("\t")[4:7] == ["0.000000"] * 3


def test_rows_of_version_0_1_are_not_written_twice(tmp_path: Path) -> None:
    """It wrote zeros for what is unknown: such a row is known as the experiment's."""
    failed = Experiment(3, "t", False, Status.CRASH, Rung(12, 8), "scripted", description="x")
    row = "none\t12\t8\t0\t0.000000\t0.000000\t0.000000\tcrash\t#3 x"
    (tmp_path / "results.tsv").write_text(f"{HEADER}\n{row}\n")
    assert ExperimentFolders(tmp_path).missing([failed, experiment(4)]) == [experiment(4)]


def test_description_stays_in_its_column() -> None:
    """Tabs and line breaks of a description become blanks."""
    assert tsv_row(experiment(description="a\tb\nc\r\nd\u2028e")).count("\t") == len(COLUMNS) - 1
    assert own_description(experiment(description="a\tb\nc")) == "#1 a b c"


def test_finish_starts_the_file_with_a_header(tmp_path: Path) -> None:
    """The first row brings the header, later ones do not."""
    folders = ExperimentFolders(tmp_path)
    folders.finish(experiment(1), FILES, FILES)
    folders.finish(experiment(2), FILES, FILES)
    lines = (tmp_path / "results.tsv").read_text().splitlines()
    assert lines == [HEADER, tsv_row(experiment(1)), tsv_row(experiment(2))]


def test_rows_that_a_kill_left_out_are_found_in_order(tmp_path: Path) -> None:
    """Rows stand in the order of endings; what is missing is told in the order it is asked for."""
    folders = ExperimentFolders(tmp_path)
    endings = [experiment(n) for n in (3, 1, 4, 2)]
    assert folders.missing(endings) == endings
    for one in endings[:2]:
        folders.finish(one, FILES, FILES)
    assert folders.missing(endings) == endings[2:]
    for one in folders.missing(endings):
        folders.finish(one, FILES, FILES)
    lines = (tmp_path / "results.tsv").read_text().splitlines()
    assert lines == [HEADER, *map(tsv_row, endings)]


# -- rows of leads ---------------------------------------------------------------------------------


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """Return a workspace with the folder of the daemon's state."""
    (tmp_path / ".autorl").mkdir()
    return tmp_path


def led(n: int, status: Status = Status.LEAD) -> Experiment:
    """Return an experiment that took the lead, by what became of it."""
    return replace(experiment(n, verdict={"lead": True}), status=status)


@pytest.mark.parametrize("became", [Status.KEEP, Status.DISCARD])
def test_rows_of_leads_say_what_became_of_them(tmp_path: Path, became: Status) -> None:
    """In their place; every other row stays to the byte, and a second time nothing is written."""
    folders, path = ExperimentFolders(tmp_path), tmp_path / "results.tsv"
    theirs = "a\tfew\tcells\r\n\nb\xe4d \udcff\n"
    path.write_text(f"{HEADER}\n{theirs}", errors="surrogateescape", newline="")
    for one in (led(1), experiment(2), led(3)):
        folders.finish(one, FILES, FILES)
    now = [led(1, became), experiment(2), led(3)]
    folders.update_rows(now)
    with path.open(errors="surrogateescape", newline="") as file:
        text = file.read()
    assert text == f"{HEADER}\n{theirs}" + "".join(f"{tsv_row(one)}\n" for one in now)
    assert folders.missing(now) == []
    before = path.stat()
    folders.update_rows(now)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_row_of_a_lead_follows_it_back_and_forth(tmp_path: Path) -> None:
    """Whatever it said before: a restart may find any of its states."""
    folders, path = ExperimentFolders(tmp_path), tmp_path / "results.tsv"
    folders.finish(led(1), FILES, FILES)
    for status in (Status.DISCARD, Status.KEEP, Status.LEAD, Status.KEEP):
        folders.update_rows([led(1, status)])
        assert path.read_text().splitlines() == [HEADER, tsv_row(led(1, status))]


def test_rows_are_rewritten_out_of_the_users_sight(tmp_path: Path) -> None:
    """A kill leaves nothing beside the user's files, and their modes stay."""
    folders, path = ExperimentFolders(tmp_path), tmp_path / "results.tsv"
    folders.finish(led(1), FILES, FILES)
    path.chmod(0o640)
    folders.update_rows([led(1, Status.KEEP)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    rows, names = path.read_text(), sorted(tmp_path.iterdir())
    (tmp_path / ".autorl" / "results.tsv.new").mkdir()  # where they are written first
    with pytest.raises(OSError, match=r"results\.tsv\.new"):
        folders.update_rows([led(1, Status.DISCARD)])
    assert (path.read_text(), sorted(tmp_path.iterdir())) == (rows, names)


def test_without_a_file_or_a_lead_no_row_is_updated(tmp_path: Path) -> None:
    """What never led is not looked for, nor is a file made."""
    folders, path = ExperimentFolders(tmp_path), tmp_path / "results.tsv"
    folders.update_rows([led(1)])
    assert not path.exists()
    folders.finish(experiment(1), FILES, FILES)
    folders.update_rows([replace(experiment(1), status=Status.DISCARD)])
    assert path.read_text().splitlines() == [HEADER, tsv_row(experiment(1))]


def test_finish_writes_the_patch(tmp_path: Path) -> None:
    """The experiment's folder has its change as a patch."""
    after = Files("a = 1\nb = 3\n", FILES.train)
    ExperimentFolders(tmp_path).finish(experiment(1), FILES, after)
    patch = (tmp_path / "logs/experiments/1/patch.diff").read_text()
    assert patch == "".join(unified_diff(FILES, after))
    assert "-b = 2\n+b = 3\n" in patch


def test_empty_file_gets_a_header_too(tmp_path: Path) -> None:
    """A results.tsv without a byte is as good as none."""
    (tmp_path / "results.tsv").write_text("")
    ExperimentFolders(tmp_path).finish(experiment(1), FILES, FILES)
    assert (tmp_path / "results.tsv").read_text().splitlines()[0] == HEADER


def test_other_rows_are_left_as_they_are(tmp_path: Path) -> None:
    """Rows that we did not write keep every byte, also a last line that was torn."""
    before = (DATA / "autorl-mar11-results.tsv").read_bytes()[:-20] + b"\xff"
    (tmp_path / "results.tsv").write_bytes(before)
    ExperimentFolders(tmp_path).finish(experiment(1), FILES, FILES)
    after = (tmp_path / "results.tsv").read_bytes()
    assert after == before + b"\n" + tsv_row(experiment(1)).encode() + b"\n"


def test_half_characters_do_not_stop_the_writing(tmp_path: Path) -> None:
    """A lone surrogate in a description or a log is replaced, not raised."""
    odd = experiment(1, description="x\ud800", details="y\ud800")
    ExperimentFolders(tmp_path).finish(odd, FILES, FILES)
    assert "#1 x?" in (tmp_path / "results.tsv").read_text()
    assert "y?" in (tmp_path / "logs/experiments/1/evaluator.log").read_text()


# -- rows of others --------------------------------------------------------------------------------


def test_real_file_is_read() -> None:
    """The ledger of a real public run is read row by row, pending rows and doubles included."""
    rows = ForeignRows(DATA / "autorl-mar11-results.tsv", set().__contains__).read()
    assert len(rows) == 24
    assert all(list(row) == list(COLUMNS) for row in rows)
    assert "|".join(rows[1].values()) == (
        "17ef019|12|8|100|0.257746|0.750000|0.257746|keep|trading candidate v1 balanced regimes"
    )
    assert [row["status"] for row in rows].count("pending") == 3
    assert sum(row["commit"] == "17ef019" for row in rows) == 2


def test_own_rows_are_told_apart(tmp_path: Path) -> None:
    """What we write below a foreign file is not read back as foreign."""
    (tmp_path / "results.tsv").write_bytes((DATA / "autorl-mar11-results.tsv").read_bytes())
    folders = ExperimentFolders(tmp_path)
    done = [experiment(n, description=f"idea\t{n} \u2028 ü") for n in range(1, 4)]
    for one in done:
        folders.finish(one, FILES, FILES)
    assert len(rows_of(tmp_path, {own_description(one) for one in done})) == 24


def test_missing_file_has_no_rows(tmp_path: Path) -> None:
    """No file, no rows."""
    assert rows_of(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "descriptions"),
    [
        (f"{HEADER}\n", []),
        ("", []),
        ("\n \n\t\n", []),
        (f"{HEADER}\na\t1\t2\t3\t0\t0\t0\tkeep\tone\n", ["one"]),
        (f"{HEADER}\n\na\t1\t2\t3\t0\t0\t0\tkeep\tone\n\n\nb\t1\t2\t3\t0\t0\t0\tkeep\ttwo", ["one", "two"]),
        ("a\t1\t2\t3\t0\t0\t0\tkeep\tno header\n", ["no header"]),
        (f"\ufeff{HEADER}\r\na\t1\t2\t3\t0\t0\t0\tkeep\tone\r\n", ["one"]),
        (f"{HEADER}\na\t1\t2\t3\t0\t0\t0\tkeep\tone\na\t1\t2\t3\t0\t0\t0\tkeep\tone\n", ["one", "one"]),
        (f"{HEADER}\na\t1\t2\n", [""]),
        (f"{HEADER}\na\t1\t2\t3\t0\t0\t0\tkeep\tto\tbe\n", ["to\tbe"]),
        (f"{HEADER}\na\t1\t2\t3\t0\t0\t0\tkeep\tx\u2028y\x0cz\n", ["x\u2028y\x0cz"]),
        ("commit\tscore\tmemory_gb\tstatus\tdescription\na\t0.9\t44\tkeep\tanother tool\n", ["another tool"]),
    ],
    ids=["header", "empty", "blank", "one", "blank lines", "no header", "CRLF and BOM", "double",
         "torn", "tab", "odd breaks", "other columns"],
)  # fmt: skip
def test_untidy_files_are_read(tmp_path: Path, text: str, descriptions: list[str]) -> None:
    """Blank lines, doubles, torn and long rows, odd line ends and other headers are all read."""
    (tmp_path / "results.tsv").write_bytes(text.encode())
    assert [row["description"] for row in rows_of(tmp_path)] == descriptions


def test_other_headers_name_their_columns(tmp_path: Path) -> None:
    """A header in another order is believed; what it lacks is empty."""
    (tmp_path / "results.tsv").write_text("commit\tstatus\tscore\tdescription\nabc\tkeep\t0.7\tx\n")
    (row,) = rows_of(tmp_path)
    assert (row["status"], row["score"], row["max_steps"]) == ("keep", "0.7", "")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_rows(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever a results.tsv holds, it is read as rows with all columns."""
    file = tmp_path_factory.getbasetemp() / "any.tsv"
    file.write_bytes(content)
    assert all(list(row) == list(COLUMNS) for row in ForeignRows(file, set().__contains__).read())


# -- files of other tools --------------------------------------------------------------------------

KARPATHY = (
    "commit\tval_bpb\tmemory_gb\tstatus\tdescription\na1b2c3d\t0.9979\t44.0\tkeep\tbaseline\n"
)
ANOTHERS = [
    KARPATHY,
    "commit\tscore\tsharpe\tmax_dd\ttrades\tval_pass\ttest_pass\tstatus\tdescription\n",
    "id\tloss\n1\t0.3\n",
    "\n\ncommit\tscore\n",
    HEADER + "\textra\n",
    HEADER.replace("score\tsolve_rate", "solve_rate\tscore") + "\n",
    "a\t1\t2\t3\t0\t0\t0\tkeep\tno header\n",
    "\x00\xff",
]


@pytest.mark.parametrize("text", ANOTHERS)
def test_another_tools_file_is_history_only(tmp_path: Path, text: str) -> None:
    """Not a byte is written to it; our rows stand below our own header in `logs/`."""
    file = tmp_path / "results.tsv"
    file.write_text(text)
    folders = ExperimentFolders(tmp_path)
    done = [experiment(n) for n in (1, 2)]
    for one in done:
        folders.finish(one, FILES, FILES)
    assert file.read_text() == text
    rows = (tmp_path / "logs" / "results.tsv").read_text().splitlines()
    assert rows == [HEADER, *map(tsv_row, done)]
    assert folders.missing([*done, experiment(3)]) == [experiment(3)]
    own = {own_description(one) for one in done}
    shown = History(tmp_path, own.__contains__).read()
    assert shown == History(tmp_path, re.compile(r"#\d+ ").match).read() == rows_of(tmp_path)


def test_rows_that_0_1_wrote_below_another_header_are_our_own(tmp_path: Path) -> None:
    """They are told apart, and rows of the other tool that begin alike are not taken for ours."""
    mine = tsv_row(experiment(1))
    text = KARPATHY + mine + "\nb\t0.9\t44.0\tkeep\t#1 of theirs\n" + mine.replace("#1", "by hand")
    (tmp_path / "results.tsv").write_text(text)
    rows = History(tmp_path, re.compile(r"#\d+ ").match).read()
    assert [row["description"] for row in rows] == ["baseline", "#1 of theirs", "by hand idea 1"]
    assert [row["score"] for row in rows] == ["", "", "0.500000"]


def test_our_own_header_with_other_line_ends_is_ours(tmp_path: Path) -> None:
    """A byte order mark, blank lines before it or CRLF change nothing."""
    for before in ("", "\ufeff", "\n\n"):
        (tmp_path / "results.tsv").write_bytes(f"{before}{HEADER}\r\n".encode())
        ExperimentFolders(tmp_path).finish(experiment(1), FILES, FILES)
        assert tsv_row(experiment(1)) in (tmp_path / "results.tsv").read_text()
    assert not (tmp_path / "logs" / "results.tsv").exists()


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "device"])
def test_an_odd_results_file_is_neither_read_nor_written(tmp_path: Path, kind: str) -> None:
    """A link's target gets no row, and nothing waits for a pipe."""
    file, target = tmp_path / "results.tsv", tmp_path / "target"
    target.write_text(f"{HEADER}\na\t1\t2\t3\t0\t0\t0\tkeep\ttheirs\n")
    before = target.read_text()
    match kind:
        case "pipe":
            os.mkfifo(file)
        case _:
            places = {"link": "target", "dangling": "nowhere", "device": "/dev/full"}
            file.symlink_to(places[kind])
    ExperimentFolders(tmp_path).finish(experiment(1), FILES, FILES)
    assert History(tmp_path, {"#1 idea 1"}.__contains__).read() == []
    assert target.read_text() == before
    assert not (tmp_path / "nowhere").exists()
    assert tsv_row(experiment(1)) in (tmp_path / "logs" / "results.tsv").read_text()


def test_files_of_an_experiment_are_not_written_through_links(tmp_path: Path) -> None:
    """Neither a file in its folder nor the folders above it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folders = ExperimentFolders(tmp_path)
    (folders.folder(1) / "prompt.md").symlink_to(elsewhere / "new")
    (tmp_path / "logs" / "experiments" / "2").symlink_to(elsewhere)
    for n in (1, 2):
        with pytest.raises(OSError, match="is a link"):
            folders.write(n, "prompt.md", "x")
    folders.begin(2)
    folders.write(2, "prompt.md", "x")
    (tmp_path / "other" / "logs").parent.mkdir()
    (tmp_path / "other" / "logs").symlink_to(elsewhere)
    with pytest.raises(OSError, match="is a link"):
        ExperimentFolders(tmp_path / "other").finish(experiment(1), FILES, FILES)
    assert list(elsewhere.iterdir()) == []


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    """It is skipped, what follows it is read, and no row of a tool is so long."""
    row = "a\t1\t2\t3\t0\t0\t0\tkeep\t"
    long = "x" * 300_000
    (tmp_path / "results.tsv").write_text(f"{HEADER}\n{row}one\n{row}{long}\n{row}two\n{row}{long}")
    reader = ForeignRows(tmp_path / "results.tsv", set().__contains__)
    for _ in range(2):
        assert [found["description"] for found in reader.read()] == ["one", "two"]


def test_text_of_others_is_harmless_in_our_files(tmp_path: Path) -> None:
    """Escape codes, direction characters and floods reach neither the row nor the log."""
    bad = "\x1b[31mred\x9b2J\u202eevil\u200b" + "a" + "\u0301" * 50
    odd = experiment(
        1, description=bad, reason=bad, details=f"{bad}\nsecond", rationale=bad,
        report=Report({"env_description": bad + "\nforged: 1"}),
    )  # fmt: skip
    ExperimentFolders(tmp_path).finish(odd, FILES, FILES)
    for file in ("results.tsv", "logs/experiments/1/evaluator.log"):
        text = (tmp_path / file).read_text()
        assert "redevila" in text.replace("2J", "")
        assert not re.search("[\x1b\x9b\u202e\u200b]|\u0301{4}", text)
        assert "\nforged" not in text


# -- folders ---------------------------------------------------------------------------------------


def test_begin_clears_what_was_lost(tmp_path: Path) -> None:
    """Files of an earlier experiment of the same number are gone once it begins again."""
    folders = ExperimentFolders(tmp_path)
    folders.write(1, "reply.md", "old")
    folders.begin(1)
    folders.write(1, "prompt.md", "new")
    assert [file.name for file in (tmp_path / "logs/experiments/1").iterdir()] == ["prompt.md"]


def test_evaluator_log_tells_the_metrics(tmp_path: Path) -> None:
    """evaluator.log has verdict, metrics, curves and the candidate's output."""
    metrics = {
        "mean_solve_rate": 0.5,
        "seed_results": [{"seed": 101, "eval_return": 0.25, "train_returns": [0.1, 0.2]}],
    }
    done = experiment(1, report=Report(metrics), reason="kept: +0.1", details="said hello")
    ExperimentFolders(tmp_path).finish(done, None, None)
    text = (tmp_path / "logs/experiments/1/evaluator.log").read_text()
    for part in (
        "keep: kept: +0.1",
        "mean_solve_rate: 0.5",
        "seed 101",
        "[0.1, 0.2]",
        "said hello",
    ):
        assert part in text
    assert not (tmp_path / "logs/experiments/1/patch.diff").exists()


# -- patches ---------------------------------------------------------------------------------------


def apply_with_git(folder: Path, before: Files, after: Files) -> Files:
    for path, text in before.by_path().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(text.encode())
    patch = "".join(unified_diff(before, after))
    if patch:
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"],
            cwd=folder,
            input=patch.encode(),
            check=True,
        )
    return Files(*((folder / path).read_bytes().decode() for path in (ENV_PATH, TRAIN_PATH)))


PATCHED = {
    "both": (FILES, Files("a = 1\nb = 3\n", "c = 4\n")),
    "one": (FILES, Files(FILES.env, "c = 4\nd = 5\n")),
    "lost last newline": (FILES, Files("a = 1\nb = 2", FILES.train)),
    "gained last newline": (Files("a = 1\nb = 2", "c = 3\n"), FILES),
    "no newlines": (Files("a = 1", "c = 3"), Files("a = 2", "c = 4")),
    "form feed": (Files("a\x0cb\nc\u2028d\n", "x\x85y\n"), Files("a\x0cb\nc\u2028e\n", "x\x85z\n")),
    "windows": (Files("a\r\nb\r\n", "c\r\n"), Files("a\r\nc\r\n", "c\r\nd\r\n")),
    "nothing": (FILES, FILES),
}


@pytest.mark.parametrize(("before", "after"), PATCHED.values(), ids=list(PATCHED))
def test_patch_applies_with_git(tmp_path: Path, before: Files, after: Files) -> None:
    """What `patch.diff` says is what git makes of it, to the byte."""
    assert apply_with_git(tmp_path, before, after) == after


LINES = st.lists(st.sampled_from(["a", "b", "", " ", "\x0c", "-x", "+y", "@@", "\\ x"]), max_size=6)


@settings(max_examples=30, deadline=None)
@given(st.lists(LINES, min_size=4, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_any_patch_applies_with_git(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], closed: list[bool]
) -> None:
    """For any two pairs of files, git turns one into the other by our patch."""
    one, two, three, four = (
        "x\n" + "\n".join(lines) + ("\n" if end else "")
        for lines, end in zip(texts, closed, strict=True)
    )
    folder = tmp_path_factory.mktemp("patched")
    assert apply_with_git(folder, Files(one, two), Files(three, four)) == Files(three, four)


def test_foreign_rows_are_read_on(tmp_path: Path) -> None:
    """A file that grows is read on, a torn last line again, a replaced or cut file anew."""
    file = tmp_path / "results.tsv"
    rows = ForeignRows(file, lambda description: description.startswith("#"))
    assert rows.read() == []

    def descriptions() -> list[str]:
        return [row["description"] for row in rows.read()]

    def line(description: str) -> str:
        return "\t".join(["c", "12", "8", "20", "1.0", "0.5", "1.0", "keep", description])

    file.write_text("\t".join(COLUMNS) + "\n" + line("one") + "\n" + line("#2 ours") + "\n")
    assert descriptions() == ["one"]
    with file.open("a") as more:
        more.write(line("thr"))
    assert descriptions() == ["one", "thr"]
    with file.open("a") as more:
        more.write("ee\n" + line("four") + "\n")
    assert descriptions() == ["one", "three", "four"] == descriptions()
    file.write_text(line("five") + "\n")
    assert descriptions() == ["five"]
    file.unlink()
    assert descriptions() == []
