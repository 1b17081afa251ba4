"""Prompts and replies in a folder: whoever writes the reply is the agent."""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agents.manual import LOOK_S, ManualAgent
from orchestrator.agents.manual_folder import MOST_BYTES
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import UserError
from orchestrator.core.records import Attempt, Reply
from orchestrator.proposals.agent_events import AgentBlocked, AgentEvent, AgentWaits, Replied
from orchestrator.proposals.prompt import as_markdown, build_messages
from tests.agents.openai_rig import BRIEF


class Desk:
    """A manual agent in a workspace, with a clock that the test moves."""

    def __init__(self, root: Path, tag: str = "nov28", **options: object) -> None:
        self.now_s = 100.0
        self.folder = root / "manual"
        config = AgentConfig(backend="manual", **{"manual_dir": "manual"} | options)  # type: ignore[arg-type]
        self.agent = ManualAgent(root, config, tag, clock=lambda: self.now_s)

    def looks(self, times: int = 2) -> Sequence[AgentEvent]:
        """Return the events of so many looks, a second apart."""
        events: list[AgentEvent] = []
        for _ in range(times):
            events += [event for _, event in self.agent.poll()]
            self.now_s += LOOK_S
        return events

    def write(self, text: str | bytes, name: str = "0001") -> None:
        content = text if isinstance(text, bytes) else text.encode()
        (self.folder / f"{name}.reply.md").write_bytes(content)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An agent that was asked for its first proposal."""
    desk = Desk(tmp_path)
    desk.agent.ask("p", BRIEF)
    return desk


def replied(text: str) -> Replied:
    messages = build_messages(BRIEF, context_tokens=AgentConfig().context_tokens)
    return Replied(Reply(text), sent=tuple(messages), is_free=True)


WAITS = AgentWaits("waiting for manual/0001.reply.md", math.inf)


def test_the_prompt_is_what_a_model_gets(desk: Desk) -> None:
    """As Markdown, whole, and nothing else lies there that anybody must know of."""
    messages = build_messages(BRIEF, context_tokens=AgentConfig().context_tokens)
    assert (desk.folder / "0001.prompt.md").read_text() == as_markdown(messages) + "\n"
    assert {path.name for path in desk.folder.iterdir()} == {"0001.prompt.md", ".run"}


def test_a_reply_is_taken_when_it_is_written(desk: Desk) -> None:
    """It is waited for by its path, said once; then it is as any model's."""
    assert desk.looks(5) == [WAITS]
    desk.write("description: x\n")
    assert desk.looks() == [replied("description: x\n")]
    assert desk.looks() == []
    assert desk.agent.timeout_s() is None


def test_a_reply_that_grows_is_not_taken(desk: Desk) -> None:
    """Only one that is alike at two looks; polls in between are no looks."""
    desk.looks(1)
    for size in range(1, 4):
        desk.write("x" * size)
        assert desk.looks(1) == []
    desk.write("xy" + "x")  # of the same size, at another time
    os.utime(desk.folder / "0001.reply.md", ns=(1, 1))
    assert desk.looks(1) == []
    for _ in range(3):
        desk.now_s -= LOOK_S / 2
        assert [event for _, event in desk.agent.poll()] == []
        desk.now_s += LOOK_S / 2 - 0.01
    desk.now_s += 1.0
    assert desk.looks(1) == [replied("xyx")]


@pytest.mark.parametrize("text", [b"", b" \n\t\n", b"\xef\xbb\xbf"])
def test_an_empty_reply_is_none_yet(desk: Desk, text: bytes) -> None:
    """An editor has made the file, and nothing is in it."""
    desk.write(text)
    assert desk.looks(4) == [WAITS]
    desk.write("hello")
    assert desk.looks() == [replied("hello")]


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"\xff\xfe\x00", "\ufffd\ufffd\x00"), ("ä\r\nö".encode(), "ä\r\nö"),
     (b"\xef\xbb\xbfhi", "hi"), (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd")],
)  # fmt: skip
def test_any_bytes_are_a_text(desk: Desk, content: bytes, text: str) -> None:
    """What is wrong with it, the check will say."""
    desk.write(content)
    assert desk.looks(2)[-1] == replied(text)


def test_turns_have_their_own_files(tmp_path: Path) -> None:
    """Named as those of a script; two questions at once are two prompts."""
    desk = Desk(tmp_path)
    failed, shown = Attempt("worse", "syntax error"), Attempt("show: #1", shows=(1,))
    desk.agent.ask("a", replace(BRIEF, ordinal=12, attempts=(failed,)))
    desk.agent.ask("b", replace(BRIEF, ordinal=13, attempts=(failed, shown)))
    prompts = sorted(path.name for path in desk.folder.glob("*.prompt.md"))
    assert prompts == ["0012.repair-1.prompt.md", "0013.show-1.prompt.md"]
    assert "syntax error" in (desk.folder / "0012.repair-1.prompt.md").read_text()
    desk.write("two", "0013.show-1")
    events = [*desk.agent.poll()]
    desk.now_s += LOOK_S
    events += desk.agent.poll()
    assert [key for key, event in events if isinstance(event, Replied)] == ["b"]


