"""Git by plumbing commands: objects and refs are written directly, nothing is ever checked out.

No index, work tree, hook or filter is used, so the user's branch, staged changes and files stay as
they are.
"""

import contextlib
import functools
import os
import shlex
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.core.errors import ConflictError, StoreError, UserError
from orchestrator.core.records import Files
from orchestrator.core.text import one_line
from orchestrator.store.git_command import GitCommand, GitError, GitMissingError

_IDENTITY = {
    f"GIT_{who}_{field}": value
    for who in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "autorl-daemon"), ("EMAIL", "autorl-daemon@localhost"))
}
_MOVE_TRIES = 3
_LOCK_WATCH_S = 1.0


class GitStore:
    """The git repository of a workspace."""

    def __init__(self, workspace: Path) -> None:
        """Find the repository.

        Raises:
            UserError: git is missing, or there is no repository that it can use.
        """
        self._git, self._prefix = _opened(workspace)

    def hurry(self) -> None:
        """From now on kill a command that hangs after seconds; safe in a signal handler."""
        self._git.hurry()

    def head(self) -> str:
        """Return the commit HEAD is at. Raises `UserError` if there is none yet."""
        commit = self.read("HEAD")
        if commit is None:
            raise UserError("the repository has no commit yet: make one (`git commit`) and retry")
        try:
            self._entries(self._tree_of(commit))
        except GitError as error:
            raise UserError(
                f"the tree of HEAD can't be read ({one_line(error.stderr)}): in a partial clone, "
                "`git checkout` or `git fetch` what it left out"
            ) from None
        return commit

    def checked_out_in(self, ref: str) -> str | None:
        """Return the repository's work tree that has a ref checked out, or None."""
        folder = ""
        for line in self._git.run("worktree", "list", "--porcelain").splitlines():
            name, _, value = line.partition(" ")
            folder = value if name == "worktree" else folder
            if name == "branch" and value == ref:
                return folder
        return None

    def last_experiment(self, prefix: str) -> int:
        """Return the highest number below a prefix of refs, 0 if there is none."""
        numbers = [name.rpartition("/")[2] for name in self.refs(prefix)]
        return max((int(number) for number in numbers if number.isdigit()), default=0)

    def refs(self, prefix: str) -> dict[str, str]:
        """Return the refs below a prefix, and the commit of each."""
        lines = self._git.run(
            "for-each-ref", "--format=%(refname) %(objectname)", prefix
        ).splitlines()
        return dict(line.rsplit(" ", 1) for line in lines)

    def in_the_way_of(self, ref: str) -> str | None:
        """Return a ref that keeps git from making this one: one above or below it, or None."""
        parts = ref.split("/")
        above = ["/".join(parts[:size]) for size in range(2, len(parts))]
        return next(
            (
                name
                for prefix in (ref, *above)
                for name in self.refs(prefix)
                if name != ref and prefix in {ref, name}
            ),
            None,
        )

    def missing(self, commits: Iterable[str]) -> set[str]:
        """Return those of these commits that are not in the repository."""
        names = "".join(f"{commit}\n" for commit in set(commits))
        lines = (
            self._git.run("cat-file", "--batch-check", stdin=names).splitlines() if names else []
        )
        return {line.split()[0] for line in lines if line.endswith(" missing")}

    def is_valid_branch(self, name: str) -> bool:
        """Is this a legal branch name?"""
        try:
            self._git.run("check-ref-format", "--branch", name)
        except GitError:
            return False
        return True

    def read(self, ref: str) -> str | None:
        """Return the commit a ref points to, or None."""
        try:
            return self._git.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except GitError as error:
            if error.status == 1:
                return None
            raise

    def commit(
        self, parent: str, files: Files, message: str, when: str, beside: Mapping[str, str] = {}
    ) -> str:
        """Write a commit: the parent's tree with both candidate files, and `beside`, replaced.

        The same arguments give the same hash, so a lost ref can be made again. `parent` is a full
        hash, `when` the ISO 8601 time of both dates; `beside` has other files by path.
        """
        prefix = f"{self._prefix}/" if self._prefix else ""
        texts = files.by_path() | dict(beside)
        blobs = {prefix + path: self._blob(text) for path, text in texts.items()}
        tree = self._with_files(self._tree_of(parent), blobs)
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        with self._git.environment(**_IDENTITY, **dates):
            return self._hardened(self._git.run("commit-tree", tree, "-p", parent, stdin=message))

    def move(self, ref: str, new: str, old: str | None) -> None:
        """Move a ref from `old` (None: it must not exist yet) to `new`.

        Raises:
            ConflictError: the ref is not where we left it; nothing was changed.
            StoreError: git can't move it (a stale lock, a full disk).
        """
        for tries_left in reversed(range(_MOVE_TRIES)):
            try:
                # An empty old value: it must not exist yet.
                self._git.run("update-ref", "--no-deref", ref, new, old or "")
            except GitError as error:
                at, said = self.read(ref), error.stderr
            else:
                return
            if at == new:
                return
            if at != old:
                break
            if other := self.in_the_way_of(ref):
                raise ConflictError(
                    f"{other} is in the way of {ref}: rename it (`git branch -m`) or remove it "
                    f"(`git update-ref -d {other}`), then `autorl-daemon resume`"
                )
            # Nobody moved it, so the cause is another one: perhaps a lock, which is transient.
            if not (tries_left and self._is_unlocked(ref, new)):
                raise StoreError(f"git can't move {ref}: {said}")
        there = f"it is at {at[:12]}" if at else "it is gone"
        name = shlex.quote(ref)
        back = f"`git update-ref {name} {old}`" if old else f"`git update-ref -d {name}`"
        raise ConflictError(
            f"conflict: {ref} was moved by somebody else ({there}) and was left alone: put it "
            f"back ({back}), then `autorl-daemon resume`; or begin another run with --tag"
        )

    def _is_unlocked(self, ref: str, new: str) -> bool:
        """Remove the lock that a killed git command of ours left on a ref; return whether it did.

        It is ours if it holds the beginning of the hash to be written, and stale if it is unchanged
        for longer than any git command holds a lock. Other locks are left alone.
        """
        lock = self._inside(f"{ref}.lock")
        deadline = time.monotonic() + _LOCK_WATCH_S
        try:
            seen = lock.stat()
            while time.monotonic() < deadline:
                time.sleep(_LOCK_WATCH_S / 20)
                if not os.path.samestat(seen, lock.stat()):
                    return True  # another command held it, and released it
            is_ours = f"{new}\n".startswith(lock.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return True  # released
        except (OSError, UnicodeDecodeError):
            return False
        if is_ours:
            lock.unlink(missing_ok=True)
        return is_ours

    @functools.cached_property
    def _objects(self) -> Path:
        return self._inside("objects")

    def _inside(self, name: str) -> Path:
        """Return the path of a file in git's folder; work trees of one repository share most."""
        path = self._git.run("rev-parse", "--path-format=absolute", "--git-path", name)
        return Path(path.removesuffix("\n"))

    def _with_files(self, tree: str, blobs: Mapping[str, str]) -> str:
        """Return the tree with blobs at these paths, all other entries as they are."""
        entries = dict(self._entries(tree))
        below: dict[str, dict[str, str]] = {}
        for path, blob in blobs.items():
            name, _, rest = path.partition("/")
            if rest:
                below.setdefault(name, {})[rest] = blob
            else:
                mode, kind, _ = entries.get(name, ("100644", "blob", ""))
                is_file = kind == "blob" and mode != "120000"
                entries[name] = (mode if is_file else "100644", "blob", blob)
        for name, inner in below.items():
            _, kind, sha = entries.get(name, ("", "", ""))
            subtree = sha if kind == "tree" else self._hardened(self._git.run("mktree", stdin=""))
            entries[name] = ("040000", "tree", self._with_files(subtree, inner))
        lines = "".join(f"{m} {k} {sha}\t{n}\0" for n, (m, k, sha) in entries.items())
        # A partial clone lacks objects that the tree names; nobody needs them here.
        return self._hardened(self._git.run("mktree", "-z", "--missing", stdin=lines))

    def _hardened(self, printed: str) -> str:
        """Return the object's name that git printed, once the object is durable.

        An object must be on the disk before a ref names it. Git does not sync new objects by
        default, and `mktree` reads no setting for it (git 2.39).
        """
        name = printed.strip()
        file = self._objects / name[:2] / name[2:]
        with contextlib.suppress(FileNotFoundError):  # an older object, in a pack
            for path in (file, file.parent):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        return name

    # Trees never change, so a cached one is valid; the bound keeps memory flat.
    @functools.lru_cache(maxsize=64)  # noqa: B019 - the store lives as long as the daemon
    def _entries(self, tree: str) -> tuple[tuple[str, tuple[str, str, str]], ...]:
        listing = self._git.run("ls-tree", "-z", "--full-tree", tree)
        entries = []
        for line in filter(None, listing.split("\0")):
            facts, _, name = line.partition("\t")
            mode, kind, sha = facts.split()
            entries.append((name, (mode, kind, sha)))
        return tuple(entries)

    @functools.lru_cache(maxsize=8)  # noqa: B019 - one of the two files often stays the same
    def _blob(self, text: str) -> str:
        return self._hardened(self._git.run("hash-object", "-w", "--stdin", stdin=text))

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def _tree_of(self, commit: str) -> str:
        return self._git.run("rev-parse", "--verify", f"{commit}^{{tree}}").strip()


def _opened(workspace: Path) -> tuple[GitCommand, str]:
    """Return git for a workspace, and the workspace's path below the top of its repository.

    A repository of another user is used where the user's own git uses it (safe.directory).

    Raises:
        UserError: git is missing, or there is no repository that it can use.
    """
    git, query = GitCommand(workspace), ("rev-parse", "--show-prefix")
    try:
        try:
            prefix = git.run(*query)
        except GitError as error:
            if not error.says_distrusted:
                raise
            GitCommand(workspace, as_the_user=True).run(*query)
            git.trust()
            prefix = git.run(*query)
    except GitMissingError as error:
        raise UserError(str(error)) from None
    except GitError as error:
        raise unusable(workspace, error) from None
    return git, prefix.removesuffix("\n").strip("/")


def unusable(folder: Path, error: GitError) -> UserError:
    """Return why git can't use the repository of a folder, and the cure."""
    if error.says_distrusted:
        return UserError(
            f"git does not trust the repository of {folder}, which another user owns: run the "
            f"daemon as that user, or `git config --global --add safe.directory {folder}`"
        )
    if error.says_no_repository:
        return UserError(
            f"{folder} is not in a git repository: run `git init` there and commit, "
            "or make a workspace with `autorl-daemon init DIR`"
        )
    return UserError(
        f"git can't use the repository of {folder}; it says: {one_line(error.stderr, 400)}"
    )
