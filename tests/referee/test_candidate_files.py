"""A candidate's files reach the workers as Python reads them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from framework import Referee
from referee.candidate_files import read_candidate
from referee.records import CandidateError
from tests.candidates import write_candidate
from tests.referee.conftest import evaluate

ENV = "\ufeff# -*- coding: utf-8 -*-\nNAME = 'é'\nLINES = '''a\nb'''\n"
TRAIN = "WIDTH = 8\rif WIDTH:\r    WIDTH = 9\r"
_IMPORT = """
import json, sys
from referee.candidate_code import load_candidate, place
folder = place(json.loads(sys.argv[1]))
env, train = load_candidate(folder, "env"), load_candidate(folder, "train")
print(ascii([env.NAME, env.LINES, train.WIDTH]))
"""


@pytest.mark.system
def test_worker_imports_what_python_imports(tmp_path: Path) -> None:
    """A byte order mark, a coding line that is true, and lines that end in CR are legal."""
    folder = tmp_path / "anything"
    folder.mkdir()
    (folder / "env.py").write_bytes(ENV.encode())
    (folder / "train.py").write_bytes(TRAIN.encode())
    command = [sys.executable, "-c", _IMPORT, json.dumps(read_candidate(folder))]
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == r"['\xe9', 'a\nb', 9]"


def test_other_encodings_are_refused_by_name(tmp_path: Path) -> None:
    """A file that is not UTF-8 is an invalid candidate, whatever its coding line says."""
    (tmp_path / "env.py").write_bytes("# coding: latin-1\nNAME = 'é'\n".encode("latin-1"))
    with pytest.raises(CandidateError, match=r"candidate/env\.py"):
        read_candidate(tmp_path)


HIDDEN = """
from pathlib import Path

SCALE = len(next(Path(__file__).parent.glob("tr*n.py")).read_text())
"""


@pytest.mark.system
def test_an_environment_reads_train_only_where_it_says_so(tmp_path: Path, referee: Referee) -> None:
    """Else a change of train.py could change the reward, and nobody would compare the two."""
    write_candidate(tmp_path)
    env = tmp_path / "env.py"
    env.write_text(f"{env.read_text()}\n{HIDDEN}")
    with pytest.raises(CandidateError, match="StopIteration") as failed:
        evaluate(referee, tmp_path)
    assert failed.value.kind == "crash"
    env.write_text(f"{env.read_text()}\n# It reads train.py.\n")
    assert evaluate(referee, tmp_path).seed_results
