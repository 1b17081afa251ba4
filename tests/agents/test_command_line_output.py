"""What a coding agent prints and says when its turn fails, and what follows from it."""

import os
import resource
import sys
import time
from dataclasses import replace

import pytest

from orchestrator.agents.command_line import TRIES
from orchestrator.agents.keeper import MOST_FILE_BYTES
from orchestrator.agents.process import ProcessAgent
from orchestrator.agents.program_run import LINE_BYTES, Limits, ProgramRun, Started
from orchestrator.core.errors import AgentBlockedError
from orchestrator.core.records import Attempt
from orchestrator.proposals.agent_events import AgentBlocked, Replied
from tests.agents.program_rig import (
    BOTH,
    BRIEF,
    EDIT,
    EDITED,
    PATIENCE_S,
    JsonOutput,
    Rig,
    in_process,
    proposed,
    refused,
)

# -- output ----------------------------------------------------------------------------------------


def test_a_hundred_megabytes_of_output_fill_nothing(rig: Rig) -> None:
    """One line without an end, then many; what comes after them is still read."""
    code = EDIT + (
        "block = b'x' * 2**20\n"
        "for _ in range(50):\n    sys.stdout.buffer.write(block)\n"
        "lines = (b'y' * 1023 + b'\\n') * 1024\n"
        "for _ in range(50):\n    sys.stdout.buffer.write(lines)\n"
        "for _ in range(20):\n    sys.stderr.buffer.write(block)\n"
        "sys.stdout.buffer.write(b'\\n')\n"
        "print(json.dumps({'text': 'description: after all'}))\n"
    )
    before = peak_mb()
    replied = rig.reply(code, streams=True)
    assert proposed(replied).description == "after all"
    assert len(replied.reply.text) < 10_000
    assert peak_mb() - before < 30


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_long_line_comes_cut(rig: Rig) -> None:
    """Its beginning is read, its rest dropped, and the next line is whole."""
    code = "import sys\nsys.stdout.write('x' * 3_000_000 + '\\n' + '{\"text\": \"t\"}')\n"
    output = JsonOutput()
    started = Started([sys.executable, "-I", "-c", code], dict(os.environ), rig.root, "")
    ended = ProgramRun(started, Limits(60.0, None), output).finish()
    assert (output.lines, output.longest) == (2, LINE_BYTES)
    assert ended.said.text == "t"


def test_output_without_end_ends_the_program(rig: Rig) -> None:
    """It is not read for half an hour."""
    code = "import sys\nblock = 'y\\n' * 2**19\nwhile True:\n    sys.stdout.write(block)\n"
    assert "it printed some 256 MiB" in refused(rig.reply(code))


# -- what it says ----------------------------------------------------------------------------------


def test_no_edit_is_the_experiments(rig: Rig) -> None:
    """With what it said instead, in one line."""
    reason = refused(rig.reply("print('All is well.\\nshow: #3')\n"))
    assert reason == "no_edit: command ended and changed nothing: All is well. show: #3"
    assert refused(rig.reply("")) == "no_edit: command ended and changed nothing: it said nothing"


def test_a_refusal_is_one(rig: Rig) -> None:
    """Not every program's exit code tells."""
    assert refused(rig.reply("print('I cannot assist with that.')\n")).startswith("refusal: ")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"error": "Unauthorized", "status": 401}, "its key or login is refused (check $JSON_KEY"),
        ({"error": "invalid api key provided"}, "its key or login is refused"),
        ({"error": "insufficient_quota: check your plan and billing"}, "its quota or credit"),
        ({"error": "no such model", "status": 404}, "it knows no model m-1 (agent.model)"),
    ],
)
def test_what_the_user_must_mend_blocks_the_run(
    rig: Rig, facts: dict[str, object], says: str
) -> None:
    """With the cure, and what the endpoint said; nothing is retried."""
    with pytest.raises(AgentBlockedError) as caught:
        rig.reply(f"import json\nprint(json.dumps({facts!r}))\n", streams=True, model="m-1")
    assert says in str(caught.value)
    assert str(facts["error"]) in str(caught.value)
    assert rig.context.waits == []


