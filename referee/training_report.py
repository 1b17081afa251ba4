"""What the training worker reports of each episode, and how the referee checks it."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from referee.records import CandidateError
from referee.wire import count, number, receive, shown
from sandbox import Channel
from simverse.part_names import MAX_PARTS, is_part_name

STATISTICS = (
    "entropy", "value_loss", "approx_kl", "explained_variance", "episode_length", "shaped_return",
)  # fmt: skip
"""What is shown of learning. The approximate KL is the mean of (r - 1) - log r (Schulman's k3); the
shaped return is there where training sees another reward than the world's."""
_LARGEST = 1e300
"""Numbers of a magnitude beyond it are dropped."""


@dataclass(frozen=True, kw_only=True)
class EpisodeReport:
    """One training episode, by the training worker's own account."""

    mean_return: float
    solve_rate: float
    env_steps: int
    learning: Mapping[str, float] = field(default_factory=dict)
    """Some of `STATISTICS`; shown and never scored, like the reward's parts."""
    reward_parts: Mapping[str, float] = field(default_factory=dict)
    """Mean sum of each of `info["reward_parts"]` over the training episodes."""


def send_episode(channel: Channel, report: EpisodeReport) -> None:
    """Report one training episode."""
    channel.send({"kind": "episode", **dataclasses.asdict(report)})


def receive_episode(channel: Channel) -> EpisodeReport:
    """Wait for the next training episode."""
    head, _ = receive(channel, "episode")
    solve_rate = number(head.get("solve_rate"), "solve_rate")
    if not 0 <= solve_rate <= 1:
        raise CandidateError("rejected", f"the worker's solve_rate is {solve_rate:g}")
    return EpisodeReport(
        mean_return=number(head.get("mean_return"), "mean_return"),
        solve_rate=solve_rate,
        env_steps=count(head.get("env_steps"), "env_steps"),
        learning=_numbers(head, "learning", STATISTICS.__contains__),
        reward_parts=_numbers(head, "reward_parts", is_part_name),
    )


def _numbers(
    head: Mapping[str, object], name: str, is_name: Callable[[str], bool]
) -> dict[str, float]:
    """Return the numbers by name of a message: without those that can't be shown."""
    found = head.get(name)
    if not isinstance(found, dict) or len(found) > MAX_PARTS:
        raise CandidateError("rejected", f"the worker's {name} is {shown(found)}")
    return {
        key: float(value)
        for key, value in found.items()
        if is_name(key) and type(value) in {int, float} and abs(value) < _LARGEST
    }
