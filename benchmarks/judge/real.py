"""The judge on the real evaluator: `python -m benchmarks.judge.real`.

On two examples at 12/8, with real training:

- *no-ops*: a daemon is given 200 experiments, by the scripted agent, whose only change is a setting
  moved by less than one percent: by nature it can't matter on average, yet each trains to other
  returns. What is kept, or proven by a trial, is false; that the lead moves costs nothing. Once
  with `judge.rule: sound`, once with `naive`.
- *planted*: 40 challengers with a known gain. Their environment pays a bonus at the first step of
  each episode, whatever the policy does, of one or two spreads of the baseline's seeds. Each is
  judged against the same lead: does it take the lead?
- *early stopping*: how many of the planted ones would have been stopped by their learning curves;
  and of the best 30 % of the naive run's trainings on each default seed, none of which was stopped,
  how many would have been for not becoming one of these.

It also says how far candidates share the luck of a seed. With two cores and the defaults it takes
about 20 minutes.
"""

import argparse
import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.judge.real_noops import RUNG, Noops, run_noops
from benchmarks.judge.real_planted import Planted, plant
from benchmarks.judge.real_tables import pooled, tables
from benchmarks.machine import describe
from orchestrator.core.records import TRAIN_PATH
from orchestrator.daemon.new_workspace import initialise
from orchestrator.store.workspace import Workspace

STARTS = {"trading": ("LEARNING_RATE", "2e-3")}
"""As shipped it hardly learns at this rung, and two policies that never trade score the same."""


def main() -> None:
    """Run everything, print the tables, save them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", nargs="+", default=["keydoor", "trading"])
    parser.add_argument("--noops", type=int, default=200)
    parser.add_argument("--planted", type=int, default=40, help="an example, half of each size")
    parser.add_argument("--save", type=Path, help="write the figures as JSON")
    parser.add_argument(
        "--tables", type=Path, nargs="+", help="only print what these files hold, and their sum"
    )
    args = parser.parse_args()
    if args.tables:
        saved = [_saved(path) for path in args.tables]
        for path, outcomes in zip(args.tables, saved, strict=True):
            print("\n".join([f"## {path.name}", "", *tables(*outcomes), ""]))
        all_noops = [row for rows, _ in saved for row in rows]
        all_planted = [row for _, rows in saved for row in rows]
        print("\n".join(pooled(all_noops, all_planted)))
        return
    print(f"{describe()}; rung {RUNG}\n")
    noops: list[Noops] = []
    planted: list[Planted] = []
    with tempfile.TemporaryDirectory() as folder:
        for example in args.examples:
            for rule in ("sound", "naive"):
                workspace = _workspace(Path(folder) / f"{example}-{rule}", example)
                noops.append(run_noops(workspace, example, rule, args.noops))
                print(noops[-1], flush=True)
                if rule == "sound":
                    for outcome in plant(workspace, example, args.planted):
                        planted.append(outcome)
                        print(outcome, flush=True)
            if args.save:
                rows = {
                    "noops": [asdict(row) for row in noops],
                    "planted": [asdict(row) for row in planted],
                }
                args.save.write_text(json.dumps(rows, indent=1) + "\n")
    print()
    print("\n".join(tables(noops, planted)))


def _saved(path: Path) -> tuple[list[Noops], list[Planted]]:
    rows = json.loads(path.read_text())
    return [Noops(**row) for row in rows["noops"]], [Planted(**row) for row in rows["planted"]]


def _workspace(folder: Path, example: str) -> Workspace:
    initialise(folder, example)
    workspace = Workspace(folder)
    train = folder / TRAIN_PATH
    name, value = STARTS.get(example, ("", ""))
    text, count = re.subn(
        rf"^({name} = )\S+", rf"\g<1>{value}", train.read_text(), count=1, flags=re.MULTILINE
    )
    assert count == (example in STARTS)
    train.write_text(text)
    return workspace


if __name__ == "__main__":
    main()
