"""What the workers of these tests do."""

import os
import subprocess
import sys
import time
from pathlib import Path

from sandbox import Channel


def echo(channel: Channel) -> None:
    """Answer once with what was sent."""
    head, payload = channel.receive()
    channel.send({"pid": os.getpid(), "sid": os.getsid(0), **head}, payload)


def describe(channel: Channel) -> None:
    """Tell about this process: environment and open descriptors."""
    descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    targets = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in descriptors if Path(f"/proc/self/fd/{fd}").exists()}  # fmt: skip
    channel.send({"environment": dict(os.environ), "descriptors": targets})


def shout(channel: Channel) -> None:
    """Print more than any pipe holds, then answer."""
    print("first line")
    for _ in range(20_000):
        print("x" * 100)
    print("last line", flush=True)
    channel.send({"done": True})


def crash(channel: Channel) -> None:
    """Raise."""
    raise ValueError("told to crash")


def hang(channel: Channel) -> None:
    """Never end, and leave children behind: one in the session, one that left it."""
    inside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    outside = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    channel.send({"children": [inside.pid, outside.pid]})
    time.sleep(600)


def grow(channel: Channel) -> None:
    """Take far more memory than allowed."""
    try:
        block = bytearray(2_000_000_000)
    except MemoryError:
        channel.send({"memory": "refused"})
    else:
        channel.send({"memory": len(block)})
