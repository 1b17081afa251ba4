"""What people ask of the lead and of the published candidate: more seeds, or that one goes back."""

from dataclasses import replace

from orchestrator.core.experiments import MoveKind
from orchestrator.engine.answers import Answers
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.run_record import RunRecord
from orchestrator.judging.lead import Move
from orchestrator.judging.rules import JudgingRules
from orchestrator.store.requests import MoreSeeds, Pruning, Request


class Steering:
    """Carries out `prune` and `measure`."""

    def __init__(
        self, parts: Dependencies, run_record: RunRecord, answers: Answers, rules: JudgingRules
    ) -> None:
        self._ledger, self._monitor = parts.ledger, parts.monitor
        self._run_record, self._answers, self._rules = run_record, answers, rules
        self._wanted: dict[int, tuple[int, int]] = {}

    @property
    def wanted(self) -> dict[int, int]:
        """How many fresh seeds a person wants candidates to have, by experiment."""
        wanted: dict[int, int] = {}
        for n, seeds in self._wanted.values():
            wanted[n] = max(seeds, wanted.get(n, 0))
        return wanted

    def prune(self, request: Request) -> None:
        """Have the lead go back to where experiment N was proposed from, if it led there."""
        pruning = request.read(Pruning)
        n, why = pruning.n, pruning.why
        state = self._run_record.state
        line = [each.n for each in (state.incumbent, *state.leads) if each is not None]
        if n not in line[1:]:
            self._monitor.log("nothing to prune", "warning", experiment=n)
            return
        back_to = line[line.index(n) - 1]
        reason = f"#{n} pruned by a human{f': {why}' if why else ''}"
        self._run_record.move(Move(MoveKind.ROLLBACK, back_to, reason))

    def measure(self, request: Request) -> bool:
        """Want the seeds that a request asks for; return whether there is anything new to do.

        The request stays until they are there, or neither lead nor published candidate is of that
        experiment any more.
        """
        state, seeds = self._run_record.state, request.read(MoreSeeds)
        n, is_new = seeds.n, request.id not in self._wanted
        known_n = {each.n for each in (state.lead, state.incumbent) if each is not None}
        if n not in known_n or not self._rules.has_lead:
            self._monitor.log("nothing to measure", "warning", experiment=n)
            return self._drop(request)
        evidence = self._answers.evidence(state)
        known = next((e for e in (evidence.lead, evidence.published) if e.n == n), None)
        if known is None:
            return False  # it is being scored at a new budget
        up_to = seeds.up_to
        if up_to is None:
            up_to = known.tried + seeds.more
            self._ledger.fix_seeds(request.id, replace(seeds, up_to=up_to))
        if known.tried >= up_to:
            return self._drop(request)
        self._wanted[request.id] = n, up_to
        return is_new

    def _drop(self, request: Request) -> bool:
        self._wanted.pop(request.id, None)
        self._ledger.drop_request(request.id)
        return True
