"""Replies and workspaces that lead to other files: refused, and nothing of them is written."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.workspace import Workspace
from tests.attacks.edit_paths import EDITS, Edit, applied, refused
from tests.attacks.template import ENV, TRAIN, Attack, sources
from tests.conftest import Cli, git
from tests.fakes import reply, write_script


@pytest.mark.parametrize("edit", [pytest.param(edit, id=edit.name) for edit in EDITS])
def test_a_reply_that_leads_elsewhere_is_refused_whole(edit: Edit) -> None:
    """Believed, it does harm; read by us, it ends in its error, or is used for what it names."""
    harm = applied(edit)
    assert bool(harm) != edit.harmless, harm or "harmless even if believed"
    assert not refused(edit), refused(edit)


# -- through the daemon --------------------------------------------------------------------------


def contents(root: Path) -> dict[str, object]:
    """Return what must not change: all outside the workspace, and the user's part of it."""
    ours = ("workspace/.autorl", "workspace/logs", "workspace/results.tsv", "workspace/.git")
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            short = str(path.relative_to(root))
            if short.startswith(ours) or short.startswith("script"):
                continue
            status = path.lstat()
            regular = path.is_file() and not path.is_symlink() and status.st_size < 1 << 20
            content = path.read_bytes() if regular else None
            found[short] = (status.st_mode, status.st_nlink, status.st_size, content)
    return found


def results(cli: Cli, root: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(cli("results", "--json", cwd=root).stdout)
    return rows


def start(cli: Cli, root: Path, replies: list[str]) -> Any:
    return cli("start", *_options(root, replies), cwd=root, timeout_s=90)


def _options(root: Path, replies: list[str]) -> list[str]:
    script = write_script(root.parent / "script", replies)
    given = ("agent.backend=scripted", f"agent.scripted_dir={script}")
    settings = [word for setting in given for word in ("--set", setting)]
    return ["--foreground", "--tag", "t", *settings]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of the user's beside the workspace."""
    (tmp_path / "outside.py").write_text("# the user's\n")
    return tmp_path / "outside.py"


def test_the_daemon_applies_none_of_them(stubbed: Workspace, outside: Path, cli: Cli) -> None:
    """Hostile replies are `invalid`, nothing of them is anywhere, and the next one is judged."""
    names = ("parent", "parent-of-file", "environment-variable", "git-hook", "good-and-bad",
             "fullwidth", "carriage-return", "backslash-parent", "deep")  # fmt: skip
    hostile = [edit.text for edit in EDITS if edit.name in names]
    assert len(hostile) == len(names)
    before = contents(outside.parent)
    head = git(stubbed.root, "rev-parse", "HEAD")
    good = (stubbed.root / "candidate" / "train.py").read_text().replace("SCORE = 0.0", "SCORE = 1")
    done = start(cli, stubbed.root, [*hostile, reply(train=good)])
    assert done.returncode == 0, done.stderr
    statuses = [row["status"] for row in results(cli, stubbed.root)]
    assert statuses == ["baseline", *["invalid"] * len(hostile), "lead"]
    assert contents(outside.parent) == before
    assert git(stubbed.root, "rev-parse", "HEAD") == head
    files = git(stubbed.root, "diff", "--name-only", head, "refs/autorl/leads/t").splitlines()
    assert files == ["candidate/train.py"]


def test_a_hostile_text_does_not_stop_the_daemon(
    starter: Workspace, outside: Path, cli: Cli
) -> None:
    """Half characters, escapes and floods in names and errors are recorded; the next one runs."""
    texts = (r"'\udc80\ud800'", r"'\x1b]0;x\x07\0\u202e\u2028' * 1000", "'x' * 5_000_000")
    hostile = []
    for text in texts:
        raises = ("pass  #create_env#", f"raise RuntimeError({text})")
        reset = "    def reset(self):"
        describes = (reset, f"    def describe(self):\n        return {text}\n\n{reset}")
        for change in (raises, describes):
            files = sources(Attack(name="", attempts="", shows="proof", env=(change,)), {})
            hostile.append(reply(train=files["train"], env=files["env"]))
    for name, text in (("env.py", ENV), ("train.py", TRAIN)):
        (starter.root / "candidate" / name).write_text(text)
    before = contents(outside.parent)
    done = start(cli, starter.root, [*hostile, reply(train=TRAIN.replace("0.05", "0.04"))])
    assert done.returncode == 0, done.stderr
    rows = results(cli, starter.root)
    assert len(rows) == len(hostile) + 2
    assert [row["status"] for row in rows[1:-1:2]] == ["crash"] * len(texts)
    assert all(row["score"] is not None for row in rows[2:-1:2])
    assert contents(outside.parent) == before


def _as_link(file: Path, outside: Path) -> None:
    file.unlink()
    file.symlink_to(outside)


def _as_folder_link(file: Path, outside: Path) -> None:
    elsewhere = outside.parent / "elsewhere"
    shutil.move(file.parent, elsewhere)
    file.parent.symlink_to(elsewhere)


def _as_pipe(file: Path, outside: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _as_endless_device(file: Path, outside: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _as_hard_link(file: Path, outside: Path) -> None:
    file.unlink()
    outside.write_text(TRAIN)
    os.link(outside, file)


def _as_folder(file: Path, outside: Path) -> None:
    file.unlink()
    file.mkdir()


def _as_huge_file(file: Path, outside: Path) -> None:
    os.truncate(file, 1 << 36)


def _as_no_text(file: Path, outside: Path) -> None:
    file.write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    "prepare",
    [
        _as_link,
        _as_folder_link,
        _as_pipe,
        _as_endless_device,
        _as_hard_link,
        _as_folder,
        _as_huge_file,
        _as_no_text,
    ],
)
def test_a_workspace_of_links_and_devices_is_safe(
    stubbed: Workspace, outside: Path, prepare: Callable[[Path, Path], None]
) -> None:
    """Whatever stands in the candidate's place, the start ends soon and writes nothing through it."""
    file = stubbed.root / "candidate" / "train.py"
    text = file.read_text()
    prepare(file, outside)
    before = contents(outside.parent)
    replies = [reply(train=text.replace("SCORE = 0.0", f"SCORE = {n}")) for n in (1, 2)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "orchestrator",
            "start",
            "--no-check",
            *_options(stubbed.root, replies),
        ],
        cwd=stubbed.root,
        capture_output=True,
        text=True,
        timeout=20,
        # What reads without end shall not take the machine with it.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
    )
    assert done.returncode in {0, 1, 2}, done.stderr
    assert "Traceback" not in done.stderr
    assert contents(outside.parent) == before
