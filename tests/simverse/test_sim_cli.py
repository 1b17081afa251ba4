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

from simverse.checkpoint import Checkpoint, load, save
from simverse.envs import names
from simverse.replay import check_replay
from tests.conftest import REPOSITORY


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


def test_wandb_is_an_option(sim, tmp_path, monkeypatch):
    """`--wandb` writes a run where W&B's own variables say; without it nothing is written."""
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    variables = wandb_variables(tmp_path, WANDB_MODE="offline")
    common = ("train", "grid_goal", "--episodes", "1", "--num-envs", "8")
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        assert sim(*common)[0] == 0
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


ON_A_TERMINAL = """
import json, os, sys, simverse.cli
for environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    assert simverse.cli.main(["train", "grid_goal", "--episodes", "3"]) == 0
    for name in environment:
        del os.environ[name]
    print("----", file=sys.stderr, flush=True)
"""


def trained_on_a_terminal(*environments):
    """Train on a terminal, once in each environment, in one process; return what each shows."""
    leader, follower = pty.openpty()
    plain = {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, json.dumps(environments)],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if name != "NO_COLOR"} | plain,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    ) as process:
        os.close(follower)
        shown = shown_on(leader)  # while it runs: a terminal nobody reads takes a few KB and blocks
    os.close(leader)
    assert process.returncode == 0, shown
    *shows, rest = shown.split("----\r\n")
    assert (len(shows), rest) == (len(environments), "")
    return shows


def test_a_terminal_gets_a_progress_bar_unless_none_is_wanted():
    """A bar that reaches its end; with NO_COLOR or on a dumb terminal no colour and no escape byte."""
    usual = {"TERM": "xterm", "NO_COLOR": ""}
    bar, *plain = trained_on_a_terminal(usual, usual | {"NO_COLOR": "1"}, usual | {"TERM": "dumb"})
    assert "grid_goal" in bar
    assert "3/3" in bar
    assert "steps/s" in bar
    for shown in plain:
        assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "chess"], 2, "sim: no environment 'chess'; known: battle_grid, "),
        (["train"], 2, "sim: name an environment (see `sim envs`) or give --candidate DIR"),
        (["train", "snake", "--candidate", "examples/keydoor"], 2, "not both"),
        (["train", "--candidate", "docs"], 2, "sim: no env.py in docs"),
        (["train", "snake", "--lr", "-1"], 2, "sim: lr must be finite, above 0, got -1.0"),
        (["train", "snake", "--episodes", "0"], 2, "must be at least 1, got 0"),
        (["train", "none", "--num-envs", "999999999"], 2, "must be at most 65536, got 999999999"),
        (["train", "none", "--max-steps", "100001"], 2, "must be at most 100000, got 100001"),
        (["rollout", "none", "--episodes", "9" * 20], 2, "must be at most 1000000, got 999"),
        (["check", "snake", "--reward-bound", "nan"], 2, "must be finite and above 0, got nan"),
        (["check", "snake", "--reward-bound", "-1"], 2, "must be finite and above 0, got -1.0"),
        (["check", "snake", "--reward-bound", "inf"], 2, "must be finite and above 0, got inf"),
        (["train", "snake", "--device", "abacus"], 2, "sim: no device 'abacus'"),
        (["train", "gym:Nope-v1"], 2, "sim: Gymnasium has no 'gym:Nope-v1'".replace("gym:N", "N")),
        (
            ["train", "gym:nothing_here:X-v0"],
            2,
            "sim: there is no module nothing_here: pip install",
        ),
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


KEYDOOR = REPOSITORY / "examples" / "keydoor"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["grid_goal"], "grid_goal"),
        (["--env", "grid_goal"], "grid_goal"),
        (["gym:CartPole-v1"], "gym:CartPole-v1"),
        (["--env-id", "CartPole-v1"], "gym:CartPole-v1"),
        ([KEYDOOR], "keydoor"),
        ([KEYDOOR / "candidate"], "keydoor"),
        ([KEYDOOR / "candidate" / "env.py"], "keydoor"),
        (["--candidate", KEYDOOR], "keydoor"),
    ],
)
@pytest.mark.parametrize("command", ["train", "rollout"])
def test_train_and_rollout_take_the_same_forms(sim, command, words, name):
    """A name, `gym:ID`, a candidate's folder or its file, by itself or as an option."""
    sizes = ["--episodes", 1, "--max-steps", 5]
    sizes += ["--num-envs", 4] if command == "train" else []
    code, out, err = sim(command, *words, *sizes)
    assert (code, err) == (0, "")
    assert out.startswith(f"{name}:" if command == "train" else f"{name}, random actions:")


