"""The fixed evaluator, for real: worker processes, torch, PPO."""

import importlib.metadata
import inspect
from pathlib import Path
from typing import Any

import pytest

from framework import PUBLIC_KEY, Referee, derive_seed, evaluate_candidate
from sandbox import landlock
from sandbox.probe import LEAST_LANDLOCK
from simverse.replay import check_replay
from tests.candidates import RECURRENT, write_candidate

from .conftest import evaluate, failure, strip

# -- the contract's face ---------------------------------------------------------------------------


def test_the_signature_is_the_contracts() -> None:
    """Names and defaults of `evaluate_candidate` are fixed."""
    parameters = inspect.signature(evaluate_candidate).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "train_episodes": 12, "eval_episodes": 8, "seed_count": 2, "num_envs": 32,
        "max_steps": None, "lr": 3e-4, "device": "cpu", "seeds": None, "reward_bound": 10.0,
        "precision": "fp32", "workers": None, "candidate_dir": None,
    }  # fmt: skip
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())


@pytest.mark.parametrize(
    ("budget", "named"),
    [
        ({"train_episodes": 1}, "train_episodes"),
        ({"train_episodes": 1001}, "train_episodes"),
        ({"eval_episodes": 0}, "eval_episodes"),
        ({"eval_episodes": 101}, "eval_episodes"),
        ({"seed_count": 0}, "seed_count"),
        ({"num_envs": 0}, "num_envs"),
        ({"max_steps": 0}, "max_steps"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"reward_bound": float("nan")}, "reward_bound"),
        ({"precision": "int4"}, "precision"),
        ({"workers": 0}, "workers"),
    ],
)
def test_what_is_beyond_the_caps_is_a_value_error(
    tmp_path: Path, budget: dict[str, Any], named: str
) -> None:
    """Every bad argument is refused by name before any work."""
    with pytest.raises(ValueError, match=named):
        evaluate_candidate(candidate_dir=write_candidate(tmp_path / "c"), **budget)


# -- the score -------------------------------------------------------------------------------------


def test_the_score_is_the_mean_greedy_return(tmp_path: Path, referee: Referee) -> None:
    """A learnt tiny task scores 5 steps of 0.5, whatever `info["episode_return"]` claims."""
    result = evaluate(referee, write_candidate(tmp_path / "candidate"), train_episodes=20)
    assert result.score == result.mean_eval_return == pytest.approx(2.5)
    assert result.mean_solve_rate == 1.0
    assert result.mean_episode_length == 5.0
    assert result.seeds == (101, 138)
    assert [seed.eval_return for seed in result.seed_results] == [2.5, 2.5]
    assert result.env_name == "Tiny"
    assert result.observation_shape == (1, 1, 2)
    assert result.num_actions == 2
    assert result.max_steps == 20
    assert result.stability == 1.0
    assert result.complexity_penalty == 0.0
    # Five steps, and a sixth by which it shows that the sub-environments stay frozen.
    assert result.env_steps == 2 * 20 * 8 * 6
    assert result.learning_gain > 0
    assert 0.0 <= result.headroom_bonus <= 1.0
    assert result.torch_version == importlib.metadata.version("torch")
    assert result.peak_memory_mb > 50


def test_bf16_is_another_precision(tmp_path: Path, referee: Referee) -> None:
    """It learns the same task, and says which precision its score has."""
    folder = write_candidate(tmp_path / "c")
    result = evaluate(referee, folder, train_episodes=20, precision="bf16")
    assert result.precision == "bf16"
    assert result.score == pytest.approx(2.5)


def test_only_the_first_episode_counts(tmp_path: Path, referee: Referee) -> None:
    """An environment that resets itself is not paid for its second episode."""
    auto_reset = (
        "self.done |= self.steps >= END",
        "self.steps[self.done] = 1; self.done[:] = self.steps >= END",
    )
    folder = write_candidate(tmp_path / "c", env=auto_reset)
    result = evaluate(referee, folder, train_episodes=20)
    assert result.score == pytest.approx(2.5)


