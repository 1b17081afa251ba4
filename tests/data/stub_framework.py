"""An evaluator that trains nothing: it obeys constants in the candidate, in the real protocol.

`SCORE = 0.5` is the score; `DO = "crash"` (or `invalid`, `rejected`, `hang`, `die`, `kill the
daemon`) is what happens instead; `HOG_MB = 400` is memory it fills first. `DO_AT = [138, "die"]` (or
`hang`, `crash`) is done when that seed's turn comes, `TIMES = 2` only so often; `SAY = "x"` is a line
printed first; with `CHECKPOINTS = true` checkpoints are shown. `COMPARED = {"episodes": 8, ...}` is
what a comparison with another environment finds where one is asked for. A world of the user's own, which
`read_world` would read, is none if it has `FAULT = "why"`. Tests of the daemon use it where
training would only take time. On seeds from a million on, which are fresh, `FRESH = -3.0` is added.
"""

import hashlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

EVALUATOR_PROTOCOL = 3
RESUMES = False
"""Whether seeds that were measured before are taken as measured."""
COMPARES = False
"""Whether environments are compared."""
NOTHING_CHANGED = {
    "episodes": 64,
    "observations": 0,
    "rewards": 0,
    "ends": 0,
    "successes": 0,
    "reward_ratio": 1.0,
    "return_there": 0.5,
    "solve_rate_there": 0.5,
}
UNUSABLE = "unusable"
"""Stands for a text that is not the candidate's: its seed is told as if it were not there."""
STARTED_BY = os.getppid()
LOG = Path(__file__).parent.parent / "evaluations.log"
"""Where it is there, each evaluation of an experiment leaves a line: the daemon's pid."""
TRAINED = LOG.with_name("trained.log")
"""Where it is there, each seed that is told leaves a line."""
SEEDS = LOG.with_name("seeds.log")
"""Where it is there, each seed that is told leaves a line: the daemon's pid, the digest of train.py,
the training episodes and the seed."""
DONE_AT = LOG.with_name("done-at.log")
"""Has a line for each time that `DO_AT` was obeyed."""
REFERENCES = 1_000_000
"""Seeds from here on are no experiment's default ones."""


def constant(source, name, default):
    """Return the value of `NAME = value` in the source."""
    found = re.search(rf"^{name} = (.+)$", source, re.MULTILINE)
    return json.loads(found[1]) if found else default


def answer(request):
    """Return the last event for one request."""
    source = (Path(request["candidate_dir"]) / "train.py").read_text()
    if LOG.exists() and request["seeds"][0] < REFERENCES:
        with LOG.open("a") as file:
            file.write(f"{STARTED_BY}\n")
    world = request.get("world", {"world.py": ""})
    if fault := constant(world["world.py"], "FAULT", None):
        return {"event": "world", "reason": fault}
    if said := constant(source, "SAY", None):
        print(said, flush=True)
    do = constant(source, "DO", "score")
    if do == "hang":
        time.sleep(3600)
    if do == "kill the daemon":
        os.kill(STARTED_BY, signal.SIGKILL)
        time.sleep(5)
    if do == "die":
        os._exit(9)
    _hog = b"x" * (constant(source, "HOG_MB", 0) << 20)
    time.sleep(constant(source, "SLEEP_S", 0.0))
    if do != "score":
        return {"event": "failure", "kind": do, "reason": f"told to {do}", "details": "Traceback"}
    score = (
        constant(source, "SCORE", 0.0)
        + constant(source, "PER_EPISODE", 0.0) * (request["train_episodes"])
    )
    try:
        returns = (
            follow(request, score, source)
            if request["follow"]
            else {seed: value_of(seed, score, source) for seed in request["seeds"]}
        )
    except FailedError as error:
        return error.args[0]
    if not returns:
        return {"event": "enough"}
    seeds = [
        {
            "seed": seed,
            "eval_return": value,
            "full_return": value,
            "evidence_solve_rate": 0.5,
            "train_returns": [0.0, value],
            **comparison(request, source),
        }
        for seed, value in returns.items()
    ]
    count = len(request["seeds"])
    result = {
        "score": score,
        "seed_results": seeds[:count],
        "more_results": seeds[count:],
        "max_steps": request["max_steps"] or 20,
        "mean_solve_rate": 0.5,
        "mean_episode_length": 10.0,
        "learning_gain": score,
        "steps_per_s": 1000.0,
        "flags": [],
    }
    return {"event": "result", "result": result}


