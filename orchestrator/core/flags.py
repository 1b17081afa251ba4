"""Flags that can be raised against a score: names, meanings, default vetoes."""

from collections.abc import Mapping

POLICY_INDEPENDENT = "policy-independent reward"
REWARD_SCALE = "reward scale"
HORIZON_SHORTENED = "horizon shortened"
MEANINGS: Mapping[str, str] = {
    POLICY_INDEPENDENT: "a random policy earns what the trained one earns, so nothing in the score "
    "was learnt",
    "nondeterministic": "the same actions from the same seed were rewarded differently, so the "
    "score does not repeat",
    "identical starts": "another seed changes nothing, so the policy is scored on the episodes it "
    "was trained on",
    REWARD_SCALE: "the reward function changed and the score rose, but the policy solves no more "
    "and plays no differently",
    HORIZON_SHORTENED: "episodes were cut shorter than the incumbent's, so the returns are of "
    "another task",
    "success contradicts reward": "episodes that count as solved earn less, or a random policy "
    "solves them all",
    "budget exceeded": "it took more training steps, threads or time than the budget gives",
}
"""Every flag that can be vetoed, and why it marks no real gain."""
DEFAULT_VETO = (
    POLICY_INDEPENDENT, "nondeterministic", "identical starts", HORIZON_SHORTENED,
    "success contradicts reward",
)  # fmt: skip
"""Flags without a measured false alarm, with a clear harm, and independent of the clock; see
docs/flags.md."""


def name_of(flag: str) -> str:
    """Return a flag's name, without its detail."""
    return flag.partition(":")[0].strip()
