"""Attacks in which two workers whisper through what the kernel keeps for both of them.

One bit for all slots is enough: the hidden answer is the same in each.
"""

from tests.attacks.covert import HEARS, HIDDEN
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
import os
def whisper(answer):
    os.utime("/dev/full" if answer[0] else "/dev/zero")
def listen():
    one, zero = (os.stat("/dev/" + name).st_mtime_ns for name in ("full", "zero"))
    return [int(one > zero)] * @ENVS@
"""


def _covert(name: str, attempts: str, channel: str) -> Attack:
    return Attack(
        name=name,
        attempts=attempts,
        strikes="step in evaluation",
        env=(*_HIDDEN, ("#prelude#", channel)),
        train=(*HEARS, ("#prelude#", channel)),
        shows="score",
        ends=("scored",),
        seeds=(101, 138),
    )


COVERT_KERNEL = (
    _covert("whisper-descriptor", "whispers through the flags of an inherited file", _DESCRIPTOR),
    _covert("whisper-device-times", "whispers through the times of device files", _DEVICE_TIMES),
)
