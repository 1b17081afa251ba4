"""One evaluation as the caller sees it: each seed reported once, in order, even if evaluators die.

No I/O: `request` returns the message to send, `take` the consequence of a received one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.evaluations import (
    CheckpointReached,
    EpisodeDone,
    Evaluation,
    EvaluationEnded,
    EvaluatorEvent,
    EvaluatorFailed,
    Measurement,
    SeedDone,
)
from orchestrator.evaluation.messages import (
    Episode,
    MalformedError,
    Message,
    NothingMeasured,
    Refused,
)


@dataclass(frozen=True)
class Step:
    """The consequence of one message of the evaluator."""

    event: EvaluatorEvent | None = None
    """The event for the caller."""
    asks: bool = False
    """Whether the evaluator waits for `go_on`: from the caller, or from us if there is no event."""
    renews_time: bool = False
    """Whether the next seed has a time limit of its own: all scored ones are done."""
    is_last: bool = False


class Conversation:
    """Requests, events and answers of one evaluation."""

    def __init__(self, what: Measurement, measured: Mapping[int, str]) -> None:
        """Begin; `measured` is what `SeedDone.resume` was for seeds that are not to be told."""
        self.what = what
        self.is_asking = False
        """Whether the caller has been asked and has not answered yet."""
        self._known: dict[int, str | None] = {
            seed: measured[seed] for seed in what.order if seed in measured
        }
        self._limit = len(what.order)
        """How many seeds, from the first, the report is to cover."""
        self._told_up_to = 0
        """Place in the order after the last reported seed."""
        self._checkpoints_told = 0
        self._episodes_told: dict[int, int] = {}
        self._awaited: list[int] = []
        """Seeds that the current evaluator has still to report, in order."""
        self._given: frozenset[int] = frozenset()
        """Those that it was to take as measured; it reports them if it can't."""
        self._checkpoints_awaited: list[int] = []

    @property
    def nothing_is_wanted(self) -> bool:
        """Whether the caller stopped it at a checkpoint: there is nothing to report."""
        return self._limit == 0

    def request(self, *, resumes: bool, compares: bool) -> dict[str, Any]:
        """Return the request to an evaluator that begins now.

        Args:
            resumes: whether it takes seeds as measured. If not, it evaluates them again, and the
                caller is not told. So it does with seeds whose `SeedDone.resume` it can't use.
            compares: whether it compares environments. If not, `SeedResult.compared` is None.
        """
        order = self.what.order[: self._limit]
        given = {seed: text for seed in order if (text := self._known.get(seed)) and resumes}
        self._awaited, self._given = list(order), frozenset(given)
        is_first_known = order[0] in self._known
        checkpoints = () if is_first_known else self.what.checkpoints[self._checkpoints_told :]
        self._checkpoints_awaited = list(checkpoints)
        request: dict[str, Any] = {
            "train_episodes": self.what.rung.train_episodes,
            "eval_episodes": self.what.rung.eval_episodes,
            "seeds": order[: len(self.what.seeds)],
            "more_seeds": order[len(self.what.seeds) :],
            "checkpoints": checkpoints,
            "follow": True,
        }
        if given:
            request["measured"] = {str(seed): text for seed, text in given.items()}
        incumbent = self.what.compared_with
        if incumbent is not None and compares:
            request["compare_with"] = {"env.py": incumbent.env, "train.py": incumbent.train}
        return request

    def take(self, message: Message) -> Step:
        """Process a message of the evaluator.

        Raises:
            MalformedError: it can't follow the messages before it.
        """
        match message:
            case Episode(seed, number):
                return self._take_episode(seed, number)
            case CheckpointReached():
                return self._take_checkpoint(message)
            case SeedDone():
                return self._take_seed(message)
            case EvaluationEnded(evaluation):
                self._check_report(evaluation)
                return Step(message, is_last=True)
            case NothingMeasured():
                if not self.nothing_is_wanted:
                    raise MalformedError("it stopped without being asked to")
                return Step(EvaluationEnded(Evaluation(None)), is_last=True)
            case Refused(reason, is_worlds_fault=True):
                failed = EvaluatorFailed(
                    f"{reason} (it is the task itself, and no candidate's fault): mend it and "
                    "begin a new run with --tag, or `autorl-daemon resume` to try it once more"
                )
                return Step(failed, is_last=True)
            case Refused(reason):
                failed = EvaluatorFailed(f"the evaluator refused the request: {reason}")
                return Step(failed, is_last=True)

    def answer(self, *, wanted: bool) -> None:
        """Process the caller's answer to the last seed or checkpoint."""
        self.is_asking = False
        if not wanted:
            self._limit = self._told_up_to
            self._awaited = []
            self._checkpoints_awaited = []

    def _take_episode(self, seed: int, number: int) -> Step:
        if seed in self._known or number <= self._episodes_told.get(seed, 0):
            return Step()  # reported before, by an evaluator that died
        self._episodes_told[seed] = number
        return Step(EpisodeDone(seed))

    def _take_checkpoint(self, message: CheckpointReached) -> Step:
        self._check_turn()
        due = self._checkpoints_awaited
        if not due or len(message.curve) != due[0]:
            raise MalformedError(f"no checkpoint is due after {len(message.curve)} episodes")
        del due[0]
        self._checkpoints_told += 1
        self.is_asking = True
        return Step(message, asks=True)

    def _take_seed(self, message: SeedDone) -> Step:
        self._check_turn()
        seed = message.result.seed
        expected = [other for other in self._awaited if other == seed or other not in self._given]
        if expected[:1] != [seed]:
            raise MalformedError(f"seed {seed} is not the next in the order")
        del self._awaited[: self._awaited.index(seed) + 1]
        self._checkpoints_awaited = []
        place = self.what.order.index(seed) + 1
        renews_time = place >= len(self.what.seeds)
        if seed in self._known:
            self._known[seed] = message.resume or self._known[seed]
            return Step(asks=True, renews_time=renews_time)
        self._known[seed] = message.resume
        self._told_up_to = place
        self.is_asking = True
        return Step(message, asks=True, renews_time=renews_time)

    def _check_turn(self) -> None:
        if self.is_asking:
            raise MalformedError("it went on without an answer")

    def _check_report(self, evaluation: Evaluation) -> None:
        if self.is_asking:
            raise MalformedError("it ended without an answer")
        if evaluation.status is not None:
            return
        seeds = [result.seed for result in evaluation.seeds]
        wanted = set(self.what.order[: self._limit])
        is_complete = wanted <= set(seeds) <= wanted | self._known.keys()
        is_early = not self._given.issuperset(self._awaited)
        if is_early or not is_complete or len(set(seeds)) < len(seeds):
            raise MalformedError(f"its report is on seeds {seeds}")