def comparison(request, source):
    """Return what is told of a comparison with the incumbent's environment."""
    if not COMPARES:
        assert "compare_with" not in request
        return {}
    if "compare_with" not in request:
        return {"compared": None}
    assert request["compare_with"].keys() == {"env.py", "train.py"}
    return {"compared": constant(source, "COMPARED", NOTHING_CHANGED)}


class FailedError(Exception):
    """The candidate failed at a seed; holds the event."""


def ask(event):
    """Show an event; return whether anything more is wanted."""
    print(json.dumps(event), flush=True)
    return json.loads(sys.stdin.readline())["go_on"]


def follow(request, score, source):
    """Show one seed after the other; return the returns of those used when it was enough."""
    measured = request.get("measured", {})
    if constant(source, "CHECKPOINTS", False):
        for episode in request["checkpoints"]:
            curve = [0.0] * episode
            if not ask({"event": "checkpoint", "episode": episode, "curve": curve}):
                return {}
    used = {}
    for seed in request["seeds"] + request["more_seeds"]:
        if measured.get(str(seed), UNUSABLE) != UNUSABLE:
            used[seed] = json.loads(measured[str(seed)])["value"]
            continue
        do_at(seed, source)
        used[seed] = value = value_of(seed, score, source)
        event = {
            "event": "seed",
            "seed": seed,
            "value": value,
            "solve_rate": 0.5,
            "curve": [0.0, value],
            "returns": list(used.values()),
            "policy_parameters": 10,
            "observation_shape": [1, 5, 5],
            **comparison(request, source),
        }
        if RESUMES:
            event["resume"] = json.dumps({"value": value})
        if TRAINED.exists():
            with TRAINED.open("a") as file:
                file.write(f"{seed}\n")
        if SEEDS.exists():
            digest = hashlib.sha256(source.encode()).hexdigest()
            with SEEDS.open("a") as file:
                file.write(f"{STARTED_BY} {digest} {request['train_episodes']} {seed}\n")
        if not ask(event):
            break
    return used


def value_of(seed, score, source):
    """Return what is earned on a seed."""
    return score + constant(source, "FRESH", 0.0) * (seed >= REFERENCES)


def do_at(seed, source):
    """Do what the candidate says for this seed, if it was not done often enough."""
    at, do = constant(source, "DO_AT", [None, None])
    times = len(DONE_AT.read_text().splitlines()) if DONE_AT.exists() else 0
    if seed != at or times >= constant(source, "TIMES", 1000):
        return
    with DONE_AT.open("a") as file:
        file.write(f"{do}\n")
    if do == "die":
        os._exit(9)
    if do == "hang":
        time.sleep(3600)
    event = {"event": "failure", "kind": do, "reason": f"told to {do}", "details": "", "seed": seed}
    raise FailedError(event)


def main():
    """Answer requests until standard input ends."""
    serving = {"event": "serving", "protocol": EVALUATOR_PROTOCOL}
    serving |= {"resumes": True} if RESUMES else {}
    serving |= {"compares": True} if COMPARES else {}
    print(json.dumps(serving), flush=True)
    while line := sys.stdin.readline():
        request = json.loads(line)
        for seed in request["seeds"]:
            event = {"event": "episode", "seed": seed, "episode": 1, "mean_return": 0.0}
            print(json.dumps(event), flush=True)
        print(json.dumps(answer(request)), flush=True)


if __name__ == "__main__":
    main()
