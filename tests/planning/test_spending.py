"""Limits on tokens and dollars: what is used and what the next call may cost fit in together."""

import random

import pytest

from orchestrator.config.schema import LimitsConfig
from orchestrator.core.spending import Spend
from orchestrator.planning.spending import is_limited, lacks_room

LIMITS = LimitsConfig(tokens=1000, cost_usd=2.0)


@pytest.mark.parametrize(
    ("used", "next_call", "said"),
    [
        (Spend(0, 0.0), Spend(1000, 2.0), None),
        (Spend(999, 1.9), Spend(0, 0.0), None),
        (Spend(900, 0.0), Spend(101, 0.0), "limits.tokens reached (900 of 1000, and the next call may cost 101)"),
        (Spend(0, 1.5), Spend(1, 0.75), "limits.cost_usd reached (1.5 of 2, and the next call may cost 0.75)"),
        (Spend(1000, 0.0), Spend(), "limits.tokens reached (1000 of 1000)"),
        (Spend(5000, 9.0), Spend(), "limits.tokens reached (5000 of 1000)"),
        (Spend(0, 2.0), Spend(), "limits.cost_usd reached (2 of 2)"),
    ],
)  # fmt: skip
def test_a_call_is_made_if_all_of_it_fits(used: Spend, next_call: Spend, said: str | None) -> None:
    """To the last token; what costs nothing is made until the limit is reached."""
    assert lacks_room(LIMITS, used, next_call) == said


def test_without_limits_there_is_always_room() -> None:
    """Other limits are no matter of a call."""
    assert not is_limited(LimitsConfig(experiments=1))
    assert lacks_room(LimitsConfig(), Spend(10**9, 1e9), Spend(10**9, 1e9)) is None


def test_the_order_of_a_sum_is_no_reason() -> None:
    """Ten calls of a dime fit into a dollar, in whatever order they are added."""
    limits = LimitsConfig(cost_usd=1.0)
    used = sum([0.1] * 9)  # 0.8999999999999999
    assert lacks_room(limits, Spend(0, used), Spend(0, 0.1)) is None
    assert lacks_room(limits, Spend(0, 0.3 + 0.6000000000000001), Spend(0, 0.1)) is None


@pytest.mark.parametrize("lanes", [1, 8])
def test_reservations_hold_whatever_calls_cost(lanes: int) -> None:
    """A thousand calls in any order of their ends: used stays within, and room comes back."""
    order = random.Random(lanes)
    limits, used, made = LimitsConfig(cost_usd=10.0), Spend(), 0
    open_calls: list[Spend] = []
    while made < 1000:
        worst = Spend(0, order.uniform(0.001, 0.02))
        if len(open_calls) < lanes and lacks_room(limits, used, worst) is None:
            open_calls.append(worst)
            used, made = used.plus(worst), made + 1
        elif not open_calls:
            break
        else:
            reserved = open_calls.pop(order.randrange(len(open_calls)))
            actual = Spend(0, reserved.cost_usd * order.choice([1.0, order.random()]))
            used = used.minus(reserved).plus(actual)
        assert used.cost_usd <= 10.0 * (1 + 1e-9)
    assert made == 1000 or used.cost_usd > 9.9
