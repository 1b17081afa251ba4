"""Git by plumbing, against real repositories."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.core.errors import ConflictError, StoreError, UserError
from orchestrator.core.records import Files
from orchestrator.store.git import GitStore
from tests.conftest import git

FILES = Files("env = 2\n", "träin = 2\n")
WHEN = "2026-11-22T03:04:05.000Z"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "candidate").mkdir()
    (tmp_path / "candidate" / "env.py").write_text("env = 1\n")
    (tmp_path / "candidate" / "notes.txt").write_text("keep me")
    (tmp_path / "with space ü.txt").write_text("keep me too")
    (tmp_path / "link").symlink_to("candidate/env.py")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_a_commit_replaces_the_two_files_and_keeps_the_rest(repository: Path) -> None:
    """Parent, author, date and every other entry of the tree are as they should be."""
    store = GitStore(repository)
    commit = store.commit(store.head(), FILES, "message\n", WHEN)
    assert git(repository, "show", f"{commit}:candidate/train.py") == "träin = 2"
    changed = git(repository, "diff", "--name-status", "main", commit).split()
    assert changed == ["M", "candidate/env.py", "A", "candidate/train.py"]
    shown = git(repository, "log", "-1", "--format=%an <%ae> %at %P", commit)
    head = git(repository, "rev-parse", "main")
    assert shown == f"autorl-daemon <autorl-daemon@localhost> 1795316645 {head}"
    assert git(repository, "fsck", "--strict", "--no-dangling") == ""


def test_a_world_stands_beside_the_candidate(repository: Path) -> None:
    """A run's commits carry the world that was played, whether its user committed it or not."""
    store = GitStore(repository)
    world = {"task/world.py": "# played\n", "task/maps.py": "# too\n"}
    commit = store.commit(store.head(), FILES, "m", WHEN, world)
    again = store.commit(commit, FILES, "m", WHEN)  # its children inherit it
    for each in (commit, again):
        assert git(repository, "show", f"{each}:task/world.py") == "# played"
        assert git(repository, "show", f"{each}:task/maps.py") == "# too"
    assert not (repository / "task").exists()


def test_the_same_commit_has_the_same_hash(repository: Path) -> None:
    """A commit that was lost can be made again."""
    store = GitStore(repository)
    hashes = {store.commit(store.head(), FILES, "message\n", WHEN) for _ in range(2)}
    assert len(hashes) == 1


def test_a_workspace_below_the_top_of_a_repository_works(repository: Path) -> None:
    """The candidate's path counts from the workspace, not from the repository."""
    below = repository / "deep" / "er"
    (below / "candidate").mkdir(parents=True)
    store = GitStore(below)
    commit = store.commit(store.head(), FILES, "message\n", WHEN)
    assert git(repository, "show", f"{commit}:deep/er/candidate/env.py") == "env = 2"
    assert git(repository, "show", f"{commit}:candidate/env.py") == "env = 1"


def test_hooks_filters_and_the_index_take_no_part(repository: Path) -> None:
    """Planted hooks and filters leave no mark; index and work tree stay byte-identical."""
    mark = repository / "MARK"
    for hook in ("pre-commit", "post-commit", "reference-transaction", "post-checkout"):
        path = repository / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {mark}\n")
        path.chmod(0o755)
    git(repository, "config", "filter.evil.clean", f"touch {mark}; cat")
    (repository / ".gitattributes").write_text("* filter=evil\n")
    (repository / "candidate" / "env.py").write_text("dirty = 1\n")
    index = (repository / ".git" / "index").read_bytes()
    store = GitStore(repository)
    commit = store.commit(store.head(), FILES, "message\n", WHEN)
    store.move("refs/heads/autorl/t", commit, None)
    assert not mark.exists()
    assert (repository / ".git" / "index").read_bytes() == index
    assert (repository / "candidate" / "env.py").read_text() == "dirty = 1\n"


def test_a_stale_index_lock_does_not_matter(repository: Path) -> None:
    """The user's index is not ours to lock."""
    (repository / ".git" / "index.lock").touch()
    store = GitStore(repository)
    store.move("refs/heads/autorl/t", store.commit(store.head(), FILES, "m\n", WHEN), None)
    assert store.read("refs/heads/autorl/t")


