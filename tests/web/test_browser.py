"""The page in a real browser: a run that goes on, every action, hostile text, and bad times."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.ledger import Ledger
from orchestrator.store.lock import WorkspaceLock
from orchestrator.store.workspace import Workspace
from orchestrator.web.answers import Answers
from orchestrator.web.export import export_page
from tests.conftest import Cli
from tests.e2e.test_steering import configure
from tests.fakes import reply, write_script
from tests.web.browser import Watched, browser
from tests.web.conftest import Serve
from tests.web.runs import HOSTILE, fill_hostile, workspace_at

WAIT_MS = 30_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture
def expect() -> Any:
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_MS)
    return expect


@pytest.fixture
def scripted(stubbed: Workspace, tmp_path: Path) -> Workspace:
    """A stubbed workspace whose agent reads replies, each a bit worse than the baseline."""
    train = stubbed.candidate().train.removeprefix("SCORE = 0.0\n")
    replies = [reply(f"SCORE = -{n}\nSLEEP_S = 0.4\n{train}") for n in range(1, 400)]
    write_script(tmp_path / "script", replies)
    configure(stubbed, tmp_path)
    return stubbed


def test_a_live_run_is_watched_and_steered(  # noqa: PLR0917
    scripted: Workspace, tmp_path: Path, cli: Cli, serve: Serve, chromium: Any, expect: Any
) -> None:
    """Experiments appear by themselves; each button does what it says, and the page shows it."""
    served, watched = serve(scripted), Watched(chromium)
    page = watched.page
    page.goto(served.url)
    assert "token" not in page.url
    expect(page.locator("#strip")).to_contain_text("autorl-daemon start")
    assert cli("start", "--tag", "live", cwd=scripted.root).returncode == 0
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#experiments tr[data-n='3']")).to_be_visible()
    expect(page.locator("#published-score")).to_be_visible()

    page.click("#do-note")
    page.fill("#note-text", "try a curriculum <b>soon</b>")
    page.click("dialog .go")
    expect(page.locator("#said")).to_contain_text("Noted")
    page.click("#do-note")
    expect(page.locator(".notes")).to_contain_text("try a curriculum <b>soon</b>")
    page.click(".notes button")
    expect(page.locator(".notes li")).to_have_count(0)
    page.keyboard.press("Escape")

    page.click("#do-pause")
    expect(page.locator("dialog")).to_contain_text("Nothing new begins")
    page.click("dialog .go")
    expect(page.locator("#state")).to_have_text("paused")
    expect(page.locator("#banner")).to_contain_text("paused by the user")
    page.click("#do-resume")
    expect(page.locator("#state")).to_have_text("running")

    page.click("#do-lessons")
    page.fill("#lessons-text", "negative scores are bad")
    page.click("dialog .go")
    page.click("#do-program")
    page.fill("#program-text", "# A new brief\n")
    page.click("dialog .go")
    expect(page.locator("#said")).to_contain_text("this brief")
    assert scripted.program.read_text() == "# A new brief\n"
    with Ledger(scripted.ledger) as ledger:
        lessons = ledger.lessons("live")
    assert lessons is not None
    assert (lessons.text, lessons.author) == ("negative scores are bad", "human")

    configure(scripted, tmp_path, "limits: {experiments: 300}\n")
    page.click("#do-reload")
    page.click("dialog .go")
    expect(page.locator("#said")).to_contain_text("limits.experiments")

    page.click("#do-propose")
    page.fill("#propose-what", "a person's idea")
    code = page.input_value("#propose-train")
    page.fill("#propose-train", "SCORE = 1.5\n" + code.split("\n", 1)[1])
    page.click("dialog .go")
    expect(page.locator("#said")).to_contain_text("Proposed")
    idea = page.locator("#experiments tr", has_text="a person's idea")
    expect(idea).to_contain_text("keep")

    n = int(idea.get_attribute("data-n"))
    idea.locator("a").first.click()
    expect(page.locator("#experiment h2")).to_contain_text("a person's idea")
    expect(page.locator("#x-diff .dplus").first).to_contain_text("SCORE = 1.5")
    page.click("#x-diff button:has-text('split')")
    expect(page.locator("#x-diff td.plus").first).to_contain_text("SCORE = 1.5")
    page.keyboard.press("Escape")
    expect(page.locator("#overview")).to_be_visible()

    page.click("#experiments tr[data-n='2'] a")
    page.click("#accept")
    expect(page.locator("dialog")).to_contain_text("whatever the test said")
    page.click("dialog .danger")
    expect(page.locator("#said")).to_contain_text("published")
    expect(page.locator("#strip")).to_contain_text("accepted by you")
    page.click("#measure")
    expect(page.locator("dialog")).to_contain_text("More seeds narrow its interval")
    page.keyboard.press("Escape")
    expect(page.locator("#prune")).to_have_count(0)
    page.click("#propose-from")
    assert page.input_value("#propose-train").startswith("SCORE = -1")
    page.keyboard.press("Escape")

    page.click("#do-report")
    expect(page.locator("dialog pre")).to_contain_text(f"#{n}")
    page.keyboard.press("Escape")
    page.click("#do-stop")
    page.click("dialog .danger")
    expect(page.locator("#state")).to_have_text("stopped")
    watched.check(served.base)


def test_who_has_no_token_may_look(
    hostile: Workspace, serve: Serve, chromium: Any, expect: Any
) -> None:
    """The buttons say where to get it."""
    served, watched = serve(hostile), Watched(chromium)
    watched.page.goto(served.base)
    expect(watched.page.locator("#experiments tr[data-n]")).to_have_count(3)
    note = watched.page.locator("#do-note")
    expect(note).to_be_disabled()
    assert "has the token" in (note.get_attribute("title") or "")
    watched.check(served.base)


def test_hostile_text_stays_text(
    hostile: Workspace, serve: Serve, chromium: Any, expect: Any
) -> None:
    """In every field, in the table, on each experiment's page, in tooltips and dialogs."""
    served, watched = serve(hostile), Watched(chromium)
    page = watched.page
    page.goto(served.url)
    expect(page.locator("#experiments tr[data-n]")).to_have_count(3)
    for opener in ("#do-note", "#do-lessons", "#do-program", "#do-report"):
        page.click(opener)
        expect(page.locator("dialog")).to_be_visible()
        page.keyboard.press("Escape")
    page.click("#log-card summary")
    page.locator(".plot").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".tip")).to_contain_text("<script>")
    for n in (1, 2, 3):
        page.goto(f"{served.base}/#/experiment/{n}")
        expect(page.locator("#experiment h2")).to_contain_text(f"#{n} ")
        for summary in page.locator("#experiment summary").all():
            summary.click()
        expect(page.locator("#experiment")).to_contain_text("<script>document.title")
        assert "owned" not in page.title()
    assert page.locator("img").count() == 0
    watched.check(served.base)


