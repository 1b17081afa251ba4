"""The runner of coding agents, with small programs in their place: what a turn is."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.command_line import CommandLineAgent
from orchestrator.config.endpoints import AgentConfig, Prices
from orchestrator.core.errors import UserError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Attempt, Reply, Rung, Status, Tokens
from orchestrator.proposals.agent_events import NothingToAdd
from orchestrator.proposals.prompt import build_messages
from orchestrator.proposals.reply import lessons_in
from tests.agents.program_rig import (
    BOTH,
    BRIEF,
    EDIT,
    EDITED,
    ENV,
    TRAIN,
    Rig,
    proposed,
    refused,
)

SAYS = (
    EDIT
    + """\
print("I had a look.\\ndescription: twice the rate\\nrationale: it learnt slowly,\\nand evenly")
"""
)


@BOTH
def test_the_diff_of_the_two_files_is_the_reply(rig: Rig, sandbox: str) -> None:
    """With the description of the last message, in the format of every agent."""
    replied = rig.reply(SAYS, sandbox=sandbox)
    proposal = proposed(replied)
    assert proposal.files == EDITED
    assert proposal.description == "twice the rate"
    assert proposal.rationale == "it learnt slowly,\nand evenly"
    assert replied.reply.text.startswith("description: twice the rate\n")
    assert "candidate/env.py" not in replied.reply.text
    assert replied.reply.cost_usd is None
    assert replied.reply.tokens == Tokens()


def test_a_program_without_a_last_message_has_no_description(rig: Rig) -> None:
    """Its edit counts all the same."""
    assert proposed(rig.reply(EDIT)).description == "(no description)"


def test_the_folder_holds_what_an_agent_needs(rig: Rig) -> None:
    """The files, program.md, the text that an API gets, the record; nothing says git."""
    code = (
        "import json, pathlib, sys\n"
        "texts = {str(p): p.read_text() for p in pathlib.Path().rglob('*') if p.is_file()}\n"
        "(pathlib.Path('candidate') / 'env.py').write_text('# ' + json.dumps(texts))\n"
        "print('description:', json.dumps(sys.stdin.read())[:50])\n"
    )
    history = [experiment(n, Status.LEAD if n == 3 else Status.DISCARD) for n in range(1, 151)]
    for each in history:
        folder = rig.root / "logs" / "experiments" / str(each.n)
        folder.mkdir(parents=True)
        for name in ("patch.diff", "evaluator.log", "reply.md", "replay.json", "withheld.log"):
            (folder / name).write_text(f"{name} of {each.n}\n")
    (rig.root / "logs" / "experiments" / "150" / "patch.diff").write_text("x" * 100_000)
    replied = rig.reply(code, replace(BRIEF, history=tuple(history)))
    texts = json.loads(replied.reply.text.split("# ", 1)[1].split("\n```")[0])
    record = {name.split("/")[1] for name in texts if name.startswith("experiments/")}
    assert record == {"003", *(f"{n:03d}" for n in range(51, 151))}
    names = {name for name in texts if not name.startswith("experiments/")}
    assert names == {"candidate/env.py", "candidate/train.py", "program.md", "notebook.md", "check"}
    assert texts["candidate/env.py"], texts["candidate/train.py"] == (ENV, TRAIN)
    assert texts["program.md"] == "Find the key.\n"
    asked = replace(BRIEF, history=tuple(history))
    assert texts["notebook.md"] == build_messages(asked, context_tokens=64_000)[1].content + "\n"
    assert texts["experiments/003/evaluator.log"] == "evaluator.log of 3\n"
    assert set(texts) >= {f"experiments/003/{name}" for name in ("patch.diff", "reply.md")}
    assert not {"experiments/003/replay.json", "experiments/003/withheld.log"} & set(texts)
    assert len(texts["experiments/150/patch.diff"]) < 40_000
    assert [message.role for message in replied.sent] == ["user", "notebook.md"]
    assert replied.sent[1].content == texts["notebook.md"]


def test_links_in_the_record_are_not_followed(rig: Rig) -> None:
    """In a workspace of somebody else's making they may lead to any file of the user's."""
    secret = rig.root / "secret"
    secret.write_text("s")
    folders = [rig.root / "logs" / "experiments" / str(n) for n in (1, 2, 3)]
    folders[0].mkdir(parents=True)
    (folders[0] / "patch.diff").write_text("mine")
    (folders[0] / "reply.md").symlink_to(secret)
    folders[1].symlink_to(folders[0])
    folders[2].mkdir()
    os.mkfifo(folders[2] / "reply.md")
    code = EDIT + (
        "names = sorted(str(p) for p in pathlib.Path('experiments').rglob('*') if p.is_file())\n"
        "print('description:', names)\n"
    )
    history = tuple(experiment(n, Status.DISCARD) for n in (1, 2, 3))
    said = proposed(rig.reply(code, replace(BRIEF, history=history))).description
    assert said == "['experiments/001/patch.diff']"


def experiment(n: int, status: Status) -> Experiment:
    verdict = {"lead": True} if status is Status.LEAD else {}
    return Experiment(n, "t", False, status, Rung(12, 8), "command", verdict=verdict)


def test_the_users_world_is_there_to_read(rig: Rig) -> None:
    """And what the reply is read by is the contract of worlds."""
    code = (
        "import pathlib\n"
        "world = pathlib.Path('task/world.py').read_text()\n"
        "text = 'def observation_space(v): pass\\ndef observe(v): pass\\n# ' + world\n"
        "pathlib.Path('candidate/env.py').write_text(text)\n"
    )
    brief = replace(BRIEF, world={"world.py": "SIZE = 5\n", "maps.py": "MAPS = []\n"})
    replied = rig.reply(code, brief)
    assert "# SIZE = 5" in replied.reply.text
    assert "task/: the world" in replied.sent[0].content
    assert "observation_space(view_spaces)" in replied.sent[0].content


@BOTH
def test_a_program_sees_nothing_of_the_daemons_environment(
    rig: Rig, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But the path, the language, a home and a folder for temporary files, and what is named."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-others")
    monkeypatch.setenv("MY_SETTING", "42")
    code = (
        "import json, os, pathlib\n"
        "pathlib.Path('candidate/env.py').write_text('# ' + json.dumps(dict(os.environ)))\n"
        "pathlib.Path(os.environ['HOME'], 'x').write_text('')\n"
        "pathlib.Path(os.environ['TMPDIR'], 'x').write_text('')\n"
    )
    replied = rig.reply(code, sandbox=sandbox, env=["MY_SETTING"])
    seen = json.loads(replied.reply.text.split("# ", 1)[1].split("\n```")[0])
    assert seen["MY_SETTING"] == "42"
    assert seen["TERM"] == "dumb"
    assert seen["PATH"] == os.environ["PATH"]
    assert "OPENAI_API_KEY" not in seen
    folder = Path(seen["HOME"]).parent
    assert folder.parent == rig.root / ".autorl" / "agents"
    assert Path(seen["TMPDIR"]) == folder / "tmp"
    assert "dropped" not in replied.reply.text


def test_a_program_gets_its_own_settings_and_key(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `Call` says: variables, and files below its own home; its key is in no reply."""
    monkeypatch.setenv("JSON_KEY", "key-of-this-program")
    code = EDIT + (
        "home = pathlib.Path(os.environ['HOME'])\n"
        "text = (home / '.json' / 'settings').read_text() + os.environ['JSON_KEY']\n"
        "print(json.dumps({'text': 'description: ' + text.replace('\\n', '; ')}))\n"
    )
    assert proposed(rig.reply(code, streams=True)).description == "quiet = true; [key]"


