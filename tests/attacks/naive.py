"""A scorer in the manner of the public loops: it imports the candidate and believes what it says.

Training, evaluation and scoring share one process with the candidate; the score is what
`info["episode_return"]` claims, the solve rate what `info["success"]` claims. It is what the
score-forging attacks are first shown to fool. As a file it is a small warm server: a request is
forked off, with a pipe for its report, and is given some seconds.
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_KEPT_BYTES = 64 * 1024
_MAX_STEPS = 30
_ENVS = 4


def score(folder: str) -> dict[str, Any]:
    """Train and score one candidate in this process."""
    import torch

    from simverse.core.config import EnvConfig

    torch.manual_seed(1)
    for name in [name for name in sys.modules if name.split(".")[0] == "candidate"]:
        del sys.modules[name]
    package = ModuleType("candidate")
    package.__path__ = [folder]
    sys.modules["candidate"] = package
    train_module = importlib.import_module("candidate.train")
    env_module = importlib.import_module("candidate.env")
    train_module.training_overrides(num_envs=_ENVS, max_steps=_MAX_STEPS, device="cpu")

    def create() -> Any:
        config = EnvConfig(num_envs=_ENVS, max_steps=_MAX_STEPS, seed=7)
        return env_module.create_env(config, num_envs=_ENVS, device="cpu", dtype=torch.float32)

    env = create()
    policy = train_module.build_policy(env.observation_space, env.action_space)
    _train(env, policy)
    policy.eval()
    with torch.no_grad():
        returns, solved = _evaluate(create(), policy)
    return {"score": float((returns * 1.0).mean()), "solved": float(solved.float().mean())}


def _train(env: Any, policy: Any) -> None:
    """A few steps of REINFORCE with plain gradient descent: enough for the tiny task."""
    import torch

    for _ in range(30):
        obs, gained, chosen = env.reset()["obs"], [], []
        for _ in range(5):
            distribution = torch.distributions.Categorical(logits=policy(obs)[0].clone())
            actions = distribution.sample()
            chosen.append(distribution.log_prob(actions))
            payload, reward, _, _ = env.step(actions)
            gained.append(reward)
            obs = payload["obs"]
        # Forgiving, as those loops are: a reward of any kind and shape is made to fit.
        rewards = torch.stack(gained).float().reshape(5, _ENVS, -1)[..., 0]
        rewards = rewards.nan_to_num().clamp(-1, 1)
        loss = -torch.mean(torch.stack(chosen) * (rewards - 0.25))
        policy.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in policy.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad)


def _evaluate(env: Any, policy: Any) -> tuple[Any, Any]:
    import torch

    obs, rewards, info = env.reset()["obs"], [], {}
    solved = torch.zeros(_ENVS, dtype=torch.bool)
    for _ in range(_MAX_STEPS):
        payload, reward, done, info = env.step(policy(obs)[0].argmax(-1))
        rewards.append(reward)
        solved |= info.get("success", solved)
        obs = payload["obs"]
        if done.all():
            break
    claimed = info.get("episode_return")
    return sum(rewards) if claimed is None else claimed, solved


def _score(folder: str) -> dict[str, Any]:
    """Score one candidate, beside a world as the careless do."""
    if (Path(folder).parent / "task").is_dir():
        from tests.attacks import careless

        return careless.score(folder)
    return score(folder)


# -- the process ---------------------------------------------------------------------------------


def _run(folders: list[str], report: int, output: int, stream: int) -> None:
    """Score candidates one after the other in this forked process, then end."""
    os.close(stream)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        scores = [_score(folder) for folder in folders]
        os.write(report, json.dumps(scores).encode() + b"\n")
    except BaseException as error:  # noqa: BLE001 - it goes into the output, like a traceback
        print(f"{type(error).__name__}: {error}", flush=True)
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


def _answer(request: Mapping[str, Any], stream: int, folder: str) -> dict[str, Any]:
    report, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    # Not in the temp folder of the world, where it would look like damage.
    with tempfile.TemporaryFile(dir="/tmp") as output:
        pid = os.fork()
        if pid == 0:
            os.close(report)
            os.chdir(folder)  # an earlier candidate may have removed it; by now it is there again
            _run(request["candidates"], write_end, output.fileno(), stream)
        os.close(write_end)
        told, size, in_time = _listen(report, request["timeout_s"])
        os.close(report)
        ended = in_time and _ended(pid, request["timeout_s"])
        if not ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        written = output.seek(0, os.SEEK_END)
        output.seek(max(0, written - _KEPT_BYTES))
        text = output.read().decode(errors="replace")
    try:
        scores = json.loads(told.partition(b"\n")[0])
    except ValueError:
        scores = []
    return {
        "scores": scores,
        "ended": ended,
        "text": text,
        "bytes": size + written,
    }


def _listen(report: int, timeout_s: float) -> tuple[bytes, int, bool]:
    """Return the report's start, its size, and whether it came in time."""
    told, size = b"", 0
    deadline = time.monotonic() + timeout_s
    while b"\n" not in told:
        if not select.select([report], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return told, size, False
        chunk = os.read(report, 1 << 20)
        if not chunk:
            break
        size += len(chunk)
        told = (told + chunk)[:_KEPT_BYTES]
    return told, size, True


def _ended(pid: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    return False


def _main() -> None:
    import referee.worker
    from sandbox import die_with_parent

    die_with_parent()
    referee.worker.prepare()
    assert threading.active_count() == 1
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    print("{}", file=stream, flush=True)
    folder = os.getcwd()
    for line in sys.stdin:
        answer = _answer(json.loads(line), stream.fileno(), folder)
        print(json.dumps(answer), file=stream, flush=True)


if __name__ == "__main__":
    _main()
