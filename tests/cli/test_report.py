"""`report`: a run in one screen, as text, Markdown and a page; whatever its names hold."""

import html.parser
from pathlib import Path

import pytest

from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Files, Rung, Status
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.cli.conftest import Call

HOSTILE = "<script>alert(1)</script> | [x](javascript:1) \"'` \x1b[31m\u202e"


class Page(html.parser.HTMLParser):
    """The tags, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and what it points to."""
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        """Add text."""
        self.said += data


def test_the_report_answers_the_morning_s_questions(ended: Workspace, call: Call) -> None:
    """What is better, is it true, what failed, what stopped it, and what now."""
    done = call("report", cwd=ended.root)
    assert done.code == 0
    said = " ".join(done.stdout.split())
    assert "Published: #2, which is not measured yet at 12/8" in said
    assert "The run stopped: limits.experiments reached (3 of 3)." in said
    assert "#2 raise [bold]the rate" in said
    assert "once #4, crash:" in said
    assert "raise the limit in config.yaml, then `start --tag t`" in said
    assert "git merge autorl/t" in said


def test_before_anything_has_run_it_says_so(stubbed: Workspace, call: Call) -> None:
    """As every other command of results does."""
    call("report", cwd=stubbed.root).refuses("nothing has run in")


def test_markdown_and_page_are_whole_files(ended: Workspace, tmp_path: Path, call: Call) -> None:
    """Both are named; the page needs nothing but itself."""
    page, text = tmp_path / "r.html", tmp_path / "r.md"
    done = call("report", "--html", str(page), "--markdown", str(text), cwd=ended.root)
    assert done.stdout.split() == [str(page), str(text)]
    assert text.read_text().startswith("# autorl/t, ")
    read = Page(page.read_text())
    assert "raise [bold]the rate" in read.said
    assert [address.partition(";")[0] for address in read.addresses] == ["data:image/png"]


@pytest.mark.parametrize("name", ["missing/r.html", "."])
def test_where_no_file_can_be_it_is_said(
    ended: Workspace, tmp_path: Path, call: Call, name: str
) -> None:
    """A folder, or one that is not there."""
    call("report", "--html", str(tmp_path / name), cwd=ended.root).refuses("folder")


def test_hostile_names_stay_text(ended: Workspace, tmp_path: Path, call: Call) -> None:
    """Descriptions, reasons and flags are a model's words."""
    with Ledger(ended.ledger) as ledger:
        n = ledger.begin(
            "t", is_baseline=False, rung=Rung(12, 8), agent=HOSTILE, parent="2" * 40, when="now"
        )
        kept = Experiment(
            n=n, tag="t", is_baseline=False, status=Status.KEEP, rung=Rung(12, 8), agent=HOSTILE,
            description=HOSTILE, commit="9" * 40, score=0.9, reason=HOSTILE, flags=(HOSTILE,),
            verdict={"changed": ["reward"], "review": {"opinion": "unsure", "by": HOSTILE,
                                                       "reason": HOSTILE}},
        )  # fmt: skip
        ledger.finish(kept, Files("env = 9\n", "train = 9\n"), "fp9")
    page, text = tmp_path / "r.html", tmp_path / "r.md"
    done = call("report", cwd=ended.root)
    call("report", "--html", str(page), "--markdown", str(text), cwd=ended.root)
    assert "\x1b" not in done.stdout + page.read_text() + text.read_text()
    assert "\u202e" not in done.stdout + page.read_text() + text.read_text()
    read = Page(page.read_text())
    assert "script" not in read.tags
    assert "<script>alert(1)</script>" in read.said
    assert "<script>" not in text.read_text().replace("\\<", "")
    assert "](javascript" not in text.read_text().replace("\\]", "")
    assert f"`show {n}`" in done.stdout
