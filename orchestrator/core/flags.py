"""Flags that can be raised against a score: names, meanings, default vetoes."""

from collections.abc import Mapping

POLICY_INDEPENDENT = "policy-independent reward"
REWARD_SCALE = "reward scale"
HORIZON_CHANGED = "horizon changed"
BUDGET_EXCEEDED = "budget exceeded"
FLAGS_OF_WORLDS = frozenset({BUDGET_EXCEEDED})
"""Those that can be raised where the task is a world of the user's own."""
NO_TASK = "no task"
"""A baseline that is no incumbent. It informs and cannot be vetoed: it is of no challenger."""
MEANINGS: Mapping[str, str] = {
    POLICY_INDEPENDENT: "a random policy earns what the trained one earns, so nothing in the score "
    "was learnt",
    "nondeterministic": "the same actions from the same seed were rewarded differently, so the "
    "score does not repeat",
    "identical starts": "another seed changes nothing, so the policy is scored on the episodes it "
    "was trained on",
    REWARD_SCALE: "the reward function changed and the score rose, but the policy solves no more "
    "and plays no differently",
    HORIZON_CHANGED: "episodes last shorter or longer than the lead's, so the returns are of "
    "another task",
    "success contradicts reward": "episodes that count as solved earn less, or a random policy "
    "solves them all",
    "scored play pays more": "the same policy earns less where nothing is scored, so the score was "
    "made for the scoring",
    BUDGET_EXCEEDED: "it took more training steps, threads or time than the budget gives",
}
"""Every flag that can be vetoed, and why it marks no real gain."""
DEFAULT_VETO = (
    POLICY_INDEPENDENT, "nondeterministic", "identical starts", HORIZON_CHANGED,
    "success contradicts reward", "scored play pays more",
)  # fmt: skip
"""Flags without a measured false alarm, with a clear harm, and independent of the clock; see
docs/flags.md."""


FORMER_NAMES: Mapping[str, str] = {"horizon shortened": HORIZON_CHANGED}
"""Names in configurations and ledgers of older versions."""


INFORMATIVE: Mapping[str, str] = {
    NO_TASK: "there is nothing to improve on yet, so the first valid and unflagged candidate that "
    "is a task becomes the baseline, whatever its return",
}
"""Flags that no configuration can veto, and what they mean."""


def meaning_of(flag: str) -> str | None:
    """Return what a flag means, None if it is unknown."""
    name = name_of(flag)
    return MEANINGS.get(name) or INFORMATIVE.get(name)


def name_of(flag: str) -> str:
    """Return a flag's name of today, without its detail."""
    name = flag.partition(":")[0].strip()
    return FORMER_NAMES.get(name, name)
