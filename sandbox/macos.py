"""macOS's `sandbox-exec` around the worker server, whose forks inherit it. Never tested."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

_PROFILE = """(version 1)
(deny default)
(allow process-fork)
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow mach-lookup (global-name "com.apple.system.logger"))
(allow file-read*)
(deny file-read* (subpath (param "HOME")))
(allow file-read* (subpath (param "PREFIX")) (subpath (param "PACKAGE")))
(allow file-read* file-write* (subpath (param "TMP")))
(allow file-write* (literal "/dev/null"))
(allow process-exec (subpath (param "PREFIX")))
"""


def sandbox_exec(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command`, a Python, under the profile."""
    package = Path(__file__).resolve().parent.parent
    prefix = Path(command[0]).resolve().parent.parent
    parameters = {
        "HOME": Path.home(),
        "PREFIX": prefix,
        "PACKAGE": package,
        "TMP": Path(tempfile.gettempdir()).resolve(),
    }
    options = [word for name, value in parameters.items() for word in ("-D", f"{name}={value}")]
    return ["sandbox-exec", "-p", _PROFILE, *options, *command]
