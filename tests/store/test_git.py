"""Git by plumbing, against real repositories."""

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