# -- restarts --------------------------------------------------------------------------------------


def test_a_restart_goes_on(desk: Desk, tmp_path: Path) -> None:
    """The same prompt is not written again, and a reply that was written meanwhile is taken."""
    before = (desk.folder / "0001.prompt.md").stat()
    desk.agent.close()
    desk.write("hello")
    again = Desk(tmp_path)
    again.agent.ask("p", BRIEF)
    assert (desk.folder / "0001.prompt.md").stat() == before
    assert again.looks()[-1] == replied("hello")


def test_a_prompt_that_has_changed_is_written_anew(desk: Desk, tmp_path: Path) -> None:
    """A note was added, say; the reply to the former one is still of this proposal."""
    desk.write("hello")
    noted = replace(BRIEF, notes=("Try a larger network.",))
    again = Desk(tmp_path)
    again.agent.ask("p", noted)
    assert "Try a larger network." in (desk.folder / "0001.prompt.md").read_text()
    event = again.looks()[-1]
    assert isinstance(event, Replied)
    assert event.reply == Reply("hello")


def test_a_cancelled_question_leaves_its_prompt(desk: Desk) -> None:
    """The next start may ask it again."""
    desk.agent.cancel("p")
    desk.agent.cancel("unknown")
    desk.write("hello")
    assert desk.looks() == []
    assert (desk.folder / "0001.prompt.md").is_file()


def test_a_prompt_that_was_tidied_away_is_there_again(desk: Desk) -> None:
    """With its folder, if need be."""
    for path in desk.folder.iterdir():
        path.unlink()
    desk.looks()
    assert (desk.folder / "0001.prompt.md").is_file()
    desk.write("hello")
    assert desk.looks()[-1] == replied("hello")


# -- runs ------------------------------------------------------------------------------------------


def test_another_run_has_none_of_the_files(desk: Desk, tmp_path: Path) -> None:
    """They move into a folder of their tag; what is no prompt or reply stays where it is."""
    desk.write("of the former run")
    (desk.folder / "notes.txt").write_text("mine")
    other = Desk(tmp_path, tag="feature/x%")
    other.agent.ask("p", BRIEF)
    assert other.looks(4) == [WAITS]
    assert (desk.folder / "nov28" / "0001.reply.md").read_text() == "of the former run"
    assert (desk.folder / "notes.txt").read_text() == "mine"
    other.write("of the latter")
    assert other.looks()[-1] == replied("of the latter")
    back = Desk(tmp_path)
    back.agent.ask("p", BRIEF)
    assert back.looks()[-1] == replied("of the former run")
    assert (desk.folder / "feature%2Fx%25" / "0001.reply.md").read_text() == "of the latter"


@pytest.mark.parametrize("tag", ["..", ".", "..."])
def test_no_file_leaves_the_folder(desk: Desk, tmp_path: Path, tag: str) -> None:
    """Whatever somebody has written where the former run's tag stands."""
    desk.write("former")
    (desk.folder / ".run").write_text(tag)
    other = Desk(tmp_path, tag="b")
    other.agent.ask("p", BRIEF)
    assert other.looks(3) == [WAITS]
    assert (desk.folder / tag.replace(".", "%2E") / "0001.reply.md").read_text() == "former"


def test_a_move_that_was_cut_short_goes_on(desk: Desk, tmp_path: Path) -> None:
    """A kill between two files mixes nothing up."""
    desk.write("former")
    other = Desk(tmp_path, tag="b")
    (desk.folder / "nov28").mkdir()
    (desk.folder / "0001.prompt.md").rename(desk.folder / "nov28" / "0001.prompt.md")
    other.agent.ask("p", BRIEF)
    assert other.looks(3) == [WAITS]
    (desk.folder / ".run").write_text("nov28\n")  # as if killed before the last file came back
    (desk.folder / "0001.prompt.md").unlink()
    back = Desk(tmp_path)
    back.agent.ask("p", BRIEF)
    assert back.looks()[-1] == replied("former")


def test_replies_may_lie_ready(tmp_path: Path) -> None:
    """Before the first run nobody else's are there: they are taken one by one, as a script's."""
    desk = Desk(tmp_path)
    desk.folder.mkdir()
    desk.write("ready")
    desk.agent.ask("p", BRIEF)
    assert desk.looks()[-1] == replied("ready")


