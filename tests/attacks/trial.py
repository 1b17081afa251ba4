"""One attack, twice: on an unconfined copy, where it must do damage, and confined, where it must not."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from orchestrator.core.evaluations import Report
from orchestrator.judging.flag_rules import ScoredCandidate, compare
from tests.attacks import naive
from tests.attacks.service import Child, Outcome, Service
from tests.attacks.template import ENVS, HORIZON, Attack, sources, write
from tests.attacks.world import World

NAIVE_TIMEOUT_S = 20.0
HANGS_AFTER_S = 2.0
FLOOD_BYTES = 20_000_000
REFEREE_GROWTH_MB = 200.0
_HONEST = Attack(name="honest", attempts="nothing", shows="score")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of an attack when it was confined."""

    outcome: Outcome
    violations: tuple[str, ...]
    """Every promise that was broken; empty if all held."""


class Trial:
    """The unconfined copy and the confined evaluator, each in a victim world of its own."""

    def __init__(self) -> None:
        self._copy = _Copy()
        self._fort = _Fort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._copy.close()
        self._fort.close()

    def unconfined(self, attack: Attack) -> dict[str, str]:
        """Return the damage the attack does to the unconfined copy, by kind."""
        return self._copy.suffer(attack)

    def confined(self, attack: Attack) -> Verdict:
        """Evaluate the attack confined and say what it did nevertheless."""
        return self._fort.withstand(attack)


def _request(folder: Path, world: World, attack: Attack) -> dict[str, Any]:
    return {
        "candidate_dir": str(folder),
        "train_episodes": 8,
        "eval_episodes": ENVS,
        "num_envs": ENVS,
        "max_steps": HORIZON,
        "reward_bound": 1.0,
        "seeds": list(attack.seeds),
        "memory_mb": attack.memory_mb,
        "key": world.key.hex(),
    }


def _evaluate(service: Service, world: World, attack: Attack) -> Outcome:
    """Evaluate with a warm service in a world that was looked at just before."""
    if not service.running:
        service.start()
        folder = write(world.place(), sources(_HONEST, world.facts(service.pid)))
        first = service.evaluate(_request(folder, world, _HONEST), _HONEST.timeout_s)
        world.idle_workers = first.idle_workers
    folder = write(world.place(), sources(attack, world.facts(service.pid)))
    world.begin()
    outcome = service.evaluate(_request(folder, world, attack), attack.timeout_s)
    world.idle_workers = outcome.idle_workers
    return outcome


class _Copy:
    """Those who trust the candidate: workers without confinement, and the naive scorer."""

    def __init__(self) -> None:
        self._world = World(narrow=True)
        environment, folder = self._world.environment(), self._world.workspace
        # The careless open their files so that every child has them.
        gift = self._world.secret_descriptor()
        place = {"environment": environment, "folder": folder, "gift": gift}
        self._service = Service("off", **place)
        self._naive_place = place
        self._naive: Child | None = None
        self._honest: dict[tuple[int, ...], float] = {}
        self._honest_naive: dict[str, Any] = {}

    def suffer(self, attack: Attack) -> dict[str, str]:
        """Return the damage by kind, then put the world right."""
        try:
            suffered = self._by_workers if attack.copy == "workers" else self._by_scorer
            return suffered(attack)
        finally:
            self._world.mend()

    def close(self) -> None:
        self._service.close()
        if self._naive is not None:
            self._naive.kill()
        self._world.close()

    def _by_workers(self, attack: Attack) -> dict[str, str]:
        if attack.seeds not in self._honest:
            control = self._evaluate_by_workers(dataclasses.replace(_HONEST, seeds=attack.seeds))
            assert control.score is not None, control
            self._honest[attack.seeds] = control.score
        honest = self._honest[attack.seeds]
        outcome = self._evaluate_by_workers(attack)
        damage = self._world.damage(outcome.text)
        if outcome.status not in {"scored", "timeout"}:
            then = self._evaluate_by_workers(_HONEST)
            if "referee" in {outcome.status, then.status}:
                damage["referee"] = f"{outcome.status}, then {then.status}: {then.text}"
                self._service.close()
        if outcome.status == "timeout":
            damage["hang"] = f"no answer in {attack.timeout_s:g} s"
        if outcome.score is not None and outcome.score > honest + 1e-9:
            damage["score"] = f"{outcome.score:g} instead of {honest:g}"
        return damage

    def _evaluate_by_workers(self, attack: Attack) -> Outcome:
        return _evaluate(self._service, self._world, attack)

    def _by_scorer(self, attack: Attack) -> dict[str, str]:
        if self._naive is None:
            self._naive = Child(naive.__file__, **self._naive_place)
            self._honest_naive = self._score(_HONEST)["scores"][0]
        try:
            honest, answer = self._honest_naive, self._score(attack)
        except EOFError as error:
            self._naive.kill()
            self._naive = None
            return {"referee": f"the scorer itself died: {str(error)[-200:]}"}
        damage = self._world.damage(answer["text"])
        scores = answer["scores"]
        if not isinstance(scores, list) or len(scores) != 2:
            damage["next"] = "the next candidate got no score"
            scores = scores if isinstance(scores, list) else [scores]
        elif scores[1] != honest:
            damage["next"] = f"the next honest candidate: {scores[1]}, alone: {honest}"
        if scores:
            damage |= self._forged(scores[0], honest)
        if attack.shows == "unstable":
            again = self._score(attack)["scores"]
            if again[:1] != scores[:1]:
                damage["unstable"] = f"{scores}, then {again}"
        if not answer["ended"]:
            damage["hang"] = "it did not end"
        if answer["bytes"] > FLOOD_BYTES:
            damage["flood"] = f"{answer['bytes'] / 1e6:.0f} MB of output"
        return damage

    def _score(self, attack: Attack) -> dict[str, Any]:
        """Score the attack and then an honest candidate, in one process as the careless do."""
        assert self._naive is not None
        facts = self._world.facts(self._naive.pid)
        folder = write(self._world.place(), sources(attack, facts))
        then = write(self._world.place(), sources(_HONEST, facts))
        folders = [str(folder)] if attack is _HONEST else [str(folder), str(then)]
        self._world.begin()
        timeout_s = HANGS_AFTER_S if attack.shows in {"hang", "process"} else NAIVE_TIMEOUT_S
        request = {"candidates": folders, "timeout_s": timeout_s}
        return self._naive.ask(request, 60.0)

    @staticmethod
    def _forged(claimed: Mapping[str, Any], honest: Mapping[str, Any]) -> dict[str, str]:
        damage = {}
        if not claimed["score"] <= honest["score"] + 0.1:  # NaN is a forgery too
            damage["score"] = f"{claimed['score']:g} instead of {honest['score']:g}"
        if claimed["solved"] == 1.0 and claimed["score"] <= 0:
            damage["solved"] = f"all solved with a return of {claimed['score']:g}"
        return damage


