"""The timeline of an evaluation, of a real one."""

import time
from pathlib import Path

from benchmarks.timeline import timeline
from framework import EvaluationRequest, Referee
from sandbox import Channel
from tests.candidates import write_candidate


def test_a_timeline_accounts_for_the_whole_evaluation(tmp_path: Path) -> None:
    """Its parts add up to the wall time, each was seen, and the clocks are gone afterwards."""
    request = EvaluationRequest(
        candidate_dir=write_candidate(tmp_path / "c"), train_episodes=4, num_envs=8
    )
    receive = Channel.receive
    with Referee() as referee:
        referee.evaluate(request)
        started_s = time.perf_counter()
        seconds = timeline(referee, request)
        elapsed_s = time.perf_counter() - started_s
    assert all(value > 0 for value in seconds.values()), seconds
    assert 0.5 * elapsed_s < sum(seconds.values()) < elapsed_s
    assert Channel.receive is receive
