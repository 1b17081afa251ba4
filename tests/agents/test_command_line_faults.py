"""Coding agents that misbehave: nothing is left running, and the experiment is not lost."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from orchestrator.agents.process import ProcessAgent
from orchestrator.proposals.agent_events import Replied
from tests.agents.program_rig import (
    BOTH,
    BRIEF,
    EDIT,
    EDITED,
    HANG,
    PATIENCE_S,
    Rig,
    gone,
    in_process,
    marked,
    proposed,
    refused,
)

OVER = "print(json.dumps({'text': 'description: d', 'over': True}), flush=True)\n"
CHILD = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']{})\n"
ESCAPED = CHILD.format(", start_new_session=True")
TWICE_FORKED = """\
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        time.sleep(600)
    os._exit(0)
time.sleep(0.1)
"""


# -- hangs -----------------------------------------------------------------------------------------


@BOTH
def test_a_program_that_hangs_is_ended_by_the_clock(rig: Rig, sandbox: str) -> None:
    """Before it has done anything: a failed reply, which says why."""
    reason = refused(rig.reply(HANG.format(ESCAPED), timeout_s=1.0, sandbox=sandbox))
    assert "when it was ended: not over after 1 s (agent.timeout_s)" in reason


def test_what_it_had_changed_when_it_was_ended_counts(rig: Rig) -> None:
    """The work of half an hour is not thrown away."""
    replied = rig.reply(HANG.format(EDIT), timeout_s=4.0)
    assert proposed(replied).files == EDITED


def test_a_program_that_streams_may_not_be_silent(rig: Rig) -> None:
    """It says something now and then, and then nothing more."""
    chatty = "for _ in range(6):\n    print('{}', flush=True)\n    time.sleep(0.5)\n"
    began = time.monotonic()
    reason = refused(rig.reply(HANG.format(chatty), streams=True, silence_s=2.0))
    assert "silent for 2 s (agent.silence_s)" in reason
    assert time.monotonic() - began > 4.0


def test_only_where_it_streams(rig: Rig) -> None:
    """A program that prints its answer at the end is silent before."""
    assert proposed(rig.reply("import time; time.sleep(1)\n" + EDIT, silence_s=0.3)).files == EDITED


@BOTH
def test_a_program_that_never_exits_after_its_result_is_ended(rig: Rig, sandbox: str) -> None:
    """Shortly after it; it told what there was to tell."""
    began = time.monotonic()
    code = HANG.format(EDIT + ESCAPED + OVER)
    proposal = proposed(rig.reply(code, streams=True, sandbox=sandbox))
    assert (proposal.files, proposal.description) == (EDITED, "d")
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(
    "asks",
    ["input('Allow? [y/N] ')", "open('/dev/tty').readline()", "os.read(0, 1); os.read(0, 1)"],
)
def test_a_program_that_asks_gets_no_answer(rig: Rig, asks: str) -> None:
    """Its input ends after the prompt, and it has no terminal: it need not wait."""
    began = time.monotonic()
    replied = rig.reply(EDIT + f"sys.stdin.read()\n{asks}\n")
    assert proposed(replied).files == EDITED
    assert time.monotonic() - began < PATIENCE_S


# -- what is left ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("child", [CHILD.format(""), ESCAPED, TWICE_FORKED])
def test_a_child_that_stays_behind_is_killed(rig: Rig, child: str, sandbox: str, mark: str) -> None:
    """Whatever session it is in, whoever its parent is, and though it holds the output open."""
    replied = rig.reply(EDIT + child + "print('description: done')\n", sandbox=sandbox)
    assert proposed(replied).description == "done"
    assert marked(mark) == []


def until(holds: Callable[[], bool], agent: ProcessAgent) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        agent.poll()
        time.sleep(0.02)


@BOTH
def test_a_question_that_is_withdrawn_ends_the_program(rig: Rig, sandbox: str, mark: str) -> None:
    """The job is killed outright, and all below it goes with it."""
    agent = in_process(rig, HANG.format(ESCAPED + TWICE_FORKED), sandbox=sandbox)
    try:
        agent.ask("1", BRIEF)
        until(lambda: len(marked(mark)) >= 5, agent)
        agent.cancel("1")
        assert gone(mark)
    finally:
        agent.close()
    rig.reply(EDIT)  # removes the folder of the turn that was killed


def test_a_job_that_dies_takes_the_program_with_it(rig: Rig, mark: str) -> None:
    """By SIGKILL, as when memory is short; the question goes to a fresh one."""
    once = (
        "import os, pathlib\n"
        f"first = pathlib.Path({str(rig.root / 'first')!r})\n"
        "if not first.exists():\n    first.write_text('')\n    import time; time.sleep(600)\n"
    )
    agent = in_process(rig, once + EDIT, sandbox="off")
    agent._pauses_s = (0.0,)
    try:
        agent.ask("1", BRIEF)
        until((rig.root / "first").exists, agent)
        [job] = [child._process.pid for child in agent._working.values()]
        os.kill(job, signal.SIGKILL)
        events: list[object] = []

        def answered() -> bool:
            events.extend(event for _, event in agent.poll())
            return any(isinstance(event, Replied) for event in events)

        deadline = time.monotonic() + PATIENCE_S
        while not answered():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert isinstance(events[-1], Replied)
        assert proposed(events[-1]).files == EDITED
        [job] = [child._process.pid for child in agent._idle]
        assert marked(mark) == [job]
    finally:
        agent.close()


def test_what_outlives_its_keeper_is_ended_by_the_job(rig: Rig, mark: str) -> None:
    """The keeper is killed for its memory, say, while a child holds the output open."""
    agent = in_process(rig, EDIT + ESCAPED + "os.kill(os.getppid(), 9)\n", sandbox="off")
    try:
        agent.ask("1", BRIEF)
        events: list[object] = []
        deadline = time.monotonic() + PATIENCE_S
        while not events:
            assert time.monotonic() < deadline
            events += [event for _, event in agent.poll()]
            time.sleep(0.02)
        assert isinstance(events[0], Replied)
        assert proposed(events[0]).files == EDITED
        [job] = [child._process.pid for child in agent._idle]
        assert marked(mark) == [job]
    finally:
        agent.close()


def test_a_program_that_kills_itself_leaves_its_diff(rig: Rig) -> None:
    """Killed by the system for its memory, for one."""
    replied = rig.reply(EDIT + "os.kill(os.getpid(), signal.SIGKILL)\n")
    assert proposed(replied).files == EDITED
    nothing = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    assert "command failed: exit code 137" in refused(rig.reply(nothing, sandbox="off"))