def test_a_ref_moves_only_from_where_we_left_it(repository: Path) -> None:
    """Compare and swap: a ref that somebody else moved stays where they put it."""
    store = GitStore(repository)
    one = store.commit(store.head(), FILES, "one\n", WHEN)
    two = store.commit(one, FILES, "two\n", WHEN)
    store.move("refs/heads/autorl/t", one, None)
    store.move("refs/heads/autorl/t", one, None)  # it is there already
    with pytest.raises(ConflictError, match="moved by somebody else"):
        store.move("refs/heads/autorl/t", two, store.head())
    assert store.read("refs/heads/autorl/t") == one
    store.move("refs/heads/autorl/t", two, one)
    assert store.read("refs/heads/autorl/t") == two


def test_a_held_ref_lock_is_named(repository: Path) -> None:
    """A ref that git can't move for another reason says that reason; a stranger's lock stays."""
    store = GitStore(repository)
    lock = repository / ".git" / "refs" / "heads" / "autorl" / "t.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("somebody else's")
    with pytest.raises(StoreError, match=r"t\.lock"):
        store.move("refs/heads/autorl/t", store.head(), None)
    assert lock.read_text() == "somebody else's"


@pytest.mark.parametrize("written", ["", "half", "all"])
def test_a_lock_that_our_own_git_left_is_removed(repository: Path, written: str) -> None:
    """A git command killed in the middle of moving a ref does not block the next one."""
    store = GitStore(repository)
    commit = store.commit(store.head(), FILES, "m\n", WHEN)
    lock = repository / ".git" / "refs" / "heads" / "autorl" / "t.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text({"": "", "half": commit[:20], "all": f"{commit}\n"}[written])
    store.move("refs/heads/autorl/t", commit, None)
    assert store.read("refs/heads/autorl/t") == commit
    assert not lock.exists()


def test_lost_commits_are_named(repository: Path) -> None:
    """What a ledger knows and the repository does not hold is found in one question."""
    store = GitStore(repository)
    lost = "0" * 39 + "1"
    assert store.missing([store.head(), lost]) == {lost}
    assert store.missing([]) == set()


def test_no_repository_is_the_users_error(tmp_path: Path) -> None:
    """Outside a repository one clear line says what to do."""
    with pytest.raises(UserError, match="not in a git repository"):
        GitStore(tmp_path)


def test_no_commit_is_the_users_error(tmp_path: Path) -> None:
    """A repository without a commit has no parent to build on."""
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UserError, match="no commit yet"):
        GitStore(tmp_path).head()


@pytest.mark.parametrize(
    ("name", "valid"), [("autorl/nov22", True), ("autorl/a b", False), ("autorl/..", False)]
)
def test_branch_names_are_checked_by_git(repository: Path, name: str, valid: bool) -> None:
    """Git itself says what may be a branch."""
    assert GitStore(repository).is_valid_branch(name) is valid


def test_a_sha256_repository_works(tmp_path: Path) -> None:
    """Hashes of 64 digits: a commit is written and a new ref made."""
    git(tmp_path, "init", "--quiet", "--object-format=sha256")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    store = GitStore(tmp_path)
    commit = store.commit(store.head(), FILES, "message\n", WHEN)
    store.move("refs/heads/autorl/t", commit, None)
    assert store.read("refs/heads/autorl/t") == commit
    assert len(commit) == 64


def test_file_names_that_are_no_text_are_kept(repository: Path) -> None:
    """A name that is not UTF-8 stands in the commit's tree as it stood in the parent's."""
    (repository / "caf\udce9.txt").write_text("latin-1")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "latin-1")
    store = GitStore(repository)
    commit = store.commit(store.head(), FILES, "message\n", WHEN)
    changed = git(repository, "diff", "--name-only", "main", commit).split()
    assert changed == ["candidate/env.py", "candidate/train.py"]


