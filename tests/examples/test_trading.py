"""Trading, worked out by hand on prices set for the purpose."""

import math
from typing import Any

import pytest
import torch

from .helpers import env_module, make_env, play_episodes, random_policy

trading = env_module("trading")
HOLD, BUY, SELL = trading.HOLD, trading.BUY, trading.SELL


def market(hourly: float, *, max_steps: int = 48) -> Any:
    """One market in which every hour brings the same log return."""
    env = make_env("trading", num_envs=1, max_steps=max_steps)
    env.returns.fill_(hourly)
    return env


def trade(env: Any, *orders: int) -> list[float]:
    return [round(env.step(torch.tensor([order]))[1].item(), 6) for order in orders]


def test_every_trade_is_charged() -> None:
    """In a flat market each unit traded costs 0.2 % (reward -0.01), and nothing else does."""
    orders = BUY, BUY, HOLD, SELL, SELL, SELL, BUY
    assert trade(market(0.0), *orders) == [-0.01, 0, 0, -0.01, -0.01, 0, -0.01]


def test_long_earns_the_return_and_short_loses_it() -> None:
    """At 2 % an hour: long +0.1, out 0, short -0.1, and 0.01 for each trade on the way."""
    orders = HOLD, BUY, HOLD, SELL, HOLD, SELL, HOLD
    assert trade(market(0.02), *orders) == [0, 0.09, 0.1, -0.01, 0, -0.11, -0.1]


def test_an_order_counts_for_the_hour_that_follows() -> None:
    """A position taken now earns the next hour's return, not the last one's."""
    env = market(0.0)
    env.returns[:, trading.WINDOW] = 0.04
    assert trade(env, BUY, HOLD) == [0.19, 0.0]


def test_the_return_is_the_growth_of_wealth() -> None:
    """An episode's return is `REWARD_SCALE` times the log of final over starting wealth."""
    env = make_env("trading", num_envs=64, seed=3)
    returns, _ = play_episodes(env, random_policy(env))
    assert torch.allclose(returns, 5.0 * env.growth, atol=1e-5)


def test_success_is_a_gain_of_a_tenth_at_the_end() -> None:
    """Success is true exactly in finished markets that ended 10 % up, in random play."""
    env = make_env("trading", num_envs=512, seed=4)
    act = random_policy(env)
    obs, wealth = env.reset()["obs"], torch.ones(512)
    for _ in range(48):
        payload, reward, done, info = env.step(act(obs))
        obs = payload["obs"]
        wealth *= torch.exp(reward / 5.0)
        assert torch.equal(info["success"], done & (wealth >= 1.10))
    assert 0 < info["success"].sum() < 512


def test_a_gain_on_the_way_is_no_success() -> None:
    """Wealth that is up by far before the end succeeds at the end only."""
    env = market(0.05, max_steps=4)
    seen = [env.step(torch.tensor([BUY]))[3]["success"].item() for _ in range(4)]
    assert seen == [False, False, False, True]


def test_a_margin_call_ends_trading() -> None:
    """Losing 30 % ends the episode at once; the market is frozen until `reset`."""
    env = market(-0.09)
    done = [env.step(torch.tensor([BUY]))[2].item() for _ in range(4)]
    assert done == [False, False, False, True]  # 0.002 + 4 * 0.09 > -log(0.7) > 0.002 + 3 * 0.09
    frozen = {name: value.clone() for name, value in env.named_buffers()}
    payload, reward, still_done, info = env.step(torch.tensor([SELL]))
    assert reward.item() == 0.0
    assert still_done.item()
    assert payload["done"].item()
    assert not info["success"].item()
    assert all(torch.equal(frozen[name], value) for name, value in env.named_buffers())
    assert not env.reset()["done"].item()


def test_the_window_ends_with_the_latest_hour() -> None:
    """The last cell is the hour just past, and the window slides by one an hour."""
    env = market(0.0)
    env.returns[0] = torch.arange(env.hours) / 1000
    first = env._observe()[0, trading.RETURNS, 0]
    env.step(torch.tensor([HOLD]))
    second = env._observe()[0, trading.RETURNS, 0]
    assert first[-1].item() == pytest.approx(0.011 / 0.09)
    assert torch.equal(second[:-1], first[1:])


def test_the_future_is_not_in_the_observation() -> None:
    """Changing every hour to come leaves what the policy sees as it is."""
    env = make_env("trading", seed=6)
    before = env._observe()
    env.returns[:, trading.WINDOW :] = 0.0
    assert torch.equal(env._observe(), before)


def test_position_and_time_left_are_shown() -> None:
    """The position reads -1, 0 or 1; the time left falls from one to nought."""
    env = market(0.0, max_steps=4)
    assert env._observe()[0, 1:, 0, 0].tolist() == [0.0, 1.0]
    env.step(torch.tensor([SELL]))
    assert env._observe()[0, 1:, 0, 0].tolist() == [-1.0, 0.75]


def test_the_kinds_of_market_can_be_told_apart() -> None:
    """Trends drift, a cycle's returns follow each other, chop's take each other back."""
    env = make_env("trading", num_envs=500)
    assert env._trend(trading.DRIFT).mean().item() == pytest.approx(trading.DRIFT, abs=1e-3)
    assert autocorrelation(env._trend(trading.DRIFT)) == pytest.approx(0.0, abs=0.05)
    assert autocorrelation(env._cycle()) > 0.4
    assert autocorrelation(env._chop()) == pytest.approx(-0.5, abs=0.05)


def autocorrelation(returns: torch.Tensor) -> float:
    centred = returns - returns.mean()
    return ((centred[:, 1:] * centred[:, :-1]).mean() / (centred**2).mean()).item()


def test_holding_on_does_not_solve_the_task() -> None:
    """Buying once and keeping, or staying out, succeeds in a minority of markets only."""
    env = make_env("trading", num_envs=1000, seed=7)
    bought = play_episodes(env, lambda obs: (obs[:, trading.POSITION, 0, 0] < 1).long() * BUY)
    stayed_out = play_episodes(env, lambda obs: torch.zeros(len(obs), dtype=torch.int64))
    assert bought[1].float().mean() < 0.45
    assert stayed_out[1].sum() == 0
    assert stayed_out[0].sum() == 0


def test_prices_move_no_further_than_stated() -> None:
    """No hour of a thousand markets moves the log price by more than `MAX_RETURN`."""
    env = make_env("trading", num_envs=1000, seed=8)
    assert env.returns.abs().max().item() <= trading.MAX_RETURN + 1e-6
    assert math.isclose(trading.MAX_RETURN * trading.REWARD_SCALE, 0.45)
