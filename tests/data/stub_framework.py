"""An evaluator that trains nothing: it obeys constants in the candidate, in the real protocol.

`SCORE = 0.5` is the score; `DO = "crash"` (or `invalid`, `rejected`, `hang`, `die`, `kill the
daemon`) is what happens instead; `HOG_MB = 400` is memory it fills first. Tests of the daemon use
it where training would only take time.
"""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

EVALUATOR_PROTOCOL = 3
STARTED_BY = os.getppid()
LOG = Path(__file__).parent.parent / "evaluations.log"
"""Where it is there, each evaluation of an experiment leaves a line: the daemon's pid."""
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
    used = follow(request, score) if request["follow"] else request["seeds"]
    seeds = [
        {
            "seed": seed,
            "eval_return": score,
            "full_return": score,
            "evidence_solve_rate": 0.5,
            "train_returns": [0.0, score],
        }
        for seed in used
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


def follow(request, score):
    """Show one seed after the other; return those that were used when it was enough."""
    used = []
    for seed in request["seeds"] + request["more_seeds"]:
        used.append(seed)
        event = {
            "event": "seed",
            "seed": seed,
            "value": score,
            "solve_rate": 0.5,
            "curve": [0.0, score],
            "returns": [score] * len(used),
            "policy_parameters": 10,
            "observation_shape": [1, 5, 5],
        }
        print(json.dumps(event), flush=True)
        if not json.loads(sys.stdin.readline())["go_on"]:
            break
    return used


def main():
    """Answer requests until standard input ends."""
    print(json.dumps({"event": "serving", "protocol": EVALUATOR_PROTOCOL}), flush=True)
    while line := sys.stdin.readline():
        request = json.loads(line)
        for seed in request["seeds"]:
            event = {"event": "episode", "seed": seed, "episode": 1, "mean_return": 0.0}
            print(json.dumps(event), flush=True)
        print(json.dumps(answer(request)), flush=True)


if __name__ == "__main__":
    main()
