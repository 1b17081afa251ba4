"""The evaluator's file and what scores depend on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.core.errors import UserError
from orchestrator.evaluation.framework_file import check_framework
from tests.conftest import REPOSITORY

HASHED = [name for name in ("simverse", "sandbox", "referee") if (REPOSITORY / name).is_dir()]


def test_another_evaluator_is_refused_unrun(tmp_path: Path) -> None:
    """A framework.py without our protocol is named, with the cure, and never executed."""
    file = tmp_path / "framework.py"
    with pytest.raises(UserError, match="missing"):
        check_framework(file)
    file.write_text("raise SystemExit('run!')\n")
    with pytest.raises(UserError, match="no EVALUATOR_PROTOCOL"):
        check_framework(file)
    file.write_text("EVALUATOR_PROTOCOL = 999\n")
    with pytest.raises(UserError, match="protocol 999"):
        check_framework(file)


def hashes_in(folder: Path, change: str = "") -> str:
    """Return which parts are hashed in a folder of packages, and which of them a change changes."""
    code = (
        "import pathlib; from orchestrator.evaluation.framework_file import hashes\n"
        f"file = pathlib.Path('framework.py'); before = hashes(file, pathlib.Path('task'))\n{change}\n"
        "after = hashes(file, pathlib.Path('task'))\n"
        "print(*before, 'changed:', *(name for name in after if before[name] != after[name]))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],  # -S: no package but those of the folder is found
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("package", HASHED)
def test_a_changed_library_is_noticed(tmp_path: Path, package: str) -> None:
    """The installed packages that scores depend on are hashed with the evaluator."""
    for name in ("orchestrator", *HASHED):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    change = f"open('{package}/__init__.py', 'a').write('# a change')"
    assert hashes_in(tmp_path, change).endswith(f"changed: {package}")


def test_a_change_that_hides_its_traces_is_noticed(tmp_path: Path) -> None:
    """Files that did not change are not read again; size and time of modification can be faked."""
    for name in ("orchestrator", "simverse"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    change = (
        "import os, time; time.sleep(1.5); hashes(file, pathlib.Path('task'))\n"
        "path = 'simverse/__init__.py'\n"
        "facts, text = os.stat(path), open(path).read()\n"
        "open(path, 'r+').write(text[:-2] + ' \\n' if text[-2] != ' ' else 'x')\n"
        "os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))\n"
        "assert os.stat(path).st_size == facts.st_size"
    )
    assert hashes_in(tmp_path, change).endswith("changed: simverse")


def test_a_package_that_is_not_installed_is_left_out(tmp_path: Path) -> None:
    """What is there is hashed; files that are missing are named all the same."""
    for name in ("orchestrator", "simverse", "sandbox"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    assert hashes_in(tmp_path) == "framework.py train.py simverse sandbox changed:"
