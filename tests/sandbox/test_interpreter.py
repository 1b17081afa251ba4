"""The interpreter's file belongs to the user, and no worker changes it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sandbox
from sandbox import Tier, interpreter
from tests.sandbox.test_probe import interpreter_for_everybody
from tests.sandbox.tiers import skip_without

PROBE = "from sandbox.probe import main; main()"
# The owner then starts the server as it would any other, as where the kernel refuses the mount.
UNPROTECTED = f"from sandbox import interpreter; interpreter.is_exposed = lambda: False; {PROBE}"


@pytest.fixture
def own() -> Iterator[Path]:
    """A Python that belongs to an ordinary user, with the package beside it."""
    skip_without(Tier.NAMESPACES)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(Path(sandbox.__file__).parent, Path(folder, "sandbox"))
        python = Path(folder, "python3")
        shutil.copy(Path(interpreter_for_everybody()).resolve(), python)
        if os.getuid() == 0:
            os.chown(python, 1000, 1000)
        if run(python, "import json").returncode:
            pytest.skip("this Python does not run from elsewhere")
        yield python


def run(python: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code as the owner of the interpreter."""
    place = str(python.parent)
    environment = {
        "PYTHONPATH": place,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ["PATH"],
        "TMPDIR": "/tmp",  # ours may be closed to the user
    }
    user: dict[str, Any] = {"user": 1000, "group": 1000, "extra_groups": []}
    return subprocess.run(
        [str(python), "-c", code], env=environment, cwd=place, capture_output=True, text=True,
        check=False, **(user if os.getuid() == 0 else {}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "says"), [(PROBE, "Read-only file system"), (UNPROTECTED, "No such file or directory")]
)
def test_a_worker_can_not_change_the_users_interpreter(own: Path, code: str, says: str) -> None:
    """It is mounted read-only, or where it is not there is no way to it: no /proc."""
    done = run(own, code)
    assert f"stopped  change the interpreter's mode: {says}" in done.stdout, done
    assert done.stdout.splitlines()[0] == "tier: namespaces"
    assert done.stdout.splitlines()[-1] == "confinement holds"


def test_whose_interpreter_is_exposed(own: Path) -> None:
    """The owner's is; one that the user may not change is not."""
    asked = "from sandbox import interpreter; print(interpreter.is_exposed())"
    assert run(own, asked).stdout == "True\n"
    if os.getuid() == 0:
        os.chown(own, 0, 0)
        assert run(own, asked).stdout == "False\n"
        assert not interpreter.is_exposed()
