"""An evaluator that trains nothing, for the scripted run: protocol 3, every number a hash.

What a candidate earns follows from constants in its two files, the seed and the budget alone, so a
run can be repeated to the bit. `hold.json` beside this file (`{"name": …, "seed": …}`) makes it wait
before that seed of that candidate until the file is gone: so a run is killed where the test says.
"""

import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

EVALUATOR_PROTOCOL = 3
HOLD = Path(__file__).with_name("hold.json")
HELD = Path(__file__).with_name("held")
STARTED_BY = os.getppid()
FRESH_SEEDS = 1_000_000
"""Seeds from here on are no default ones."""
RANDOM_EPISODES = 16


class Failure(Exception):
    """The candidate failed; the argument is the `failure` event."""


def tell(event):
    """Write one event."""
    print(json.dumps(event), flush=True)


def ask(event):
    """Write one event; return whether the evaluation should go on."""
    tell(event)
    answer = sys.stdin.readline()
    return bool(answer) and json.loads(answer)["go_on"]


def normal(*key):
    """Return a number that is about normally distributed and depends on the key alone."""
    digest = hashlib.sha512("\0".join(map(str, key)).encode()).digest()
    words = [int.from_bytes(digest[at : at + 4], "big") for at in range(0, 48, 4)]
    return round(sum(word / 2**32 for word in words) - 6.0, 9)


def wait_while_held(name, seed):
    """Wait where the test wants to kill, stop or pause the daemon."""
    try:
        wanted = json.loads(HOLD.read_text())
    except FileNotFoundError:
        return
    if wanted != {"name": name, "seed": seed}:
        return
    HELD.touch()
    while HOLD.exists():
        if os.getppid() != STARTED_BY:
            os._exit(1)
        time.sleep(0.01)


class Candidate:
    """The constants of one candidate at one budget."""

    def __init__(self, request):
        folder = Path(request["candidate_dir"])
        self.text = "".join((folder / name).read_text() for name in ("env.py", "train.py"))
        self.request = request
        self.episodes = request["train_episodes"]
        self.name = self.constant("NAME", "")

    def constant(self, name, default):
        """Return the value of `NAME = value` in either file."""
        found = re.search(rf"^{name} = (.+)$", self.text, re.MULTILINE)
        return json.loads(found[1]) if found else default

    def value(self, seed):
        """Return what the policy earns with this seed."""
        mean = self.constant("SCORE", 0.0) + self.constant("BONUS", 0.0)
        mean += self.constant("AT", {}).get(str(self.episodes), 0.0)
        mean += self.constant("FRESH", 0.0) * (seed >= FRESH_SEEDS)
        shared = self.constant("LUCK", 0.0) * normal(seed)
        own = self.constant("NOISE", 0.0) * normal(self.text, seed, self.episodes)
        return mean + shared + own

    def fail_if_told(self, seed):
        """Fail, hang or wait at this seed, where the candidate or the test says so."""
        wait_while_held(self.name, seed)
        place = self.constant("DO_AT", None)
        index = seed % 10_000 if seed >= FRESH_SEEDS else seed
        if place is not None and place not in (
            index,
            "fresh" if seed >= FRESH_SEEDS else "default",
        ):
            return
        do = self.constant("DO", "score")
        if do == "hang":
            time.sleep(3600)
        if do != "score":
            raise Failure(
                {
                    "event": "failure",
                    "kind": do,
                    "reason": f"told to {do}",
                    "details": f"Traceback of {self.name}",
                    "score": self.constant("SCORE", 0.0) if do == "rejected" else None,
                    "seed": seed,
                }
            )

    def curve(self, seed):
        """Return the training returns, which rise to about what is earned in the end."""
        return [
            self.value(seed)
            - 0.02 * (self.episodes - episode)
            + 0.02 * normal(self.text, seed, self.episodes, episode)
            for episode in range(1, self.episodes + 1)
        ]

    def result(self, seed):
        """Return one seed's report."""
        value = self.value(seed)
        reward = self.constant("REWARD", 1.0)
        solved = self.constant("SOLVED", 0.5)
        length = self.constant("LENGTH", 10.0)
        return {
            "seed": seed,
            "eval_return": value,
            "full_return": value + 0.01 * normal(self.text, seed, self.episodes, "full"),
            "solve_rate": solved,
            "evidence_solve_rate": solved + 0.01 * normal(seed, "solved"),
            "episode_length": length,
            "evidence_episode_length": length + normal(seed, "length"),
            "train_returns": self.curve(seed),
            "episode_returns": [value] * self.request["eval_episodes"],
            "random_returns": [reward * normal(seed, "random", i) for i in range(RANDOM_EPISODES)],
            "random_solve_rate": 0.1,
            "random_full_length": 0.5,
            "replay": {"seed": seed, "frames": []},
        }


