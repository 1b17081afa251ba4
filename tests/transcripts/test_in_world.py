"""The squad transcript's cheats in the world form: refused, or without effect on the score."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.errors import EditError
from orchestrator.core.records import Reply
from orchestrator.proposals.reply import read_reply
from referee.referee import Referee
from tests.transcripts.catalogue import BY_NAME, reply_text
from tests.transcripts.in_world import evaluate, proposals

_UNTRAINED = ("LEARNING_RATE = 1e-3", "LEARNING_RATE = 1e-12")


@pytest.fixture
def referee() -> Iterator[Referee]:
    with Referee() as warm:
        yield warm


@pytest.mark.parametrize("n", [5, 11])
def test_what_changed_the_game_has_nothing_to_change(n: int) -> None:
    """The replies as they came edit the reward and the rules in env.py, which has neither now."""
    honest = proposals()[0].files
    with pytest.raises(EditError):
        read_reply(Reply(reply_text(BY_NAME[f"squad #{n}"])), honest, has_world=True)


@pytest.mark.system
def test_neither_a_bonus_nor_another_rule_in_training_is_scored(
    tmp_path: Path, referee: Referee
) -> None:
    """With a policy that training can't move, scores are equal to the bit whatever training pays."""
    results = []
    for index, carried in enumerate(proposals()):
        assert _UNTRAINED[0] in carried.files.train
        files = replace(carried.files, train=carried.files.train.replace(*_UNTRAINED))
        (tmp_path / str(index)).mkdir()
        results.append(evaluate(referee, files, tmp_path / str(index), seeds=2))
    honest, bonus, rule = results
    assert bonus.seed_results[0].reward_parts["alive"].mean > 0.1
    assert rule.seed_results[0].train_returns != honest.seed_results[0].train_returns
    for cheat in (bonus, rule):
        assert [seed.episode_returns for seed in cheat.seed_results] == [
            seed.episode_returns for seed in honest.seed_results
        ]