def test_the_key_that_is_refused_is_named(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user has named another variable, it is that one."""
    monkeypatch.setenv("MY_KEY", "key-of-mine")
    refuses = 'print(\'{"error": "Unauthorized", "status": 401}\')\n'
    with pytest.raises(AgentBlockedError, match=r"check \$MY_KEY, or log in"):
        rig.reply(refuses, streams=True, api_key_env="MY_KEY")


def test_a_busy_endpoint_is_waited_for(rig: Rig) -> None:
    """429: the turn is made again, with growing pauses; what the tries cost is counted."""
    busy = (
        "import json, pathlib\n"
        f"count = pathlib.Path({str(rig.root / 'count')!r})\n"
        "n = int(count.read_text()) if count.exists() else 0\n"
        "count.write_text(str(n + 1))\n"
        "told = {'tokens': {'input': 100}, 'cost_usd': 0.01}\n"
        "if n < 3:\n"
        "    print(json.dumps(told | {'error': 'Too many requests', 'status': 429}))\n"
        "    raise SystemExit\n"
        "print(json.dumps(told))\n"
    )
    replied = rig.reply(busy + EDIT, streams=True, sandbox="off")
    assert proposed(replied).files == EDITED
    assert replied.reply.tokens.input == 400
    assert replied.reply.cost_usd == pytest.approx(0.04)
    reasons, pauses = zip(*rig.context.waits, strict=True)
    assert reasons == ("command: Too many requests",) * 3
    assert [1 <= pauses[0] <= 2, 2 <= pauses[1] <= 4, 4 <= pauses[2] <= 8] == [True] * 3


def test_it_is_not_waited_for_without_end(rig: Rig) -> None:
    """Each turn may cost something."""
    busy = 'print(\'{"error": "overloaded", "status": 529}\')\n'
    with pytest.raises(AgentBlockedError, match=f"{TRIES} turns in a row"):
        rig.reply(busy, streams=True, sandbox="off")
    assert len(rig.context.waits) == TRIES - 1


@pytest.mark.parametrize("facts", [{"error": "turn failed"}, {"error": "odd", "status": 400}])
def test_an_unknown_error_is_the_experiments(rig: Rig, facts: dict[str, object]) -> None:
    """The next one may do better."""
    reason = refused(rig.reply(f"import json\nprint(json.dumps({facts!r}))\n", streams=True))
    assert f"command failed: {facts['error']}" in reason


def test_an_error_after_the_edit_changes_nothing(rig: Rig) -> None:
    """What counts is the diff."""
    code = EDIT + "print(json.dumps({'error': 'Unauthorized', 'status': 401}))\nsys.exit(1)\n"
    assert proposed(rig.reply(code, streams=True)).files == EDITED


def test_no_secret_is_in_a_reply(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs print their keys when they are refused."""
    monkeypatch.setenv("JSON_KEY", "key-of-this-program")
    code = "import json, os\nprint(json.dumps({'error': 'odd ' + os.environ['JSON_KEY']}))\n"
    assert "failed: odd [key]" in refused(rig.reply(code, streams=True))


def test_a_program_that_went_away_is_no_experiments_fault(rig: Rig) -> None:
    """It is being updated, say: it is tried again, and in the end the user is asked."""
    script = rig.root / "agent"
    script.write_text(f"#!{sys.executable}\n{EDIT}")
    script.chmod(0o755)
    agent = rig.agent("", command=["./agent"], sandbox="off")
    script.chmod(0o644)
    with pytest.raises(AgentBlockedError, match=r"agent can't be started|Permission denied"):
        agent.propose(BRIEF, rig.context)
    reason, _ = rig.context.waits[0]
    assert "Permission denied" in reason


@pytest.mark.parametrize("code", [126, 127])
def test_a_script_that_finds_its_program_no_more_blocks_the_run(rig: Rig, code: int) -> None:
    """Every experiment would fail alike; what it had changed before would count."""
    says = f"import sys\nprint('node: not found', file=sys.stderr)\nsys.exit({code})\n"
    with pytest.raises(AgentBlockedError, match=f"can't run: exit code {code}: node: not found"):
        rig.reply(says)
    assert proposed(rig.reply(EDIT + says)).files == EDITED


def test_no_room_is_waited_for(rig: Rig) -> None:
    """A file where the folder of turns should be is one line."""
    (rig.root / ".autorl").write_text("")
    with pytest.raises(AgentBlockedError, match="command can't be given its folder"):
        rig.reply(EDIT)
    (rig.root / ".autorl").unlink()


def test_a_start_that_was_in_order_may_be_so_no_more(rig: Rig) -> None:
    """The job finds that its program is gone, and says so."""
    agent = in_process(rig, EDIT)
    agent.close()
    config = rig.agent(EDIT)._config.model_copy(update={"command": ["./gone"]})
    agent = ProcessAgent(config, "command", workplace=rig.workplace)
    try:
        agent.ask("1", BRIEF)
        events: list[object] = []
        deadline = time.monotonic() + PATIENCE_S
        while not events and time.monotonic() < deadline:
            events += [event for _, event in agent.poll()]
            time.sleep(0.02)
        [event] = events
        assert isinstance(event, AgentBlocked)
        assert "gone does not exist" in event.reason
    finally:
        agent.close()


def test_a_failed_turn_is_quoted_to_the_next(rig: Rig) -> None:
    """A repair of a turn that left nothing begins with the lead's files."""
    failed = rig.reply("print('nothing')\n").reply.text
    brief = replace(BRIEF, attempts=(Attempt(failed, "no_edit: nothing"),))
    assert proposed(rig.reply(EDIT, brief)).files == EDITED


def test_a_file_that_grows_is_stopped(rig: Rig) -> None:
    """No program fills the disk with one file."""
    code = EDIT + "print('description:', __import__('resource').getrlimit(1)[0])\n"
    assert proposed(rig.reply(code)).description == str(MOST_FILE_BYTES)


@BOTH
def test_where_memory_runs_out_the_program_goes_first(rig: Rig, sandbox: str) -> None:
    """Before the daemon, its ledger, and what is being evaluated."""
    code = EDIT + "print('description:', open('/proc/self/oom_score_adj').read())\n"
    assert proposed(rig.reply(code, sandbox=sandbox)).description == "1000"


def test_two_turns_at_once_share_nothing(rig: Rig) -> None:
    """With lanes, each has a folder and a home of its own."""
    code = EDIT + (
        f"meet = pathlib.Path({str(rig.root)!r}) / 'meet'\n"
        "meet.open('a').write(os.getcwd() + '\\n')\n"
        "while len(set(meet.read_text().split())) < 2:\n    time.sleep(0.02)\n"
        "pathlib.Path(os.environ['HOME'], 'mine').touch(exist_ok=False)\n"
        "print('description: met')\n"
    )
    agent = in_process(rig, code, sandbox="off", timeout_s=PATIENCE_S)
    try:
        agent.ask("1", BRIEF)
        agent.ask("2", BRIEF)
        answers: dict[str, object] = {}
        deadline = time.monotonic() + PATIENCE_S
        while len(answers) < 2:
            assert time.monotonic() < deadline
            answers |= dict(agent.poll())
            time.sleep(0.02)
        for event in answers.values():
            assert isinstance(event, Replied)
            assert proposed(event).description == "met"
    finally:
        agent.close()


def test_folders_within_folders_stop_nothing(rig: Rig) -> None:
    """More of them than calls may be nested, or a path may be long; some of them locked."""
    code = EDIT + (
        "(pathlib.Path('locked') / 'inner').mkdir(parents=True)\n"
        "pathlib.Path('locked/inner/file').touch()\n"
        "for name in ('locked/inner', 'locked'): os.chmod(name, 0)\n"
        "for _ in range(3000): os.mkdir('deep'); os.chdir('deep')\n"
        "pathlib.Path('file').touch()\n"
    )
    assert proposed(rig.reply(code)).files == EDITED
    assert not rig.left()
    assert proposed(rig.reply(EDIT)).files == EDITED