def test_safe_directory_is_honoured(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository of another user is used where the user's own git is told to trust it."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UserError, match=r"safe\.directory"):
        GitStore(repository)
    config = repository.parent / "users-gitconfig"
    config.write_text(f"[safe]\n\tdirectory = {repository.resolve()}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    store = GitStore(repository)
    commit = store.commit(store.head(), FILES, "message\n", WHEN)
    store.move("refs/heads/autorl/t", commit, None)
    assert store.read("refs/heads/autorl/t") == commit


def test_nothing_else_of_the_users_configuration_is_used(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a trusted repository too, settings of the user's leave objects and refs as they are."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    config = repository.parent / "users-gitconfig"
    config.write_text("[safe]\n\tdirectory = *\n[user]\n\tname = Somebody\n[alias]\n\tx = y\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert "Somebody" not in GitStore(repository)._git.run("config", "--list")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[extensions]\n\tnosuchthing = true\n", "nosuchthing"),
        ("this is no line\n", "bad config line"),
    ],
)
def test_what_git_can_not_use_is_told_in_its_words(repository: Path, line: str, says: str) -> None:
    """A repository of a newer git, or with a broken line, is one: what git says is told."""
    with (repository / ".git" / "config").open("a") as file:
        file.write("[core]\n\trepositoryformatversion = 1\n" + line)
    with pytest.raises(UserError, match=says) as caught:
        GitStore(repository)
    assert "git init" not in str(caught.value)


def test_a_work_tree_whose_repository_is_gone_is_told(repository: Path) -> None:
    """`git init` would be no cure: git names the folder that it misses."""
    git(repository, "worktree", "add", "--quiet", "other")
    (repository / ".git").rename(repository / "moved")
    with pytest.raises(UserError, match=r"worktrees") as caught:
        GitStore(repository / "other")
    assert "git init" not in str(caught.value)


@pytest.mark.parametrize("name", ["$NAME", "~", "${HOME}x", "a b'\"", "%H", "-x", "w "])
def test_names_of_folders_are_never_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A variable's name, a tilde or an option in a folder's name is text like any other."""
    other, folder = tmp_path / "other", tmp_path / name
    monkeypatch.setenv("NAME", "other")
    for path in (other, folder):
        path.mkdir()
        git(path, "init", "--quiet")
        git(path, "commit", "--quiet", "--allow-empty", "--message", path.name)
    (folder / "below").mkdir()
    for tag, workspace in (("a", folder), ("b", folder / "below")):
        store = GitStore(workspace)
        commit = store.commit(store.head(), FILES, "message\n", WHEN)
        store.move(f"refs/heads/autorl/{tag}", commit, None)
    assert git(other, "for-each-ref", "refs/heads/autorl") == ""
    assert len(git(folder, "for-each-ref", "refs/heads/autorl").splitlines()) == 2


@pytest.mark.parametrize(
    ("other", "ref"),
    [
        ("refs/heads/autorl/t/old", "refs/heads/autorl/t"),
        ("refs/heads/autorl/t/a/b", "refs/heads/autorl/t"),
        ("refs/heads/autorl", "refs/heads/autorl/t"),
        ("refs/autorl/experiments/7/x", "refs/autorl/experiments/7"),
        ("refs/autorl", "refs/autorl/experiments/7"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_ref_in_the_way_is_named(repository: Path, other: str, ref: str, packed: bool) -> None:
    """No wait makes room for ours: the ref above or below it is named, and the run pauses."""
    git(repository, "update-ref", other, "HEAD")
    if packed:
        git(repository, "pack-refs", "--all")
    store = GitStore(repository)
    assert store.in_the_way_of(ref) == other
    with pytest.raises(ConflictError, match=f"{other} is in the way"):
        store.move(ref, store.head(), None)


def test_a_ref_beside_ours_is_not_in_the_way(repository: Path) -> None:
    """Only a part of the path between slashes counts."""
    for other in ("refs/heads/autorl/t2", "refs/heads/autorl-x", "refs/autorl/experiments/7-t"):
        git(repository, "update-ref", other, "HEAD")
    store = GitStore(repository)
    assert store.in_the_way_of("refs/heads/autorl/t") is None
    assert store.in_the_way_of("refs/autorl/experiments/7") is None


def test_a_partial_clone_gets_commits(repository: Path, tmp_path: Path) -> None:
    """The tree names blobs that the clone left out, and nobody fetches them."""
    git(repository, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    source = f"file://{repository}"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--no-checkout", source, str(clone))
    git(clone, "sparse-checkout", "set", "--no-cone", "/candidate/")
    git(clone, "checkout", "--quiet", "main")
    git(clone, "remote", "remove", "origin")
    store = GitStore(clone)
    commit = store.commit(store.head(), FILES, "message\n", WHEN)
    store.move("refs/heads/autorl/t", commit, None)
    names = git(clone, "ls-tree", "--name-only", "-z", commit)
    assert "link" in names
    assert git(clone, "show", f"{commit}:candidate/env.py") == "env = 2"


def test_a_clone_without_the_tree_of_head_is_told(repository: Path, tmp_path: Path) -> None:
    """Where the tree itself was left out, the start says so."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--no-checkout", f"file://{repository}", str(clone))
    tree = git(clone, "rev-parse", "HEAD^{tree}")
    for pack in (clone / ".git" / "objects" / "pack").glob("*.pack"):
        content = pack.read_bytes()
        pack.with_suffix(".idx").unlink()
        pack.unlink()
        subprocess.run(["git", "unpack-objects", "-q"], cwd=clone, input=content, check=True)
    (clone / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(UserError, match="partial clone"):
        GitStore(clone).head()
