"""An attack on a world, twice: where the world is in reach it must work, with the referee it must not."""

import ctypes
import dataclasses
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

from framework import PUBLIC_KEY
from tests.attacks import naive
from tests.attacks.service import Child, Outcome, Service
from tests.attacks.trial import FLOOD_BYTES, REFEREE_GROWTH_MB
from tests.attacks.worlds_template import ENVS, HONEST_SCORE, WorldAttack, sources, write

KEY = hashlib.sha256(b"a workspace's secret key, in tests").digest()
_CLEARLY = 1.0
_IPC_KEY = 0x3A71D5
_CARELESS_TIMEOUT_S = 20.0


@dataclasses.dataclass(frozen=True)
class WorldVerdict:
    """What became of an attack on a world."""

    outcome: Outcome
    ending: str
    """`honest`, `below`, `scored`, or the outcome's status."""
    shown: str
    """How it worked where it was to; empty if it did not."""
    violations: tuple[str, ...]
    """Every promise that was broken; empty if all held."""


class WorldTrial:
    """A careless scorer, the referee unconfined, and the referee as it is meant to be used."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="worlds-"))
        self._gift = os.open(os.devnull, os.O_RDONLY)
        # Attacks write beside their temporary folder too, which must not be where others have theirs.
        temporary = self._folder / "temporary"
        temporary.mkdir()
        place = {
            "environment": os.environ | {"TMPDIR": str(temporary)},
            "folder": self._folder,
            "gift": self._gift,
        }
        self._place = place
        self._fort, self._open = Service("auto", **place), Service("off", **place)
        self._careless: Child | None = None
        self._controls: dict[Any, Outcome] = {}
        self._count = 0
        self._facts = {
            "MARK": f"worlds-{os.getpid()}",
            "WORKSPACE": str(self._folder),
            "IPC_KEY": str(_IPC_KEY),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._fort.close()
        self._open.close()
        if self._careless is not None:
            self._careless.kill()
        os.close(self._gift)
        self._tidy()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tidy(self) -> None:
        """Remove what attacks may have left on the machine where they were not confined."""
        for folder in ("/tmp", "/dev/shm"):
            Path(folder, self._facts["MARK"]).unlink(missing_ok=True)
        libc = ctypes.CDLL(None)
        if (segment := libc.shmget(_IPC_KEY, 0, 0)) >= 0:
            libc.shmctl(segment, 0, None)  # IPC_RMID

    def withstand(self, attack: WorldAttack) -> WorldVerdict:
        """Show that it works, then evaluate it and say what it did."""
        outcome = self.evaluate(attack)
        ending, control = self._ending(attack, outcome), self.control(attack)
        return WorldVerdict(
            outcome=outcome,
            ending=ending,
            shown=self._shown(attack, outcome, ending),
            violations=tuple(_broken(attack, outcome, ending, control)),
        )

    def evaluate(
        self, attack: WorldAttack | None, *, confined: bool = True, key: bytes = KEY
    ) -> Outcome:
        """Evaluate an attack; None is the honest candidate."""
        service = self._fort if confined else self._open
        if not service.running:
            service.start()
        texts = sources(attack, self._facts)
        request = {
            "candidate_dir": str(self._written(attack)),
            "train_episodes": 12,
            "eval_episodes": ENVS,
            "num_envs": ENVS,
            "seeds": [101] if attack is None else list(attack.seeds),
            "memory_mb": None if attack is None else attack.memory_mb,
            "workers": 2 if attack is not None and attack.side_by_side else 1,
            "key": key.hex(),
            "world": {"world.py": texts["task"]},
        }
        return service.evaluate(request, 60.0 if attack is None else attack.timeout_s)

    def control(self, attack: WorldAttack) -> Outcome:
        """Return what an honest candidate gets in the same world."""
        case = attack.seeds, attack.task
        if case not in self._controls:
            honest = WorldAttack(
                name="honest", attempts="nothing", seeds=attack.seeds, task=attack.task
            )
            found = self.evaluate(honest)
            assert found.status == "scored", found
            assert found.score == HONEST_SCORE, found
            self._controls[case] = found
        return self._controls[case]

    def _written(self, attack: WorldAttack | None) -> Path:
        self._count += 1
        return write(self._folder / str(self._count), sources(attack, self._facts))

    def _ending(self, attack: WorldAttack, outcome: Outcome) -> str:
        control = self.control(attack)
        if outcome.status != "scored":
            return outcome.status
        assert outcome.score is not None
        assert control.score is not None
        if _episodes(outcome) == _episodes(control):
            return "honest"
        return "below" if outcome.score <= control.score + 1e-9 else "scored"

    def _shown(self, attack: WorldAttack, outcome: Outcome, ending: str) -> str:
        where = attack.shown
        if where == "ending":
            word = outcome.flags[0].partition(":")[0] if outcome.flags else ending
            return "" if word == "honest" or attack.tells not in outcome.text else word
        if where == "training":
            claimed = _claimed(outcome)
            return f"claims {claimed:g}" if claimed > HONEST_SCORE + _CLEARLY else ""
        if where == "careless":
            return self._fooled(attack)
        if where == "public key":
            found = self.evaluate(attack, key=PUBLIC_KEY)
        else:
            found = self.evaluate(attack, confined=False)
            if found.status in {"timeout", "referee", "world"}:
                self._open.close()  # what is stopped or half dead serves no one else
        if found.status != "scored":
            return found.status if found.status != outcome.status else ""
        score = found.score or 0.0
        return f"{score:g}" if score > HONEST_SCORE + _CLEARLY else ""

    def _fooled(self, attack: WorldAttack) -> str:
        """Return what the careless scorer says, if it is more than the honest score."""
        if self._careless is None:
            self._careless = Child(naive.__file__, **self._place)
        request = {
            "candidates": [str(self._written(attack))],
            "timeout_s": _CARELESS_TIMEOUT_S,
        }
        answer = self._careless.ask(request, 60.0)
        if len(answer["scores"]) != 1:
            return ""
        found = answer["scores"][0]["score"]
        return f"{found:g}" if not found <= HONEST_SCORE + _CLEARLY else ""


def _episodes(outcome: Outcome) -> list[list[float]]:
    return [
        [*seed["episode_returns"], *seed["evidence_returns"]]
        for seed in outcome.metrics["seed_results"]
    ]


def _claimed(outcome: Outcome) -> float:
    """Return the largest mean return that the training worker has claimed, of any kind."""
    seeds = outcome.metrics.get("seed_results", [])
    claims = (
        [*seed["train_returns"], *seed["learning"].get("shaped_return", [])] for seed in seeds
    )
    return max((max(claim) for claim in claims), default=0.0)


def _broken(attack: WorldAttack, outcome: Outcome, ending: str, control: Outcome) -> list[str]:
    """Return the promises that were broken."""
    found = []
    if ending not in attack.ends:
        found.append(f"ending: {ending}, not {' or '.join(attack.ends)}: {outcome.text[:300]}")
    if ending in {"world", "referee"}:
        found.append(f"{ending}: blamed for what a candidate did")
    assert control.score is not None
    if outcome.score is not None and outcome.score > control.score + 1e-9:
        found.append(f"score: {outcome.score:g} instead of {control.score:g}")
    if outcome.status == "scored" and outcome.metrics["env_name"] != "Tiny":
        found.append(f"name: {outcome.metrics['env_name']}")
    unflagged = outcome.status == "scored" and attack.flag is not None
    if unflagged and not any(attack.flag or "" in flag for flag in outcome.flags):
        found.append(f"flag: {attack.flag!r} is not raised")
    if outcome.referee_growth_mb > REFEREE_GROWTH_MB or len(outcome.text) > FLOOD_BYTES:
        found.append(f"flood: {outcome.referee_growth_mb:.0f} MB, {len(outcome.text)} characters")
    return found