def test_the_horizon_ends_an_episode(tmp_path: Path, referee: Referee) -> None:
    """The override wins over 20; one that differs from a pinned horizon is rejected by name."""
    folder = write_candidate(tmp_path / "c", overrides='{"lr": 0.01, "max_steps": 3}')
    own = evaluate(referee, folder, train_episodes=20)
    assert (own.max_steps, own.score) == (3, pytest.approx(1.5))
    assert evaluate(referee, folder, train_episodes=20, max_steps=3).score == own.score
    error = failure(referee, folder, max_steps=2)
    assert error.kind == "rejected"
    assert "horizon of 3 steps, but it is pinned to 2 (task.max_steps)" in error.reason


def test_the_number_of_evaluation_episodes_is_exact(tmp_path: Path, referee: Referee) -> None:
    """E episodes count, in as many batches as it takes; the other slots are evidence."""
    folder = write_candidate(tmp_path / "c")
    result = evaluate(referee, folder, eval_episodes=11)
    for seed in result.seed_results:
        assert len(seed.episode_returns) == 11
        assert len(seed.evidence_returns) == 5


# -- reproducible ----------------------------------------------------------------------------------


def test_scores_repeat_to_the_bit(tmp_path: Path, referee: Referee) -> None:
    """Warm or cold, one worker or two, seeds in another order, confined or not: the same numbers."""
    folder = write_candidate(tmp_path / "c")
    first = strip(evaluate(referee, folder))
    assert strip(evaluate(referee, folder, workers=1)) == first
    # Each of these is a cold one too.
    for tier in ("off", "reduced"):
        if tier == "off" or landlock.abi() >= LEAST_LANDLOCK:
            with Referee(tier) as otherwise:
                assert strip(evaluate(otherwise, folder)) == first
    swapped = strip(evaluate(referee, folder, seeds=(138, 101)))
    assert sorted(map(str, swapped["seed_results"])) == sorted(map(str, first["seed_results"]))


def test_workers_that_waited_score_the_same_and_none_outlives_the_referee(tmp_path: Path) -> None:
    """A worker launched ahead trains to the same bit; after `close` none is left, idle or not."""
    folder = write_candidate(tmp_path / "c")
    with Referee() as referee:
        launched = strip(evaluate(referee, folder))
        waiting = referee.wait_idle()
        assert 6 <= len(waiting) <= 12  # two trainers, and ten environments in a row
        assert strip(evaluate(referee, folder)) == launched
        replaced = referee.wait_idle()
        assert not waiting & replaced
        failure(referee, write_candidate(tmp_path / "b", overrides="1"))
        everything = waiting | replaced | referee.wait_idle()
    assert not [pid for pid in everything if Path(f"/proc/{pid}").exists()]


def test_the_replay_is_the_first_counted_episode(tmp_path: Path, referee: Referee) -> None:
    """What is shown is what was scored: a valid document whose rewards are that episode's return."""
    folder = write_candidate(tmp_path / "c")
    for seed in evaluate(referee, folder, train_episodes=20).seed_results:
        check_replay(dict(seed.replay))
        assert seed.replay["return"] == pytest.approx(seed.episode_returns[0])
        assert len(seed.replay["steps"]) == 5
        assert seed.replay["seed"] is None


def test_the_global_generators_are_seeded_before_the_import(
    tmp_path: Path, referee: Referee
) -> None:
    """A candidate that draws from every global generator at import still repeats."""
    draw = (
        "PAY = 0.5",
        "import random, numpy\n"
        "PAY = float(random.random() + numpy.random.rand() + torch.rand(1)) / 3",
    )
    folder = write_candidate(tmp_path / "c", env=draw)
    assert strip(evaluate(referee, folder)) == strip(evaluate(referee, folder, workers=1))


