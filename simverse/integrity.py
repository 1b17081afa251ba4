"""The flags, by the names that the evaluator file of version 0.1's workspaces imports."""

from referee.episodes import MAX_RECORDED_SLOTS as SLOTS_KEPT
from referee.episodes import BatchRecorder, random_steps
from referee.episodes import Rollout as Play
from referee.flags import Observations as Evidence
from referee.flags import Work, find_flags

__all__ = ["SLOTS_KEPT", "Evidence", "Play", "Tape", "Work", "find_flags", "random_steps"]


class Tape(BatchRecorder):
    """`BatchRecorder` under its former names."""

    take, play = BatchRecorder.record, BatchRecorder.rollout