def test_bad_times_are_said(empty: Workspace, serve: Serve, chromium: Any, expect: Any) -> None:
    """Nothing has run; the daemon hangs; it is gone; the page's own server is gone."""
    served, watched = serve(empty), Watched(chromium)
    page = watched.page
    page.goto(served.url)
    expect(page.locator("#strip")).to_contain_text("Nothing has run here yet")
    fill_hostile(empty, "t")
    expect(page.locator("#experiments tr[data-n]")).to_have_count(3)
    with WorkspaceLock(empty.lock):
        beat = {"pid": 1, "tag": "t", "phase": "evaluating", "beat_s": time.monotonic() - 300,
                "heartbeat_at": "2026-11-27T20:00:00.000Z", "lanes": []}  # fmt: skip
        empty.live.write_text(json.dumps(beat))
        expect(page.locator("#state")).to_have_text("hung")
        expect(page.locator("#banner")).to_contain_text("no heartbeat")
    expect(page.locator("#state")).to_have_text("stopped")
    watched.check(served.base)
    served.process.terminate()
    expect(page.locator("#banner")).to_contain_text("does not answer")


def test_a_phone_and_the_dark(hostile: Workspace, serve: Serve, chromium: Any, expect: Any) -> None:
    """Nothing is wider than the screen; dark is dark."""
    served = serve(hostile)
    watched = Watched(chromium, viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = watched.page
    for address in (served.url, f"{served.base}/#/experiment/2"):
        page.goto(address)
        expect(page.locator("#strip .big").first).to_be_visible()
        expect(
            page.locator("#experiment h2, #experiments tr[data-n] >> visible=true").first
        ).to_be_visible()
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= 360, address
    back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, back.removeprefix("rgb(").removesuffix(")").split(","))) < 150
    watched.check(served.base)


