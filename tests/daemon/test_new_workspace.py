"""Making workspaces, with real git."""

import os
import re
from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.daemon.new_workspace import (
    OWN_FRAMEWORK,
    initialise,
)
from orchestrator.daemon.templates import (
    examples,
    examples_with_candidates,
    examples_with_worlds,
    template_root,
)
from orchestrator.evaluation.framework_file import check_framework
from orchestrator.proposals.candidate_code import check_file
from orchestrator.store.workspace import Workspace
from tests.conftest import git


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


def test_a_new_workspace_is_a_repository_with_one_commit(tmp_path: Path) -> None:
    """`init` in an empty folder writes everything, commits it, and ignores our own files."""
    initialise(tmp_path / "w", None)
    root = tmp_path / "w"
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "rev-list", "--count", "HEAD") == "1"
    for name in ("framework.py", "train.py", "program.md", "config.yaml", "candidate/env.py"):
        assert (root / name).is_file()
    (root / "logs" / "x").write_text("")
    (root / "results.tsv").write_text("")
    assert git(root, "status", "--porcelain") == ""


@pytest.mark.parametrize("example", examples())
def test_each_example_makes_a_workspace(tmp_path: Path, example: str) -> None:
    """An example's candidate, brief and config are what the workspace holds."""
    initialise(tmp_path / "w", example)
    workspace = Workspace(tmp_path / "w")
    if workspace.has_world:
        assert example in examples_with_worlds()
        return
    assert "create_env" in workspace.candidate().env
    candidate = template_root() / "examples" / example / "candidate" / "env.py"
    canvas = template_root() / "candidate" / "env.py"  # where an example is a brief alone
    source = candidate if example in examples_with_candidates() else canvas
    assert workspace.candidate().env == source.read_text()
    assert git(workspace.root, "status", "--porcelain") == ""


@pytest.mark.parametrize("world", ["", "gym:Acrobot-v1", *examples_with_worlds()])
def test_a_workspace_with_a_world_holds_what_observes_it(tmp_path: Path, world: str) -> None:
    """`init --world`: task/world.py, committed, and a candidate that defines no environment."""
    initialise(tmp_path / "w", None, world)
    workspace = Workspace(tmp_path / "w")
    files = workspace.world()
    assert files is not None
    assert "def create_world(" in files["world.py"]
    assert ("gym:Acrobot-v1" in files["world.py"]) == (world == "gym:Acrobot-v1")
    check_file("candidate/env.py", workspace.candidate().env, has_world=True)
    check_file("candidate/train.py", workspace.candidate().train, has_world=True)
    assert git(workspace.root, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("world", "said"),
    [
        ("chess", "unknown example with a world 'chess'"),
        ("keydor", "did you mean keydoor"),
        ("elevator", "unknown example with a world 'elevator'"),
        ("gym:Nothing-v0", "--world gym:Nothing-v0"),
        ("gym:Pendulum-v1", "only discrete actions"),
        ("gym:", "--world gym:"),
        ("gym:no such module:X-v0", "--world gym:no such module"),
    ],
)
def test_an_unknown_world_is_refused_in_one_line(tmp_path: Path, world: str, said: str) -> None:
    """Nothing is made then."""
    with pytest.raises(UserError) as refused:
        initialise(tmp_path / "w", None, world)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "w").exists()