class _Fort:
    """The evaluator as it is meant to be used."""

    def __init__(self) -> None:
        self._world = World(narrow=False)
        self._service = Service(
            "auto",
            environment=self._world.environment(),
            folder=self._world.workspace,
            gift=self._world.secret_descriptor(),
        )
        self._controls: dict[tuple[int, ...], Outcome] = {}

    def withstand(self, attack: Attack) -> Verdict:
        """Evaluate it, then the honest control again; return what was broken."""
        plain = dataclasses.replace(_HONEST, seeds=attack.seeds)
        honest = self._control(plain)
        outcome = self._evaluate(attack)
        damage = self._world.damage(outcome.text)
        violations = [f"{kind}: {words}" for kind, words in damage.items()]
        if outcome.score is not None:
            texts = (sources(candidate, {})["env"] for candidate in (plain, attack))
            compared = compare(*map(_scored, (honest, outcome), texts))
            outcome = dataclasses.replace(outcome, flags=(*outcome.flags, *compared))
        violations += _broken(attack, outcome, honest)
        if outcome.status == "referee":
            violations.append(f"referee: {outcome.text}")
        if damage:
            self._world.mend()
        then = self._evaluate(plain)
        if then.fingerprint != self._control(plain).fingerprint:
            violations.append(f"next: the next honest candidate ended as {then.status}")
        after = self._world.damage(then.text)
        violations += [f"{kind} later: {words}" for kind, words in after.items()]
        if damage or after:
            self._world.mend()
        return Verdict(outcome, tuple(violations))

    def _control(self, honest: Attack) -> Outcome:
        if honest.seeds not in self._controls:
            found = self._evaluate(honest)
            assert found.status == "scored", found
            assert not found.flags, found.flags
            self._controls[honest.seeds] = found
        return self._controls[honest.seeds]

    def close(self) -> None:
        self._service.close()
        self._world.close()

    def _evaluate(self, attack: Attack) -> Outcome:
        return _evaluate(self._service, self._world, attack)


def _scored(outcome: Outcome, env: str) -> ScoredCandidate:
    """Return one side of a comparison as the daemon has it."""
    assert outcome.score is not None
    return ScoredCandidate(outcome.score, HORIZON, Report(outcome.metrics), env)


def _broken(attack: Attack, outcome: Outcome, honest: Outcome) -> list[str]:
    """Return the promises about the result itself that were broken."""
    found = []
    ending = outcome.status
    if ending == "scored" and outcome.fingerprint == honest.fingerprint:
        ending = "honest"
    # What it computed beside the training is flagged if it came to enough: that depends on how soon
    # the training was over, and the score is the honest one either way.
    only_busy = {flag.partition(":")[0] for flag in outcome.flags} == {"budget exceeded"}
    if ending == "scored" and attack.flag is None and only_busy and outcome.score == honest.score:
        ending = "honest"
    if ending not in {*attack.ends, "referee"}:
        found.append(f"ending: {ending}, not {' or '.join(attack.ends)}: {outcome.text[:300]}")
    assert honest.score is not None
    if ending == "scored" and attack.flag is not None:
        if not any(attack.flag in flag for flag in outcome.flags):
            found.append(f"flag: {attack.flag!r} is not raised at {outcome.score:g}")
    elif outcome.score is not None and outcome.score > honest.score + 1e-9:
        found.append(f"score: {outcome.score:g} instead of {honest.score:g}")
    if outcome.referee_growth_mb > REFEREE_GROWTH_MB:
        found.append(f"flood: the referee grew by {outcome.referee_growth_mb:.0f} MB")
    if len(outcome.text) > FLOOD_BYTES:
        found.append(f"flood: {len(outcome.text)} characters came out")
    return found
