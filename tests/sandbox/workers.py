"""What the workers of these tests do."""

import mmap
import os
import time
from pathlib import Path

from sandbox import Channel

MIB = 2**20


def echo(channel: Channel) -> None:
    """Answer once with what was sent."""
    head, payload = channel.receive()
    files = os.listdir()
    channel.send({"pid": os.getpid(), "sid": os.getsid(0), "files": files, **head}, payload)


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
    inside = os.fork() or _sleep()
    outside = os.fork() or (os.setsid(), _sleep())
    channel.send({"children": [inside, outside]})
    time.sleep(600)


def _sleep() -> int:
    time.sleep(600)
    os._exit(0)


def grow(channel: Channel) -> None:
    """Take far more memory than allowed."""
    try:
        block = bytearray(2_000_000_000)
    except MemoryError:
        channel.send({"memory": "refused"})
    else:
        channel.send({"memory": len(block)})


def share(channel: Channel) -> None:
    """Fill shared memory, which RLIMIT_DATA doesn't count."""
    block = mmap.mmap(-1, 1024 * MIB)
    for start in range(0, len(block), 4096):
        block[start] = 1
    time.sleep(600)


def spread(channel: Channel) -> None:
    """Have four children take what is allowed to one."""
    for _ in range(4):
        if not os.fork():
            block = bytearray(300 * MIB)
            block[::4096] = b"x" * len(block[::4096])
            time.sleep(600)
    time.sleep(600)


def spin(channel: Channel) -> None:
    """Use a processor for ever."""
    while True:
        pass


def litter(channel: Channel) -> None:
    """Leave files, folders and links behind."""
    folder = Path.cwd()
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "file").write_text("x")
    (folder / "link").symlink_to("/")
    channel.send({"folder": str(folder) if folder != Path("/tmp/worker") else "/nowhere"})


def die_with_a_child_left(channel: Channel) -> None:
    """End at once, leaving a child in a session of its own that holds the channel."""
    if not os.fork():
        os.setsid()
        _sleep()
    os._exit(7)
