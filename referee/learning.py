"""How a training went, in ten numbers for each statistic and each part of the reward. Pure."""

import itertools
import statistics
from collections.abc import Mapping, Sequence

from referee.records import PartSummary
from referee.training_report import STATISTICS, EpisodeReport

_CHECKPOINTS = 10


def learning_summary(episodes: Sequence[EpisodeReport]) -> dict[str, tuple[float, ...]]:
    """Return each statistic at the checkpoints."""
    found = _columns([episode.learning for episode in episodes])
    return {name: checkpoints(found[name]) for name in STATISTICS if name in found}


def part_summaries(episodes: Sequence[EpisodeReport]) -> dict[str, PartSummary]:
    """Return each part of the reward, summed up."""
    return {
        name: PartSummary(
            at=checkpoints(values),
            max=max(values),
            mean=statistics.fmean(values),
            min=min(values),
        )
        for name, values in _columns([episode.reward_parts for episode in episodes]).items()
    }


def checkpoints(values: Sequence[float]) -> tuple[float, ...]:
    """Return the mean in each of ten equal parts, or all values if there are fewer than ten."""
    count, parts = len(values), min(_CHECKPOINTS, len(values))
    ends = [part * count // parts for part in range(parts + 1)]
    return tuple(statistics.fmean(values[begin:end]) for begin, end in itertools.pairwise(ends))


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the values of the names that are there in every row."""
    return {
        name: [row[name] for row in rows] for name in rows[0] if all(name in row for row in rows)
    }
