"""`docs/simverse.md`: its files and commands as a reader would use them, and every name it lists."""

import pydoc
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import simverse.core
import simverse.training
from tests.conftest import REPOSITORY
from tests.e2e.test_worlds_page import blocks

PAGE = (REPOSITORY / "docs" / "simverse.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^##+ ", PAGE, flags=re.MULTILINE)
NAMES = re.findall(r"`(simverse(?:\.\w+)+)`", PAGE)


def commands(text: str) -> list[list[str]]:
    """Return the commands of a text, in order."""
    listed = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).splitlines()
    return [shlex.split(line) for line in listed]


@pytest.mark.system
@pytest.mark.parametrize(
    "section", list(filter(commands, SECTIONS)), ids=lambda text: text[:20].strip()
)
def test_files_and_commands_run_in_order(section: str, tmp_path: Path) -> None:
    """Those of each section in a folder, as they stand on the page."""
    for name, text in blocks(section).items():
        (tmp_path / name).write_text(text)
    for program, *rest in commands(section):
        assert program in {"sim", "python"}
        module = ["-m", "simverse.cli"] if program == "sim" else []
        done = subprocess.run(
            [sys.executable, *module, *rest], cwd=tmp_path, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, (program, rest, done.stdout, done.stderr)


def test_every_block_of_code_is_a_file() -> None:
    """So that none goes untried."""
    assert PAGE.count("```python") == len(blocks(PAGE)) == 4


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_names_are_there(name: str) -> None:
    """What the page names can be imported, or is an attribute of what can."""
    assert pydoc.locate(name) is not None


def test_the_page_lists_the_packages_names() -> None:
    """All that `simverse`, its core and its training export."""
    exported = {f"simverse.{name}" for name in simverse.__all__}
    exported |= {f"simverse.core.{name}" for name in simverse.core.__all__}
    exported |= {f"simverse.training.{name}" for name in simverse.training.__all__}
    with_other_homes = {"simverse.PPOTrainer", "simverse.TrainingStats"}
    assert exported - set(NAMES) <= with_other_homes | {
        "simverse.training.EpisodeStats", "simverse.training.PPOConfig",
    }  # fmt: skip
