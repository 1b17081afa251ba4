"""What trains policies is asked for and recorded; environments run where nothing learns."""

from pathlib import Path

import pytest

from framework import Referee
from tests.candidates import write_candidate

from .conftest import evaluate, strip

Change = tuple[str, str]


def with_env(folder: Path, *changes: Change) -> Path:
    """Write a candidate with some texts of its environment replaced."""
    env = write_candidate(folder) / "env.py"
    text = env.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    env.write_text(text)
    return folder


LISTENS = (
    "PAY * (actions == 1)",
    "PAY * self.is_quiet(actions)",
)
IS_QUIET = (
    "    def observe(self):",
    "    def is_quiet(self, actions):\n"
    "        quiet = torch.is_inference_mode_enabled() and self.steps.is_inference()\n"
    "        return torch.full(actions.shape, float(quiet and self.was_reset))\n\n"
    "    def observe(self):",
)
NOTES = ("        self._reset_episode_state()", "        self.was_reset = torch.is_inference_mode_enabled()\n"
         "        self._reset_episode_state()")  # fmt: skip
REMEMBERS = (
    "self.steps += 1",
    "self.seen = self.seen + actions if self.steps[0] else actions.clone()\n"
    "        self.seen *= 1\n        self.steps += 1",
)


def test_the_path_is_recorded(tmp_path: Path, referee: Referee) -> None:
    """Fused where the policy is known, unless the request or the candidate wants torch."""
    folder = write_candidate(tmp_path / "c")
    fused, by_torch = evaluate(referee, folder), evaluate(referee, folder, path="torch")
    assert [seed.path for seed in fused.seed_results] == ["fused", "fused"]
    assert (fused.path, by_torch.path) == ("fused", "torch")
    slow = write_candidate(tmp_path / "d", overrides='{"torch_fastpath": False}')
    assert evaluate(referee, slow).path == "torch"
    other = write_candidate(tmp_path / "e", train=("self.body(obs)", "self.body(obs) * 1.0"))
    assert evaluate(referee, other).path == "torch"
    assert fused.numpy_version


def test_a_fused_score_repeats_to_the_bit(tmp_path: Path, referee: Referee) -> None:
    """Whatever the number of workers."""
    folder = write_candidate(tmp_path / "c")
    assert strip(evaluate(referee, folder)) == strip(evaluate(referee, folder, workers=1))


def test_an_unknown_path_is_refused(tmp_path: Path, referee: Referee) -> None:
    """By name, before any work."""
    with pytest.raises(ValueError, match="path must be 'fused' or 'torch'"):
        evaluate(referee, write_candidate(tmp_path / "c"), path="fast")


def test_an_environment_lives_in_inference_mode(tmp_path: Path, referee: Referee) -> None:
    """From its creation on, in training and in evaluation; what it makes it may write to."""
    folder = with_env(tmp_path / "c", LISTENS, IS_QUIET, NOTES, REMEMBERS)
    result = evaluate(referee, folder)
    assert result.score == pytest.approx(2.5)
    assert all(r == pytest.approx(2.5) for r in result.seed_results[0].train_returns)


def test_one_that_speaks_of_gradients_does_not(tmp_path: Path, referee: Referee) -> None:
    """It may want them: it runs as it always did."""
    folder = with_env(tmp_path / "c", LISTENS, IS_QUIET, NOTES, ("PAY = 0.5", "PAY = 0.5  # grad"))
    assert evaluate(referee, folder).score == 0.0


def test_a_gradient_that_is_asked_for_is_there(tmp_path: Path, referee: Referee) -> None:
    """In an environment's step, with gradients switched on there."""
    learns = (
        "PAY * (actions == 1)",
        "descend(self.steps) * PAY * (actions == 1)",
    )
    code = (
        "def create_env",
        "def descend(steps):\n"
        "    with torch.enable_grad():\n"
        "        w = torch.ones((), requires_grad=True)\n"
        "        (w * steps.sum()).backward()\n"
        "    return float(w.grad == steps.sum())\n\n\ndef create_env",
    )
    folder = with_env(tmp_path / "c", learns, code)
    assert evaluate(referee, folder, train_episodes=20).score == pytest.approx(2.5)
