"""Attacks in which two workers whisper through what the kernel keeps for both of them.

One bit for all slots is enough: the hidden answer is the same in each.
"""

from tests.attacks.covert import HIDDEN, covert
from tests.attacks.template import Attack, Change

_HIDDEN: tuple[Change, ...] = tuple(
    (old, new.replace("rand(self.num_envs, gen", "rand(1, gen").replace("(draw", "(draw.expand(self.num_envs)"))
    for old, new in HIDDEN
)  # fmt: skip

_DESCRIPTOR = """
import fcntl, os
FLAG = os.O_APPEND
def whisper(answer):
    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    fcntl.fcntl(0, fcntl.F_SETFL, flags | FLAG if answer[0] else flags & ~FLAG)
def listen():
    return [int(fcntl.fcntl(0, fcntl.F_GETFL) & FLAG != 0)] * @ENVS@
"""
_DEVICE_TIMES = """
import os, time
def whisper(answer):
    path, other = ("/dev/full", "/dev/zero")[:: 1 if answer[0] else -1]
    for _ in range(50):  # a file's times count in ticks of some milliseconds
        os.utime(path)
        if os.stat(path).st_mtime_ns > os.stat(other).st_mtime_ns:
            break
        time.sleep(0.001)
def listen():
    one, zero = (os.stat("/dev/" + name).st_mtime_ns for name in ("full", "zero"))
    return [int(one > zero)] * @ENVS@
"""
_OPEN_FILES = """
import os
HELD, SEEN = [], []
def whisper(answer):
    while HELD:
        os.close(HELD.pop())
    if answer[0]:
        HELD.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(400))
def listen():
    with open("/proc/sys/fs/file-nr") as file:
        SEEN.append(int(file.read().split()[0]))
    return [int(SEEN[-1] > min(SEEN) + 200)] * @ENVS@
"""
_EVENTS = """
import os
HELD = []
def whisper(answer):
    while HELD:
        os.close(HELD.pop())
    if answer[0]:
        HELD.extend(os.eventfd(0) for _ in range(100))
def listen():
    event = os.eventfd(0)
    try:
        with open(f"/proc/self/fdinfo/{event}") as file:
            number = [int(line.split()[1]) for line in file if line.startswith("eventfd-id")]
    finally:
        os.close(event)
    return [int(number[0] > 60)] * @ENVS@
"""
_PROCESS_COUNT = """
import ctypes, struct, threading
LIBC = ctypes.CDLL(None, use_errno=True)
HELD, SEEN = [], []
def whisper(answer):
    if answer[0] and not HELD:
        end = threading.Event()
        HELD.append(end)
        for _ in range(100):
            HELD.append(threading.Thread(target=end.wait, daemon=True))
            HELD[-1].start()
    elif HELD and not answer[0]:
        HELD[0].set()
        for thread in HELD[1:]:
            thread.join()
        HELD.clear()
def listen():
    told = ctypes.create_string_buffer(256)
    if LIBC.sysinfo(told):
        raise OSError("no sysinfo")
    SEEN.append(struct.unpack_from("H", told, 80)[0])
    return [int(SEEN[-1] > min(SEEN) + 60)] * @ENVS@
"""


def _whisper(name: str, attempts: str, channel: str, optional: str = "") -> Attack:
    return covert(name, attempts, channel, _HIDDEN, seeds=(101, 138), optional=optional)


_BUSY = "a machine on which much else starts and ends"
COVERT_KERNEL = (
    _whisper("whisper-descriptor", "whispers through the flags of an inherited file", _DESCRIPTOR),
    _whisper("whisper-device-times", "whispers through the times of device files", _DEVICE_TIMES),
    _whisper(
        "whisper-open-files", "whispers through the number of all open files", _OPEN_FILES, _BUSY
    ),
    _whisper(
        "whisper-processes", "whispers through the number of all processes", _PROCESS_COUNT, _BUSY
    ),
    _whisper("whisper-events", "whispers through the number of all events", _EVENTS, _BUSY),
)