def test_another_key_gives_other_environments(tmp_path: Path, referee: Referee) -> None:
    """The workspace's key decides the environments' seeds."""
    echo = ("PAY = 0.5", "PAY = None"), ("reward = PAY *", "reward = self.config.seed / 2**31 *")
    folder = write_candidate(tmp_path / "c", env=echo[1])
    assert evaluate(referee, folder, key=b"a").score != evaluate(referee, folder, key=b"b").score


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ('{"learning_rate": 0.1}', "'learning_rate' is not allowed"),
        ('{"lr": "0.1"}', "'lr'"),
        ('{"lr": float("nan")}', "'lr'"),
        ('{"lr": -1.0}', "'lr'"),
        ('{"training_epochs": 2.0}', "'training_epochs' must be int"),
        ('{"training_epochs": True}', "'training_epochs' must be int"),
        ('{"normalize_advantages": 1}', "'normalize_advantages' must be bool"),
        ('{"max_steps": 10**9}', "'max_steps'"),
        ('{"gamma": 1.5}', "'gamma'"),
        ('{"batch_size": 10**400}', "'batch_size'"),
        ("[1]", "must return a dict"),
    ],
)
def test_a_bad_override_is_invalid_by_name(
    tmp_path: Path, referee: Referee, overrides: str, named: str
) -> None:
    """An unknown key, a wrong type, a non-finite or out-of-range value is named."""
    error = failure(referee, write_candidate(tmp_path / "c", overrides=overrides))
    assert error.kind == "invalid"
    assert named in error.reason


_WITH_NUM_ENVS = """\
class Odd(Tiny):
        def __getattribute__(self, name):
            if name == "num_envs" and "is_made" in self.__dict__:
                return ODD
            return super().__getattribute__(name)

    env = Odd(config, num_envs, device, dtype)
    env.is_made = True
    return env


ODD = """


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"env": ("def create_env", "def make_env")}, "invalid", "lacks create_env()"),
        ({"train": ("def build_policy", "def build")}, "invalid", "lacks build_policy()"),
        ({"env": ("import torch\n", "import torch\n1/0\n")}, "crash", "ZeroDivisionError"),
        ({"env": ("def create_env(", "def create_env(:")}, "crash", "SyntaxError"),
        ({"env": ("self.steps += 1", "raise RuntimeError('boom')")}, "crash", "boom"),
        ({"train": ("return self.logits(hidden)", "return self.logits(hidden) * float('nan')")},
         "invalid", "finite"),
        ({"train": ("nn.Linear(16, actions)", "nn.Linear(16, 7)")}, "invalid", "logits"),
        ({"env": ("reward, self.done.clone(), info", "reward[:1], self.done.clone(), info")},
         "invalid", "reward"),
        ({"env": ("(1, 1, 2))", "(2,))")}, "invalid", "(C, H, W)"),
        ({"env": ("gym.spaces.Discrete(2)", "gym.spaces.Box(-1, 1, (1,))")}, "invalid",
         "action_space must be discrete with a whole number of actions .n, got Box"),
        ({"env": ("gym.spaces.Discrete(2)", "gym.spaces.MultiDiscrete([2])")}, "invalid",
         "action_space must be discrete with a whole number of actions .n, got MultiDiscrete"),
        *(({"env": ("return Tiny(config, num_envs, device, dtype)", _WITH_NUM_ENVS + value)},
           "invalid", f"env.num_envs must be 8, got {value}")
          for value in ("0", "-1", "None", "2.0", "'32'", "16")),
        ({"train": RECURRENT}, "invalid", "a candidate's forward takes observations alone"),
        ({"train": ("        self.body", "        self.left_out = nn.LazyLinear(1)\n        self.body")},
         "invalid", "lazy parameters"),
    ],
)  # fmt: skip
def test_a_broken_candidate_is_told_apart(
    tmp_path: Path, referee: Referee, change: dict[str, Any], kind: str, says: str
) -> None:
    """Contract faults are `invalid`, exceptions are `crash`; both say what was wrong."""
    error = failure(referee, write_candidate(tmp_path / "c", **change))
    assert error.kind == kind
    assert says in error.reason


