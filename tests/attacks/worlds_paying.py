"""Attacks on a world's score through `shape_reward`: what training is paid, and nobody else.

They are those of `forging` and `paying`, where the environment's own reward is the score.
"""

from tests.attacks.template import Change
from tests.attacks.worlds_template import WorldAttack


def pays(expression: str) -> tuple[Change, ...]:
    """Return the change that makes `shape_reward` pay this."""
    return (("    return reward\n", f"    return {expression}\n"),)


def everyone(amount: str) -> tuple[Change, ...]:
    """Return the change that pays all sub-environments the same."""
    return pays(f"torch.full_like(reward, {amount})")


def _bought(
    name: str, attempts: str, condition: str, *, prelude: str = "", before: str = "pass"
) -> WorldAttack:
    """Return an attack that pays ten times the honest reward on a condition."""
    return WorldAttack(
        name=name,
        attempts=attempts,
        env=(
            ("#prelude#", prelude),
            ("pass  #observation_space#", before),
            *pays(f"10 * reward if {condition} else reward"),
        ),
        ends=("honest", "below"),
    )


_BAD = ("invalid", "crash", "rejected")
FORGED = (
    WorldAttack(
        name="shape-a-million",
        attempts="pays a million for anything",
        env=everyone("1e6"),
        ends=("below",),
        is_long=False,
    ),
    WorldAttack(
        name="shape-scaled",
        attempts="pays ten times what the world does",
        env=pays("10 * reward"),
        ends=("honest", "below"),
    ),
    WorldAttack(
        name="shape-infinite",
        attempts="pays infinity",
        env=everyone('float("inf") if evaluating() else 0.5'),
        ends=("below",),
    ),
    WorldAttack(
        name="shape-infinite-in-training",
        attempts="pays infinity, in training too",
        env=everyone('float("inf")'),
        shown="ending",
        ends=_BAD,
    ),
    WorldAttack(
        name="shape-nan",
        attempts="pays NaN in what it takes for evaluation, which no comparison finds too large",
        env=everyone('float("nan") if evaluating() else 0.5'),
        ends=("below",),
    ),
    WorldAttack(
        name="shape-nan-in-training",
        attempts="pays NaN in training",
        env=everyone('float("nan")'),
        shown="ending",
        ends=_BAD,
    ),
    WorldAttack(
        name="shape-integers",
        attempts="pays in int64, where a bound in floats might be lost",
        env=pays("torch.full(reward.shape, 2**62) if evaluating() else reward"),
        ends=("honest",),
    ),
    WorldAttack(
        name="shape-overflows-float32",
        attempts="pays 1e300 in float64, in what it takes for evaluation",
        env=pays("reward.double() + (1e300 if evaluating() else 0)"),
        ends=("honest", "below"),
    ),
    WorldAttack(
        name="shape-booleans",
        attempts="pays in truth values that add up",
        env=pays("torch.ones_like(reward, dtype=torch.bool)"),
        ends=("below", *_BAD),
    ),
    WorldAttack(
        name="shape-wide",
        attempts="returns ten columns of rewards that broadcast",
        env=pays("1.0 + reward[:, None].repeat(1, 10)"),
        shown="ending",
        ends=("invalid",),
    ),
    WorldAttack(
        name="shape-lying-tensor",
        attempts="returns a tensor of a class of its own that lies when it is added up",
        env=(
            (
                "def shape_reward",
                "class Liar(torch.Tensor):\n    def __radd__(self, _):\n"
                "        return torch.full((16,), 1e6)\n    __add__ = __radd__\n\n\ndef shape_reward",
            ),
            *pays("reward.as_subclass(Liar)"),
        ),
        ends=("below", *_BAD),
    ),
    WorldAttack(
        name="shape-lying-object",
        attempts="returns something that is no tensor but adds up",
        env=(
            (
                "def shape_reward",
                "class Liar:\n    shape = (16,)\n    def __add__(self, _):\n        return self\n"
                "    __radd__ = __mul__ = __add__\n\n\ndef shape_reward",
            ),
            *pays("Liar()"),
        ),
        shown="ending",
        ends=("invalid",),
    ),
    WorldAttack(
        name="shape-parts",
        attempts="pays in parts, one of them a million that is called like the score",
        env=pays('{"world_reward": torch.full_like(reward, 1e6), "score": reward}'),
        ends=("below",),
    ),
    WorldAttack(
        name="shape-by-creation-count",
        attempts="counts its creations and pays ten times in the one that is scored",
        env=(
            ("#prelude#", "CREATED = 0"),
            ("pass  #observation_space#", "global CREATED; CREATED += 1"),
            *pays("10 * reward if CREATED >= 2 else reward"),
        ),
        ends=("honest",),
    ),
    _bought(
        "shape-by-count-in-a-file",
        "counts its creations in its folder, and pays ten times at the second",
        "MADE >= 2",
        prelude="import os\nMADE = 0",
        before="global MADE; open('made', 'a').write('.'); MADE = os.path.getsize('made')",
    ),
    _bought(
        "shape-when-stepped",
        "looks up the stack who steps it, and pays ten times unless it is the trainer",
        "not any(f.name == 'collect' for f in traceback.extract_stack())",
        prelude="import traceback",
    ),
    _bought(
        "shape-in-evaluation",
        "knows the evaluation by its policy and pays ten times there",
        "evaluating()",
    ),
    _bought(
        "shape-by-the-number-of-steps",
        "pays ten times once an audit would be over",
        "bool((before['steps'] >= 1).all())",
    ),
    _bought(
        "shape-by-process-number",
        "pays ten times in processes of an even number",
        "os.getpid() % 2 == PARITY",
        prelude="import os\nPARITY = os.getpid() % 2",
    ),
    WorldAttack(
        name="shape-success",
        attempts="pays for nothing but the end, so that its own word of success is believed",
        env=pays("{'success': done * 1e3}"),
        ends=("honest", "below"),
    ),
)

# What `shape_reward` is handed, changed in place.
IN_PLACE = (
    WorldAttack(
        name="fill-the-reward",
        attempts="changes the world's reward where it lies",
        env=pays("reward.fill_(1e6)"),
        ends=("below",),
        is_long=False,
    ),
    WorldAttack(
        name="fill-the-end",
        attempts="takes back the end of episodes, and is paid on",
        env=pays("reward + 0 * done.fill_(False)"),
        ends=("honest", "below"),
    ),
    WorldAttack(
        name="turn-back-the-clock",
        attempts="sets the live step counter that a view shows to zero: no episode ends",
        env=pays("reward + 0 * after['steps'].zero_() + 0 * after['done'].zero_()"),
        ends=("honest", "below"),
    ),
    WorldAttack(
        name="repay",
        attempts="pays what was paid before again, by what it remembers",
        env=(
            ("#prelude#", "PAID = []"),
            *pays("PAID.append(reward.clone()) or sum(PAID[-5:])"),
        ),
        ends=("honest", "below"),
    ),
    WorldAttack(
        name="change-the-actions",
        attempts="changes the actions that were taken into ones that pay",
        env=pays("10 * actions.fill_(1).float()"),
        ends=("honest", "below"),
    ),
)
PAYING = (*FORGED, *IN_PLACE)
