"""Reports of three kept runs, word for word: `python -m tests.reporting.record_runs` writes them."""

import re

import pytest

from tests.reporting.kept_reports import RUNS, workspace_of, written

pytestmark = pytest.mark.system
NAMES = ["demo", "squad", "warehouse"]


@pytest.mark.parametrize("kind", ["txt", "md"])
@pytest.mark.parametrize("name", NAMES)
def test_a_kept_run_is_reported_in_these_words(name, kind, tmp_path):
    """A change of wording is seen in a diff, and meant."""
    text = written(workspace_of(name, tmp_path / name), kind)
    assert text == (RUNS / f"{name}.{kind}").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_the_text_says_and_needs_nothing_else(name, tmp_path):
    """One file, with its picture in it, no script, and no address that a browser would load."""
    place = workspace_of(name, tmp_path / name)
    page, markdown = written(place, "html"), written(place, "md")
    assert 'src="data:image/png;base64,' in page
    assert not re.search(r"<script|<link|src=\"(?!data:)|url\(", page)
    for title in re.findall(r"^## (.+)$", markdown, flags=re.MULTILINE):
        assert title.replace("\\", "") in page
