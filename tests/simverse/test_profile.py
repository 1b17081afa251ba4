import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from simverse import profile as profiling
from simverse import timing
from simverse.core.config import EnvConfig
from simverse.envs import grid_goal
from simverse.policies import SimplePolicy
from simverse.training.config import PPOConfig
from simverse.training.ppo import train
from tests.candidates import write_candidate


def task():
    torch.manual_seed(0)
    env = grid_goal.create_env(EnvConfig(num_envs=8, max_steps=10, seed=1))
    policy = SimplePolicy(env.observation_space, env.action_space, hidden=16)
    return env, policy, PPOConfig.for_task(num_envs=8, max_steps=10)


def test_parts_add_up():
    """Every part takes some time, together no more than the whole."""
    found = profiling.profile(*task(), episodes=2)
    assert set(found.seconds) == set(timing.PARTS)
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert 0 < found.other_s < found.total_s
    assert found.env_steps == 2 * 80
    assert "roofline" in str(found)


def test_both_paths_are_profiled():
    """What is trained fused is, and each part of what is not is timed too."""
    env, policy, config = task()
    assert profiling.profile(env, policy, config, episodes=1).path == "fused"
    by_autograd = replace(config, torch_fastpath=False)
    found = profiling.profile(env, policy, by_autograd, episodes=1)
    assert found.path == "torch"
    assert all(seconds > 0 for seconds in found.seconds.values())


def test_operations_are_counted():
    """By hand: forward and backward of one linear layer, and of one convolution."""
    with timing.Products() as products:
        nn.Linear(5, 7)(torch.randn(3, 5, requires_grad=True)).sum().backward()
    # Forward, the gradient of the input and that of the weight.
    assert products.shapes == {(3, 5, 7): 1, (3, 7, 5): 1, (7, 3, 5): 1}
    with timing.Products() as products:
        layer = nn.Conv2d(2, 4, 3, padding=1)
        layer(torch.randn(6, 2, 5, 5, requires_grad=True)).sum().backward()
    assert products.shapes == {(6 * 25, 2 * 9, 4): 3}


def test_nothing_is_left_behind():
    """After a profile, and after one that failed, torch and the policy are as they were."""
    before = torch.autograd.backward
    env, policy, config = task()
    profiling.profile(env, policy, config, episodes=1)
    assert torch.autograd.backward is before
    assert not policy._forward_hooks
    with pytest.raises(ValueError, match="precision"):
        profiling.profile(env, policy, config, episodes=1, precision="fp8")
    assert torch.autograd.backward is before


def test_profiled_training_is_the_real_one():
    """A profiled training leads to the same bits as one that is not."""

    def weights(run):
        env, policy, config = task()
        run(env, policy, config)
        return nn.utils.parameters_to_vector(policy.parameters()).detach()

    def plain(env, policy, config):
        for path in ("fused", "fused", "torch"):  # one to warm up, one timed, one to count
            train(env, policy, config, episodes=1, seed=0, path=path)

    profiled = weights(lambda *made: profiling.profile(*made, episodes=1))
    assert torch.equal(profiled, weights(plain))


def test_command(monkeypatch, capsys):
    """The command prints every part's share for an environment of the library."""
    command = ["simverse.profile", "--env", "grid_goal", "--episodes", "2", "--max-steps", "10"]
    monkeypatch.setattr(sys, "argv", command)
    profiling.main()
    printed = capsys.readouterr().out
    for part in (*timing.PARTS, "other", "roofline"):
        assert part in printed


def test_both_precisions_are_compared(monkeypatch, capsys, tmp_path):
    """For a candidate: a table for each, and which is faster."""
    folder = write_candidate(tmp_path / "c")
    command = ["simverse.profile", "--candidate", str(folder), "--episodes", "2"]
    monkeypatch.setattr(sys, "argv", [*command, "--precision", "both"])
    profiling.main()
    printed = capsys.readouterr().out
    assert printed.startswith("fp32: ")
    assert "\nbf16: " in printed
    assert " here" in printed.splitlines()[-1]


@pytest.mark.parametrize(
    ("fp32_s", "bf16_s", "says"),
    [
        (0.5, 0.2, "bf16 is 2.50 times as fast as fp32 here: `evaluator.precision: bf16`"),
        (0.5, 1.0, "fp32 is 2.00 times as fast as bf16 here: `evaluator.precision: fp32`"),
        (0.5, 0.46, "bf16 takes about as long as fp32 here (1.09x): keep fp32"),
    ],
)
def test_a_precision_is_recommended(fp32_s, bf16_s, says):
    """Only if it is clearly faster."""
    assert profiling.recommend({"fp32": fp32_s, "bf16": bf16_s}).startswith(says)
