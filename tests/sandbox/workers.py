"""What the workers of these tests do."""

import contextlib
import ctypes
import fcntl
import mmap
import os
import signal
import socket
import tempfile
import threading
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


def mark(channel: Channel) -> None:
    """Change a flag of every open file, then stay."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            flags = fcntl.fcntl(int(name), fcntl.F_GETFL)
            fcntl.fcntl(int(name), fcntl.F_SETFL, flags | os.O_APPEND)
    channel.send({"done": True})
    _sleep()


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


def cling(channel: Channel) -> None:
    """Clear the death signal, here and in children that left the session."""
    libc = ctypes.CDLL(None)
    cleared = libc.prctl(1, 0, 0, 0, 0) == 0
    for _ in range(3):
        if not os.fork():
            os.setsid()
            libc.prctl(1, 0, 0, 0, 0)
            _sleep()
    channel.send({"cleared": cleared})
    _sleep()


def attack_its_parent(channel: Channel) -> None:
    """Try to end or stop the init in every way; tell which the kernel let pass to another."""
    parent, reached = os.getppid(), []
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP):
        # To all of them only where they are few: without a namespace these would be everybody's.
        for target in {parent, -1} if os.getpid() == 2 else {parent}:
            with contextlib.suppress(OSError):
                os.kill(target, number)
                # In its namespace a signal to process 1 may be sent, and has no effect.
                if os.getpid() != 2:
                    reached.append([target, int(number)])
    with contextlib.suppress(OSError), Path(f"/proc/{parent}/mem").open("rb"):
        reached.append("memory")
    with contextlib.suppress(OSError):
        reached.append(Path(f"/proc/{parent}/environ").read_text())
    channel.send({"reached": reached})
    _sleep()


def burn_in_a_child(channel: Channel) -> None:
    """Have a child use half a processor second, so that as little as possible shows of it."""
    how = channel.receive()[0]["how"]
    if how == "ignored":
        with contextlib.suppress(OSError):
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    done, tell = os.pipe()
    if how == "exit-signal":  # a raw clone without SIGCHLD at its end
        number = {"x86_64": 56}.get(os.uname().machine, 220)
        child = ctypes.PyDLL(None).syscall(number, 0, None, None, None, 0)
    else:
        child = os.fork()
    if not child:
        if how == "orphaned" and os.fork():
            os._exit(0)
        os.close(done)
        while time.process_time() < 0.55:
            pass
        if how == "left":
            os.write(tell, b"x")
            _sleep()
        os._exit(0)
    os.close(tell)
    if how in {"waited", "orphaned"}:
        os.waitpid(child, 0)
    os.read(done, 1)  # its end, or its word
    channel.send({})
    _sleep()


def map_pages(channel: Channel) -> None:
    """Fill page tables: a page of zeros, the same one, every two MiB of a large reservation."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    flags, step = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, 2 * MIB  # MAP_NORESERVE
    size = ctypes.c_size_t(400_000 * step)
    start = libc.mmap(None, size, mmap.PROT_READ, flags, -1, ctypes.c_long(0))
    libc.madvise(ctypes.c_void_p(start), size, 15)  # MADV_NOHUGEPAGE
    for at in range(start, start + size.value, step):
        _ = ctypes.c_ubyte.from_address(at).value
    _sleep()


def fill_sockets(channel: Channel) -> None:
    """Have the kernel keep 200 MB for each of four processes, in the queues of their sockets."""
    for _ in range(3):
        if not os.fork():
            break
    held = []
    with contextlib.suppress(OSError):
        for _ in range(500):  # where nothing limits descriptors, the machine would be full of them
            held.append(socket.socketpair())
            for end in held[-1]:
                end.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        end.send(bytes(65536))
    _sleep()


def fork_on(channel: Channel) -> None:
    """Start as many processes as the kernel allows, up to 600."""
    with contextlib.suppress(OSError):
        for _ in range(600):
            if not os.fork():
                _sleep()
    channel.send({"done": True})
    _sleep()


def fill_with_names(channel: Channel) -> None:
    """Make empty files in the private folder until that fails."""
    folder = tempfile.mkdtemp()
    try:
        for number in range(10**7):
            open(f"{folder}/{number}", "w").close()
    except OSError as error:
        channel.send({"error": str(error)})


def fill_with_files(channel: Channel) -> None:
    """Write files of 100 MiB each until that fails, and wait a little after each."""
    folder = tempfile.mkdtemp()
    try:
        for number in range(100):
            Path(folder, str(number)).write_bytes(b"x" * (100 * 2**20))
            time.sleep(0.3)
    except OSError as error:
        channel.send({"error": str(error)})


def crowd(channel: Channel) -> None:
    """Start as many threads as asked for, tell how many there are, and keep them."""
    started, end = 0, threading.Event()
    with contextlib.suppress(RuntimeError):
        for _ in range(channel.receive()[0]["threads"]):
            threading.Thread(target=end.wait, daemon=True).start()
            started += 1
    channel.send({"threads": started})
    _sleep()


def hoard_pipes(channel: Channel) -> None:
    """Have five processes hold 480 pipes each."""
    ready, told = os.pipe()
    for _ in range(5):
        if not os.fork():
            held = [os.pipe() for _ in range(480)]
            os.write(told, b"x")
            assert held
            _sleep()
    got = 0
    while got < 5:
        got += len(os.read(ready, 5))
    channel.send({"done": True})
    _sleep()


def size_a_pipe(channel: Channel) -> None:
    """Tell how much a new pipe holds."""
    ends = os.pipe()
    channel.send({"bytes": fcntl.fcntl(ends[0], fcntl.F_GETPIPE_SZ)})
