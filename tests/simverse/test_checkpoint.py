import math
import pickle
import zipfile

import pytest
import torch

from simverse.checkpoint import Checkpoint, CheckpointError, load, restore, save
from simverse.envs import make
from simverse.policies import SimplePolicy
from simverse.training.utils import adam


def snake_policy(hidden=64, seed=0):
    """Return snake and a policy for it."""
    env = make("snake", num_envs=2)
    torch.manual_seed(seed)
    return env, SimplePolicy(env.observation_space, env.action_space, hidden=hidden)


def checkpoint(policy, **changes):
    """Return a checkpoint of a snake policy."""
    fields = {
        "env": "snake",
        "observation_shape": (3, 6, 6),
        "num_actions": 4,
        "weights": policy.state_dict(),
        "training": {"lr": 1e-3, "episodes": 3},
    }
    return Checkpoint(**(fields | changes))


def test_a_policy_comes_back(tmp_path):
    """Saved and restored, another policy answers to the bit like the first one."""
    env, policy = snake_policy(seed=1)
    _, other = snake_policy(seed=2)
    obs = env.reset()["obs"]
    path = tmp_path / "new" / "folder" / "snake.pt"
    save(path, checkpoint(policy))
    found = load(path)
    restore(other, found, env)
    assert torch.equal(policy(obs)[0], other(obs)[0])
    assert found.training == {"lr": 1e-3, "episodes": 3}
    assert [entry.name for entry in path.parent.iterdir()] == ["snake.pt"]


def test_a_flat_policy_is_saved_once(tmp_path):
    """Parameters that are views of one vector do not each carry all of it into the file."""
    _, policy = snake_policy()
    save(tmp_path / "plain.pt", checkpoint(policy))
    adam(policy, lr=1e-3, flat=True)
    save(tmp_path / "flat.pt", checkpoint(policy))
    sizes = [(tmp_path / name).stat().st_size for name in ("plain.pt", "flat.pt")]
    assert sizes[1] < 1.1 * sizes[0]


class Trap:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_nothing_in_a_file_is_run(tmp_path):
    """A file that would run code when unpickled is refused, and does not."""
    torch.save({"format": "simverse.checkpoint", "weights": Trap(tmp_path / "ran")}, tmp_path / "x")
    with pytest.raises(CheckpointError, match="more than tensors, numbers and text"):
        load(tmp_path / "x")
    assert not (tmp_path / "ran").exists()


def test_foreign_files_are_refused(tmp_path):
    """Text, pickles, folders, other torch files and damaged ones are each refused by a line."""
    _, policy = snake_policy()
    save(tmp_path / "good.pt", checkpoint(policy))
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"format": "simverse.checkpoint"}))
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"format": "simverse.checkpoint", "version": 9}, tmp_path / "newer.pt")
    torch.save({"format": "simverse.checkpoint", "version": 1, "env": 3}, tmp_path / "odd.pt")
    whole = (tmp_path / "good.pt").read_bytes()
    (tmp_path / "short.pt").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("missing.pt", "no checkpoint"),
        ("text.pt", "not a file that torch.save wrote"),
        ("pickle.pt", "not a file that torch.save wrote"),
        ("list.pt", "its format is not 'simverse.checkpoint'"),
        ("newer.pt", "version 9, this program reads 1 and 2"),
        ("odd.pt", "env is not a str"),
        ("short.pt", "not a file that torch.save wrote"),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_mismatches_are_refused():
    """Another environment's checkpoint and another policy's are refused, the policy untouched."""
    env, policy = snake_policy()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    _, wide = snake_policy(hidden=32, seed=3)
    with pytest.raises(CheckpointError, match=r"of snake, with observations \(4, 5, 5\) and 4"):
        restore(policy, checkpoint(policy, observation_shape=(4, 5, 5)), env)
    with pytest.raises(CheckpointError, match=r"another policy: actor\.weight does not fit"):
        restore(policy, checkpoint(wide), env)
    with pytest.raises(CheckpointError, match="extra does not fit"):
        restore(policy, checkpoint(policy, weights=before | {"extra": torch.zeros(1)}), env)
    for name, value in policy.state_dict().items():
        assert torch.equal(value, before[name])


def rezipped(path, compression):
    """Write a checkpoint's parts into a zip file anew."""
    other = path.with_name(f"zip-{compression}.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", compression) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    return other


def test_hostile_weights_are_refused(tmp_path):
    """Bombs, tensors far larger than what they hold, NaN, names and files that are no texts."""
    _, policy = snake_policy()
    save(tmp_path / "good.pt", checkpoint(policy))
    assert load(rezipped(tmp_path / "good.pt", zipfile.ZIP_STORED)).env == "snake"
    with pytest.raises(CheckpointError, match="compresses nothing"):
        load(rezipped(tmp_path / "good.pt", zipfile.ZIP_DEFLATED))
    document = torch.load(tmp_path / "good.pt", weights_only=True)
    for changes, says in (
        ({"weights": {"a": torch.zeros(1).expand(2**40)}}, "at most"),
        ({"weights": {"a": torch.tensor([1.0, math.nan])}}, "NaN"),
        ({"weights": {"a": torch.eye(2).to_sparse()}}, "plain tensor"),
        ({"weights": {7: torch.zeros(1)}}, "tensors with names"),
        ({"weights": {"a": 7}}, "tensors with names"),
        ({"files": ["candidate/env.py"]}, "files are not all texts"),
        ({"files": {"candidate/env.py": b"x"}}, "files are not all texts"),
    ):
        torch.save(document | changes, tmp_path / "bad.pt")
        with pytest.raises(CheckpointError, match=says) as caught:
            load(tmp_path / "bad.pt")
        assert len(str(caught.value).splitlines()) == 1