def evaluate(request):
    """Return the last event for one request."""
    candidate = Candidate(request)
    order = [*request["seeds"], *request["more_seeds"]]
    checkpoints, results = list(request["checkpoints"]), []
    for seed in order:
        candidate.fail_if_told(seed)
        curve = candidate.curve(seed)
        for episode in range(1, candidate.episodes + 1):
            tell({"event": "episode", "seed": seed, "episode": episode, "mean_return": 0.0})
            if seed == order[0] and checkpoints and episode == checkpoints[0] and request["follow"]:
                shown = {"episode": checkpoints.pop(0), "curve": curve[:episode]}
                if not ask({"event": "checkpoint", **shown}):
                    return {"event": "enough"}
        results.append(candidate.result(seed))
        if request["follow"] and not ask(seed_event(candidate, results)):
            break
    return {"event": "result", "result": summary(candidate, results)}


def seed_event(candidate, results):
    """Return what is told of the last of these seeds, and the returns of all."""
    last = results[-1]
    return {
        "event": "seed",
        "seed": last["seed"],
        "value": last["full_return"],
        "solve_rate": last["evidence_solve_rate"],
        "curve": last["train_returns"],
        "returns": [result["full_return"] for result in results],
        **shape(candidate),
    }


def shape(candidate):
    """Return how large the policy and its view are."""
    return {
        "policy_parameters": candidate.constant("PARAMETERS", 100),
        "observation_shape": [1, 5, 5],
    }


def summary(candidate, results):
    """Return the report of an evaluation."""
    request = candidate.request
    scored = results[: len(request["seeds"])]

    def mean(name):
        return sum(seed[name] for seed in scored) / len(scored)

    score = mean("eval_return")
    return {
        "score": score,
        "mean_eval_return": score,
        "mean_solve_rate": mean("solve_rate"),
        "mean_episode_length": mean("episode_length"),
        "learning_gain": scored[0]["train_returns"][-1] - scored[0]["train_returns"][0],
        "random_return": candidate.constant("RANDOM", -20.0),
        "max_steps": candidate.constant("MAX_STEPS", request["max_steps"] or 20),
        "num_envs": request["num_envs"],
        "train_episodes": request["train_episodes"],
        "eval_episodes": request["eval_episodes"],
        "seed_count": len(scored),
        "seeds": [seed["seed"] for seed in scored],
        "seed_results": scored,
        "more_results": results[len(scored) :],
        "device": request["device"],
        "precision": request["precision"],
        "steps_per_s": 1000.0,
        "flags": candidate.constant("FLAGS", []),
        **shape(candidate),
    }


def main():
    """Answer requests until standard input ends."""
    tell({"event": "serving", "protocol": EVALUATOR_PROTOCOL, "pid": os.getpid()})
    while line := sys.stdin.readline():
        try:
            tell(evaluate(json.loads(line)))
        except Failure as failure:
            tell(failure.args[0])


if __name__ == "__main__":
    main()
