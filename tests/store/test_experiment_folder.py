"""What a person can read afterwards: folders, `results.tsv`, patches."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.diff import unified_diff
from orchestrator.core.evaluations import Report
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import ENV_PATH, TRAIN_PATH, Files, Rung, Status
from orchestrator.store.experiment_folder import ExperimentFolders
from orchestrator.store.results_tsv import COLUMNS, ForeignRows, own_description, tsv_row
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
    """What has no score is written as 0.000000, and no commit as none."""
    failed = Experiment(3, "t", False, Status.CRASH, Rung(12, 8), "scripted", description="x")
    assert tsv_row(failed) == "none\t12\t8\t0\t0.000000\t0.000000\t0.000000\tcrash\t#3 x"


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
