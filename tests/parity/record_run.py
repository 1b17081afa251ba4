"""Write the recording that the scripted run is compared with: `python -m tests.parity.record_run`.

It was written before the engine was rewritten. Writing it anew says that what it holds may change.
"""

import json
import tempfile
from pathlib import Path

from tests.parity.scripted_run import RECORDING, RUNS


def main() -> None:
    """Run and record."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for name, make in RUNS.items():
            (Path(folder) / name).mkdir()
            runs[name] = make(Path(folder) / name)
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
