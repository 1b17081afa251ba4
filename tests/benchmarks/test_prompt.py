"""The benchmark of the prompt's size prints its tables."""

import subprocess
import sys

from tests.conftest import REPOSITORY


def test_sizes_and_prefixes_are_printed() -> None:
    """A row a part, and the share of each prompt that the next one begins with."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.prompt", "--experiments", "12"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    header = next(line for line in lines if line.startswith("after experiment"))
    assert header.split()[2:] == ["#1", "#10", "#12"]
    rows = {line.split()[0]: line.split()[1:] for line in lines if len(line.split()) == 4}
    parts = [name for name in rows if name != "all"]
    for column in range(3):
        total = sum(int(rows[name][column].replace(",", "")) for name in parts)
        assert total == int(rows["all"][column].replace(",", ""))
    assert "Common prefix of consecutive prompts, over 11 experiments" in done.stdout