def test_a_policy_may_rule_actions_out(tmp_path: Path, referee: Referee) -> None:
    """By a logit of minus infinity, in training and in evaluation; not all of them."""
    logits, right, none = "return self.logits(hidden)", "[-torch.inf, 0.0]", "[-torch.inf] * 2"
    change = (logits, f"{logits} + torch.tensor({right})")
    result = evaluate(referee, write_candidate(tmp_path / "c", train=change), train_episodes=2)
    assert result.score == 2.5
    change = (logits, f"{logits} + torch.tensor({none})")
    error = failure(referee, write_candidate(tmp_path / "d", train=change))
    assert (error.kind, "logits is not finite" in error.reason) == ("invalid", True)


@pytest.mark.parametrize(("pay", "says"), [("1.5", "outside [-1, 1]"), ("-1.5", "outside [-1, 1]")])
def test_a_reward_out_of_bounds_is_rejected(
    tmp_path: Path, referee: Referee, pay: str, says: str
) -> None:
    """The referee disqualifies; it never clips, and never repeats the number that was chosen."""
    always = ("PAY * (actions == 1).to(self.dtype)", f"torch.full((self.num_envs,), {pay})")
    error = failure(referee, write_candidate(tmp_path / "c", env=always))
    assert error.kind == "rejected"
    assert says in error.reason
    assert pay not in error.reason


@pytest.mark.parametrize("paid", ["nan", "inf"])
def test_a_reward_that_is_not_finite_is_rejected_after_an_episodes_end_too(
    tmp_path: Path, referee: Referee, paid: str
) -> None:
    """It would turn all that is summed over the slot's steps into no number."""
    folder = write_candidate(tmp_path / "c", env=("self.steps >= END", "self.steps >= ENDS"))
    text = (folder / "env.py").read_text()
    text = text.replace("END = 5", "ENDS = torch.tensor([1, *[5] * 7])")
    odd = f'if int(self.steps[0]) and EVALUATING:\n            reward[0] = float("{paid}")'
    text = text.replace("        self.steps += 1\n", f"        {odd}\n        self.steps += 1\n")
    text = f'import sys\nEVALUATING = "candidate.train" not in sys.modules\n{text}'
    (folder / "env.py").write_text(text)
    error = failure(referee, folder)
    assert error.kind == "rejected"
    assert "a reward is not finite" in error.reason


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("import os; os._exit(7)", "exit code 7"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("raise SystemExit(3)", "exit code 1"),
    ],
)
def test_a_worker_that_dies_is_a_crash(
    tmp_path: Path, referee: Referee, code: str, ending: str
) -> None:
    """A death without a word is recorded with the kernel's word on it."""
    error = failure(referee, write_candidate(tmp_path / "c", env=("self.steps += 1", code)))
    assert error.kind == "crash"
    assert ending in error.reason


DEAF = """import os, socket, sys
        for number in range(3, 99) if {when} else ():
            try:
                socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RD)
            except OSError:
                pass
        self.steps += 1"""


@pytest.mark.parametrize("when", ["'candidate.train' not in sys.modules", "True"])
def test_a_worker_that_hears_no_more_is_a_crash(
    tmp_path: Path, referee: Referee, when: str
) -> None:
    """It lives, it has sent nothing, and no request reaches it: that is no fault of the referee."""
    code = DEAF.format(when=when)
    error = failure(referee, write_candidate(tmp_path / "c", env=("self.steps += 1", code)))
    assert error.kind == "crash"


