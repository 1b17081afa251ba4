"""Attacks on the messages by which a score is told: forged, giant, endless ones."""

from tests.attacks.template import Attack

_FORGED_REPORT = '[{"score": 1e6, "solved": 1.0}, {"score": 1e6, "solved": 1.0}]\\n'

# Frames as the channel has them, and a line as the naive scorer reports.
_DESCRIPTORS = f"""
import stat
def frame(head, payload=b""):
    return struct.pack("<II", len(head), len(payload)) + head + payload
def pipes():
    return [d for d in range(3, 256) if kind(d) is stat.S_ISFIFO]
def sockets():
    return [d for d in range(3, 256) if kind(d) is stat.S_ISSOCK]
def kind(descriptor):
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return None
    return stat.S_ISFIFO if stat.S_ISFIFO(mode) else stat.S_ISSOCK if stat.S_ISSOCK(mode) else None
FORGED = b'{_FORGED_REPORT}'
"""

MESSAGES = (
    Attack(
        name="forge-messages",
        attempts="writes a forged report straight to every descriptor, then ends",
        code=_DESCRIPTORS
        + """
for descriptor in pipes():
    os.write(descriptor, FORGED)
for descriptor in sockets():
    rewards = struct.pack("<@ENVS@d", *[1] * @ENVS@)
    for head in (b'{"kind":"ready"}', b'{"kind":"trained"}', b'{"kind":"step"}'):
        os.write(descriptor, frame(head, rewards))
os._exit(0)
""",
        strikes="step in training",
        copy="naive",
        shows="score",
        ends=("rejected", "crash"),
    ),
    Attack(
        name="forge-steps",
        attempts="answers steps in the evaluator's own format, with rewards beyond the bound",
        code=_DESCRIPTORS
        + """
for descriptor in pipes():
    os.write(descriptor, FORGED)
for descriptor in sockets():
    rest = bytes(2 * @ENVS@ + 4 * 2 * @ENVS@)
    rewards = struct.pack("<@ENVS@d", *[9e9] * @ENVS@)
    os.write(descriptor, frame(b'{"kind":"step"}', rewards + rest))
time.sleep(0.1)
""",
        strikes="step in training or evaluation",
        env=(("pass  #step#", "strike()"),),
        copy="naive",
        shows="score",
        ends=("rejected",),
    ),
    Attack(
        name="forge-result",
        attempts="sends the evaluator's own last event, as if it were the service",
        code=_DESCRIPTORS
        + """
for descriptor in (1, 2, *pipes(), *sockets()):
    event = b'{"event": "result", "result": {"score": 1e6}}\\n'
    os.write(descriptor, FORGED if descriptor in pipes() else event)
""",
        strikes="build_policy",
        copy="naive",
        shows="score",
        ends=("rejected", "crash"),
        is_long=True,
    ),
    Attack(
        name="giant-message",
        attempts="sends half a gigabyte where a few bytes belong",
        code=_DESCRIPTORS
        + """
for descriptor in pipes():
    for _ in range(60):
        os.write(descriptor, b"x" * (1 << 20))
for descriptor in sockets():
    size = 500 << 20
    os.write(descriptor, struct.pack("<II", 2, size) + b"{}")
    for _ in range(500):
        memory = memoryview(bytes(1 << 20))
        while memory:
            memory = memory[os.write(descriptor, memory):]
""",
        strikes="step in evaluation or training",
        env=(("pass  #step#", "strike()"),),
        copy="naive",
        shows="flood",
        ends=("rejected", "crash"),
    ),
    Attack(
        name="promise-of-a-giant-message",
        attempts="announces half a gigabyte again and again and sends nothing",
        code=_DESCRIPTORS
        + """
for descriptor in pipes():
    for _ in range(60):
        os.write(descriptor, b"x" * (1 << 20))
for descriptor in sockets():
    os.write(descriptor, struct.pack("<II", 4 << 20, 512 << 20))
os._exit(0)
""",
        strikes="import of train",
        copy="naive",
        shows="flood",
        ends=("rejected", "crash"),
    ),
    Attack(
        name="deep-message",
        attempts="sends a message nested so deeply that reading it overflows",
        code=_DESCRIPTORS
        + """
deep = b"[" * 60_000
for descriptor in pipes():
    os.write(descriptor, deep + b"\\n")
for descriptor in sockets():
    os.write(descriptor, frame(b'{"kind":' + deep))
os._exit(0)
""",
        strikes="forward",
        copy="naive",
        shows="referee",
        ends=("rejected", "crash"),
    ),
    Attack(
        name="half-a-message",
        attempts="sends half of a message and waits",
        code=_DESCRIPTORS
        + """
for descriptor in (*pipes(), *sockets()):
    os.write(descriptor, b"\\x10\\x00")
time.sleep(3600)
""",
        strikes="step in training",
        copy="naive",
        shows="hang",
        ends=("timeout", "crash", "rejected"),
        timeout_s=2.0,
        is_long=True,
    ),
)
