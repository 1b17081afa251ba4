"""Which of the replays in an evaluator's report are kept."""

import json
from collections.abc import Sequence
from typing import Any


def take_replays(seeds: Sequence[dict[str, Any]]) -> tuple[str, dict[int, str]]:
    """Take the replays out of the reports of seeds, which are too long for the ledger.

    Returns, as JSON, that of the best seed (empty if there is none), and by seed those of the
    worst, the median and the first one: so that those of two experiments have a seed in common.
    """
    replays = {seed["seed"]: seed.pop("replay", None) for seed in seeds}
    order = sorted(seeds, key=lambda seed: float(seed["eval_return"]))
    best = max(seeds, key=lambda seed: float(seed["eval_return"]))
    chosen = (best, order[0], order[(len(order) - 1) // 2], seeds[0])
    texts = {
        seed["seed"]: json.dumps(replays[seed["seed"]], separators=(",", ":"))
        for seed in chosen
        if replays[seed["seed"]] is not None
    }
    return texts.pop(best["seed"], ""), texts
