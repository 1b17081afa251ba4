"""One episode of an experiment to be watched, or its weights: those kept, or made again.

What is not kept is made again (`daemon.again`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.config.reloading import RunningConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import CommandFailedError, UserError
from orchestrator.core.experiments import Experiment
from orchestrator.core.text import counted, one_line
from orchestrator.daemon.again import Again, Say
from orchestrator.evaluation.framework_file import WORLD
from orchestrator.judging.reference import default_seeds
from orchestrator.store.ledger import Ledger
from orchestrator.store.watched import Replay, Watched, best_seed
from orchestrator.store.workspace import Workspace

MAX_FILMS = 32
"""Most episodes of a seed that are recorded; the evaluator's own limit."""
EPISODES = ("best", "worst", "median")
_TOLERANCE = 1e-6
"""A replay's rewards are rounded to so many parts, each."""


@dataclass(frozen=True)
class Episode:
    """One episode to be watched."""

    replay: Replay
    n: int
    seed: int
    number: int
    """Counted from 1."""
    of: int | None
    """How many count on this seed; None if that is not known."""
    recorded: float | None
    """Its return in the ledger; None where none is recorded."""

    @property
    def is_as_recorded(self) -> bool:
        """Whether its return is the recorded one, as far as a replay's digits go."""
        if self.recorded is None or self.replay["description"].endswith("steps]"):
            return True  # of a very long episode a replay holds the beginning
        off = abs(self.replay["return"] - self.recorded)
        return bool(off <= _TOLERANCE * (1 + len(self.replay["steps"])))

    def __str__(self) -> str:
        """Return it in one line."""
        replay = self.replay
        known = "not recorded" if self.recorded is None else f"recorded: {self.recorded:.6f}"
        return (
            f"#{self.n}, seed {self.seed}, episode {self.number}"
            f"{'' if self.of is None else f' of {self.of}'}: return {replay['return']:.6f} "
            f"({known}), {counted(len(replay['steps']), 'step')}"
            f"{', solved' if replay['success'] else ''}"
        )


@dataclass(frozen=True)
class Policy:
    """The weights of an experiment's policy, and all that it takes to build it again."""

    weights: bytes
    """A safetensors file."""
    facts: Mapping[str, Any]
    """`env`, `observation_shape`, `num_actions`, `training` and `files`, as in a checkpoint."""
    recorded: float | None
    """Mean return on the seed."""


class Watching:
    """What can be watched of one experiment."""

    def __init__(
        self, workspace: Workspace, ledger: Ledger, experiment: Experiment, say: Say
    ) -> None:
        """Look at an experiment; `say` is called with a line where something takes time.

        Raises:
            UserError: it holds no candidate.
        """
        files = ledger.files(experiment.n)
        if files is None:
            raise UserError(
                f"experiment {experiment.n} holds no candidate (its reply was not usable)"
            )
        run = ledger.run(experiment.tag)
        assert run is not None
        running = RunningConfig.from_json(run.config)
        config = running.config if running else Config()
        self._workspace, self._experiment, self._files = workspace, experiment, files
        self._again = Again(
            workspace, ledger, experiment, run=run, config=config, files=files, say=say
        )
        self._watched = Watched(workspace.root, experiment.n)
        self._best = best_seed(experiment.scores_by_seed)

    def episode(self, seed: int | None, which: str | None) -> Episode:
        """Return an episode.

        Args:
            seed: of the evaluation; None for the best one.
            which: `best`, `worst` or `median` of the seed's episodes by return, or the number of
                one, counted from 1; None for the first one that counts, a typical one.

        Raises:
            UserError, CommandFailedError, EvaluatorError: there is no such episode.
        """
        seed = self._seed(seed)
        returns = self._returns(seed)
        number = _number(which, returns) if which in {None, *EPISODES} else _whole(str(which))
        replays = self._watched.replays(seed, self._best)
        if number is None or not 0 < number <= len(replays):
            if number is not None and number > min(len(returns) or MAX_FILMS, MAX_FILMS):
                most = min(len(returns) or MAX_FILMS, MAX_FILMS)
                raise UserError(f"there are episodes 1 to {most} to be watched, and no {number}")
            replays = self._again.replays(seed)
            number = number or _number(which, [replay["return"] for replay in replays]) or 1
        if not 0 < number <= len(replays):
            raise UserError(f"there are episodes 1 to {len(replays)}, and no {number}")
        return Episode(
            replay=replays[number - 1],
            n=self._experiment.n,
            seed=seed,
            number=number,
            of=len(returns) or None,
            recorded=returns[number - 1] if number <= len(returns) else None,
        )

    def policy(self, seed: int | None) -> Policy:
        """Return the trained weights of a seed, the best one if None is named.

        Raises:
            UserError, CommandFailedError, EvaluatorError: there are none.
        """
        seed = self._seed(seed)
        facts, weights = dict(self._experiment.report.facts), self._watched.weights(seed)
        if weights is None or "observation_shape" not in facts:
            kept = self._again.evaluated(seed)
            facts, weights = dict(kept.evaluation.report.facts), kept.weights
            if weights is None:
                why = kept.why_no_weights or "its evaluator is of a version that hands out none"
                raise CommandFailedError(
                    f"the weights of experiment {self._experiment.n} can't be had: "
                    f"{one_line(why, 300)}"
                )
        recorded = self._experiment.scores_by_seed.get(seed)
        return Policy(weights, self._policy_facts(facts, seed, recorded), recorded)

    # -- what is recorded --------------------------------------------------------------------------

    def _seed(self, seed: int | None) -> int:
        if seed is not None:
            return seed
        return default_seeds(1)[0] if self._best is None else self._best

    def _returns(self, seed: int) -> list[float]:
        """Return the recorded returns of a seed's episodes that count; empty if there are none."""
        for one in self._experiment.report.facts.get("seed_results") or []:
            if one.get("seed") == seed:
                return list(one.get("episode_returns") or [])
        return []

    def _policy_facts(
        self, facts: Mapping[str, Any], seed: int, recorded: float | None
    ) -> Mapping[str, Any]:
        """Return what a policy's file says besides the weights."""
        names = (
            "max_steps", "num_envs", "train_episodes", "eval_episodes", "device", "precision",
            "path", "torch_version", "numpy_version",
        )  # fmt: skip
        training = {name: facts[name] for name in names if facts.get(name) is not None}
        training |= {"experiment": self._experiment.n, "seed": seed}
        training |= {} if recorded is None else {"mean_return": recorded}
        is_same_world = WORLD not in self._again.changed()
        world = (self._workspace.world() or {}) if is_same_world else {}
        return {
            "env": facts["env_name"],
            "observation_shape": facts["observation_shape"],
            "num_actions": facts["num_actions"],
            "training": training,
            "files": self._files.by_path() | {f"task/{name}": text for name, text in world.items()},
        }


def _number(which: str | None, returns: Sequence[float]) -> int | None:
    """Return the number of the episode that a word names; None if the returns aren't known."""
    if which is None:
        return 1
    filmed = returns[:MAX_FILMS]
    if not filmed:
        return None
    order = sorted(range(len(filmed)), key=lambda index: filmed[index])
    places = {"worst": 0, "median": (len(order) - 1) // 2, "best": -1}
    value = filmed[order[places[which]]]
    return filmed.index(value) + 1


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 6 or int(text) < 1:
        raise UserError(
            f"--episode is best, worst, median or a number from 1, not {one_line(text, 40)!r}"
        )
    return int(text)
