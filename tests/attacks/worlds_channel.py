"""Attacks on the messages of the policy's worker: forged replies, ends and errors."""

from textwrap import dedent

from tests.attacks.worlds_template import WorldAttack

_ENDS = ("rejected", "crash", "invalid")
# The channel as the worker has it, and the frames that go over it.
_SOCKETS = """
import json, stat
def sockets():
    for number in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                yield number
        except OSError:
            pass
def say(head, payload=b""):
    head = head if isinstance(head, bytes) else json.dumps(head).encode()
    for number in sockets():
        data = struct.pack("<II", len(head), len(payload)) + head + payload
        while data:
            data = data[os.write(number, data):]
def actions(*chosen):
    say({"kind": "actions"}, struct.pack(f"<{len(chosen)}q", *chosen))
"""


def _says(name: str, attempts: str, code: str, **more: object) -> WorldAttack:
    given = {"strikes": "forward in evaluation", "shown": "ending", "ends": _ENDS}
    return WorldAttack(
        name=name, attempts=attempts, code=_SOCKETS + dedent(code), **{**given, **more}
    )  # type: ignore[arg-type]


REPLIES = (
    _says(
        "actions-ahead",
        "answers once more than it was asked, so that all later answers come one too soon",
        "actions(*[0] * 16)",
        ends=("below",),
        is_long=False,
    ),
    _says(
        "actions-for-the-whole-play",
        "sends a whole play's actions at once, with what is asked for next",
        "for _ in range(12): actions(*[3] * 16)",
        ends=("below",),
    ),
    _says(
        "several-actions",
        "answers with five steps of actions in one reply",
        "actions(*[1] * 80)",
        is_long=False,
    ),
    _says("too-few-actions", "answers for all slots but one", "actions(*[1] * 15)"),
    _says("no-actions", "answers with no action", "actions()"),
    _says(
        "half-an-action",
        "answers with bytes that are no numbers",
        'say({"kind": "actions"}, b"x" * 127)',
    ),
    _says("action-negative", "chooses action -1", "actions(*[-1] * 16)"),
    _says("action-too-large", "chooses action 4 of 0 to 3", "actions(*[4] * 16)", is_long=False),
    _says("action-huge", "chooses action 2**63 - 1", "actions(*[2**63 - 1] * 16)"),
    _says(
        "action-illegal-where-it-is-over",
        "chooses an illegal action once, in one slot",
        "actions(*[1] * 15, -(2**62))",
    ),
    _says(
        "reply-as-the-world",
        "answers in the world's stead: a step that pays the most",
        """
        say({"kind": "step"}, struct.pack("<16d", *[1.0] * 16))
        """,
        is_long=False,
        tells="'step', not 'actions'",
    ),
    _says(
        "reply-as-a-fresh-world",
        "answers in the world's stead: another task, of another size",
        """
        say({"kind": "reset", "shape": [16, 5, 1, 1], "name": "Tiny", "description": "",
             "max_steps": 100000, "num_actions": 4, "view": "", "reward_bound": None},
            bytes(16 * 4 * 5))
        """,
        tells="too large",
    ),
    _says(
        "reply-as-a-play",
        "answers with a whole play's rewards",
        'say({"kind": "play", "digest": 0}, struct.pack("<80d", *[1.0] * 80) + bytes(160))',
    ),
    _says(
        "reply-with-a-result",
        "answers with the evaluator's own last event",
        'say({"event": "result", "result": {"score": 1e6}})',
    ),
    _says(
        "reply-giant",
        "announces half a gigabyte where a few bytes belong",
        """
        for number in sockets():
            os.write(number, struct.pack("<II", 2, 500 << 20) + b"{}" + bytes(1 << 16))
        """,
    ),
    _says(
        "reply-deep",
        "nests a reply so deeply that reading it overflows",
        'say(b\'{"kind":\' + b"[" * 60_000)',
    ),
    _says("reply-no-json", "answers with bytes that are no JSON", 'say(b"\\xff" * 100)'),
    _says(
        "reply-half",
        "sends half of a reply and waits",
        """
        for number in sockets():
            os.write(number, b"\\x10\\x00")
        time.sleep(3600)
        """,
        ends=("timeout",),
        timeout_s=4.0,
    ),
    _says(
        "deaf",
        "closes the channel for what it is asked, and lives on without a word",
        """
        for number in sockets():
            socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RD)
        """,
        ends=("crash",),
        is_long=False,
        tells="died",
    ),
    _says(
        "deaf-in-training",
        "the same before its training ends",
        """
        for number in sockets():
            socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RD)
        """,
        strikes="import of train",
        ends=("crash",),
        tells="died",
    ),
    _says(
        "dumb",
        "closes the channel for what it answers",
        """
        for number in sockets():
            socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_WR)
        """,
        ends=("crash",),
        tells="died",
    ),
    _says(
        "hang-up", "closes every descriptor", "os.closerange(0, 256)", ends=("crash",), tells="died"
    ),
)
BLAME = (
    _says(
        "raise-a-world-error",
        "raises the error by which the referee says that the user's world is at fault",
        """
        from referee.world_files import WorldError
        LOOT.append("x")
        globals()["RuntimeError"] = WorldError
        """,
        ends=("crash",),
        tells="WorldError: loot",
    ),
    _says(
        "raise-from-the-worlds-file",
        "raises an error from a line that is called like one of the world's",
        """
        LOOT.append("x")
        def fail(text):
            exec(compile("\\n\\n1 / 0", os.getcwd() + "/task/world.py", "exec"))
        globals()["RuntimeError"] = fail
        """,
        ends=("crash",),
        tells='task/world.py", line 3',
    ),
    _says(
        "report-a-world-error",
        "reports an error of the world's, with its file and line",
        """
        say({"kind": "error", "error": "contract", "message": "WorldError: task/world.py",
             "traceback": 'File "/tmp/worker/task/world.py", line 3', "type": "WorldError",
             "file": "world.py", "line": 3})
        """,
        is_long=False,
        tells="WorldError: task",
    ),
    WorldAttack(
        name="break-the-world-in-training",
        attempts="has the world that it trains in raise, from the world's own file",
        code='sys.modules["task.world"].Tiny.draw = lambda self: 1 / 0',
        strikes="observe",
        shown="ending",
        tells="ZeroDivisionError",
        ends=_ENDS,
    ),
    WorldAttack(
        name="break-the-worlds-view",
        attempts="has the world that it trains in break its contract",
        code="""
        world = sys.modules["task.world"].Tiny
        world.view = lambda self: {"noise": self.drawn, "steps": None}
        """,
        strikes="observe",
        shown="ending",
        tells="must have the fields",
        ends=_ENDS,
    ),
)
CHANNEL = (*REPLIES, *BLAME)