def test_by_keyboard_alone(hostile: Workspace, serve: Serve, chromium: Any, expect: Any) -> None:
    """Search, choose, open, go on, go back, note, help."""
    served, watched = serve(hostile), Watched(chromium)
    page = watched.page
    page.goto(served.url)
    expect(page.locator("#experiments tr[data-n]")).to_have_count(3)
    page.keyboard.press("/")
    expect(page.locator("input[type=search]")).to_be_focused()
    page.keyboard.type("#2")
    expect(page.locator("#experiments tr[data-n]")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#experiment h2")).to_contain_text("#2 ")
    page.keyboard.press("j")
    expect(page.locator("#experiment h2")).to_contain_text("#3 ")
    page.keyboard.press("Escape")
    expect(page.locator("#overview")).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator("#note-text")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#note-text")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_contain_text("validated")
    watched.check(served.base)


def frame(*cells: int) -> dict[str, list[int]]:
    return {"all": [int(place in cells) for place in range(9)]}


def test_replays_play_beside_each_other(
    hostile: Workspace, serve: Serve, chromium: Any, expect: Any
) -> None:
    """Both sides on one seed, with the environment's own layers; another episode is chosen."""
    step = {"action": 1, "reward": 0.5, "done": False, "success": False}
    replay = {
        "schema": "simverse.replay", "version": 1, "env": HOSTILE, "description": HOSTILE, "channels": None,
        "observation_shape": [1, 1, 9], "num_actions": 2, "horizon": 9, "seed": 1, "last_frame": None,
        "return": 1.0, "success": True, "steps": [{"frame": frame(0), **step}, {"frame": frame(1), **step}],
        "layers": {"names": [HOSTILE], "shape": [1, 3, 3], "frames": [frame(0), frame(4)]},
    }  # fmt: skip
    for n in (1, 2):
        folder = hostile.logs / "experiments" / str(n)
        folder.mkdir(exist_ok=True)
        (folder / "replays-138.json").write_text(json.dumps([replay, replay | {"return": 7.0}]))
        (folder / "replay.json").write_text('{"schema": "something else"}')
    served, watched = serve(hostile), Watched(chromium)
    page = watched.page
    page.goto(f"{served.base}/#/experiment/2")
    panel = page.locator("#x-replay")
    panel.locator("select").first.select_option("138")
    expect(panel.locator("canvas")).to_have_count(2)
    expect(panel).to_contain_text("both begin alike")
    panel.locator("button").click()
    expect(panel).to_contain_text("step 2 of 2")
    panel.locator("select").nth(1).select_option(index=1)
    expect(panel).to_contain_text("return 7.0000")
    watched.errors = [
        error for error in watched.errors if "422" not in error
    ]  # the one that is none
    watched.check(served.base)


def test_an_exported_page_opens_from_the_disk(tmp_path: Path, chromium: Any, expect: Any) -> None:
    """All of it, without a server: the table searches, experiments open, nothing acts."""
    workspace = workspace_at(tmp_path / "w")
    fill_hostile(workspace)
    folder = tmp_path / "page"
    export_page(workspace, folder, None, Answers([]))
    watched = Watched(chromium)
    page = watched.page
    page.goto(f"{folder.as_uri()}/index.html")
    expect(page.locator("#experiments tr[data-n]")).to_have_count(3)
    page.fill("#search", "crash")
    expect(page.locator("#experiments tr[data-n]")).to_have_count(1)
    page.click("#experiments tr[data-n='3'] a")
    expect(page.locator("#experiment h2")).to_contain_text("#3 ")
    expect(page.locator("#do-note, #accept")).to_have_count(0)
    watched.check(folder.as_uri())
