"""Worlds in files: found, imported, checked, trained and played by the command line."""

import sys
from pathlib import Path

import pytest
import torch

from simverse.core.config import EnvConfig
from simverse.envs import make_candidate
from simverse.envs.registry import load_candidate
from simverse.errors import EnvironmentContractError
from simverse.tasks import CandidateError, candidate_task
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.workspace import find_world, load_world, make_observed
from tests import candidates

WORLD = '''\
import torch
from gymnasium import spaces
from simverse.core.world import World


class Corridor(World):
    """Walk right to the end: 1 for reaching it."""

    reward_bound = 1.0

    def __init__(self, config, num_envs, device, dtype):
        super().__init__(device=device, dtype=dtype)
        self.num_envs, self.max_steps = num_envs or config.num_envs, 9
        self.action_space = spaces.Discrete(2)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.register_buffer("cell", torch.zeros(self.num_envs, dtype=torch.int64))
        self.register_buffer("over", torch.zeros(self.num_envs, dtype=torch.bool))

    def view(self):
        return {"cell": self.cell, "done": self.over}

    def reset(self):
        self.cell.copy_(torch.randint(2, (self.num_envs,), generator=self.generator))
        self.over.zero_()
        return self.view()

    def step(self, actions):
        self.cell += torch.where(self.over, 0, 2 * actions - 1)
        self.cell.clamp_(min=0)
        success = (self.cell == 5) & ~self.over
        self.over |= success
        return self.view(), success.float(), self.over.clone(), {"success": success}


def create_world(config, *, num_envs=None, device="cpu", dtype=torch.float32):
    return Corridor(config, num_envs, device, dtype)
'''

ENV = """\
import torch
from gymnasium import spaces


def observation_space(view_spaces):
    return spaces.Box(0.0, 1.0, (1, 1, 6))


def observe(view):
    return torch.nn.functional.one_hot(view["cell"], 6).float().view(-1, 1, 1, 6)


def shape_reward(before, actions, after, reward, done):
    return {"world": reward, "progress": 0.1 * (after["cell"] - before["cell"]).float()}
"""


def workspace(folder, *, world=WORLD, env=ENV, train=candidates.TRAIN):
    """Write a workspace with a world; None leaves a file out."""
    for name, text in (
        ("task/world.py", world), ("candidate/env.py", env), ("candidate/train.py", train),
    ):  # fmt: skip
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    return folder


# -- finding and importing -----------------------------------------------------------------------


def test_a_world_is_found_from_each_of_its_files(tmp_path):
    """From the workspace, the world's file, the candidate's folder and its files."""
    root = workspace(tmp_path / "mine")
    for words in (".", "task/world.py", "candidate", "candidate/env.py", "candidate/train.py"):
        place = find_world(root / words)
        assert place is not None, words
        assert place.file.resolve() == root / "task" / "world.py"
        assert place.candidate.resolve() == root / "candidate"


def test_a_world_in_any_file(tmp_path, monkeypatch):
    """A file that defines `create_world`, by `def`, by assignment or by import."""
    for number, text in enumerate(
        (WORLD, "create_world = 3\n", "from elsewhere import create_world\n")
    ):
        path = tmp_path / f"w{number}.py"
        path.write_text(text)
        place = find_world(path)
        assert (place.file, place.candidate) == (path, None)
    monkeypatch.chdir(tmp_path)
    assert find_world(Path("w0.py")).candidate is None


def test_where_there_is_no_world(tmp_path):
    """In the open mode all stays as it is."""
    folder = candidates.write_candidate(tmp_path / "candidate")
    for path in (tmp_path, folder, folder / "env.py", tmp_path / "none", tmp_path / "none.py"):
        assert find_world(path) is None
    (tmp_path / "broken.py").write_text("def create_world(:\n")
    assert find_world(tmp_path / "broken.py") is None


def test_worlds_are_imported_as_task_world(tmp_path):
    """With their neighbours, as `task.<name>`; one workspace's never for another's."""
    for number in (1, 2):
        root = workspace(
            tmp_path / str(number), world=f"from task.parts import create_world, {'X'}\n"
        )
        (root / "task" / "parts.py").write_text(
            f"X = {number}\ndef create_world(config): return {number}\n"
        )
        assert load_world(root / "task" / "world.py")(None) == number
        assert number == sys.modules["task.world"].X


def test_a_world_can_not_import_the_candidate(tmp_path, monkeypatch):
    """Whatever lies in the current folder; the candidate's modules are there again afterwards."""
    root = workspace(
        tmp_path, world="from candidate.env import observe\n\ndef create_world(c): ...\n"
    )
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    loaded = load_candidate(root, "env")
    with pytest.raises(
        EnvironmentContractError, match="imports the candidate: no code of a candidate"
    ):
        load_world(root / "task" / "world.py")
    assert sys.modules["candidate.env"] is loaded


