"""Both ends of the channel, over a real socket pair; what the referee refuses."""

import functools
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from referee import messages, wire
from referee.messages import CandidateFacts, EnvironmentJob, TrainingJob
from referee.records import CandidateError
from referee.training_report import EpisodeReport, receive_episode, send_episode
from sandbox import Channel, ChannelError

N, SHAPE = 3, [3, 2, 1, 2]
OBS = np.arange(12, dtype=np.float32).reshape(SHAPE)
ACTIONS = np.array([0, 1, 1]).tobytes()
FACTS = CandidateFacts(
    env_name="Tiny",
    env_description="a task",
    observation_shape=(2, 1, 2),
    num_actions=2,
    policy_parameters=7,
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """The referee's and the worker's end."""
    ours, theirs = map(Channel, socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


Ends = tuple[Channel, Channel]


def test_jobs_arrive_as_they_were_sent(ends: Ends) -> None:
    """All their fields, typed again."""
    referee, worker = ends
    environment = EnvironmentJob(
        files={"env.py": "x"}, torch_seed=3, num_envs=4, max_steps=5, device="cpu"
    )
    training = TrainingJob(
        files={"env.py": "x"}, env_seed=1, torch_seed=2, sampling_seed=3, num_envs=4, max_steps=5,
        train_episodes=6, device="cpu", precision="bf16",
    )  # fmt: skip
    messages.send_job(referee, environment)
    assert messages.receive_job(worker, EnvironmentJob) == environment
    messages.send_job(referee, training)
    assert messages.receive_job(worker, TrainingJob) == training


def test_an_older_referee_may_send_further_keys(ends: Ends) -> None:
    """The evaluator file of version 0.1 asks for timings that no longer exist."""
    referee, worker = ends
    job = EnvironmentJob(files={}, torch_seed=3, num_envs=4, max_steps=5, device="cpu")
    referee.send({"time_precisions": True, **vars(job)})
    assert messages.receive_job(worker, EnvironmentJob) == job


def test_a_trainings_messages_arrive_as_they_were_sent(ends: Ends) -> None:
    """Overrides, settings, facts, episodes and the end."""
    referee, worker = ends
    messages.send_overrides(worker, {"lr": 0.1})
    assert messages.receive_overrides(referee) == {"lr": 0.1}
    messages.send_settings(referee, 20, {"lr": 0.1})
    assert messages.receive_settings(worker) == (20, {"lr": 0.1})
    messages.send_facts(worker, FACTS)
    assert messages.receive_facts(referee, N) == FACTS
    report = EpisodeReport(mean_return=0.1 + 0.2, solve_rate=1 / 3, env_steps=60)
    send_episode(worker, report)
    assert receive_episode(referee) == report
    messages.send_trained(worker, 1, "fused")
    assert messages.receive_trained(referee) == (1, "fused")


def test_acting_and_stepping_arrive_as_they_were_sent(ends: Ends) -> None:
    """Observations, actions, rewards, ends and successes, to the bit."""
    referee, worker = ends
    messages.send_act(referee, "trained", SHAPE, 2, OBS.tobytes())
    head, payload = wire.receive_request(worker) or pytest.fail("closed")
    assert head == {"do": "act", "weights": "trained", "shape": SHAPE, "num_actions": 2}
    assert payload == OBS.tobytes()
    messages.send_actions(worker, np.frombuffer(ACTIONS, np.int64))
    assert messages.receive_actions(referee, N, 2) == ACTIONS
    messages.send_reset(worker, OBS, 2)
    assert messages.receive_reset(referee, SHAPE) == OBS.tobytes()
    rewards = np.array([0.1, -0.2, np.pi])
    done, success = np.array([1, 0, 1], np.uint8), np.array([0, 0, 1], np.uint8)
    messages.send_step(worker, (rewards, done, success, OBS))
    step = messages.receive_step(referee, N, 4 * OBS.size)
    assert step.reward.tolist() == rewards.tolist()
    assert step.done.tolist() == [True, False, True]
    assert step.success.tolist() == [False, False, True]
    assert step.obs == OBS.tobytes()


def test_requests_end_with_close(ends: Ends) -> None:
    """`close` is no request."""
    referee, worker = ends
    messages.send_create(referee, 1, 2)
    messages.send_step_request(referee, ACTIONS)
    referee.send({"do": "close"})
    requests = [wire.receive_request(worker) for _ in range(3)]
    assert requests == [
        ({"do": "create", "env_seed": 1, "torch_seed": 2}, b""),
        ({"do": "step"}, ACTIONS),
        None,
    ]


# -- what the referee refuses ----------------------------------------------------------------------

Receive = Callable[[Channel], object]
READY = {"kind": "ready", **vars(FACTS), "observation_shape": [2, 1, 2]}
EPISODE = {"kind": "episode", "mean_return": 0.5, "solve_rate": 0.0, "env_steps": 10}


DEEP: Any = functools.reduce(lambda inner, _: [inner], range(20), 1)


def actions(values: list[int]) -> bytes:
    return np.array(values, np.int64).tobytes()


def receive_actions(channel: Channel) -> object:
    return messages.receive_actions(channel, N, 2)


def receive_step(channel: Channel) -> object:
    return messages.receive_step(channel, N, 4 * OBS.size)


def receive_facts(channel: Channel) -> object:
    return messages.receive_facts(channel, N)


@pytest.mark.parametrize(
    ("receive", "head", "payload", "says"),
    [
        (messages.receive_trained, EPISODE, b"", "sent 'episode', not 'trained'"),
        (messages.receive_trained, {}, b"", "sent None, not 'trained'"),
        (messages.receive_trained, {"kind": "trained", "threads": "1"}, b"", "threads is no whole"),
        (messages.receive_trained, {"kind": "trained", "threads": True}, b"", "threads is no whole"),
        (messages.receive_trained, {"kind": "trained", "threads": 1}, b"", "path is none"),
        (messages.receive_trained, {"kind": "trained", "threads": 1, "path": "x"}, b"", "path is"),
        (messages.receive_trained, {"kind": "trained", "threads": 1, "path": []}, b"", "path is"),
        (receive_episode, EPISODE | {"mean_return": None}, b"", "mean_return is no finite"),
        (receive_episode, EPISODE | {"mean_return": [0.5]}, b"", "mean_return is no finite"),
        (receive_episode, EPISODE | {"env_steps": 2**62}, b"", "env_steps is no whole"),
        (receive_facts, READY | {"observation_shape": [2, 2]}, b"", "observation_shape is"),
        (receive_facts, READY | {"observation_shape": [2, "1", 2]}, b"", "observation_shape"),
        (receive_episode, EPISODE | {"solve_rate": 2}, b"", "solve_rate is 2"),
        (receive_episode, EPISODE | {"solve_rate": DEEP}, b"", "solve_rate is no finite"),
        (receive_episode, {"kind": DEEP}, b"", "the worker sent [[[["),
        (receive_episode, {"kind": "x" * 10**4}, b"", "the worker sent 'xxx"),
        (receive_facts, READY | {"observation_shape": [2, 0, 2]}, b"", "observation_shape"),
        (receive_facts, READY | {"observation_shape": [True, 1, 2]}, b"", "observation_shape"),
        (receive_facts, READY | {"env_name": DEEP}, b"", "env_name is no text"),
        (receive_facts, READY | {"num_actions": 1e301}, b"", "num_actions is no whole"),
        (receive_facts, READY | {"num_actions": 2**62}, b"", "num_actions is no whole"),
        (receive_facts, READY | {"num_actions": 2.0}, b"", "num_actions is no whole"),
        (receive_facts, READY | {"num_actions": 0}, b"", "num_actions is no whole"),
        (receive_facts, READY | {"policy_parameters": -1}, b"", "policy_parameters is no whole"),
        (receive_actions, {"kind": "actions"}, actions([0, 1]), "actions has 16 bytes, not 24"),
        (receive_actions, {"kind": "actions"}, actions([0, 1, 2]), "an action outside 0 to 1"),
        (receive_actions, {"kind": "actions"}, actions([0, -1, 1]), "an action outside 0 to 1"),
        (receive_step, {"kind": "step"}, bytes(77), "step has 77 bytes, not 78"),
    ],
)  # fmt: skip
def test_a_forged_message_disqualifies(
    ends: Ends, receive: Receive, head: dict[str, Any], payload: bytes, says: str
) -> None:
    """Another kind, another size, no number, no legal action."""
    referee, worker = ends
    worker.send(head, payload)
    with pytest.raises(CandidateError, match="worker") as caught:
        receive(referee)
    assert caught.value.kind == "rejected"
    assert says in caught.value.reason


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_disqualifies(ends: Ends, text: str) -> None:
    """JSON as Python reads it knows numbers that are not finite."""
    referee, worker = ends
    worker.send(EPISODE | {"mean_return": json.loads(text)})
    with pytest.raises(CandidateError, match="mean_return is no finite number"):
        receive_episode(referee)


def test_huge_observations_are_invalid(ends: Ends) -> None:
    """The candidate's fault, before memory is taken for them."""
    referee, worker = ends
    worker.send(READY | {"observation_shape": [2**10, 2**10, 2**10]})
    with pytest.raises(CandidateError, match="over 2,097,152 numbers") as caught:
        messages.receive_facts(referee, N)
    assert caught.value.kind == "invalid"


def test_another_shape_than_trained_on_disqualifies(ends: Ends) -> None:
    """The size agrees and the shape does not."""
    referee, worker = ends
    messages.send_reset(worker, OBS.reshape(3, 1, 2, 2), 2)
    with pytest.raises(CandidateError, match=r"are \[3, 1, 2, 2\], not \[3, 2, 1, 2\]"):
        messages.receive_reset(referee, SHAPE)


def test_too_large_a_payload_is_not_read(ends: Ends) -> None:
    """It is refused by its announced size."""
    referee, worker = ends
    worker.send({"kind": "step"}, bytes(79))
    with pytest.raises(ChannelError, match="too large"):
        receive_step(referee)


@pytest.mark.parametrize(("kind", "status"), [("contract", "invalid"), ("crash", "crash")])
def test_an_error_is_the_candidates(ends: Ends, kind: Any, status: str) -> None:
    """Whatever was expected; message and traceback arrive, cut to their bounds."""
    referee, worker = ends
    wire.send_error(worker, kind, ValueError("x" * 2 * wire.MAX_TEXT))
    with pytest.raises(CandidateError) as caught:
        receive_step(referee)
    assert caught.value.kind == status
    assert caught.value.reason.startswith("ValueError: xxx")
    assert len(caught.value.reason) == len(caught.value.details) == wire.MAX_TEXT


def test_observations_too_large_together_are_invalid(ends: Ends) -> None:
    """One would fit, those of all sub-environments would not."""
    referee, worker = ends
    worker.send(READY | {"observation_shape": [2, 2**10, 2**10]})
    with pytest.raises(
        CandidateError, match="times 64 sub-environments are over 512 MiB"
    ) as caught:
        messages.receive_facts(referee, 64)
    assert caught.value.kind == "invalid"


def raised_in_evaluation(ends: Ends, **changes: Any) -> CandidateError:
    """Return the error of a worker, forged as told, after everything secret was taken out."""
    referee, worker = ends
    error = {
        "kind": "error", "error": "crash", "message": "ValueError: seed 4711",
        "traceback": "seed 4711", "type": "ValueError", "file": "env.py", "line": 12,
    }  # fmt: skip
    worker.send(error | changes)
    with pytest.raises(CandidateError) as caught:
        receive_step(referee)
    caught.value.withhold()
    return caught.value


def test_an_error_in_evaluation_tells_its_type_and_line_alone(ends: Ends) -> None:
    """The text is for people."""
    error = raised_in_evaluation(ends)
    assert error.reason == "in evaluation: ValueError at candidate/env.py line 12"
    assert error.details == ""
    assert error.withheld == "ValueError: seed 4711\nseed 4711"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"type": "Seed4711"}, "an error at candidate/env.py line 12"),
        ({"type": ["ValueError"]}, "an error at candidate/env.py line 12"),
        ({"file": "4711.py"}, "ValueError"),
        ({"file": DEEP}, "ValueError"),
        ({"line": 4711_4711}, "ValueError"),
        ({"line": 4.711}, "ValueError"),
        ({"line": True}, "ValueError"),
    ],
)
def test_a_forged_type_or_line_is_not_told(ends: Ends, changes: dict[str, Any], told: str) -> None:
    """Only what stands in a fixed list is repeated."""
    assert raised_in_evaluation(ends, **changes).reason == f"in evaluation: {told}"


def test_nothing_else_that_a_worker_says_is_told(ends: Ends) -> None:
    """A forged kind, shape or number of bytes could carry as much as a text."""
    referee, worker = ends
    for head in ({"kind": "seed 4711"}, {"kind": "step", "shape": [4711]}):
        worker.send(head)
        with pytest.raises(CandidateError) as caught:
            receive_step(referee)
        caught.value.withhold()
        assert caught.value.reason == "in evaluation: the candidate's code was at fault (rejected)"
