"""Replays as the page asks for them: which seeds have some, and one episode at a time."""

import contextlib
import re
from typing import Any

from orchestrator.core.errors import UserError
from orchestrator.core.experiments import Experiment
from orchestrator.store.watched import Watched, best_seed
from orchestrator.store.workspace import Workspace

MOST_EPISODES = 50
_FILE = re.compile(r"replays?-(\d{1,12})\.json")


def seeds_with_replays(workspace: Workspace, experiment: Experiment) -> list[int]:
    """Return the seeds of which a replay is kept, the best one first."""
    folder = workspace.logs / "experiments" / str(experiment.n)
    best = best_seed(experiment.scores_by_seed)
    seeds = set()
    with contextlib.suppress(OSError):
        names = [path.name for path in folder.iterdir()]
        seeds = {int(found[1]) for name in names if (found := _FILE.fullmatch(name))}
        seeds |= {best} if best is not None and "replay.json" in names else set()
    return sorted(seeds, key=lambda seed: (seed != best, seed))


def replay_document(
    workspace: Workspace, experiment: Experiment, seed: int, episode: int
) -> dict[str, Any]:
    """Return one episode on a seed, and how many are kept.

    Raises:
        UserError: it is not kept.
    """
    best = best_seed(experiment.scores_by_seed)
    kept = Watched(workspace.root, experiment.n).replays(seed, best)[:MOST_EPISODES]
    if not 0 <= episode < len(kept):
        raise UserError(
            f"this episode of #{experiment.n} is not kept: `autorl-daemon play {experiment.n}` "
            "makes it again"
        )
    return {"episodes": len(kept), "replay": kept[episode]}
