"""`sim`, as a person calls it."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from simverse.checkpoint import load
from simverse.cli import main
from simverse.envs import names
from simverse.replay import check_replay
from tests.conftest import REPOSITORY


@pytest.fixture
def sim(capsys):
    """Call `sim`; return (exit code, standard output, standard error)."""

    def call(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse
            code = error.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_envs_are_listed(sim):
    """Every environment has a line with its shape, actions and horizon."""
    code, out, _ = sim("envs")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 1 + len(names())
    assert any(line.split()[:8] == "snake 3 x 6 x 6 4 60".split() for line in lines)
    assert lines[0].split() == ["name", "observation", "actions", "horizon", "task"]


def test_train_then_rollout(sim, tmp_path):
    """What `train` saves, `rollout` plays, knowing the environment, and writes as a replay."""
    checkpoint, replay = tmp_path / "runs" / "goal.pt", tmp_path / "goal.json"
    code, out, err = sim(
        "train", "grid_goal", "--episodes", 3, "--num-envs", 16, "--checkpoint", checkpoint
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("grid_goal: 3 episodes, 960 steps in ")
    assert load(checkpoint).training["episodes"] == 3
    code, out, err = sim(
        "rollout", "--checkpoint", checkpoint, "--episodes", 70, "--replay", replay
    )
    assert (code, err) == (0, "")
    assert "over 70 fresh episodes" in out
    document = json.loads(replay.read_text())
    check_replay(document)
    assert (document["env"], document["horizon"], document["seed"]) == ("grid_goal", 20, 0)


def test_training_is_reproducible(sim, tmp_path):
    """The same seed gives the same weights, another one others."""
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{number}.pt"
        sim(
            "train", "snake", "--episodes", 1, "--num-envs", 8, "--seed", seed, "--checkpoint", path
        )
        weights.append(load(path).weights["first.weight"])
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_rollout_of_a_gymnasium_environment(sim):
    """`--env-id` plays Gymnasium's environments, at random without a checkpoint."""
    code, out, _ = sim("rollout", "--env-id", "CartPole-v1", "--episodes", 5)
    assert code == 0
    assert out.startswith("gym:CartPole-v1, random actions: return ")


def test_candidates_are_trained_too(sim, tmp_path):
    """`--candidate DIR` takes the environment, policy and settings of that folder."""
    example, checkpoint = REPOSITORY / "examples" / "keydoor", tmp_path / "key.pt"
    code, out, _ = sim("train", "--candidate", example, "--episodes", 2, "--checkpoint", checkpoint)
    assert code == 0
    assert out.startswith("keydoor: 2 episodes, 2,560 steps")
    code, out, _ = sim(
        "rollout", "--candidate", example / "candidate", "--checkpoint", checkpoint,
        "--replay", tmp_path / "key.json",
    )  # fmt: skip
    assert code == 0
    check_replay(json.loads((tmp_path / "key.json").read_text()))


def test_tensorboard_is_an_option(sim, tmp_path):
    """`--tensorboard DIR` leaves an event file there; without it nothing is written."""
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    common = ("train", "grid_goal", "--episodes", 1, "--num-envs", 8)
    assert sim(*common, "--tensorboard", tmp_path / "runs")[0] == 0
    assert len(list((tmp_path / "runs").glob("events.*"))) == 1


