"""The workspace lock; `tests/reliability/test_one_daemon.py` has races for it, and kill -9."""

import os
from pathlib import Path

import pytest

from orchestrator.core.errors import CommandFailedError
from orchestrator.store.lock import WorkspaceLock, holder


def test_a_second_taker_learns_who_holds_it(tmp_path: Path) -> None:
    """The second is refused with the first's pid."""
    path = tmp_path / "lock"
    with WorkspaceLock(path), pytest.raises(CommandFailedError, match=str(os.getpid())):
        WorkspaceLock(path)
    assert holder(path) is None


def test_a_free_lock_has_no_holder(tmp_path: Path) -> None:
    """No file, or a file that nobody holds, is a free lock."""
    assert holder(tmp_path / "lock") is None
    (tmp_path / "lock").write_text("12345\n")
    assert holder(tmp_path / "lock") is None
    with WorkspaceLock(tmp_path / "lock"):
        assert holder(tmp_path / "lock") == os.getpid()


def test_two_who_ask_do_not_see_each_other(tmp_path: Path) -> None:
    """A free lock is free however many look at it at once, also with a stale pid in the file."""
    import fcntl

    path = tmp_path / "lock"
    path.write_text(f"{os.getpid()}\n")
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert holder(path) is None


def test_a_holder_without_a_pid_is_nobody_to_signal(tmp_path: Path) -> None:
    """A held lock with no pid in it is an error, never a pid such as 0."""
    import fcntl

    path = tmp_path / "lock"
    path.write_text("")
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CommandFailedError, match="left no pid"):
            holder(path)