def test_tokens_and_cost_are_the_programs(rig: Rig) -> None:
    """A cost that it does not tell is computed from its tokens, where prices are known."""
    told = {"tokens": {"input": 1000, "cached": 200, "output": 50}}
    code = EDIT + f"print({json.dumps(told)!r})\n"
    reply = rig.reply(code, streams=True).reply
    assert reply.tokens == Tokens(1000, 200, 50)
    assert reply.cost_usd is None
    prices = Prices(input=1.0, cached=0.5, output=10.0)
    reply = rig.reply(code, streams=True, prices=prices).reply
    assert reply.cost_usd == pytest.approx((800 + 100 + 500) / 1e6)
    code = EDIT + f"print({json.dumps(told | {'cost_usd': 0.25})!r})\n"
    assert rig.reply(code, streams=True, prices=prices).reply.cost_usd == 0.25


def test_what_else_it_touches_is_named_and_dropped(rig: Rig) -> None:
    """New files, changed ones, removed ones; not what the check leaves."""
    code = EDIT + (
        "os.chmod('program.md', 0o644)\n"
        "open('program.md', 'a').write('More.')\n"
        "os.mkdir('sub'); open('sub/new.txt', 'w').write('x')\n"
        "os.remove('notebook.md')\n"
    )
    replied = rig.reply(code, sandbox="off")
    assert proposed(replied).files == EDITED
    first = replied.reply.text.splitlines()[0]
    assert first == "dropped: notebook.md, program.md, sub/new.txt"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("train.unlink()", "no_edit: command left no usable file: candidate/train.py is missing"),
        ("train.unlink(); train.symlink_to('/etc/passwd')", "is a symbolic link"),
        ("train.unlink(); os.mkfifo(train)", "candidate/train.py is a pipe"),
        ("train.unlink(); train.mkdir()", "candidate/train.py is a folder"),
        ("train.write_bytes(b'\\xff\\xfe')", "candidate/train.py is not UTF-8 (byte 0)"),
        ("train.write_text('x' * 300_000)", "candidate/train.py has more than 262144 bytes"),
        ("train.open('w').truncate(10**9)", "candidate/train.py has more than 262144 bytes"),
        (
            "os.rename('candidate', 'gone'); os.symlink('gone', 'candidate')",
            "candidate is no folder any more",
        ),
        ("train.write_text('def f(:')", "syntax_error: candidate/train.py line 1"),
        ("train.write_text('LR = 1')", "missing_function: candidate/train.py lacks"),
    ],
)
def test_what_is_no_candidate_is_the_experiments_fault(rig: Rig, code: str, says: str) -> None:
    """One line says what stands there; nothing is followed, waited for or read whole."""
    reason = refused(rig.reply(EDIT + code + "\nprint('description: odd')\n"))
    assert says in reason
    assert "\n" not in reason


