"""Attacks by what an observer returns, what it says of itself, and what else a candidate defines."""

from tests.attacks.template import ENV as OPEN_ENV
from tests.attacks.template import Change
from tests.attacks.worlds_template import WorldAttack

_SEEN = "    return seen[:, None, None]\n"
_OBSERVE = "def observe(view):\n    pass  #observe#\n"


def _returns(expression: str) -> tuple[Change, ...]:
    return ((_SEEN, f"    seen = seen[:, None, None]\n    return {expression}\n"),)


def _sees(name: str, attempts: str, expression: str, *ends: str, **more: object) -> WorldAttack:
    """Return an attack whose observer returns this in evaluation alone."""
    return WorldAttack(
        name=name,
        attempts=attempts,
        env=_returns(f"{expression} if evaluating() else seen"),
        strikes="observe in evaluation",
        shown="ending",
        ends=ends or ("crash",),
        **more,  # type: ignore[arg-type]
    )


def _observer(reset: str, call: str, rest: str = "") -> tuple[Change, ...]:
    """Return the changes that make the observer a class."""
    text = (
        "class Observer:\n    KEPT = []\n\n"
        f"    def reset(self, view, mask):\n        {reset}\n\n"
        f"    def __call__(self, view):\n        {call}\n        return see(view)\n{rest}\n\n"
        "def see(view):\n"
    )
    return ((_OBSERVE, text),)


OBSERVATIONS = (
    _sees("observe-nothing", "returns None in evaluation", "None"),
    _sees("observe-fewer", "returns one slot's observation for all in evaluation", "seen[:1]"),
    _sees("observe-more", "returns more slots than there are", "seen.repeat(2, 1, 1, 1)"),
    _sees("observe-wider", "returns another shape than it has said", "seen.repeat(1, 1, 1, 2)"),
    _sees("observe-nan", "returns NaN, so that every choice is none", 'seen * float("nan")', is_long=False),
    _sees("observe-text", "returns a text", "'seen'"),
    _sees("observe-a-mask", "returns a mask of actions beside it, of a wrong size", "(seen, torch.ones(3, 99))"),
    _sees(
        "observe-a-liar",
        "returns a tensor of a class of its own, whose argmax is out of range",
        "seen.as_subclass(type('Liar', (torch.Tensor,), "
        "{'argmax': lambda self, *a, **k: torch.full((len(self),), 99)}))",
        "rejected", "crash", "honest",
    ),
    _sees("observe-giant", "returns more than the memory holds", "torch.zeros(16, 1, 1, 10**9)", memory_mb=2000),
    _sees("observe-a-view-from-nowhere", "returns a tensor without memory", "seen.to('meta')"),
    _sees("exit-in-evaluation", "ends its process without a word", "__import__('os')._exit(0)"),
    _sees("crash-in-evaluation", "has the kernel end it", "__import__('ctypes').string_at(0)"),
    _sees(
        "hang-in-evaluation",
        "never answers",
        "__import__('time').sleep(3600)",
        "timeout",
        timeout_s=4.0,
    ),
)  # fmt: skip
SPACES = tuple(
    WorldAttack(
        name=f"space-{name}",
        attempts=f"says that its observations are {words}",
        env=(("gym.spaces.Box(0, 1, (1, 1, 3))", expression),),
        strikes="observation_space",
        shown="ending",
        ends=("invalid", "crash", "rejected"),
    )
    for name, words, expression in (
        ("empty", "empty", "gym.spaces.Box(0, 1, (1, 1, 0))"),
        ("giant", "2**40 numbers", "type('S', (), {'shape': (1 << 20, 1 << 10, 1 << 10)})"),
        ("negative", "of a negative size", "type('S', (), {'shape': (1, 1, -3)})"),
        ("flat", "a line of numbers", "gym.spaces.Box(0, 1, (3,))"),
        ("text", "a text", "'(1, 1, 3)'"),
        ("nothing", "nothing", "None"),
    )
)
OBSERVERS = (
    WorldAttack(
        name="observer-fails-at-a-beginning",
        attempts="raises where an episode begins in evaluation",
        env=_observer("evaluating() and 1 / 0", "pass"),
        strikes="Observer",
        shown="ending",
        ends=("crash",),
    ),
    WorldAttack(
        name="observer-can-not-be-made-twice",
        attempts="lets itself be made once, and evaluation makes it anew",
        env=_observer("pass", "pass", "\n    def __init__(self):\n        assert not evaluating()\n"),
        strikes="Observer",
        shown="ending",
        ends=("crash",),
    ),
    WorldAttack(
        name="two-observers",
        attempts="defines both kinds of observer, so that it isn't known which is played",
        env=((_OBSERVE, "class Observer:\n    pass\n\n\n" + _OBSERVE),),
        strikes="import",
        shown="ending",
        ends=("invalid",),
    ),
    WorldAttack(
        name="no-observer",
        attempts="defines none",
        env=((_OBSERVE, "def see(view):\n"),),
        strikes="import",
        shown="ending",
        ends=("invalid",),
    ),
    WorldAttack(
        name="an-environment-of-its-own",
        attempts="brings an environment that pays, beside what a world asks for",
        env=(("pass  #import env#", OPEN_ENV.replace("0.5 * (", "1e3 * (")),),
        strikes="import",
        shown="ending",
        ends=("invalid",),
        is_long=False,
    ),
    WorldAttack(
        name="a-world-of-its-own",
        attempts="brings a world of its own in its env.py",
        env=(
            ("pass  #import env#", "from task.world import Tiny\n"
             "class Easy(Tiny):\n    def step(self, actions):\n"
             "        view, reward, done, info = super().step(actions)\n"
             "        return view, reward + 100, done, info\n"
             "def create_world(config, *, num_envs=None, **named):\n    return Easy(config, num_envs)\n"
             "sys.modules['task.world'].create_world = create_world"),
        ),
        strikes="import",
    ),
)  # fmt: skip
VIEWS = (*OBSERVATIONS, *SPACES, *OBSERVERS)