# -- limits and faults -----------------------------------------------------------------------------


def test_a_time_limit_leaves_the_question(tmp_path: Path) -> None:
    """The run pauses; when it is asked again, the same prompt has another while."""
    desk = Desk(tmp_path, timeout_s=60.0)
    desk.agent.ask("p", BRIEF)
    events = desk.looks(70)
    assert events == [
        WAITS,
        AgentBlocked("no reply in manual/0001.reply.md within 60 s; the question stays open"),
    ]
    desk.agent.ask("p", BRIEF)
    desk.write("late")
    assert desk.looks()[-1] == replied("late")


def test_without_a_limit_it_waits_for_days(desk: Desk) -> None:
    """And says so once."""
    assert desk.looks(1) == [WAITS]
    desk.now_s += 1e7
    assert desk.looks() == []


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder", "huge"])
def test_what_is_no_plain_file_is_refused(desk: Desk, tmp_path: Path, kind: str) -> None:
    """It is said what it is, nothing is opened, and a plain file in its place is taken."""
    path = desk.folder / "0001.reply.md"
    (tmp_path / "secret").write_text("secret")
    match kind:
        case "link":
            path.symlink_to(tmp_path / "secret")
        case "dangling link":
            path.symlink_to(tmp_path / "nothing")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(MOST_BYTES + 1)
    [event] = desk.looks(4)
    assert isinstance(event, AgentWaits)
    said = {"link": "a symbolic link", "dangling link": "a symbolic link", "pipe": "a pipe",
            "folder": "a folder", "huge": "larger than 8 MB"}[kind]  # fmt: skip
    assert event.reason.startswith("manual/0001.reply.md is ")
    assert said in event.reason
    path.rmdir() if kind == "folder" else path.unlink()
    desk.write("hello")
    assert desk.looks()[-1] == replied("hello")


def test_a_link_in_the_prompts_place_is_replaced(tmp_path: Path) -> None:
    """What it leads to is not written."""
    desk = Desk(tmp_path)
    desk.folder.mkdir()
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for name in ("0001.prompt.md", ".0001.prompt.md.new", ".run"):
        (desk.folder / name).symlink_to(mine)
    desk.agent.ask("p", BRIEF)
    assert mine.read_text() == "mine"
    assert not (desk.folder / "0001.prompt.md").is_symlink()


@pytest.mark.parametrize("fault", ["a file", "a loop"])
def test_a_folder_that_can_not_be_pauses(tmp_path: Path, fault: str) -> None:
    """With the cure; nothing is in flight then."""
    desk = Desk(tmp_path)
    if fault == "a file":
        desk.folder.write_text("x")
    else:
        desk.folder.symlink_to(desk.folder)
    desk.agent.ask("p", BRIEF)
    assert desk.agent.timeout_s() == 0.0
    [event] = desk.looks()
    assert isinstance(event, AgentBlocked)
    assert event.reason.startswith("manual (agent.manual_dir) can't be written: ")
    desk.folder.unlink()
    desk.agent.ask("p", BRIEF)
    assert desk.looks() == [WAITS]


@pytest.mark.system
def test_a_folder_made_unwritable_pauses() -> None:
    """Before the prompt, and while the reply is waited for; after the cure it goes on."""
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from tests.agents.test_manual import BRIEF, Desk\n"
        "if os.geteuid() == 0:\n    os.seteuid(65534)  # root may write everywhere\n"
        "desk = Desk(Path(sys.argv[1]))\ndesk.folder.mkdir()\n"
        "desk.folder.chmod(0o555)\ndesk.agent.ask('p', BRIEF)\nprint(desk.looks())\n"
        "desk.folder.chmod(0o755)\ndesk.agent.ask('p', BRIEF)\nprint(desk.looks())\n"
        "(desk.folder / '0001.prompt.md').unlink()\ndesk.folder.chmod(0o555)\nprint(desk.looks())\n"
        "desk.folder.chmod(0o755)\n"
    )
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o777)
        done = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, waits, amid = done.stdout.splitlines()
    for said in (before, amid):
        assert "AgentBlocked" in said
        assert "Permission denied" in said
        assert "make it a folder that the daemon may write" in said
    assert "AgentWaits" in waits


@pytest.mark.parametrize("name", ["file.md", "\0", "x" * 300])
def test_the_folder_is_checked_at_the_start(tmp_path: Path, name: str) -> None:
    """What can never be one is the user's to set right, and so is none at all."""
    (tmp_path / "file.md").write_text("x")
    with pytest.raises(UserError, match=r"agent\.manual_dir"):
        Desk(tmp_path, manual_dir=name)
    with pytest.raises(UserError, match=r"agent\.manual_dir is missing"):
        Desk(tmp_path, manual_dir=None)
