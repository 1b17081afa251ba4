"""Record what the real programs print: `python -m tests.real_agents.record [NAME …]`.

The files below `tests/data/agents/PROGRAM-VERSION/` are what the parsers are tested on. Paths, ids
and ports of the machine are taken out.
"""

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.core.errors import AgentBlockedError
from tests.real_agents.moves import Move, Refuse, Run, Say
from tests.real_agents.rig import NAMES, WHOLE, RealAgent, missing

DATA = Path(__file__).parent.parent / "data" / "agents"
SCRIPTS: Mapping[str, Sequence[Move]] = {
    "edit": WHOLE,
    "no-edit": [Run("echo nothing"), Say("I can't help with that.")],
    "refused-key": [Refuse(401, "the key is wrong")],
}
_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b(?:ses|prt|msg)_[0-9A-Za-z]{20,}"
)
_SCRUBBED = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1:1"),
    (r"turn-\w+", "turn-0"),
    (r"cc-socks/\d+", "cc-socks/1"),
)


def record(name: str, script: Sequence[Move]) -> tuple[str, bytes]:
    """Run a program once; return its version, and what it printed, scrubbed."""
    with tempfile.TemporaryDirectory() as folder:
        agent = RealAgent(name, Path(folder), script)
        try:
            agent.propose()
        except AgentBlockedError as error:
            print(f"{name}: {error}")
        finally:
            agent.server.close()
        printed = b"\n".join(agent.program.lines).decode()
        printed = printed.replace(folder, "/workspace")
        for pattern, instead in _SCRUBBED:
            printed = re.sub(pattern, instead, printed)
        ids: dict[str, str] = {}
        printed = _ID.sub(lambda found: ids.setdefault(found[0], f"id-{len(ids)}"), printed)
        return agent.agent.version(), printed.encode() + b"\n"


def main(names: Sequence[str]) -> int:
    """Record all scripts of the programs that are named, or of all."""
    for name in names or NAMES:
        if why := missing(name):
            print(f"{name}: {why}")
            continue
        for title, script in SCRIPTS.items():
            version, printed = record(name, script)
            file = DATA / f"{name}-{version}" / f"{title}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(printed)
            print(file.relative_to(DATA))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
