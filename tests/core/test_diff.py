"""The change between two candidates is a patch that git applies, whatever the files hold."""

import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.core.diff import unified_diff
from orchestrator.core.records import ENV_PATH, TRAIN_PATH, Files

LINES = [f"{i % 150}\n" for i in range(20_000)]
OTHERS = [f"{i * 7 % 149}\n" for i in range(20_000)]
CHANGES = {
    "small": ("a\nb\nc\n", "a\nx\nc\n"),
    "repetitive": ("".join(LINES), "".join(OTHERS)),
    "repetitive amid": ("head\n" * 9 + "".join(LINES) + "end\n" * 9,
                        "head\n" * 9 + "".join(OTHERS) + "end\n" * 9),
    "one line amid": ("".join(LINES), "".join([*LINES[:9000], "x\n", *LINES[9001:]])),
    "appended": ("".join(LINES), "".join([*LINES, "x\n"])),
    "prepended": ("".join(LINES), "".join(["x\n", *LINES])),
    "removed": ("".join(LINES), "".join(LINES[100:])),
    "without a last newline": ("".join(LINES)[:-1], "".join(OTHERS)[:-1]),
    "same": ("".join(LINES), "".join(LINES)),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=list(CHANGES))
def test_change_is_a_patch_that_git_applies(tmp_path: Path, before: str, after: str) -> None:
    """Files of many equal lines are compared in bounded time, and the patch is right."""
    began = time.process_time()
    patch = "".join(unified_diff(Files("env\n", before), Files("env\n", after)))
    assert time.process_time() - began < 10
    (tmp_path / "candidate").mkdir()
    (tmp_path / ENV_PATH).write_text("env\n")
    (tmp_path / TRAIN_PATH).write_text(before)
    if before == after:
        assert patch == ""
        return
    subprocess.run(["git", "apply"], cwd=tmp_path, input=patch, text=True, check=True)
    assert (tmp_path / TRAIN_PATH).read_text() == after
