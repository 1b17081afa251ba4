"""Environments around environments: named and stacked observations, running normalisation."""

from simverse.wrappers.base import ObservationWrapper, Wrapper
from simverse.wrappers.flatten import FlatBox, FlatLayout, layout_in, layout_of
from simverse.wrappers.flatten_observation import FlattenObservation
from simverse.wrappers.frame_stack import FrameStack
from simverse.wrappers.named import held_out, wrap
from simverse.wrappers.normalize import NormalizeObservation, NormalizeReward, RunningStatistics

__all__ = [
    "FlatBox",
    "FlatLayout",
    "FlattenObservation",
    "FrameStack",
    "NormalizeObservation",
    "NormalizeReward",
    "ObservationWrapper",
    "RunningStatistics",
    "Wrapper",
    "held_out",
    "layout_in",
    "layout_of",
    "wrap",
]