@pytest.mark.parametrize("words", [["snake"], [KEYDOOR], [KEYDOOR / "candidate" / "env.py"]])
def test_check_praises_what_keeps_its_contract(sim, words):
    """With what was seen of it, and exit code 0."""
    code, out, err = sim("check", *words)
    assert (code, err) == (0, "")
    assert ": keeps its contract\n" in out
    assert "random steps" in out


def test_check_lists_all_it_finds(sim, tmp_path):
    """Each on a line of its own, of both files, without a traceback; exit code 1."""
    text = (KEYDOOR / "candidate" / "env.py").read_text()
    (tmp_path / "env.py").write_text(
        text + "\n\nclass Odd:\n    num_envs = 3\n    num_agents = 2\n\n"
        "def create_env(config, **options):\n    return Odd()\n"
    )
    (tmp_path / "train.py").write_text("def training_overrides(**k):\n    return 1 / 0\n")
    code, out, err = sim("check", tmp_path)
    assert (code, err) == (1, "")
    found = out.splitlines()[1:]
    for part in ("no reset", "no step", "num_envs must be 8, got 3", "num_agents must be 1, got 2",
                 "training_overrides() raised ZeroDivisionError"):  # fmt: skip
        assert sum(part in line for line in found) == 1, part
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = (", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("pass", "create_env"),
        (
            "def create_env(config, **o):\n    raise RuntimeError('no\\nway')",
            "RuntimeError: no way",
        ),
    ],
)
def test_check_reports_code_that_does_not_run(sim, tmp_path, source, says):
    """A file of any name; what it raises is a finding of one line."""
    (tmp_path / "mine.py").write_text(source)
    code, out, err = sim("check", tmp_path / "mine.py")
    assert (code, err) == (1, "")
    assert out.splitlines()[0].endswith(": 1 problem")
    assert says in out.splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["chek", "snake"], "; did you mean check?"),
        (["train", "snke"], "; did you mean snake?"),
        (["check", "maze_rase"], "; did you mean maze_race?"),
        (["train", "snake", "--checkpiont", "x"], "; did you mean --checkpoint?"),
    ],
)
def test_typing_errors_are_answered_with_what_was_meant(sim, arguments, meant):
    """Commands, environments and options."""
    code, _, err = sim(*arguments)
    assert code == 2
    assert err.rstrip().endswith(meant)


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
    while not log.is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


HOSTILE = {
    "candidate/../../x.py": "no place",
    "/etc/x.py": "no place",
    "candidate/sub/x.py": "no place",
    "logs/x.py": "no place",
    "candidate/x-y.py": "no place",
}


@pytest.mark.parametrize("path", HOSTILE)
def test_a_policys_own_code_stays_in_its_folder(sim, tmp_path, path):
    """Whatever paths its file has: one line, and nothing is written or run."""
    file = tmp_path / "p.pt"
    save(
        file,
        Checkpoint(
            env="Tiny", observation_shape=(1, 1, 2), num_actions=2, weights={},
            files={path: f"open({str(tmp_path / 'ran')!r}, 'w')"},
        ),
    )  # fmt: skip
    code, out, err = sim("rollout", "--policy", file, "--its-code")
    assert (code, out) == (2, "")
    assert HOSTILE[path] in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def test_a_policys_own_code_runs_only_if_told_to(sim, tmp_path):
    """Without a folder it is refused, with another environment beside it too."""
    file = tmp_path / "p.pt"
    fields = {"env": "Tiny", "observation_shape": (1, 1, 2), "num_actions": 2, "weights": {}}
    save(file, Checkpoint(**fields, files={"candidate/env.py": "raise SystemExit"}))
    code, _, err = sim("rollout", "--policy", file)
    assert (code, "--its-code, if you trust the file" in err) == (2, True)
    code, _, err = sim("rollout", "snake", "--policy", file, "--its-code")
    assert (code, "name no environment beside it" in err) == (2, True)
    save(file, Checkpoint(**fields))
    code, _, err = sim("rollout", "--policy", file, "--its-code")
    assert (code, "holds no code" in err) == (2, True)
