"""A run as a `systemd --user` unit, restarted after a crash and after a reboot."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from orchestrator.core.errors import UserError
from orchestrator.store.workspace import Workspace

_UNIT = """\
# Written by `autorl-daemon service install`; `autorl-daemon service remove` removes it.
[Unit]
Description=autorl-daemon, run {tag} in {root}
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
ExecStart={command}
WorkingDirectory={root}
Environment={path}
EnvironmentFile=-{keys}
Restart=on-failure
RestartSec=10
# A wrong config or an unusable workspace is not repaired by a restart.
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec=15

[Install]
WantedBy=default.target
"""


class Service:
    """The unit of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Name the unit after the workspace's folder and path, so that it is unique."""
        root = str(workspace.root)
        if not root.isprintable():
            raise UserError(f"systemd can't have a unit for {root!r}: rename the folder")
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", workspace.root.name).strip("-.") or "workspace"
        digest = hashlib.sha256(root.encode()).hexdigest()[:6]
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self.name = f"autorl-{slug}-{digest}.service"
        self.path = config / "systemd" / "user" / self.name
        self.keys = config / "autorl-daemon.env"
        self._root = root

    def unit(self, tag: str) -> str:
        """Return the unit's text: it starts and resumes one run."""
        command = [
            sys.executable, "-P", "-m", "orchestrator", "start", "--foreground",
            "--workspace", self._root, "--tag", tag,
        ]  # fmt: skip
        return _UNIT.format(
            tag=_plain(tag),
            root=_plain(self._root),
            command=" ".join(_quoted(word).replace("$", "$$") for word in command),
            path=_quoted(f"PATH={os.environ.get('PATH', os.defpath)}"),
            keys=_plain(str(self.keys)),
        )

    def install(self, tag: str, *, now: bool) -> list[str]:
        """Write and enable the unit, and start it if `now`; return notes, a line each."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.unit(tag), encoding="utf-8")
        lines = [f"wrote {self.path} (run {tag})"]
        enable = ["enable", *(["--now"] if now else []), self.name]
        fault = _systemctl("daemon-reload") or _systemctl(*enable)
        if fault:
            lines.append(
                f"{fault}; enable it yourself: `systemctl --user daemon-reload && "
                f"systemctl --user {' '.join(enable)}`"
            )
        else:
            lines.append(f"enabled: `systemctl --user status {self.name}` shows it")
        return [
            *lines,
            "to have it run without a login, and after a reboot: `loginctl enable-linger`",
            f"it sees no variable of your shell: keys go into {self.keys}, NAME=value a line",
        ]

    def remove(self, *, now: bool) -> list[str]:
        """Disable and delete the unit, and stop it if `now`; return notes, a line each.

        Raises:
            UserError: there is none.
        """
        if not self.path.exists():
            raise UserError(f"no service is installed for {self._root} ({self.path})")
        fault = _systemctl("disable", *(["--now"] if now else []), self.name)
        self.path.unlink()
        fault = fault or _systemctl("daemon-reload")
        return [f"removed {self.path}", *([fault] if fault else [])]


def _systemctl(*arguments: str) -> str | None:
    """Run `systemctl --user`; return the error, None if there is none."""
    if shutil.which("systemctl") is None:
        return "systemd is not here (no systemctl)"
    try:
        done = subprocess.run(
            ["systemctl", "--user", *arguments],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"systemctl --user {arguments[0]} failed: {error}"
    if done.returncode == 0:
        return None
    said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    return f"systemctl --user {arguments[0]} failed ({said})"


def _plain(text: str) -> str:
    """Return text escaped for values that systemd does not unquote."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Return one word of a command line as systemd splits them."""
    escaped = _plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