def test_the_next_candidate_runs_after_a_failure(tmp_path: Path, referee: Referee) -> None:
    """One candidate's crash costs the next one nothing."""
    failure(referee, write_candidate(tmp_path / "bad", env=("self.steps += 1", "1/0")))
    assert evaluate(referee, write_candidate(tmp_path / "good")).score is not None


def test_memory_is_bounded(tmp_path: Path, referee: Referee) -> None:
    """A candidate that takes more memory than allowed crashes; the machine does not."""
    greedy = ("self.steps += 1", "self.waste = torch.ones(300_000_000)")
    folder = write_candidate(tmp_path / "c", env=greedy)
    assert failure(referee, folder, memory_mb=900).kind == "crash"


def test_a_missing_file_is_invalid(tmp_path: Path, referee: Referee) -> None:
    """A candidate folder without train.py is named."""
    folder = write_candidate(tmp_path / "c")
    (folder / "train.py").unlink()
    assert "candidate/train.py is missing" in failure(referee, folder).reason


def test_the_traceback_is_in_the_details(tmp_path: Path, referee: Referee) -> None:
    """The agent gets the line that failed."""
    error = failure(referee, write_candidate(tmp_path / "c", env=("self.steps += 1", "1/0")))
    assert "ZeroDivisionError" in error.details
    assert "env.py" in error.details


SECRET = 'raise type("Seed", (RuntimeError,), {})(f"SEED {config.seed}")'


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"env": ("    return Tiny(", f"    if EVALUATING: {SECRET}\n    return Tiny(")},
         "in evaluation: an error at candidate/env.py line "),
        ({"env": ("    return Tiny(", "    if EVALUATING: raise KeyError(config.seed)\n    return Tiny(")},
         "in evaluation: KeyError at candidate/env.py line "),
        ({"env": ("    return Tiny(",
                  "    if EVALUATING: print(f'SEED {config.seed}', flush=True); __import__('os')._exit(7)\n"
                  "    return Tiny(")},
         "in evaluation: the worker process died (by itself)"),
        ({"env": ("self.generator = torch", "assert not EVALUATING, f'SEED {config.seed}'\n"
                  "        self.generator = torch")},
         "in evaluation: AssertionError at candidate/env.py line "),
    ],
    ids=["text", "argument", "output", "assertion"],
)  # fmt: skip
def test_an_evaluation_that_fails_tells_type_and_line_alone(
    tmp_path: Path, referee: Referee, change: dict[str, Any], told: str
) -> None:
    """No text, argument or output: the next candidate is evaluated with the same seeds."""
    folder = write_candidate(tmp_path / "c", **change)
    env = folder / "env.py"
    env.write_text(
        f"import sys\nEVALUATING = 'candidate.train' not in sys.modules\n{env.read_text()}"
    )
    error = failure(referee, folder, seeds=(101,))
    assert error.reason.startswith(told)
    assert error.details == ""
    seen = {
        str(derive_seed(PUBLIC_KEY, 101, phase)) for phase in ("evaluate", "audit", "untrained")
    }
    assert not [seed for seed in seen if seed in error.reason]
    assert [seed for seed in seen if seed in error.withheld]


def test_a_forged_number_of_actions_is_the_candidates_fault(
    tmp_path: Path, referee: Referee
) -> None:
    """However large, and whatever the policy then does."""
    forged = (
        "import torch\n",
        "import torch, sandbox.channel, referee.training_worker\n"
        "honest = sandbox.channel.Channel.send\n"
        "def send(self, head, payload=b''):\n"
        "    return honest(self, head | ({'num_actions': 2**62} if 'num_actions' in head else {}), payload)\n"
        "sandbox.channel.Channel.send = send\n"
        "referee.training_worker._greedy = lambda act, obs: torch.zeros(len(obs), dtype=torch.int64)\n",
    )
    error = failure(referee, write_candidate(tmp_path / "c", train=forged))
    assert error.kind == "rejected"
    assert "num_actions is no whole number" in error.reason


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("gym.spaces.Discrete(2)", "gym.spaces.MultiDiscrete([3])"),
        ("gym.spaces.Discrete(2)", "gym.spaces.Box(-1, 1, (3,))"),
        ("gym.spaces.Discrete(2)", "None"),
        ("gym.spaces.Box(-1, 1, (1, 1, 2))", "gym.spaces.Dict({})"),
        ("gym.spaces.Box(-1, 1, (1, 1, 2))", "(1, 1, 2)"),
    ],
)
def test_spaces_of_another_kind_are_invalid(
    tmp_path: Path, referee: Referee, space: str, says: str
) -> None:
    """Before any training, and in the contract's words."""
    error = failure(referee, write_candidate(tmp_path / "c", env=(space, says)))
    assert error.kind == "invalid"
    assert ("must be discrete" if "Discrete" in space else "must be (C, H, W)") in error.reason


