"""The page as files."""

import json
from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.store.workspace import Workspace
from orchestrator.web.answers import Answers
from orchestrator.web.export import export_page
from tests.web.conftest import KEY


def test_every_experiment_is_written_and_no_secret(hostile: Workspace, tmp_path: Path) -> None:
    """Each file hands over JSON; keys are left out; nothing needs a server."""
    (hostile.logs / "experiments" / "2" / "prompt.md").write_text(KEY)
    folder = tmp_path / "page"
    assert export_page(hostile, folder, None, Answers([KEY])) == 3
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert {
        "index.html",
        "app.css",
        "vendor/uplot.js",
        "data/status.js",
        "data/experiments/2.js",
    } <= names
    for path in (folder / "data").rglob("*.js"):
        text = path.read_text()
        name = path.relative_to(folder / "data").with_suffix("").as_posix()
        head = f'autorl.loaded("{name}", '
        assert text.startswith(head)
        json.loads(text.removeprefix(head).removesuffix(");\n"))
        assert KEY not in text
    assert "Content-Security-Policy" in (folder / "index.html").read_text()


def test_only_an_earlier_export_is_replaced(hostile: Workspace, tmp_path: Path) -> None:
    """A folder with anything else in it is left as it is."""
    folder = tmp_path / "page"
    export_page(hostile, folder, "hostile", Answers([]))
    (folder / "data" / "experiments" / "77.js").write_text("old")
    export_page(hostile, folder, None, Answers([]))
    assert not (folder / "data" / "experiments" / "77.js").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        export_page(hostile, other, None, Answers([]))
    assert [path.name for path in other.iterdir()] == ["mine.txt"]


def test_there_must_be_a_run(empty: Workspace, hostile: Workspace, tmp_path: Path) -> None:
    """Said in a line, before anything is written."""
    for workspace, tag in ((empty, None), (hostile, "no-such-run")):
        with pytest.raises(UserError):
            export_page(workspace, tmp_path / "page", tag, Answers([]))
    assert not (tmp_path / "page").exists()