def in_a_process(*arguments, **environment):
    """Call `sim` in a process of its own: W&B reads its variables once in a process."""
    code = "import sys, simverse.cli as c; sys.exit(c.main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def wandb_variables(folder, **more):
    """Return variables that keep everything of W&B's in one folder."""
    names = ("HOME", "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
    return dict.fromkeys(names, str(folder)) | {"WANDB_SILENT": "true"} | more


def test_wandb_is_an_option(tmp_path):
    """`--wandb` writes a run where W&B's own variables say; without it nothing is written."""
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    variables = wandb_variables(tmp_path, WANDB_MODE="offline")
    common = ("train", "grid_goal", "--episodes", "1", "--num-envs", "8")
    assert in_a_process(*common, **variables).returncode == 0
    assert not (tmp_path / "wandb").exists()
    assert in_a_process(*common, "--wandb", **variables).returncode == 0
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 1


def test_wandb_without_an_account_is_told_in_one_line(tmp_path):
    """Where W&B will not start, the command fails with W&B's reason and no traceback."""
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    variables = wandb_variables(tmp_path, WANDB_MODE="online", WANDB_API_KEY="")
    done = in_a_process("train", "grid_goal", "--episodes", "1", "--wandb", **variables)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("sim: W&B: ")
    assert "Traceback" not in done.stderr


def shown_on(terminal: int) -> str:
    """Read a terminal until nobody has its other end; only then are all its characters whole."""
    shown = b""
    with contextlib.suppress(OSError):  # Linux's way to say that it is closed
        while chunk := os.read(terminal, 4096):
            shown += chunk
    return shown.decode()


def test_a_terminal_gets_a_progress_bar():
    """On a terminal training shows a bar that reaches its end; elsewhere the tests above see none."""
    leader, follower = pty.openpty()
    code = "import sys, simverse.cli as c; sys.exit(c.main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, "train", "grid_goal", "--episodes", "3"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL,
        stderr=follower,
    ) as process:
        os.close(follower)
        shown = shown_on(leader)  # while it runs: a terminal nobody reads takes a few KB and blocks
    os.close(leader)
    assert process.returncode == 0
    assert "grid_goal" in shown
    assert "3/3" in shown
    assert "steps/s" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "chess"], 2, "sim: no environment 'chess'; known: battle_grid, "),
        (["train"], 2, "sim: name an environment (see `sim envs`) or give --candidate DIR"),
        (["train", "snake", "--candidate", "examples/keydoor"], 2, "not both"),
        (["train", "--candidate", "docs"], 2, "sim: no env.py in docs"),
        (["train", "snake", "--lr", "-1"], 2, "sim: lr must be finite, above 0, got -1.0"),
        (["train", "snake", "--episodes", "0"], 2, "must be at least 1, got 0"),
        (["train", "snake", "--device", "abacus"], 2, "sim: no device 'abacus'"),
        (["train", "gym:Nope-v1"], 2, "sim: Gymnasium has no 'gym:Nope-v1'".replace("gym:N", "N")),
        (["train", "gym:Pendulum-v1"], 2, "sim: only discrete actions"),
        (["train", "snake", "--checkpoint", "."], 2, "sim: . is a folder"),
        (["rollout", "--env", "snake", "--replay", "x.json"], 2, "it needs --checkpoint"),
        (["rollout", "--checkpoint", "nothing.pt"], 1, "sim: no checkpoint nothing.pt"),
        (["rollout", "--env", "snake", "--checkpoint", "README.md"], 1, "is no checkpoint"),
        (["dance"], 2, "invalid choice: 'dance'"),
    ],
)
def test_mistakes_are_told_in_one_line(sim, arguments, code, message, monkeypatch):
    """Each mistake ends with its exit code and one line that names it."""
    monkeypatch.chdir(REPOSITORY)
    found, _, err = sim(*arguments)
    assert found == code
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_candidate_that_raises_is_told_in_one_line(sim, tmp_path):
    """Code of a candidate's that raises fails the command, naming the folder and the error."""
    (tmp_path / "env.py").write_text("1 / 0\n")
    code, _, err = sim("train", "--candidate", tmp_path)
    assert (code, err) == (1, f"sim: {tmp_path}: ZeroDivisionError: division by zero\n")


def test_ctrl_c_is_130(tmp_path):
    """An interrupted training ends at once with exit code 130 and no traceback."""
    # Whoever runs the tests in the background has interrupts ignored, and children inherit that.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import simverse.cli as c; sys.exit(c.main(sys.argv[1:]))"
    )
    log = tmp_path / "runs"
    pytest.importorskip("tensorboard", reason="tells when training has begun")
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            code,
            "train",
            "snake",
            "--episodes",
            "100000",
            "--tensorboard",
            log,
        ],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not log.is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
