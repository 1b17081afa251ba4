"""What hostile code could talk to or hurt: listening sockets, and a process that minds its own."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

_ACCEPTED_AT_MOST = 100

# It holds a secret at a known address and waits until the tests are gone.
_BYSTANDER = """\
import ctypes, sys
buffer = ctypes.create_string_buffer(sys.stdin.readline().strip().encode(), 64)
print(ctypes.addressof(buffer), flush=True)
sys.stdin.read()
"""


class Bystander:
    """A process of the same user that has nothing to do with the evaluator."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _BYSTANDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._secret + b"\n")
        self._process.stdin.flush()
        self.pid = self._process.pid
        self.address = int(self._process.stdout.readline())
        self._limits = self._file("limits")

    def damage(self) -> str:
        """Return what happened to it, empty if nothing did."""
        if self._process.poll() is not None:
            return f"the bystander ended ({self._process.returncode})"
        state = self._file("stat").rpartition(")")[2].split()[0]
        if state in "Tt":
            return "the bystander was stopped"
        if self._file("limits") != self._limits:
            return "the bystander's limits were changed"
        with contextlib.suppress(PermissionError), open(f"/proc/{self.pid}/mem", "rb") as memory:
            memory.seek(self.address)
            if memory.read(len(self._secret)) != self._secret:
                return "the bystander's memory was changed"
        return ""

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def _file(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()


class Listeners:
    """Sockets of every kind that hostile code could reach; they note who came.

    The kernel completes connections and keeps what was sent until `contacts` looks, so no thread
    has to win a race. Only the accomplice, who hands out a connected socket, has one.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        self._folder = folder
        self.path = str(folder / "agent.sock")
        self.datagram_path = str(folder / "log.sock")
        self.accomplice_path = str(folder / "accomplice.sock")
        self.abstract = mark
        self._streams = {
            "TCP": _bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "a unix socket": _bound(socket.AF_UNIX, socket.SOCK_STREAM, self.path),
            "an abstract socket": _bound(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{mark}"),
        }
        self._datagrams = {
            "UDP": _bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "a unix datagram": _bound(socket.AF_UNIX, socket.SOCK_DGRAM, self.datagram_path),
        }
        with contextlib.suppress(OSError):  # a machine without IPv6
            tcp6 = _bound(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
            self._streams["TCP over IPv6"] = tcp6
        self._accomplice = _bound(socket.AF_UNIX, socket.SOCK_STREAM, self.accomplice_path)
        self._accomplice.setblocking(True)
        threading.Thread(target=self._hand_out, daemon=True).start()

    @property
    def tcp_port(self) -> int:
        return int(self._streams["TCP"].getsockname()[1])

    @property
    def tcp6_port(self) -> int:
        tcp6 = self._streams.get("TCP over IPv6")
        return int(tcp6.getsockname()[1]) if tcp6 else 0

    @property
    def udp_port(self) -> int:
        return int(self._datagrams["UDP"].getsockname()[1])

    def contacts(self) -> list[str]:
        """Return who came since the last look."""
        found = []
        for name, listener in self._streams.items():
            for _ in range(_ACCEPTED_AT_MOST):
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    break
                found.append(f"a connection over {name}")
        for name, receiver in self._datagrams.items():
            for _ in range(_ACCEPTED_AT_MOST):
                try:
                    found.append(f"a datagram over {name}: {receiver.recv(4096)[:100]!r}")
                except BlockingIOError:
                    break
        return found

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._accomplice.shutdown(socket.SHUT_RDWR)
        for sock in (*self._streams.values(), *self._datagrams.values(), self._accomplice):
            sock.close()

    def _hand_out(self) -> None:
        """Give everyone who asks a socket that is connected to the TCP listener."""
        while True:
            try:
                peer, _ = self._accomplice.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                gift = socket.create_connection(("127.0.0.1", self.tcp_port))
                with gift:
                    socket.send_fds(peer, [b"gift"], [gift.fileno()])


def _bound(family: int, kind: int, address: object) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    sock.bind(address)
    if kind == socket.SOCK_STREAM:
        sock.listen(_ACCEPTED_AT_MOST)
    return sock


class KernelObjects:
    """Things that live in the kernel and outlast a process: shared memory and keys."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self.ipc_key = int(mark[-6:], 16) | 0x40000000

    def left(self) -> list[str]:
        """Return what was left behind."""
        found = []
        for kind in ("shm", "sem", "msg"):
            lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
            if any(line.split()[0] == str(self.ipc_key) for line in lines):
                found.append(f"System V {kind} is left")
        with contextlib.suppress(OSError):
            if self._mark in Path("/proc/keys").read_text():
                found.append("a key in the user's keyring is left")
        return found

    def clear(self) -> None:
        """Remove what was left behind."""
        libc = ctypes.CDLL(None)
        identity = libc.shmget(self.ipc_key, 0, 0)
        if identity >= 0:
            libc.shmctl(identity, 0, None)
        with contextlib.suppress(OSError):
            for line in Path("/proc/keys").read_text().splitlines():
                if self._mark in line:
                    # 21 is KEYCTL_INVALIDATE; 250 and 219 are keyctl's numbers.
                    number = 250 if os.uname().machine == "x86_64" else 219
                    libc.syscall(number, 21, int(line.split()[0], 16))


def kill(pids: set[int]) -> None:
    """Kill processes that may be gone already."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
