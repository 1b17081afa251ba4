"""The probe: it must get out where nothing holds it, and nowhere where something does."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import sandbox
from sandbox import Tier
from sandbox.probe import Examination, examine
from tests.sandbox.tiers import examined, skip_without


@pytest.mark.parametrize("tier", [Tier.NAMESPACES, Tier.REDUCED])
def test_nothing_is_reached_from_a_confined_worker(tier: Tier) -> None:
    """Each attempt fails under each tier that confines."""
    skip_without(tier)
    found = examined(tier)
    assert found.reached == ()
    assert found.problem is None
    assert len(found.attempts) >= 27


def test_everything_is_reached_from_an_unconfined_worker() -> None:
    """The attempts are real: without confinement each succeeds, but for a stray, which is killed."""
    found = examined(Tier.OFF)
    stopped = {attempt.name for attempt in found.attempts if not attempt.reached}
    # Without confinement too the interpreter's mode is its owner's and root's to change.
    assert stopped - {"change the interpreter's mode"} == {"leave a process behind"}
    assert found.problem is not None
    assert found.problem.startswith("confinement (off) does not hold: the probe could read a file")


def test_a_system_without_any_tier_is_told() -> None:
    """Where no tier can be set up, the problem says what the kernel refused."""
    found = Examination(None, (), ("namespaces: unshare: Operation not permitted",))
    assert found.problem is not None
    assert "unshare: Operation not permitted" in found.problem


def test_a_tier_that_can_not_be_set_up_is_named() -> None:
    """Another system's tier fails in one line."""
    found = examine((Tier.SANDBOX_EXEC,)) if sys.platform == "linux" else None
    if found is not None:
        assert found.tier is None
        assert found.refused[0].startswith("sandbox-exec: ")


def test_the_command_prints_the_table() -> None:
    """`python -m sandbox.probe` prints the tier, what it tried and the verdict."""
    skip_without(Tier.NAMESPACES)
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.probe"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == "tier: namespaces"
    assert "stopped  read a file outside" in done.stdout
    assert done.stdout.splitlines()[-1] == "confinement holds"


def test_a_user_without_privileges_is_confined_too() -> None:
    """Started by anybody but root, the worker gets its namespaces through one of users."""
    interpreter = interpreter_for_everybody()
    if os.getuid() != 0:
        pytest.skip("the other tests have run as such a user already")
    skip_without(Tier.NAMESPACES)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(Path(sandbox.__file__).parent, Path(folder, "sandbox"))
        done = subprocess.run(
            [interpreter, "-m", "sandbox.probe"],
            env={"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
            cwd=folder,
            user=1000,
            group=1000,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.splitlines()[0] == "tier: namespaces", done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "confinement holds"


def interpreter_for_everybody() -> str:
    """Return a Python 3.11 or newer that any user may run; ours may lie in a private home."""
    for path in (sys.executable, "/usr/bin/python3"):
        real = Path(path).resolve()
        if not real.exists() or any(not parent.stat().st_mode & 1 for parent in real.parents):
            continue
        check = [path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if subprocess.run(check, check=False).returncode == 0:
            return path
    if os.environ.get("TESTS_MUST_NOT_SKIP"):
        pytest.fail("CI must have a Python that every user can run")
    pytest.skip("no Python 3.11 that every user can run")