def test_workspaces_are_made_from_their_folder(tmp_path):
    """`make_candidate` gives the world as its candidate sees it, at the world's horizon."""
    env = make_candidate(workspace(tmp_path), num_envs=3, seed=4)
    assert isinstance(env, ObservedWorld)
    assert (env.num_envs, env.max_steps, tuple(env.reset()["obs"].shape)) == (3, 9, (3, 1, 1, 6))
    other = make_observed(find_world(tmp_path), EnvConfig(num_envs=3, seed=4))
    assert torch.equal(
        other.reset()["obs"], make_candidate(tmp_path, num_envs=3, seed=4).reset()["obs"]
    )


def test_the_task_of_a_workspace(tmp_path):
    """Its horizon is the world's, whatever `train.py` asks for; the other settings count."""
    train = candidates.TRAIN.replace('{"lr": 0.01}', '{"lr": 0.02, "max_steps": 77}')
    task = candidate_task(workspace(tmp_path / "mine", train=train))
    assert (task.name, task.max_steps, dict(task.settings)) == ("mine", 9, {"lr": 0.02})
    assert task.make(num_envs=2, max_steps=4, seed=1).num_envs == 2


def test_errors_name_who_raised(tmp_path):
    """The world's file or the candidate's folder."""
    root = workspace(tmp_path / "a", world=WORLD + "\n1 / 0\n")
    with pytest.raises(CandidateError, match=r"task/world\.py: ZeroDivisionError"):
        candidate_task(root)
    root = workspace(tmp_path / "b", env=ENV + "\n1 / 0\n")
    with pytest.raises(CandidateError, match=r"b/candidate: ZeroDivisionError"):
        candidate_task(root)


# -- the command line ----------------------------------------------------------------------------


def test_train_and_rollout_in_a_workspace(sim, tmp_path):
    """Training sees the shaped reward, and what is reported is the world's."""
    root, checkpoint = workspace(tmp_path / "mine"), tmp_path / "p.pt"
    code, out, err = sim("train", root, "--episodes", 12, "--checkpoint", checkpoint)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("mine: 12 episodes, ")
    assert "trained:   return 1.000 ± 0.000, solved 100%" in out
    replay = tmp_path / "r.json"
    for words in (root, root / "candidate" / "env.py", root / "task" / "world.py"):
        code, out, err = sim("rollout", words, "--checkpoint", checkpoint, "--replay", replay)
        assert (code, err) == (0, "")
        assert "solved 100%" in out


def test_check_praises_a_workspace(sim, tmp_path):
    """The world and its candidate, with what was seen of each; exit code 0."""
    root = workspace(tmp_path)
    for words in (root, root / "task" / "world.py", root / "candidate"):
        code, out, err = sim("check", words)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert sum(line.endswith(": keeps its contract") for line in lines) == 2
        assert "  Corridor\n  views of cell int64 [], done bool []; 2 actions, horizon 9; " in out
        assert "observations 1 x 1 x 6; 9 random steps" in out


def test_check_refuses_another_horizon(sim, tmp_path):
    """A candidate that asks for another horizon than the world's, as the evaluator does."""
    root = workspace(tmp_path)
    train = root / "candidate" / "train.py"
    train.write_text(train.read_text().replace('"lr": 0.01', '"max_steps": 5'))
    code, out, err = sim("check", root)
    assert code == 1
    assert "asks for a horizon of 5 steps, but the world's is 9" in out + err


def test_check_of_a_world_alone(sim, tmp_path):
    """A file of any name is enough; training in it takes a candidate."""
    (tmp_path / "corridor.py").write_text(WORLD)
    code, out, _ = sim("check", tmp_path / "corridor.py")
    assert (code, len(out.splitlines())) == (0, 4)
    assert "note: " in out.splitlines()[3]
    for command in ("train", "rollout"):
        code, _, err = sim(command, tmp_path / "corridor.py")
        assert code == 2
        assert "there is no candidate/env.py beside" in err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("reward_bound = 1.0", "reward_bound = 0.5"), "reward 1 exceeds the bound of 0.5"),
        (("success.float()", "success.float() / 0"), "reward is not finite"),
        (("9\n", "True\n"), "max_steps must be a whole number of steps, got True"),
        (("def create_world(", "def create_worlds("), "world.py lacks create_world()"),
        (("import torch\n", "import torch\n1 / 0\n"), "world.py: ZeroDivisionError: division"),
        (("import torch\n", "import torch\nraise SystemExit(3)\n"), "it ends the program: SystemE"),
        (
            ("import torch\n", "import candidate.env\n"),
            "imports the candidate: no code of a candidate",
        ),
        (("import torch\n", "import torch (\n"), "world.py: SyntaxError: invalid syntax"),
    ],
)
def test_check_names_what_is_wrong_with_a_world(sim, tmp_path, change, says):
    """On one line each, with exit code 1; the candidate has to wait."""
    code, out, err = sim("check", workspace(tmp_path, world=WORLD.replace(*change)))
    assert (code, err) == (1, "")
    assert any(says in line for line in out.splitlines()[1:]), out
    assert out.splitlines()[-1].endswith("candidate: not checked yet")


