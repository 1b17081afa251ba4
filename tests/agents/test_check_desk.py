"""`./check` in a program's folder, from inside and outside of a confinement."""

import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.daemon.candidate_check import CHECKER
from orchestrator.proposals.conformance import CheckSettings
from orchestrator.proposals.program_prompt import CHECKS
from sandbox import Tier
from tests.agents.program_rig import BOTH, BRIEF, EDIT, Rig, gone, marked, proposed
from tests.conftest import REPOSITORY

ASK = """\
done = subprocess.run("./check", capture_output=True, text=True)
print("description:", done.returncode, done.stdout.replace("\\n", "; "), done.stderr)
"""
SETTINGS = CheckSettings(Tier.OFF, 4, None, "cpu", 10.0, "fp32", "fused", None)


def checking(rig: Rig, code: str) -> None:
    """Have `./check` run this code in place of the checker."""
    checker = (sys.executable, "-I", "-c", textwrap.dedent(code))
    rig.workplace = replace(rig.workplace, checker=checker, check=SETTINGS)


def said(rig: Rig, code: str = ASK, **options: object) -> str:
    return proposed(rig.reply(EDIT + code, **options)).description  # type: ignore[arg-type]


@BOTH
def test_the_answer_comes_into_the_folder(rig: Rig, sandbox: str) -> None:
    """What the checker finds, with its exit status; what is checked is what stands there."""
    checking(rig, """\
        import json, sys
        message = json.load(sys.stdin)
        assert "LR = 2e-3" in message["files"]["train.py"]
        print(json.dumps({"problems": [] if message["world"] is None else ["x"]}))
    """)  # fmt: skip
    assert said(rig, sandbox=sandbox) == "0 ok: it can be evaluated; (19 checks left);"


@pytest.mark.long  # it imports torch, twice
@BOTH
def test_the_real_check_plays_what_stands_there(rig: Rig, sandbox: str) -> None:
    """An environment that breaks the contract is told, an earlier one that keeps it passes."""
    candidate = REPOSITORY / "candidate"
    rig.workplace = replace(rig.workplace, checker=CHECKER, check=SETTINGS)
    code = (
        f"env = {(candidate / 'env.py').read_text()!r}\n"
        f"train.write_text({(candidate / 'train.py').read_text()!r})\n"
        "pathlib.Path('candidate/env.py').write_text(env)\n"
        "first = subprocess.run('./check', capture_output=True, text=True).stdout\n"
        "broken = env + '\\ncreate_env = lambda *a, **k: 1 / 0\\n'\n"
        "pathlib.Path('candidate/env.py').write_text(broken)\n"
        "second = subprocess.run('./check', capture_output=True, text=True).stdout\n"
        "pathlib.Path('candidate/env.py').write_text(env)\n"
        "print('description:', first.splitlines()[0])\n"
        "print('rationale:', second)\n"
    )
    proposal = proposed(rig.reply(EDIT + code, sandbox=sandbox))
    assert proposal.description == "ok: it can be evaluated"
    assert proposal.rationale.startswith("a mistake:\n")
    assert "ZeroDivisionError" in proposal.rationale


def test_mistakes_of_syntax_are_told_without_a_process(rig: Rig) -> None:
    """By line, of both files at once."""
    checking(rig, "raise SystemExit('never run')")
    code = (
        "was = train.read_text()\n"
        "train.write_text('x = 1\\ndef f(:\\n')\n"
        "pathlib.Path('candidate/env.py').write_text('')\n"
        "done = subprocess.run('./check', capture_output=True, text=True)\n"
        "train.write_text(was)\n"
        "pathlib.Path('candidate/env.py').write_text('def create_env(c): pass')\n"
        "print('description: d\\nrationale:', done.returncode, done.stdout)\n"
    )
    text = proposed(rig.reply(EDIT + code)).rationale
    assert text.startswith("1 2 mistakes:\n")
    assert "candidate/env.py lacks create_env()" in text
    assert "candidate/train.py line 2: " in text


def test_what_stands_there_may_be_no_file(rig: Rig) -> None:
    """Then that is the answer."""
    checking(rig, "raise SystemExit('never run')")
    move = "os.rename(train, 'kept')\n" + ASK + "os.rename('kept', train)\n"
    assert "candidate/train.py is missing" in said(rig, move)


def test_without_a_checker_the_syntax_is_checked(rig: Rig) -> None:
    """And the answer says that nothing was run."""
    assert "both files parse" in said(rig)
    assert "nothing was run" in said(rig)


@pytest.mark.parametrize(
    ("checker", "says"),
    [
        ("import sys; sys.exit('no torch here')", "could not be checked: no torch here"),
        ("print('what?')", "could not be checked: exit code 0"),
        ("print('[]')", "could not be checked: exit code 0"),
        ("print('x' * 10_000_000)", "could not be checked: exit code 0"),
    ],
)
def test_a_checker_that_fails_is_no_mistake(rig: Rig, checker: str, says: str) -> None:
    """The agent is told that it is not known."""
    checking(rig, checker)
    text = said(rig)
    assert says in text
    assert text.startswith("1 ")