_LEARNS = """\
        with torch.enable_grad():
            weight = torch.ones(1, requires_grad=True)
            (weight * 2).sum().backward()
        reward = weight.grad / 4 * (actions == 1).to(self.dtype)"""


def test_an_environment_may_take_gradients(tmp_path: Path, referee: Referee) -> None:
    """Most environments are stepped in inference mode; one that learns by itself is not."""
    plain = "        reward = PAY * (actions == 1).to(self.dtype)"
    learning = write_candidate(tmp_path / "learns", env=(plain, _LEARNS))
    ordinary = evaluate(referee, write_candidate(tmp_path / "c"))
    assert strip(evaluate(referee, learning)) == strip(ordinary)


_PAY = "PAY * (actions == 1).to(self.dtype)"
_FORWARD = "hidden = self.body(obs)"
_EXTRA_STATE = """\
def get_extra_state(self):
        return {"calls": 1}

    def set_extra_state(self, state):
        assert state == {"calls": 1}

    def forward(self, obs):"""


@pytest.mark.parametrize(
    "change",
    [
        {"env": (_PAY, f"({_PAY}).to(torch.bfloat16)")},
        {"env": (_PAY, f"({_PAY}).to(torch.float8_e4m3fn)")},
        {"train": (_FORWARD, f"self.register_buffer('seen', obs.mean(0))\n        {_FORWARD}")},
        {"train": ("def forward(self, obs):", _EXTRA_STATE)},
    ],
    ids=["bfloat16", "float8", "late buffer", "extra state"],
)
def test_an_honest_candidate_may_be_written_otherwise(
    tmp_path: Path, referee: Referee, change: dict[str, Any]
) -> None:
    """It is measured alike to the bit, by torch: fused, only what is plainly written is trained."""
    ordinary = evaluate(referee, write_candidate(tmp_path / "c"), path="torch")
    other = evaluate(referee, write_candidate(tmp_path / "d", **change), path="torch")
    assert strip(other) == strip(ordinary)


_NORMALISED = """\
if not hasattr(self, "mean"):
            self.register_buffer("mean", torch.zeros(1, 1, 2))
        self.mean = 0.99 * self.mean + 0.01 * obs.mean(dim=0)
        hidden = self.body(obs - self.mean)"""


@pytest.mark.parametrize(
    "change",
    [(_FORWARD, _NORMALISED), ("nn.Linear(size, 16)", "nn.LazyLinear(16)")],
    ids=["running mean", "lazy"],
)
def test_policies_may_keep_a_running_mean_and_have_lazy_layers(
    tmp_path: Path, referee: Referee, change: tuple[str, str]
) -> None:
    """A buffer that is set in evaluation, and sizes that the first observation gives."""
    ordinary = evaluate(referee, write_candidate(tmp_path / "c"), train_episodes=20)
    other = evaluate(referee, write_candidate(tmp_path / "d", train=change), train_episodes=20)
    assert other.policy_parameters == ordinary.policy_parameters
    assert (other.score, other.flags) == (pytest.approx(2.5), ())