def test_a_checkout_is_turned_into_a_workspace_untouched(tmp_path: Path) -> None:
    """`init` on an existing autoRL checkout adds files, and changes and commits none."""
    (tmp_path / "candidate").mkdir()
    for name in (
        "candidate/env.py",
        "candidate/train.py",
        "framework.py",
        "train.py",
        "program.md",
    ):
        (tmp_path / name).write_text(f"# theirs: {name}\n")
    (tmp_path / "results.tsv").write_text("commit\tscore\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "theirs")
    before, head = contents(tmp_path), git(tmp_path, "rev-parse", "HEAD")
    done = initialise(tmp_path, None)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert git(tmp_path, "rev-parse", "HEAD") == head
    # Their framework.py is no evaluator of ours, so ours stands beside it and the config says so.
    check_framework(tmp_path / OWN_FRAMEWORK)
    assert f"framework: {OWN_FRAMEWORK}" in (tmp_path / "config.yaml").read_text()
    assert any(OWN_FRAMEWORK in line for line in done)
    (tmp_path / "logs" / "x").write_text("")
    untracked = git(tmp_path, "status", "--porcelain").split()
    assert "logs/" not in untracked
    assert ".autorl/" not in untracked


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: (folder / "x").write_text("x"), "neither empty nor in a git repository"),
        (lambda folder: initialise(folder, None), "is a workspace already"),
    ],
)
def test_init_refuses_what_it_could_spoil(tmp_path: Path, prepare, message: str) -> None:  # type: ignore[no-untyped-def]
    """A folder with other people's files, or a workspace, is left as it is."""
    prepare(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=message):
        initialise(tmp_path, None)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_gets_its_own_repository(tmp_path: Path, exists: bool) -> None:
    """Also inside somebody's repository, whose history a run must not grow into."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    if exists:
        (tmp_path / "w").mkdir()
    initialise(tmp_path / "w", None)
    assert git(tmp_path / "w", "rev-parse", "--show-toplevel") == str(tmp_path / "w")


def test_the_first_commit_runs_no_hook_and_signs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's global hooks and signing are not for our commit."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\nhooksPath = {hooks}\n[commit]\ngpgsign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    initialise(tmp_path / "w", None)
    assert git(tmp_path / "w", "rev-list", "--count", "HEAD") == "1"


def test_an_unknown_example_is_named_with_the_known_ones(tmp_path: Path) -> None:
    """The error lists what there is, and nothing is made."""
    with pytest.raises(UserError, match="unknown example 'chess': there are "):
        initialise(tmp_path / "w", "chess")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    "name", ["config.yaml", "framework.py", "program.md", "candidate", "logs", ".autorl"]
)
@pytest.mark.parametrize("kind", ["dangling", "pipe"])
def test_init_writes_through_nothing(tmp_path: Path, name: str, kind: str) -> None:
    """A link to nothing or a pipe where something of ours goes is named, and nothing is done."""
    root, target = tmp_path / "w", tmp_path / "target"
    root.mkdir()
    (root / name).symlink_to(target) if kind == "dangling" else os.mkfifo(root / name)
    git(root, "init", "--quiet")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    before = sorted(os.listdir(root))
    with pytest.raises(UserError, match=rf"{re.escape(name)} is a (link|pipe)"):
        initialise(root, None)
    assert sorted(os.listdir(root)) == before
    assert not target.exists()


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_init_makes_nothing_where_a_link_leads_nowhere(tmp_path: Path, below: str) -> None:
    """The folder itself, or one above it, may be such a link."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(UserError, match="link is a link to nothing"):
        initialise(tmp_path / "link" / below, None)
    assert not (tmp_path / "target").exists()


def test_init_follows_a_link_to_a_folder(tmp_path: Path) -> None:
    """Whoever names it means it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    initialise(tmp_path / "link", None)
    assert (tmp_path / "folder" / "config.yaml").is_file()


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    """As `start` would refuse it, but before anything is written."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "x").write_text("theirs")
    with pytest.raises(UserError, match="has no commit yet"):
        initialise(tmp_path, None)
    assert sorted(os.listdir(tmp_path)) == [".git", "x"]


def test_a_repository_that_git_can_not_use_is_one(tmp_path: Path) -> None:
    """`git init` is no cure for a broken line: what git says is told."""
    git(tmp_path, "init", "--quiet")
    with (tmp_path / ".git" / "config").open("a") as file:
        file.write("this is no line\n")
    with pytest.raises(UserError, match="bad config line") as caught:
        initialise(tmp_path, None)
    assert "git init" not in str(caught.value)


def test_what_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After git has failed, the folder is as it was, and `init` can be repeated."""
    config = tmp_path / "gitconfig"
    config.write_text("[core]\n\tautocrlf = nonsense\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    (tmp_path / "there").mkdir()
    for name in ("new", "there"):
        with pytest.raises(UserError, match="failed"):
            initialise(tmp_path / name, None)
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "there").iterdir()) == []
    config.write_text("")
    initialise(tmp_path / "there", None)
    assert (tmp_path / "there" / "config.yaml").is_file()


@pytest.mark.parametrize("name", ["a [b] *", "$NAME", "\u00e4 \\", "#x", "w "])
def test_odd_folder_names_are_ignored_below_a_repository(tmp_path: Path, name: str) -> None:
    """Git ignores our files in a workspace below the top, whatever the folder is called."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / name).mkdir()
    (tmp_path / name / "x").write_text("theirs")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "theirs")
    initialise(tmp_path / name, None)
    (tmp_path / name / "logs" / "x").write_text("")
    (tmp_path / name / "results.tsv").write_text("")
    shown = git(tmp_path, "status", "--porcelain", "--untracked-files=all", "-z")
    assert "config.yaml" in shown
    assert not any(word in shown for word in ("logs/", "results.tsv", ".autorl"))


def test_an_example_and_another_world_are_not_both_taken(tmp_path: Path) -> None:
    """One of them would be left out without a word."""
    with pytest.raises(UserError, match="--example trading and --world squad: name one of them"):
        initialise(tmp_path / "w", "trading", "squad")
    assert not (tmp_path / "w").exists()
    initialise(tmp_path / "w", "squad", "")
    assert Workspace(tmp_path / "w").has_world
