import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, sys, torch
torch.set_num_threads(1)
from simverse.core.config import EnvConfig
from simverse.envs import grid_goal
from simverse.policies import SimplePolicy
from simverse.training.ppo import PPOConfig, train
from simverse.training.utils import warm_up

threads = len(os.listdir("/proc/self/task"))
warm_up()
print("threads", len(os.listdir("/proc/self/task")) - threads)
before = set(sys.modules)
child = os.fork()
if child == 0:
    env = grid_goal.create_env(EnvConfig(num_envs=4))
    policy = SimplePolicy(env.observation_space, env.action_space)
    train(env, policy, PPOConfig.for_task(num_envs=4, max_steps=20), episodes=1, seed=0)
    print("imported", len(set(sys.modules) - before), flush=True)
    os._exit(0)
print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_a_warm_server_forks_workers_that_train_at_once():
    """Warming up starts no thread, and a forked child trains without importing anything more."""
    result = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.stdout.splitlines() == ["threads 0", "imported 0", "exit 0"]
