"""In which order an evaluation's batches are played."""

import collections

import pytest

from referee.evaluation import Turn, keyed_order


@pytest.mark.parametrize("audited", [False, True])
@pytest.mark.parametrize("batches", [1, 3])
def test_every_batch_is_played_once(batches: int, audited: bool) -> None:
    """Whatever is drawn; and a replay follows its original."""
    for draw in range(200):
        order = keyed_order(batches, draw, audited=audited)
        assert len(order) == len(set(order)) == batches + 3 + audited
        assert order.index(Turn("scored")) < order.index(Turn("replay"))


def test_the_draw_decides_when_the_scored_batch_is_played() -> None:
    """Its place tells nothing, nor which of the policy's two batches is scored."""
    orders = [keyed_order(1, draw, audited=True) for draw in range(2000)]
    places = collections.Counter(order.index(Turn("scored")) for order in orders)
    assert set(places) == {0, 1, 2, 3}
    first = sum(order.index(Turn("scored")) < order.index(Turn("audit")) for order in orders)
    assert 0.5 < first / 2000 < 0.75  # its replay comes later, which favours it a little


def test_audits_and_scored_batches_have_seeds_of_their_own() -> None:
    """All but the replay and random play, which are of batch 0's starts."""
    phases = {role: Turn(role).phase for role in ("scored", "replay", "random", "audit")}
    assert phases == {
        "scored": "evaluate", "replay": "evaluate", "random": "evaluate", "audit": "audit"
    }  # fmt: skip
    assert Turn("untrained").phase == Turn("elsewhere").phase == "untrained"
