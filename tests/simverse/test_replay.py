import copy
import json

import pytest
import torch
from torch import nn

from simverse.envs import make
from simverse.envs.gym import GymEnv
from simverse.replay import ReplayError, check_replay, dumps, frames, record
from tests.simverse.fakes import ScriptedEnv


class Always(nn.Module):
    """Prefers one action whatever it sees."""

    def __init__(self, action, count):
        super().__init__()
        self.register_buffer("logits", nn.functional.one_hot(torch.tensor(action), count).float())

    def forward(self, obs):
        return self.logits.expand(len(obs), -1), torch.zeros(len(obs), 1)


def scripted(**tables):
    """Return an environment that counts its steps: three of them, the last one done."""
    return ScriptedEnv([[0.5], [0.25], [-1.0], [9.0]], [[0], [0], [1], [0]], **tables)


def test_a_replay_is_the_first_episode():
    """Actions, rewards and frames stop at the first `done`; the total is theirs."""
    document = record(scripted(success=[[0], [1], [0], [0]]), Always(1, 2), max_steps=4, seed=3)
    check_replay(document)
    assert [step["action"] for step in document["steps"]] == [1, 1, 1]
    assert [step["reward"] for step in document["steps"]] == [0.5, 0.25, -1]
    assert [step["done"] for step in document["steps"]] == [False, False, True]
    assert [step["success"] for step in document["steps"]] == [False, True, False]
    assert (document["return"], document["success"], document["seed"]) == (-0.25, True, 3)
    assert frames(document).flatten().tolist() == [0, 1, 2]


def test_the_last_frame_is_there_if_it_is_known():
    """What a reset hides is left out, unless declared or frozen."""
    hidden = record(scripted(), Always(0, 2), max_steps=4)
    frozen = record(scripted(marked=[[0], [0], [0], [1], [1]]), Always(0, 2), max_steps=4)
    declared = record(
        scripted(truncated=[[0], [0], [1], [0]], final_obs=7.0), Always(0, 2), max_steps=4
    )
    cut = record(scripted(), Always(0, 2), max_steps=2)
    assert hidden["last_frame"] is None
    assert frames(frozen).flatten().tolist() == [0, 1, 2, 3]
    assert frames(declared).flatten().tolist() == [0, 1, 2, 7]
    assert frames(cut).flatten().tolist() == [0, 1, 2]
    for document in (hidden, frozen, declared, cut):
        check_replay(document)


class Noise(ScriptedEnv):
    """Six planes of 10 x 10: moving figures on walls that stay, the last plane fractions."""

    @property
    def observation_space(self):
        return type("Space", (), {"shape": (6, 10, 10)})()

    def _payload(self):
        generator = torch.Generator().manual_seed(0)
        planes = (torch.rand(6, 100, generator=generator) < 0.3).float()
        for plane in range(1, 5):
            planes[plane] = 0.0
            planes[plane, (self.taken * (2 * plane + 1)) % 100] = 1.0
        planes[5] = 0.0
        planes[5, self.taken % 90 : self.taken % 90 + 10] = torch.linspace(0.1, 1.0, 10)
        return {"obs": planes.view(1, 6, 10, 10)}


def test_replays_are_small():
    """A hundred steps of a 6 x 10 x 10 grid take less than 60 kB, and come back unchanged."""
    env = Noise([[0.01]] * 100, [[0]] * 100)
    document = record(env, Always(0, 2), max_steps=100)
    check_replay(document)
    text = dumps(document)
    assert len(text.encode()) < 60_000
    again = frames(json.loads(text))
    assert again.shape == (101, 6, 10, 10)
    env.reset()
    for number in range(100):
        torch.testing.assert_close(again[number], env._payload()["obs"][0], atol=6e-4, rtol=0)
        env.step(torch.zeros(1))


def test_channels_are_named_where_the_environment_names_them():
    """A viewer learns what each layer is; an environment without names says so."""
    snake = record(make("snake", num_envs=1), Always(1, 4), max_steps=60, name="snake")
    assert (snake["env"], snake["channels"]) == ("snake", ["head", "body", "food"])
    gym = make("gym:CartPole-v1", num_envs=1)
    assert isinstance(gym, GymEnv)
    assert record(gym, Always(1, 2), max_steps=5)["channels"] is None


DOCUMENT = record(make("snake", num_envs=1), Always(1, 4), max_steps=60, seed=0)


def change(path, value):
    """Return the document with one value changed, or taken away (`None`)."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path
    inner = document
    for key in parents:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema"], "other", "the schema is not 'simverse.replay'"),
        (["version"], 2, "version 2; this program reads version 1"),
        (["seed"], None, "the document has no 'seed'"),
        (["extra"], 1, "the document has an unknown key 'extra'"),
        (["horizon"], "60", "'horizon' has the wrong type (str)"),
        (["success"], 0, "'success' has the wrong type (int)"),
        (["num_actions"], True, "'num_actions' has the wrong type (bool)"),
        (["observation_shape"], [3, 36], "must be [C, H, W], got [3, 36]"),
        (["channels"], ["head"], "1 channels named, 3 there"),
        (["horizon"], 1, "steps at a horizon of 1"),
        (["steps"], [], "0 steps at a horizon of 60"),
        (["steps", 0, "action"], 4, "step 0: action 4 of 4"),
        (["steps", 0, "done"], True, "step 0 is done, but not the last"),
        (["steps", 0, "reward"], 0.5, "the rewards add up to"),
        (["steps", 0, "success"], True, "'success' is not what the steps say"),
        (["steps", 0, "frame"], {"runs": [0, 107]}, "step 0: 107 values instead of 108"),
        (["steps", 0, "frame"], {"runs": [0, 10**9]}, "runs are not pairs of value and count"),
        (["steps", 0, "frame"], {"all": [True] * 108}, "all is not a list of numbers"),
        (["steps", 0, "frame"], {"changes": [0, 1]}, "'changes' is no form of a frame here"),
        (["steps", 1, "frame"], {"changes": [108, 1]}, "changes are not pairs of index and value"),
        (["steps", 1, "frame"], {"runs": [0, 108], "all": []}, "one of all, runs and changes"),
    ],
)
def test_faults_are_named(path, value, message):
    """Each fault planted in a good document is named."""
    check_replay(DOCUMENT)
    with pytest.raises(ReplayError) as caught:
        check_replay(change(path, value))
    assert message in str(caught.value)


@pytest.mark.parametrize("document", [None, [], {}, "replay", {"schema": "simverse.replay"}])
def test_other_documents_are_refused(document):
    """Anything that is not a replay is refused, not tripped over."""
    with pytest.raises(ReplayError):
        check_replay(document)
