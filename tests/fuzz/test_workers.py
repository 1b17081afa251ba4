"""The referee's side of the channel, fed hostile messages: the short form."""

from tests.fuzz import workers


def test_no_message_of_a_worker_ends_the_referee() -> None:
    """Every input ends as a result that the daemon reads, or as the candidate's fault."""
    tried, faults = workers.run(600, seed=5)
    assert tried == 600
    assert faults == []