def test_check_holds_a_world_to_a_bound_of_the_command_line(sim, tmp_path):
    """`--reward-bound` is for the world's own reward."""
    code, out, _ = sim("check", workspace(tmp_path), "--reward-bound", "0.5")
    assert code == 1
    assert "reward 1 exceeds the bound of 0.5" in out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("def observe(", "def create_env(c): ...\n\n\ndef observe("),
            "defines create_env(), but this task",
        ),
        (("def observe(", "def look("), "defines neither observe(view) nor a class Observer"),
        (("def observation_space(", "def space("), "candidate/env.py lacks observation_space()"),
        (("(1, 1, 6)", "(6,)"), "observation_space.shape must be (C, H, W), got (6,)"),
        (
            ("(1, 1, 6)", "(1, 2, 6)"),
            "obs must be a tensor [8, 1, 2, 6], got a tensor [8, 1, 1, 6]",
        ),
        ((".float().view", ".view"), "obs must be floating, got torch.int64"),
        ((".float().view", ".div(0.0).view"), "obs is not finite"),
        (('view["cell"], 6', 'view["hidden"], 6'), "KeyError: 'hidden'"),
        (('"world": reward', '"world": reward.sum()'), "got [] for 'world'"),
        (('"world": reward', '"world": reward / 0'), "reward is not finite"),
        (('"world": reward', '"wor\\nld": reward'), "must be named by printable texts"),
        (("import torch\n", "import torch\n1 / 0\n"), "candidate/env.py: ZeroDivisionError"),
    ],
)
def test_check_names_what_is_wrong_with_perception(sim, tmp_path, change, says):
    """On one line each, with exit code 1; the world is fine."""
    code, out, err = sim("check", workspace(tmp_path, env=ENV.replace(*change)))
    assert (code, err) == (1, "")
    assert out.splitlines()[0].endswith("world.py: keeps its contract")
    assert any(says in line for line in out.splitlines()[2:]), out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('{"lr": 0.01}', '{"lr": -1.0}'), "training_overrides(): lr must be finite, above 0"),
        (('{"lr": 0.01}', '{"learn": 1}'), "got an unexpected keyword argument 'learn'"),
        (('{"lr": 0.01}', "1 / 0"), "training_overrides() raised ZeroDivisionError"),
        (("return Policy(c * h * w, action_space.n)", "return None"), "returned a NoneType"),
        (("action_space.n)", "3)"), "build_policy(): logits must be a tensor [8, 2], got a tensor"),
        (("import torch\n", "import torch\n1 / 0\n"), "candidate/train.py: ZeroDivisionError"),
        (candidates.RECURRENT, "a candidate's forward takes observations alone"),
    ],
)
def test_check_names_what_is_wrong_with_training(sim, tmp_path, change, says):
    """Settings and policy, each on one line, with exit code 1."""
    code, out, err = sim("check", workspace(tmp_path, train=candidates.TRAIN.replace(*change)))
    assert (code, err) == (1, "")
    assert sum(says in line for line in out.splitlines()) == 1, out


def test_observe_without_a_world(sim, tmp_path):
    """A candidate written for a world, in a workspace without one, is told what is missing."""
    root = workspace(tmp_path, world=None)
    code, out, _ = sim("check", root)
    assert code == 1
    assert "env.py lacks create_env(): observe() is for workspaces with a world" in out
    code, _, err = sim("train", root)
    assert code == 1
    assert "observe() is for workspaces with a world of their own (task/world.py)" in err


def test_a_candidate_for_the_open_mode_in_a_workspace_with_a_world(sim, tmp_path):
    """`create_env` is refused with what to define instead; exit code 1 and one line."""
    root = workspace(tmp_path, env=candidates.ENV)
    for command in ("train", "rollout"):
        code, _, err = sim(command, root)
        assert code == 1
        assert "candidate/env.py defines create_env(), but this task has a world" in err
        assert len(err.splitlines()) == 1
