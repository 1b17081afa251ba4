"""A victim world: everything on a machine that a hostile candidate could damage, as small copies.

A fake home with keys, a workspace that is a git repository with a ledger, a temp folder, a copy of
this project's code, a file with a secret, sockets, a bystander. It can tell, byte for byte, whether
anything happened to it, and put itself right again.
"""

import contextlib
import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Set
from pathlib import Path

from tests.attacks.files import Digest, copy, digest, handle, is_folder, remove
from tests.attacks.victims import Bystander, KernelObjects, Listeners, kill
from tests.conftest import REPOSITORY, git

# Not below /tmp: a private /tmp alone would hide that, and nothing else need work.
_ROOMS = ("/var/tmp", None)
_PLANTED = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/dev/mqueue")
_STRAYS_TIMEOUT_S = 5.0


class World:
    """One victim. `narrow` is for unconfined copies: attacks then aim at copies and bystanders."""

    def __init__(self, *, narrow: bool) -> None:
        self._narrow = narrow
        room = next(r for r in _ROOMS if r is None or os.access(r, os.W_OK))
        self.root = Path(tempfile.mkdtemp(prefix="world-", dir=room))
        self.mark = f"autorl-attack-{secrets.token_hex(6)}"
        # Always the same, so that scores repeat from run to run.
        self.key = b"WORKSPACEKEY:" + b"5ca1ab1e" * 3
        self.secrets = {
            name: secrets.token_hex(16)
            for name in ("secret file", "ssh key", "ledger", "environment", "bystander", "canary")
        } | {"workspace key": self.key.decode().partition(":")[2]}
        self.proof = (f"{self.mark}-pro", f"of-{secrets.token_hex(4)}")
        self.live = self.root / "live"
        self._template = self.root / "template"
        self._build(self._template)
        shutil.copytree(self._template, self.live, symlinks=True)
        (self.root / "sockets").mkdir()
        (self.root / "candidates").mkdir()
        self._listeners = Listeners(self.root / "sockets", self.mark)
        self._bystander = Bystander(self.secrets["bystander"])
        self._kernel = KernelObjects(self.mark)
        self._count = 0
        self._before: Digest = {}
        self._known: set[int] = set()
        self.idle_workers: Set[int] = frozenset()
        """Workers that wait for their first candidate, by the referee's last word. One that is not
        named any more when its evaluation has ended is a stray like all it started."""

    # -- what is there -----------------------------------------------------------------------

    @property
    def home(self) -> Path:
        return self.live / "home"

    @property
    def workspace(self) -> Path:
        return self.live / "workspace"

    @property
    def app(self) -> Path:
        return self.live / "app"

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that lives in this world, with a secret in it."""
        kept = {k: os.environ[k] for k in ("PATH", "LANG", "LD_LIBRARY_PATH") if k in os.environ}
        return kept | {
            "HOME": str(self.home),
            "TMPDIR": str(self.live / "temp"),
            "PYTHONPATH": f"{self.app}{os.pathsep}{self.app / 'site'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AUTORL_TEST_SECRET": self.secrets["environment"],
        }

    def secret_descriptor(self) -> int:
        """Open the secret file so that careless starting of processes would pass it on."""
        descriptor = os.open(self.live / "secret.txt", os.O_RDWR)
        os.set_inheritable(descriptor, True)
        return descriptor

    def facts(self, referee: int) -> dict[str, str]:
        """Return what an attack's source may name, given the referee's process id."""
        listeners, bystander = self._listeners, self._bystander
        return {
            "LIVE": str(self.live),
            "HOME": str(self.home),
            "WORKSPACE": str(self.workspace),
            "LEDGER": str(self.workspace / ".autorl" / "ledger.sqlite"),
            "TEMP": str(self.live / "temp"),
            "APP": str(self.app),
            "SITES": repr(self._sites()),
            "PLANTED": repr([place for place in _PLANTED if Path(place).is_dir()]),
            "SECRET_FILE": str(self.live / "secret.txt"),
            "HANDLE": handle(self.live / "secret.txt"),
            "CANDIDATES": str(self.root / "candidates"),
            "MARK": self.mark,
            "PROOF_A": self.proof[0],
            "PROOF_B": self.proof[1],
            "CANARY": self.secrets["canary"],
            "TCP_PORT": str(listeners.tcp_port),
            "TCP6_PORT": str(listeners.tcp6_port),
            "UDP_PORT": str(listeners.udp_port),
            "UNIX_PATH": listeners.path,
            "UNIX_DATAGRAM_PATH": listeners.datagram_path,
            "ACCOMPLICE_PATH": listeners.accomplice_path,
            "ABSTRACT": listeners.abstract,
            "IPC_KEY": str(self._kernel.ipc_key),
            "BYSTANDER_PID": str(bystander.pid),
            "BYSTANDER_ADDRESS": str(bystander.address),
            "REFEREE_PID": str(referee),
            "EVERYONE": str(bystander.pid) if self._narrow else "-1",
            "DISK_MB": "40" if self._narrow else "3000",
            "FORKS": "100" if self._narrow else "4000",
        }

    def place(self) -> Path:
        """Return where the next candidate goes; it is part of the world from `begin` on."""
        self._count += 1
        return self.root / "candidates" / str(self._count) / "candidate"

    # -- what happened to it -----------------------------------------------------------------

    def begin(self) -> None:
        """Take note of how things are."""
        self._before = self._digest()
        self._known = self._inhabitants() - self.idle_workers
        self._listeners.contacts()

    def damage(self, text: str) -> dict[str, str]:
        """Return what happened since `begin`, by kind; `text` is all that hostile code gave out."""
        found: dict[str, str] = {}
        strays = self._strays()
        if strays:
            found["process"] = f"{len(strays)} processes are left"
        if contacts := self._listeners.contacts():
            found["contact"] = f"{contacts[0]} ({len(contacts)} in all)"
        if hurt := self._bystander.damage():
            found["bystander"] = hurt
        if left := self._kernel.left():
            found["kernel"] = "; ".join(left)
        if planted := self._planted():
            found["planted"] = f"left behind: {planted[0]!r}"
        after = self._digest()
        if changed := [p for p in self._before | after if self._before.get(p) != after.get(p)]:
            found["files"] = f"{len(changed)} files changed, {changed[0]!r} among them"
        if stolen := [name for name, secret in self.secrets.items() if secret in text]:
            found["secret"] = f"stolen: {', '.join(stolen)}"
        if "".join(self.proof) in text:
            found["proof"] = "what is forbidden was possible"
        return found

    def mend(self) -> None:
        """Put everything right again."""
        kill(self._inhabitants() - self._known - self.idle_workers)
        self._kernel.clear()
        for path in self._planted():
            remove(path)
        if self._bystander.damage():
            self._bystander.close()
            self._bystander = Bystander(self.secrets["bystander"])
        shutil.rmtree(self.root / "candidates")
        (self.root / "candidates").mkdir()
        # In place, since processes that still live have their working directory in there.
        live, template = self._digest_live(), digest(self._template)
        wrong = sorted(path for path in live | template if live.get(path) != template.get(path))
        for path in reversed(wrong):
            if path in live and not (path in template and is_folder(self.live, path)):
                remove(os.path.join(os.fsencode(self.live), path))
        for path in wrong:
            if path in template:
                copy(os.fsencode(self._template), os.fsencode(self.live), path)

    def close(self) -> None:
        """Leave nothing of it."""
        kill(self._inhabitants())
        self._listeners.close()
        self._bystander.close()
        self._kernel.clear()
        shutil.rmtree(self.root)

    # -- how -----------------------------------------------------------------------------------

    def _build(self, root: Path) -> None:
        home, workspace, app = root / "home", root / "workspace", root / "app"
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        (home / ".ssh" / "id_ed25519").write_text(f"KEY {self.secrets['ssh key']}\n")
        (home / ".ssh" / "id_ed25519").chmod(0o600)
        (home / ".bashrc").write_text("alias ll='ls -l'\n")
        (root / "secret.txt").write_text(f"{self.secrets['secret file']}\n")
        (root / "secret.txt").chmod(0o600)
        (root / "temp").mkdir()
        (root / "temp" / "draft.txt").write_text("another program's file\n")
        (workspace / ".autorl").mkdir(parents=True)
        (workspace / "thesis.txt").write_text("years of work\n")
        (workspace / "candidate").mkdir()
        (workspace / "candidate" / "env.py").write_text("# the user's\n")
        (workspace / "candidate" / "train.py").write_text("# the user's\n")
        shutil.copy2(REPOSITORY / "framework.py", workspace)
        git(workspace, "init", "--quiet", "--initial-branch", "main")
        git(workspace, "add", "thesis.txt", "candidate")
        git(workspace, "commit", "--quiet", "--message", "the user's work")
        ledger = sqlite3.connect(workspace / ".autorl" / "ledger.sqlite")
        with contextlib.closing(ledger), ledger:
            ledger.execute("create table facts (name text, value text)")
            ledger.execute("insert into facts values ('secret', ?)", [self.secrets["ledger"]])
        app.mkdir()
        (app / "site").mkdir()
        shutil.copy2(REPOSITORY / "framework.py", app)
        ignored = shutil.ignore_patterns("__pycache__")
        for package in ("referee", "sandbox", "simverse"):
            shutil.copytree(REPOSITORY / package, app / package, ignore=ignored)

    def _sites(self) -> list[str]:
        """Return folders whose files other Pythons import, the real ones only if it is safe."""
        found = [str(self.app / "site"), str(self.app)]
        if not self._narrow:
            import site

            found += [p for p in (*site.getsitepackages(), str(REPOSITORY)) if Path(p).is_dir()]
        return found

    def _digest_live(self) -> Digest:
        """Return all that lives but the idle workers' own folders; what lies in those counts."""
        found = digest(self.live)
        for pid in self.idle_workers:
            with contextlib.suppress(OSError):
                room = os.readlink(f"/proc/{pid}/cwd")
                found.pop(os.fsencode(os.path.relpath(room, self.live)), None)
        return found

    def _digest(self) -> Digest:
        return self._digest_live() | {
            b"candidates/" + path: fact for path, fact in digest(self.root / "candidates").items()
        }

    def _planted(self) -> list[bytes]:
        places = [*_PLANTED, *self._sites()]
        mark = self.mark.encode()
        return [
            entry.path
            for place in places
            if Path(place).is_dir()
            for entry in os.scandir(os.fsencode(place))
            if mark in entry.name
        ]

    def _inhabitants(self) -> set[int]:
        """Return the processes that live here: their environment names it, so does a child's."""
        mark = os.fsencode(str(self.live))
        found = set()
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
                    environment = Path(f"/proc/{entry}/environ").read_bytes()
                    if state not in "ZX" and mark in environment:
                        found.add(int(entry))
        return found

    def _strays(self) -> set[int]:
        """Return processes that were not there at `begin` and are no idle workers.

        Those that end are given some time.
        """
        deadline = time.monotonic() + _STRAYS_TIMEOUT_S
        known = self._known | self.idle_workers
        while (strays := self._inhabitants() - known) and time.monotonic() < deadline:
            if self._narrow:
                break  # they are the damage that is looked for
            time.sleep(0.02)
        return strays
