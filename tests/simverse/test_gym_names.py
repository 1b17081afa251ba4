"""Gymnasium's environments by name: packages, options, wrappers."""

import sys
import warnings

import gymnasium
import pytest
import torch

from simverse.cli import main
from simverse.envs import make
from simverse.envs.gym_names import GymName, WrapperCall, wrappers_named
from simverse.envs.registry import entry

PACKAGE = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

gymnasium.register("ToyPole-v0", CartPoleEnv, max_episode_steps=33)
"""
WRAPPERS = """
from gymnasium import ObservationWrapper, spaces


class Doubled(ObservationWrapper):
    def observation(self, observation):
        return 2 * observation


class Lifted(ObservationWrapper):
    def __init__(self, env, *, by=1.0):
        super().__init__(env)
        self.by = by

    def observation(self, observation):
        return observation + self.by
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return the name of an installed package that registers `ToyPole-v0`."""
    folder = tmp_path / "toy_poles"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "wrappers.py").write_text(WRAPPERS)
    (tmp_path / "toy_broken.py").write_text("1 / 0")
    (tmp_path / "toy_needy.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    gymnasium.registry.pop("ToyPole-v0", None)
    for name in [name for name in sys.modules if name.startswith("toy_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "env_id", "module", "options"),
    [
        ("CartPole-v1", "CartPole-v1", None, {}),
        ("ALE/Pong-v5", "ALE/Pong-v5", None, {}),
        ("minigrid:MiniGrid-Empty-5x5-v0", "MiniGrid-Empty-5x5-v0", "minigrid", {}),
        ("a.b:C-v0?size=6&is_slippery=False", "C-v0", "a.b", {"size": 6, "is_slippery": False}),
        ("C-v0?map_name=8x8&mode=human", "C-v0", None, {"map_name": "8x8", "mode": "human"}),
        (
            "C-v0?wrappers=A,B(shape=(84, 84))&scale=2.5",
            "C-v0",
            None,
            {
                "wrappers": (WrapperCall("A", {}), WrapperCall("B", {"shape": (84, 84)})),
                "scale": 2.5,
            },
        ),
        ("C-v0?wrappers=[A]", "C-v0", None, {"wrappers": (WrapperCall("A", {}),)}),
    ],
)
def test_names_are_read(text, env_id, module, options):
    """An ID, the package before it, and options that are Python's literals or words."""
    assert GymName.parse(text) == GymName(env_id, module, options)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no environment is named"),
        ("minigrid:", "no environment is named"),
        ("my module:C-v0", "'my module' is no module's name"),
        ("C-v0?size", "options are written \\?name=value"),
        ("C-v0?wrappers=A B", "wrappers are written A,B"),
        ("C-v0?wrappers=A(1)", "wrappers are written A,B"),
        ("C-v0?wrappers=A(k=open('x'))", "wrappers are written A,B"),
        ('C-v0?a="x"', "no double quotes"),
    ],
)
def test_names_that_can_t_be_read(text, says):
    """One line says how they are written; nothing of them is run."""
    with pytest.raises(ValueError, match=says) as caught:
        GymName.parse(text)
    assert "\n" not in str(caught.value)


def test_a_package_is_imported_for_its_environments(package):
    """`gym:PACKAGE:ID` registers by importing; horizon and constructor are the environment's."""
    with pytest.raises(ValueError, match="named gym:PACKAGE:ID"):
        entry("gym:ToyPole-v0")
    assert entry(f"gym:{package}:ToyPole-v0").max_steps == 33
    assert entry(f"gym:{package}:ToyPole-v0?max_episode_steps=9").max_steps == 9
    env = make(f"gym:{package}:ToyPole-v0?sutton_barto_reward=True", num_envs=2)
    env.reset()
    assert env.step(torch.zeros(2))[1].tolist() == [0.0, 0.0]
    assert env.describe().startswith("Gymnasium's ToyPole-v0: observations (1, 1, 4)")


def test_the_innermost_wrapper_comes_first(package):
    """By name, the package's and Gymnasium's; with arguments; beside functions."""
    name = f"gym:{package}:ToyPole-v0"
    plain = make(name, seed=1).reset()["obs"]
    for wrappers, expected in (
        ("Doubled,Lifted(by=3)", 2 * plain + 3),
        ("Lifted(by=3),Doubled", 2 * (plain + 3)),
        ("Lifted,FlattenObservation", plain + 1),
    ):
        torch.testing.assert_close(
            make(f"{name}?wrappers={wrappers}", seed=1).reset()["obs"], expected
        )
    mixed = ["Doubled", gymnasium.wrappers.FlattenObservation, "Lifted(by=1)"]
    torch.testing.assert_close(make(name, wrappers=mixed, seed=1).reset()["obs"], 2 * plain + 1)


def test_a_wrong_wrapper_has_the_closest_beside_it(package):
    """Of all the places where it was looked for."""
    for given, meant in (("Dubled", "Doubled"), ("TimeLimits", "TimeLimit")):
        with pytest.raises(
            ValueError, match=f"no wrapper '{given}' in .*; did you mean {meant}\\?"
        ):
            wrappers_named(given, package)
    with pytest.raises(ValueError, match="a wrapper is a name or a function, got 7"):
        wrappers_named([7], None)


def test_a_package_that_can_t_be_imported_is_one_line(package, tmp_path, monkeypatch):
    """Not installed, in this folder, in need of another, or broken: each with what to do."""
    for name, says in (
        ("no_such_package", "there is no module no_such_package: pip install no_such_package"),
        ("toy_needy", "toy_needy needs no_such_library, .*: pip install no_such_library"),
        ("toy_broken", "importing toy_broken raised ZeroDivisionError"),
    ):
        with pytest.raises(ValueError, match=says):
            make(f"gym:{name}:X-v0")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "my_envs.py").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"no module my_envs: PYTHONPATH=\. finds"):
        make("gym:my_envs:X-v0")


def test_sim_takes_such_names(package, capsys, tmp_path):
    """`check` says how observations are shown; a checkpoint's own name runs no package by itself."""
    name = f"gym:{package}:ToyPole-v0?wrappers=Doubled"
    assert main(["check", name]) == 0
    assert "  Gymnasium's ToyPole-v0: observations (1, 1, 4)\n" in capsys.readouterr().out
    file = tmp_path / "pole.pt"
    assert (
        main(["train", name, "--episodes", "1", "--num-envs", "2", "--checkpoint", str(file)]) == 0
    )
    assert main(["rollout", "--checkpoint", str(file), "--episodes", "2"]) == 2
    assert f"name it too: '{name}'" in capsys.readouterr().err
    assert main(["rollout", name, "--checkpoint", str(file), "--episodes", "2"]) == 0


def test_minigrid_by_its_name():
    """Its symbols are no picture: as they are, or divided by what the name says."""
    pytest.importorskip("minigrid", reason="minigrid is not installed")
    name = "gym:minigrid:MiniGrid-Empty-5x5-v0?wrappers=ImgObsWrapper"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        symbols, tenths = make(name), make(f"{name}&scale=10")
    assert symbols.describe().endswith(
        "observations (3, 7, 7), channels last before, bytes as they are"
    )
    found = symbols.reset()["obs"]
    assert found.max() > 1.0
    torch.testing.assert_close(tenths.reset()["obs"], found / 10)
    with pytest.raises(ValueError, match="'mission' can't be flattened"):
        make("gym:minigrid:MiniGrid-Empty-5x5-v0")
