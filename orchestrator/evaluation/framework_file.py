"""The evaluator's file: its protocol, and hashes of everything that scores depend on."""

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

from orchestrator.core.errors import UserError

PROTOCOL = 3
_PACKAGES = ("simverse", "sandbox", "referee")
"""Installed packages that scores depend on."""
_PROTOCOL_LINE = re.compile(r"^EVALUATOR_PROTOCOL\s*=\s*(\d+)\s*$", re.MULTILINE)


def hashes(framework: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each part that scores depend on.

    A file that is not there has None; a package that is not installed is left out.
    """
    parts = {framework.name: [framework], "train.py": [framework.with_name("train.py")]}
    for name in _PACKAGES:
        if (folder := _package_folder(name)) is not None:
            parts[name] = sorted(folder.rglob("*.py"))
    return {name: _sha256(paths) for name, paths in parts.items()}


def _package_folder(name: str) -> Path | None:
    """Return a package's folder, without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _sha256(paths: Iterable[Path]) -> str | None:
    digest = hashlib.sha256()
    try:
        for path in paths:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
        return None  # any other error (no free descriptor, say) is no change of the file
    return digest.hexdigest()


def check_framework(file: Path) -> None:
    """Check that a file is an evaluator with this daemon's protocol, without running it.

    Raises:
        UserError: it is missing or speaks another protocol.
    """
    if not file.is_file():
        raise UserError(
            f"{file} is missing: put it back, or set evaluator.framework in config.yaml"
        )
    found = _PROTOCOL_LINE.search(file.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise UserError(
            f"{file} is not an evaluator of autorl-daemon (no EVALUATOR_PROTOCOL): point "
            "evaluator.framework in config.yaml to one; `autorl-daemon init` writes one"
        )
    if int(found[1]) != PROTOCOL:
        raise UserError(
            f"{file} speaks evaluator protocol {found[1]}, this daemon speaks {PROTOCOL}: "
            "use the version of autorl-daemon that made this workspace, or a new workspace"
        )
