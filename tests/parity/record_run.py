"""Write the recording that the scripted run is compared with: `python -m tests.parity.record_run`.

With names of runs (`sound`, `naive`) only those are written anew.

It was written before the engine was rewritten, and once more when a fall of the solve rate became
no keep (#38 of the first run, which differs from there on) and code could be tried again against
another incumbent (so #11 of the second one now repeats an edit that changes nothing; its #17, of
another horizon, is another task). The first run was recorded anew when lead and proof took the place
of the sequential test; the second one is the naive rule's, and as it was. Writing it anew says that
what it holds may change.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.parity.scripted_run import RECORDING, RUNS


def main() -> None:
    """Run and record."""
    runs: dict[str, dict[str, object]] = json.loads(RECORDING.read_text())
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or RUNS:
            (Path(folder) / name).mkdir()
            runs[name] = RUNS[name](Path(folder) / name)
    RECORDING.write_text(_as_text(runs))
    print(RECORDING)


def _as_text(runs: dict[str, dict[str, object]]) -> str:
    """Return JSON with a row a line, so that a difference can be read."""
    text = []
    for name, parts in runs.items():
        shown = []
        for part, rows in parts.items():
            if isinstance(rows, dict):
                items = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items()]
            else:
                assert isinstance(rows, list)
                items = [json.dumps(row) for row in rows]
            left, right = "{}" if isinstance(rows, dict) else "[]"
            lines = ",\n".join(items)
            shown.append(f"{json.dumps(part)}: {left}\n{lines}\n{right}")
        text.append(f"{json.dumps(name)}: {{\n" + ",\n".join(shown) + "\n}")
    return "{\n" + ",\n".join(text) + "\n}\n"


if __name__ == "__main__":
    main()