def test_one_repair_begins_with_the_files_as_they_were_left(rig: Rig) -> None:
    """The prompt tells the error; a second failure is answered no more."""
    broken = rig.reply(EDIT + "train.write_text(train.read_text() + 'oops(')\n")
    assert "syntax_error" in refused(broken)
    brief = replace(BRIEF, attempts=(Attempt(broken.reply.text, "line 9: oops( was not closed"),))
    mend = (
        "import pathlib, sys\n"
        "train = pathlib.Path('candidate/train.py')\n"
        "train.write_text(train.read_text().replace('oops(\\n', ''))\n"
        "print('description:', 'oops( was not closed' in sys.stdin.read())\n"
    )
    mended = proposed(rig.reply(mend, brief))
    assert mended.files == EDITED
    assert mended.description == "True"
    twice = replace(brief, attempts=(*brief.attempts, Attempt("x", "y")))
    assert rig.agent(mend).propose(twice, rig.context) == NothingToAdd()


def test_a_repair_that_changes_nothing_is_no_edit(rig: Rig) -> None:
    """Nor is one that puts the files back as the lead has them."""
    broken = rig.reply(EDIT + "train.write_text(train.read_text() + 'oops(')\n").reply.text
    brief = replace(BRIEF, attempts=(Attempt(broken, "oops"),))
    assert "ended and changed nothing: done" in refused(rig.reply("print('done')", brief))
    back = f"import pathlib\npathlib.Path('candidate/train.py').write_text({TRAIN!r})\n"
    assert "put both files back as they were" in refused(rig.reply(back, brief))


def test_output_in_no_known_format_is_told(rig: Rig) -> None:
    """Where there is no diff to go by; where there is one, nothing else counts."""
    code = 'print(\'{"text": "t", "is_known": false}\')\n'
    reason = refused(rig.reply(code, streams=True))
    assert reason.endswith("changed nothing: t; its output is in no format that is known here")
    assert proposed(rig.reply(EDIT + code, streams=True)).files == EDITED


def test_lessons_are_in_the_reply(rig: Rig) -> None:
    """Asked for when they are due."""
    code = EDIT + "print('description: d\\nlessons: works\\n- a higher rate (#3)')\n"
    replied = rig.reply(code, replace(BRIEF, lessons_due=True))
    assert "lessons: what the record has taught you" in replied.sent[0].content
    assert lessons_in(Reply(replied.reply.text)) == "works\n- a higher rate (#3)"
    assert proposed(replied).files == EDITED


def test_the_folders_of_killed_turns_are_removed(rig: Rig) -> None:
    """By the next turn, whatever modes are on them."""
    stale = rig.root / ".autorl" / "agents" / "turn-stale"
    (stale / "work" / "closed").mkdir(parents=True)
    (stale / "work" / "closed" / "x").write_text("")
    (stale / "work" / "closed").chmod(stat.S_IRUSR)
    rig.reply(EDIT)
    assert not stale.exists()


def test_the_name_is_made_of_backend_and_model(rig: Rig) -> None:
    """Or given."""
    assert rig.agent("").name == "command"
    assert rig.agent("", model="m-1").name == "command:m-1"
    assert rig.agent("", model="m-1", name="mine").name == "mine"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"command": None}, "agent.command is missing"),
        ({"command": []}, "agent.command is missing"),
        ({"command": ["no-such-agent"]}, "no-such-agent is not installed"),
        ({"command": ["./notes.txt"]}, r"notes\.txt is not executable"),
        ({"env": ["NO_SUCH_VARIABLE"]}, r"agent\.env names \$NO_SUCH_VARIABLE"),
    ],
)
def test_what_is_missing_is_told_at_the_start(rig: Rig, options: dict[str, Any], says: str) -> None:
    """One line that names it."""
    (rig.root / "notes.txt").write_text("")
    with pytest.raises(UserError, match=says) as caught:
        rig.agent("", **options)
    assert "\n" not in str(caught.value)


def test_a_command_may_lie_in_the_workspace(rig: Rig) -> None:
    """`./` begins there, wherever the program runs."""
    script = rig.root / "agent.sh"
    script.write_text("#!/bin/sh\nsed -i s/1e-3/2e-3/ candidate/train.py\n")
    script.chmod(0o755)
    config = AgentConfig(backend="command", command=["./agent.sh"])
    replied = CommandLineAgent(config, rig.workplace).propose(BRIEF, rig.context)
    assert not isinstance(replied, NothingToAdd)
    assert proposed(replied).files == EDITED
