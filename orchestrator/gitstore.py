"""Git by plumbing: objects and refs are written directly, nothing is ever checked out.

No index, no work tree, no hooks and no filters take part, so the user's branch, staged changes and
files stay as they are. The only importer of GitPython, and of it only the command wrapper: its
`Repo` objects are not meant for long-lived processes.
"""

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path

from git.cmd import Git
from git.exc import GitCommandError, GitCommandNotFound

from orchestrator.errors import ConflictError, UserError
from orchestrator.records import Files

_IDENTITY = {
    f"GIT_{who}_{field}": value
    for who in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "autorl-daemon"), ("EMAIL", "autorl-daemon@localhost"))
}
_ISOLATED = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_OPTIONS = ("-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "i18n.commitEncoding=utf-8")
_TIMEOUT_S = 60


class GitStore:
    """The repository around a workspace."""

    def __init__(self, workspace: Path) -> None:
        """Find the repository.

        Raises:
            UserError: git is missing, or the workspace is in no repository.
        """
        self._git = Git(str(workspace))
        self._git.update_environment(**_ISOLATED)
        try:
            self._prefix = self._run("rev-parse", "--show-prefix").strip().strip("/")
        except GitCommandNotFound:
            raise UserError("git is not installed, or not on PATH") from None
        except GitCommandError as error:
            if "dubious ownership" in str(error.stderr):
                raise UserError(
                    f"git does not trust {workspace}, which another user owns: run the daemon as "
                    "that user"
                ) from None
            raise UserError(
                f"{workspace} is not in a git repository: run `git init` there and commit, "
                "or make a workspace with `autorl-daemon init DIR`"
            ) from None

    def head(self) -> str:
        """Return the commit HEAD is at. Raises `UserError` if there is none yet."""
        commit = self.read("HEAD")
        if commit is None:
            raise UserError("the repository has no commit yet: make one (`git commit`) and retry")
        return commit

    def checked_out_in(self, ref: str) -> str | None:
        """Return the work tree that has a ref checked out, or None. Any of the repository's."""
        folder = ""
        for line in self._run("worktree", "list", "--porcelain").splitlines():
            name, _, value = line.partition(" ")
            folder = value if name == "worktree" else folder
            if name == "branch" and value == ref:
                return folder
        return None

    def last_experiment(self, prefix: str) -> int:
        """Return the highest number below a prefix of refs, 0 if there is none."""
        names = self._run("for-each-ref", "--format=%(refname)", prefix).split()
        numbers = [name.rpartition("/")[2] for name in names]
        return max((int(number) for number in numbers if number.isdigit()), default=0)

    def is_valid_branch(self, name: str) -> bool:
        """Is this a legal branch name?"""
        try:
            self._run("check-ref-format", "--branch", name)
        except GitCommandError:
            return False
        return True

    def read(self, ref: str) -> str | None:
        """Return the commit a ref points to, or None."""
        try:
            return self._run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").strip()
        except GitCommandError:
            return None

    def commit(self, parent: str, files: Files, message: str, when: str) -> str:
        """Write a commit: the parent's tree with both candidate files replaced.

        The same arguments give the same hash, so that a lost ref can be made again.

        Args:
            parent: full hash of the parent commit.
            files: the candidate.
            message: the commit message.
            when: ISO 8601 time for both dates.
        """
        prefix = f"{self._prefix}/" if self._prefix else ""
        blobs = {prefix + path: self._blob(text) for path, text in files.by_path().items()}
        tree = self._with_files(self._tree_of(parent), blobs)
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        with self._git.custom_environment(**_IDENTITY, **dates):
            return self._run("commit-tree", tree, "-p", parent, stdin=message).strip()

    def move(self, ref: str, new: str, old: str | None) -> None:
        """Move a ref from `old` (None: it must not exist yet) to `new`.

        Raises:
            ConflictError: the ref is not where we left it; nothing was changed.
        """
        try:
            # An empty old value: it must not exist yet.
            self._run("update-ref", "--no-deref", ref, new, old or "")
        except GitCommandError as error:
            at = self.read(ref)
            if at == new:
                return
            if at == old:  # not moved by anyone, so something else is wrong: a stale lock, say
                raise ConflictError(f"git can't move {ref}: {_stderr(error)}") from None
            raise ConflictError(
                f"{ref} was moved by somebody else (it is at {at and at[:12]}, we left it at "
                f"{old and old[:12]}): move it back, or start a new run with --tag"
            ) from None

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
            subtree = sha if kind == "tree" else self._run("mktree", stdin="").strip()
            entries[name] = ("040000", "tree", self._with_files(subtree, inner))
        lines = "".join(f"{m} {k} {sha}\t{n}\0" for n, (m, k, sha) in entries.items())
        return self._run("mktree", "-z", stdin=lines).strip()

    # Trees never change, so what was read once stays true; the bound keeps memory flat.
    @functools.lru_cache(maxsize=64)  # noqa: B019 - the store lives as long as the daemon
    def _entries(self, tree: str) -> tuple[tuple[str, tuple[str, str, str]], ...]:
        listing = self._run("ls-tree", "-z", "--full-tree", tree)
        entries = []
        for line in filter(None, listing.split("\0")):
            facts, _, name = line.partition("\t")
            mode, kind, sha = facts.split()
            entries.append((name, (mode, kind, sha)))
        return tuple(entries)

    @functools.lru_cache(maxsize=8)  # noqa: B019 - one of the two files often stays the same
    def _blob(self, text: str) -> str:
        return self._run("hash-object", "-w", "--stdin", stdin=text).strip()

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def _tree_of(self, commit: str) -> str:
        return self._run("rev-parse", "--verify", f"{commit}^{{tree}}").strip()

    def _run(self, *arguments: str, stdin: str | None = None) -> str:
        command = ["git", *_OPTIONS, *arguments]
        with tempfile.TemporaryFile() as file:
            file.write((stdin or "").encode(errors="surrogateescape"))
            file.seek(0)
            output = self._git.execute(
                command,
                istream=file,
                kill_after_timeout=_TIMEOUT_S,
                strip_newline_in_stdout=False,
            )
        return str(output)


def _stderr(error: GitCommandError) -> str:
    return str(error.stderr).strip().removeprefix("stderr: ").strip("'\" \n")
