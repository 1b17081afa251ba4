"""The check of a candidate before its baseline: confined, everything named, nothing endless."""

import pytest

from orchestrator.core.errors import UserError
from orchestrator.core.records import Files, Status
from orchestrator.daemon.candidate_check import check_candidate, is_due
from orchestrator.daemon.start_checks import StartRequest, check_start
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from referee.check import check
from sandbox import Tier
from tests.candidates import ENV, RECURRENT, TRAIN
from tests.cli.conftest import Call, call  # noqa: F401 - a fixture
from tests.store.conftest import WHEN, begin, finished

FIELDS = {
    "num_envs": 32, "max_steps": None, "device": "cpu", "reward_bound": 1.0, "precision": "fp32",
    "path": "fused", "memory_mb": 4096,
}  # fmt: skip


def request(workspace: Workspace, env: str = ENV, train: str = TRAIN) -> StartRequest:
    (workspace.root / "candidate" / "env.py").write_text(env)
    (workspace.root / "candidate" / "train.py").write_text(train)
    return check_start(workspace, "t", ["sandbox=off"])


def problems(env: str = ENV, train: str = TRAIN, *, limit_s: float = 60.0) -> list[str]:
    return check({"env.py": env, "train.py": train}, FIELDS, Tier.OFF, limit_s)


def test_a_candidate_that_can_be_trained_passes(starter: Workspace) -> None:
    """The templates', and a small one."""
    assert check_candidate(check_start(starter, "t", ["sandbox=off"])) is None
    assert check_candidate(request(starter)) is None


def test_every_mistake_is_named_at_once(starter: Workspace) -> None:
    """Of the environment, the overrides and the policy: a line each, no traceback."""
    env = ENV.replace("self.done.clone(), info", 'self.done.float(), {"success": reward}')
    env = env.replace("reward = PAY", "reward = 9 * PAY")
    train = TRAIN.replace('{"lr": 0.01}', '{"lr": -1, "epochs": 2, "gamma": "x"}')
    train = train.replace("self.value(hidden)\n", "self.value(hidden)[:, 0]\n")
    assert env != ENV
    with pytest.raises(UserError) as caught:
        check_candidate(request(starter, env, train))
    text = str(caught.value)
    for words in ("7 mistakes", "'lr' must be 1e-12 to 10, not -1", "'epochs' is not allowed",
                  "['gamma'] must be a number", "done must be bool", "info['success'] must be bool",
                  "reward 4.5 exceeds the bound", "value must be a tensor [32, 1]"):  # fmt: skip
        assert words in text, text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("env", "train", "says"),
    [
        (ENV + "\n)", TRAIN, "importing candidate/env.py raised SyntaxError"),
        ("import no_such_module\n" + ENV, TRAIN, "No module named 'no_such_module'"),
        (ENV.replace("def create_env", "def make_env"), TRAIN, "lacks create_env()"),
        (ENV.replace("def reset(self):", "def reset(self):\n        1 / 0"), TRAIN,
         "reset() raised ZeroDivisionError"),
        (ENV, TRAIN.replace("nn.Linear(size, 16)", "nn.Linear(3, 16)"),
         "the policy raised RuntimeError"),
        (ENV, TRAIN.replace("c, h, w = obs_space.shape", "c, h = obs_space.shape"),
         "build_policy() raised ValueError: too many values to unpack (expected 2) (candidate/train.py line"),
        (ENV, TRAIN.replace(*RECURRENT), "a candidate's forward takes observations alone"),
        (ENV, TRAIN.replace("        hidden =", "        1 / (len(obs) <= 32)\n        hidden ="),
         "the first training steps raised ZeroDivisionError"),
    ],
)  # fmt: skip
def test_each_kind_of_fault_is_named(env: str, train: str, says: str) -> None:
    """With the call, and the line of the candidate's own code where it raised."""
    (problem,) = problems(env, train)
    assert says in problem


def test_what_hangs_is_ended_and_said() -> None:
    """With the call in which it hangs; so is what ends the worker."""
    hangs = ENV.replace(
        "def step(self, actions):", "def step(self, actions):\n        while True: pass"
    )
    (problem,) = problems(hangs, limit_s=2.0)
    assert problem == "the candidate was still busy with the first steps after 2 s: it hangs"
    dies = ENV.replace("def reset(self):", "def reset(self):\n        import os; os._exit(3)")
    (problem,) = problems(dies)
    assert problem == "the worker process died (exit code 3)"


def test_start_refuses_what_could_not_be_trained(starter: Workspace, call: Call) -> None:  # noqa: F811
    """Exit 2 with the list, nothing changed; `doctor` shows the same, within 80 columns."""
    request(starter, ENV.replace("PAY = 0.5", "PAY = 50"))
    starter.config.write_text("sandbox: off\nevaluator: {reward_bound: 1.0}\n")
    done = call("start", "--tag", "t", cwd=starter.root)
    assert done.code == 2
    assert done.stderr.splitlines() == [
        "autorl-daemon: candidate/ can't be the baseline, a mistake:",
        "autorl-daemon:   reward 50 exceeds the bound of 1",
    ]
    assert not starter.ledger.exists()
    seen = call("doctor", cwd=starter.root)
    assert seen.code == 1
    assert "bad   start      candidate/ can't be the baseline, a mistake:" in seen.stdout
    assert max(map(len, seen.stdout.splitlines())) <= 80


def test_only_a_first_candidate_is_checked(starter: Workspace) -> None:
    """Once its baseline is measured a start takes no longer than before."""
    checked = request(starter)
    assert is_due(checked)
    starter.state.mkdir(exist_ok=True)
    with Ledger(starter.ledger) as ledger:
        ledger.create_run(Run("t", "p" * 40, {}, WHEN))
        assert is_due(checked)
        baseline = finished(begin(ledger), is_baseline=True, status=Status.BASELINE)
        ledger.finish(baseline, Files("", ""), None)
    assert not is_due(checked)
