"""An experiment trained and evaluated once more on one seed, to be watched or for its weights.

Confined as ever. On the CPU that gives the recorded return to the bit, unless evaluator or torch
have changed; what is not as it was judged is not kept.
"""

import importlib.metadata
import json
from collections.abc import Callable

from orchestrator.config.schema import Config
from orchestrator.core.errors import CommandFailedError
from orchestrator.core.evaluations import Measurement
from orchestrator.core.experiments import Experiment
from orchestrator.core.kept import Kept
from orchestrator.core.records import Files
from orchestrator.core.text import counted, one_line
from orchestrator.evaluation.again import evaluate_again
from orchestrator.evaluation.framework_file import hashes
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.watched import Replay, Watched, is_replay
from orchestrator.store.workspace import Workspace

Say = Callable[[str], None]


class Again:
    """Evaluates one recorded experiment again."""

    def __init__(
        self,
        workspace: Workspace,
        ledger: Ledger,
        experiment: Experiment,
        *,
        run: Run,
        config: Config,
        files: Files,
        say: Say,
    ) -> None:
        """Prepare.

        Args:
            workspace: with the evaluator.
            ledger: with what is recorded.
            experiment: which one.
            run: its run.
            config: the run's.
            files: its candidate.
            say: called with a line where something takes time or is worth a note.
        """
        self._workspace, self._ledger, self._experiment = workspace, ledger, experiment
        self._run, self._config, self._files, self._say = run, config, files, say
        self._watched = Watched(workspace.root, experiment.n)

    def replays(self, seed: int) -> list[Replay]:
        """Return the replays of a seed, made again, and keep them."""
        kept = self.evaluated(seed)
        replays = replays_in(kept.films)
        if not replays:
            raise CommandFailedError(
                f"experiment {self._experiment.n} has left nothing to watch: its evaluator is of a "
                "version that records no episodes, or the disk is full"
            )
        return replays

    def evaluated(self, seed: int) -> Kept:
        """Train and evaluate it again on one seed, and keep what that leaves.

        Raises:
            CommandFailedError: it failed, or its return is another one than before.
        """
        n = self._experiment.n
        self._say(self._announcement(seed))
        kept = evaluate_again(
            self._workspace.root,
            self._config,
            self._files,
            Measurement(self._experiment.rung, (seed,)),
            key=self._ledger.key(),
            world=self._workspace.world(),
            on_episode=lambda: None,
        )
        evaluation = kept.evaluation
        if evaluation.status is not None:
            raise CommandFailedError(
                f"experiment {n} can't be played on seed {seed} ({evaluation.status}): "
                f"{one_line(evaluation.reason, 300)}"
            )
        found = evaluation.scores_by_seed[seed], evaluation.seeds[0].value
        self._check_return(seed, found)
        if replays := replays_in(kept.films):
            try:
                self._watched.save(seed, replays, kept.weights)
            except OSError as error:
                self._say(f"note: it can't be kept for the next time: {error}")
        return kept

    def _announcement(self, seed: int) -> str:
        """Return that it takes time, how long it took, and why it may differ."""
        facts = self._experiment.report.facts
        known = [s for s in facts.get("seed_results") or [] if s.get("seed") == seed]
        took = f", {known[0]['train_s']:.1f} s the last time" if known else ""
        counts = counted(self._experiment.rung.train_episodes, "episode")
        text = f"training #{self._experiment.n} again on seed {seed} ({counts}{took}) ..."
        if changed := self.changed():
            text += f"\nnote: {' and '.join(changed)} changed since: the return may differ"
        return text

    def changed(self) -> list[str]:
        """Return what the scores of the run depend on and is no longer as it was."""
        framework = self._workspace.root / self._config.evaluator.framework
        now = {"torch": importlib.metadata.version("torch")}
        now |= {k: v or "" for k, v in hashes(framework, self._workspace.task).items()}
        then = self._run.evaluator
        return [name for name in now if name in then and now[name] != then[name]]

    def _check_return(self, seed: int, found: tuple[float | None, float | None]) -> None:
        """Check that the returns are the recorded ones, to the bit where that can be asked."""
        is_exact = self._experiment.report.facts.get("device", "cpu") == "cpu"
        for recorded, value in zip(self._recorded(seed), found, strict=True):
            if recorded is None or value is None or recorded == value:
                continue
            text = f"seed {seed} returns {value:.6f} now, and {recorded:.6f} is recorded"
            if is_exact:
                raise CommandFailedError(f"{text}: this is not what was judged; nothing is kept")
            self._say(f"note: {text} (on a GPU sums are not the same twice)")
            return

    def _recorded(self, seed: int) -> tuple[float | None, float | None]:
        """Return the recorded mean return of the episodes that count, and of all episodes."""
        rows, rungs = self._ledger.evidence(self._experiment.n), {None, self._experiment.rung}
        full = [row.value for row in rows if row.seed == seed and row.rung in rungs]
        return self._experiment.scores_by_seed.get(seed), full[0] if full else None


def replays_in(films: bytes | None) -> list[Replay]:
    """Return the replays in the evaluator's file of films; none without one."""
    found = json.loads(films) if films else []
    return [document for document in found if is_replay(document)]
