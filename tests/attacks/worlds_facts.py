"""Attacks by what the policy's worker says of itself: forged facts, overrides and reports."""

from tests.attacks.worlds_template import WorldAttack

_ENDS = ("rejected", "crash", "invalid")
# The worker's own sending, changed.
_SENDING = """
import sandbox.channel
honest = sandbox.channel.Channel.send
def forged(self, head, payload=b""):
    head = dict(head)
    change(head)
    return honest(self, head, payload)
sandbox.channel.Channel.send = forged
def change(head):
"""

# A claim that is shown and never scored, to see that what was sent was forged.
_MARK = '"mean_return" in head and head.update(mean_return=1e3)'


def _claims(name: str, attempts: str, line: str, **more: object) -> WorldAttack:
    given = {"strikes": "import of train", "shown": "ending", "ends": _ENDS}
    return WorldAttack(
        name=name,
        attempts=attempts,
        code=f"{_SENDING}    {line}\n",
        **{**given, **more},  # type: ignore[arg-type]
    )


FACTS = (
    _claims(
        "more-actions",
        "says that there are five actions",
        'head.get("num_actions") and head.update(num_actions=5)',
    ),
    _claims(
        "one-action",
        "says that there is one action",
        'head.get("num_actions") and head.update(num_actions=1)',
    ),
    _claims(
        "no-actions-at-all",
        "says that there are no actions",
        '"num_actions" in head and head.update(num_actions=0)',
    ),
    _claims(
        "actions-by-name",
        "says that actions are a text",
        '"num_actions" in head and head.update(num_actions="4")',
    ),
    _claims(
        "observations-giant",
        "says that an observation has 2**42 numbers",
        '"observation_shape" in head and head.update(observation_shape=[1 << 14] * 3)',
        is_long=False,
    ),
    _claims(
        "observations-negative",
        "says that an observation has a negative size",
        '"observation_shape" in head and head.update(observation_shape=[1, 1, -3])',
    ),
    _claims(
        "observations-false",
        "says that observations have another shape than they have",
        '"observation_shape" in head and head.update(observation_shape=[7, 7, 7]); ' + _MARK,
        ends=("honest",),
        shown="training",
    ),
    _claims(
        "parameters-negative",
        "says that its policy has a negative number of weights",
        '"policy_parameters" in head and head.update(policy_parameters=-1)',
    ),
    _claims(
        "name-the-world",
        "says that the world is called otherwise, and longer than a name may be",
        '"env_name" in head and head.update(env_name="x" * 10**6, env_description="y" * 10**6); '
        + _MARK,
        shown="training",
        ends=("honest",),
    ),
    _claims(
        "claim-returns",
        "says that training has earned a thousand",
        '"mean_return" in head and head.update(mean_return=1e3)',
        shown="training",
        ends=("honest",),
        is_long=False,
    ),
    _claims(
        "claim-infinity",
        "says that training has earned infinity",
        '"mean_return" in head and head.update(mean_return=float("inf"))',
    ),
    _claims(
        "claim-success",
        "says that training has solved more than all of it",
        '"solve_rate" in head and head.update(solve_rate=2.0)',
    ),
    _claims(
        "no-training",
        "says that training is over before it has begun",
        'head.get("kind") == "episode" and head.update(kind="trained", threads=1, path="torch")',
    ),
    _claims(
        "other-overrides",
        "asks for another horizon with forged overrides",
        '"overrides" in head and head["overrides"].update(max_steps=20)',
        ends=("rejected",),
        is_long=False,
    ),
    _claims(
        "unknown-overrides",
        "asks for a setting that there is not",
        '"overrides" in head and head["overrides"].update(reward_bound=1e9)',
    ),
)
