"""The user's repository in the middle of everything, planted with all that git could execute."""

import hashlib
import json
import subprocess
from pathlib import Path

from orchestrator.store.workspace import Workspace
from tests.conftest import Cli, git
from tests.reliability.helpers import script

HOOKS = """
applypatch-msg commit-msg fsmonitor-watchman post-applypatch post-checkout post-commit post-index-change
post-merge post-receive post-rewrite post-update pre-applypatch pre-auto-gc pre-commit pre-merge-commit
pre-push pre-rebase pre-receive prepare-commit-msg proc-receive push-to-checkout reference-transaction
sendemail-validate update
""".split()
OURS = (
    "logs", ".autorl", "results.tsv", ".git/objects", ".git/refs/autorl", ".git/refs/heads/autorl",
    ".git/logs/refs/heads/autorl", ".git/logs/refs/autorl",
)  # fmt: skip


def plant(root: Path, mark: Path) -> None:
    """Have everything that git may run for somebody leave a mark instead."""
    for folder in (root / ".git" / "hooks", root / "own-hooks"):
        folder.mkdir(exist_ok=True)
        for name in HOOKS:
            (folder / name).write_text(f"#!/bin/sh\necho hook {name} >> {mark}\n")
            (folder / name).chmod(0o755)
    runs = "sh -c 'echo {} >> " + str(mark) + "; cat'"
    programs = [
        "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv",
        "diff.evil.command", "diff.external", "merge.evil.driver", "core.fsmonitor", "core.pager",
        "core.editor", "core.askPass", "core.sshCommand", "core.gitProxy", "core.alternateRefsCommand",
        "credential.helper", "sequence.editor", "gpg.program", "gpg.ssh.program",
        "interactive.diffFilter", "pager.log", "pager.worktree", "trailer.sign.command",
        "uploadpack.packObjectsHook", "browser.evil.cmd", "mergetool.evil.cmd", "difftool.evil.cmd",
        "man.evil.cmd", "tar.tar.gz.command",
    ]  # fmt: skip
    for name in programs:
        git(root, "config", name, runs.format(name))
    for alias in ("commit-tree", "hash-object", "mktree", "update-ref", "rev-parse", "status"):
        git(root, "config", f"alias.{alias}", f"!echo alias {alias} >> {mark}")
    for name, value in {
        "core.hooksPath": str(root / "own-hooks"),
        "commit.gpgSign": "true",
        "tag.gpgSign": "true",
        "gc.auto": "1",
        "gc.autoDetach": "false",
        "maintenance.auto": "true",
        "filter.evil.required": "true",
        "remote.origin.url": f"ext::sh -c 'echo remote >> {mark}'",
        "remote.origin.promisor": "true",
        "protocol.ext.allow": "always",
        "log.showSignature": "true",
    }.items():
        git(root, "config", name, value)
    (root / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil merge=evil\n")


def in_the_middle(root: Path) -> None:
    """A rebase that stopped at a conflict, a staged file, dirty files, an untracked one."""
    (root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    for branch, text in (("main", "one\n"), ("mine", "two\n")):
        if branch == "mine":
            git(root, "switch", "--quiet", "--create", "mine", "main~1")
        (root / "notes.txt").write_text(text)
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message", branch)
    stopped = subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", "rebase", "main"],
        cwd=root, capture_output=True,
    )  # fmt: skip
    assert stopped.returncode == 1
    (root / "staged.txt").write_text("staged")
    git(root, "add", "staged.txt")
    (root / "candidate" / "train.py").open("a").write("# dirty\n")
    (root / "program.md").open("a").write("dirty\n")
    (root / "untracked.txt").write_text("untracked")


def snapshot(root: Path) -> dict[str, tuple[str, int, int]]:
    """Return content, mode and time of every file but ours."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_file() and not name.startswith(OURS):
            facts = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[name] = (digest, facts.st_mode, facts.st_mtime_ns)
    return found


def test_everything_of_the_users_stays_as_it_is(
    stubbed: Workspace, tmp_path: Path, cli: Cli
) -> None:
    """A run and every command beside it: not a byte, mode or time changes, and nothing is executed."""
    root, mark = stubbed.root, tmp_path / "MARK"
    script(stubbed, tmp_path / "script", count=4, sleep_s=0)
    second = tmp_path / "script" / "0002.md"
    second.write_text(second.read_text().replace("SCORE = 2", "SCORE = -2"))
    (tmp_path / "script" / "0003.md").write_text("no edit")
    in_the_middle(root)
    plant(root, mark)
    (root / ".git" / "index.lock").touch()
    mark.unlink(missing_ok=True)
    before = snapshot(root)
    assert ".git/rebase-merge/done" in before

    for command in (
        ["start", "--foreground", "--tag", "t"],
        ["results"],
        ["show", "2", "--diff"],
        ["accept", "3"],
        ["export", "2", str(tmp_path / "out")],
        ["note", "a note"],
        ["start", "--foreground", "--tag", "t"],
    ):
        done = cli(*command, cwd=root)
        assert done.returncode == 0, (command, done.stderr)
    assert cli("status", cwd=root).returncode == 3
    rows = json.loads(cli("results", "--json", cwd=root).stdout)
    assert [row["status"] for row in rows][:5] == ["baseline", "keep", "discard", "invalid", "keep"]
    assert not mark.exists(), mark.read_text()
    assert snapshot(root) == before
    # The mark would have been left: git does run what was planted.
    subprocess.run(["git", "hash-object", "-w", "--path", "x.py", "staged.txt"], cwd=root)
    assert "filter.evil" in mark.read_text()
