"""The evaluator's file: the protocol that it speaks, and hashes of all that scores depend on."""

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

from orchestrator.core.errors import UserError

PROTOCOL = 3
_PROTOCOL_LINE = re.compile(r"^EVALUATOR_PROTOCOL\s*=\s*(\d+)\s*$", re.MULTILINE)


def hashes(framework: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each part that scores depend on; None for one that is not there."""
    parts = {
        framework.name: [framework],
        "train.py": [framework.with_name("train.py")],
        **{name: sorted(_package_folder(name).rglob("*.py")) for name in ("simverse", "sandbox")},
    }
    return {name: _sha256(paths) for name, paths in parts.items()}


def _package_folder(name: str) -> Path:
    """Return where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _sha256(paths: Iterable[Path]) -> str | None:
    digest = hashlib.sha256()
    try:
        for path in paths:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    except OSError:
        return None
    return digest.hexdigest()


def check_framework(file: Path) -> None:
    """Check that a file is an evaluator this daemon can talk to, without running it.

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