def test_a_long_answer_is_cut(rig: Rig) -> None:
    """A thousand mistakes are not read."""
    checking(rig, "import json; print(json.dumps({'problems': ['m' * 2000] * 1000}))")
    assert int(said(rig, ASK.replace("done.stdout.replace", "len(done.stdout) or str.replace").replace(
        '("\\n", "; ")', ""))[2:].split()[0]) < 7000  # fmt: skip


def test_checks_are_counted(rig: Rig) -> None:
    """After the last one the answer is that there are no more."""
    code = (
        f"for _ in range({CHECKS}):\n"
        "    last = subprocess.run('./check', capture_output=True, text=True).stdout\n"
    )
    text = said(rig, code + ASK + "print(last)\n")
    assert text.startswith("1 no more: 20 checks a turn are the most. End now.; (0 checks left);")


def test_two_at_once_get_an_answer_each(rig: Rig) -> None:
    """One after the other; what is no question is not answered."""
    checking(rig, "import json; print(json.dumps({'problems': []}))")
    code = (
        "open('.check/ask', 'w').write('../../../escape\\n' + 'x' * 5000 + '\\n')\n"
        "both = [subprocess.Popen('./check', stdout=subprocess.PIPE) for _ in range(2)]\n"
        "texts = [each.communicate()[0].decode().split(';')[0].strip() for each in both]\n"
        "print('description:', sorted(texts), sorted(os.listdir('.check'))[-1])\n"
    )
    text = said(rig, code)
    assert text.count("ok: it can be evaluated") == 2
    assert text.endswith("ask")


@BOTH
def test_an_answer_goes_nowhere_else(rig: Rig, sandbox: str) -> None:
    """Though the program puts a link in the place of the folder of answers."""
    elsewhere = rig.root / "elsewhere"
    elsewhere.mkdir()
    checking(rig, "import json; print(json.dumps({'problems': []}))")
    code = (
        "pipe = open('.check/ask', 'w')\n"
        "os.rename('.check', 'moved')\n"
        f"os.symlink({str(elsewhere)!r}, '.check')\n"
        "pipe.write('1-1\\n'); pipe.flush()\n"
        "while not os.path.exists('moved/1-1'):\n    time.sleep(0.02)\n"
        "print('description:', open('moved/1-1').read())\n"
    )
    assert said(rig, code, sandbox=sandbox).startswith("ok: it can be evaluated")
    assert list(elsewhere.iterdir()) == []


def test_a_check_ends_with_its_turn(rig: Rig, mark: str) -> None:
    """A program that does not wait for the answer leaves no check behind."""
    file = rig.root / "pid"
    checking(rig, f"""\
        import os, time
        open({str(file)!r}, "w").write(str(os.getpid()))
        time.sleep(600)
    """)  # fmt: skip
    code = (
        "subprocess.Popen('./check', stdout=subprocess.DEVNULL)\n"
        f"while not os.path.exists({str(file)!r}):\n    time.sleep(0.02)\n"
        "print('description: impatient')\n"
    )
    assert said(rig, code, sandbox="off") == "impatient"
    assert not Path(f"/proc/{file.read_text()}").exists()
    assert gone(mark)
    assert marked(mark) == []


def test_silence_does_not_count_during_a_check(rig: Rig) -> None:
    """The program waits for us."""
    checking(rig, "import json, time; time.sleep(3); print(json.dumps({'problems': []}))")
    began = time.monotonic()
    code = EDIT + (
        "subprocess.run('./check', stdout=subprocess.DEVNULL)\n"
        "print(json.dumps({'text': 'description: patient'}))\n"
    )
    assert proposed(rig.reply(code, streams=True, silence_s=2.0)).description == "patient"
    assert time.monotonic() - began > 3


def test_a_check_knows_the_users_world(rig: Rig) -> None:
    """It is part of what the checker is given."""
    checking(rig, "import json, sys; print(json.dumps({'problems': [json.load(sys.stdin)['world']['world.py']]}))")  # fmt: skip
    brief = replace(BRIEF, world={"world.py": "SIZE = 5"})
    code = (
        "import pathlib, subprocess\n"
        "text = 'def observation_space(v): pass\\ndef observe(v): pass\\n'\n"
        "pathlib.Path('candidate/env.py').write_text(text)\n"
        "done = subprocess.run('./check', capture_output=True, text=True)\n"
        "print('description:', done.stdout.replace('\\n', '; '))\n"
    )
    assert "description: a mistake:; SIZE = 5; (19" in rig.reply(code, brief).reply.text
