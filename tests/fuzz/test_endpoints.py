"""The agent's side of a model's endpoint, fed hostile answers: the short form."""

from tests.fuzz import endpoints


def test_no_answer_of_an_endpoint_is_a_bug() -> None:
    """Every input ends as a reply, a pause or a line for the user."""
    tried, faults = endpoints.run(1_500, seed=5)
    assert tried == 1_500
    assert faults == []
