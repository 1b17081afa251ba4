"""A run that never was, in a real ledger: fifty experiments with all that a prompt may show.

Nothing is trained: returns are drawn around made-up means. It exists to look at prompts, whose
briefs are gathered as the daemon gathers them.
"""

import random
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from orchestrator.config.schema import Config
from orchestrator.core.evaluations import Purpose, Report, SeedResult
from orchestrator.core.experiments import Experiment, LeadMove, MoveKind
from orchestrator.core.records import Attempt, Files, Reply, Rung, Status, Tokens
from orchestrator.core.text import percent
from orchestrator.engine.briefing import Briefing, lessons_are_due
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.lane import Kind, Lane
from orchestrator.judging.gains import Gain
from orchestrator.judging.reference import default_seeds, reference_seeds
from orchestrator.judging.rules import JudgingRules
from orchestrator.planning.state import RunState, replay
from orchestrator.proposals.brief import Brief
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.search_evidence import search_evidence

TAG, RUNG = "nov27", Rung(12, 8)
AGENT = "openai:a-model"
SEEDS = (101, 138)
_SD = 0.16
_CHOOSING = 3
"""Seeds of a challenger that looks good."""
_MOVES = {
    5: (MoveKind.PROMOTION, "proven against #1: +0.3102 ± 0.0621 over 8 and 12 fresh seeds"),
    11: (
        MoveKind.ROLLBACK,
        "the lead disappointed: -0.0421 ± 0.0811 against #3, over 4 fresh seeds",
    ),
}
"""How the lead moves after an ending: both times to experiment 3."""
_TRACEBACK = """\
Traceback (most recent call last):
  File "candidate/train.py", line 41, in forward
    features = self.body(obs)
RuntimeError: mat1 and mat2 shapes cannot be multiplied (32x42 and 49x32)"""


@dataclass(frozen=True)
class Idea:
    """What an experiment tries, and what comes of it."""

    name: str
    value: str
    description: str
    rationale: str
    gain: float = 0.0
    status: Status = Status.DISCARD
    changed: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    reason: str = ""
    review: tuple[tuple[str, str], ...] = ()


_FIRST = (
    Idea(
        "LEARNING_RATE", "1e-3", "a learning rate of 1e-3 instead of 3e-4",
        "Twelve rollouts make only twelve updates; larger steps should use them.", -0.02,
    ),
    Idea(
        "UPDATES_PER_EPISODE", "4", "four updates per rollout instead of one",
        "PPO improves the policy only twelve times at this budget. Four parts of a rollout make 48 "
        "policy updates of the same data.", 0.33, Status.LEAD,
    ),
    Idea(
        "COVER_CHANNEL", "True", "show how far cover is from every unit, as a further channel",
        "TAKE_COVER and the enemy's script both go to the nearest cover, so its distance is what a "
        "policy can use.", status=Status.CRASH, reason="RuntimeError: mat1 and mat2 shapes cannot "
        "be multiplied (32x42 and 49x32)",
    ),
    Idea(
        "COVER_CHANNEL", "1", "the cover channel again, with the observation space to match",
        "The last one lacked the seventh channel in observation_space.", 0.07,
        changed=("observation",),
    ),
    Idea(
        "SURVIVAL_REWARD", "0.05", "a little reward for every step the squad is alive",
        "Losing units early is the main failure.", -0.31, changed=("reward",),
    ),
    Idea(
        "ENTROPY_COEF", "0.05", "an entropy coefficient of 0.05 and a wider policy",
        "Many seeds settle on stand-and-fire and never find the grenade. More entropy keeps all "
        "orders alive.", 0.19,
    ),
    Idea(
        "GRENADE_DAMAGE", "1.0", "grenades that end the fight", "Rooting out is worth more then.",
        changed=("dynamics",), status=Status.REJECTED,
        reason="another task: dynamics changed; the reviewer says off limits",
        review=(("opinion", "off limits"), ("reason", "The brief declares damage fixed."),
                ("by", AGENT)),
    ),
    Idea(
        "GAMMA", "0.97", "a shorter discount of 0.97", "Fights end within ten steps.", 0.21,
        Status.LEAD,
    ),
)  # fmt: skip
_LATER = ("LEARNING_RATE", "HIDDEN_DIM", "ENTROPY_COEF", "GAE_LAMBDA", "CLIP_EPSILON", "GAMMA",
          "TRAINING_EPOCHS", "MINIBATCH_SIZE")  # fmt: skip
LESSONS = """\
works
- several updates per rollout (#3)
does not work
- a larger learning rate by itself (#2)
open
- entropy 0.05 with a wider policy (#7): about +0.13 ± 0.10, did not take the lead"""


class SimulatedRun:
    """The run, experiment by experiment."""

    def __init__(
        self,
        folder: Path,
        files: Files,
        program: str,
        *,
        world: Mapping[str, str] | None = None,
        **agent: object,
    ) -> None:
        """Begin with the baseline.

        Args:
            folder: an empty one, for the workspace.
            files: the candidate; ideas set constants in its train.py.
            program: the brief.
            world: the modules of the user's own world, if the task is one.
            agent: keys of `agent` in the configuration.
        """
        (folder / "program.md").write_text(program)
        self.ledger = Ledger(folder / "ledger.sqlite")
        run = Run(TAG, "0" * 40, {}, _when(0))
        self.ledger.create_run(run)
        self._config = Config.model_validate({"agent": agent} if agent else {})
        self._parts = SimpleNamespace(
            run=run, config=self._config, workspace=folder, ledger=self.ledger, world=world
        )
        self.restart()
        self._drawn = random.Random(0)
        self._end(1, Idea("", "", "the candidate as it stands", "", 0.21, Status.BASELINE), files)
        self._measure()

    def restart(self) -> None:
        """Gather anew, as a daemon that has just started."""
        self._briefing = Briefing(cast("Dependencies", self._parts))

    @property
    def state(self) -> RunState:
        """The state of the run."""
        return replay(self.ledger.endings(TAG), self.ledger.moves(TAG))

    def brief(self, attempts: tuple[Attempt, ...] = ()) -> Brief:
        """Return the brief of the next proposal."""
        state = self.state
        assert state.lead is not None
        files = self.ledger.files(state.lead.n)
        assert files is not None
        ordinal = self.ledger.free_ordinal(TAG)
        lane = Lane(Kind.CHALLENGE, RUNG, AGENT, _when(0), files, state.lead.commit,
                    ordinal=ordinal, incumbent=state.lead.n)  # fmt: skip
        rules = JudgingRules(self._config.judge, self._config.evaluator.seed_count)
        evidence = search_evidence(self.ledger, TAG, state, rules)
        return self._briefing.brief(lane, attempts, state, evidence)

    def step(self) -> None:
        """Let the next experiment end, and the human say something now and then."""
        state = self.state
        assert state.lead is not None
        before = self.ledger.files(state.lead.n)
        assert before is not None
        n = 1 + sum(1 for _ in self.ledger.endings(TAG))
        idea = _FIRST[n - 2] if n - 2 < len(_FIRST) else self._later(n)
        self._end(n, idea, _edited(before, idea))
        if n in _MOVES:
            self._move(*_MOVES[n], _when(n, 25))
        if n == 6:
            self.ledger.add_note("See #7 before you go on; exploration is the open question.",
                                 _when(n, 30))  # fmt: skip
        if n == 12:
            self.ledger.accept(TAG, 7, _commit(7), _when(n, 30))
        self._measure()

    def _move(self, kind: MoveKind, reason: str, when: str) -> None:
        """Let the lead go back to experiment 3, or prove that one."""
        before = self.state
        self.ledger.move_lead(TAG, LeadMove(kind, 3, 0, reason, created_at=when))
        if kind is MoveKind.PROMOTION:
            self.ledger.settle_leads([step.n for step in before.leads], Status.KEEP, when)
        self.ledger.leave_leads(TAG, [step.n for step in self.state.leads])
        self._briefing.read_all()

    def _later(self, n: int) -> Idea:
        """Return one of many small variations."""
        name = _LATER[n % len(_LATER)]
        value = f"{self._drawn.uniform(0.1, 0.9):.2f}"
        if n == 30:
            return Idea(name, value, f"{name} of {value} against forgetting", "Late episodes lose "
                        "what was learnt.", 0.12, Status.LEAD)  # fmt: skip
        if n % 17 == 0:
            return Idea(name, value, f"{name} = {value}", "", status=Status.INVALID,
                        reason="duplicate: the same code was tried already")  # fmt: skip
        gain = self._drawn.gauss(-0.03, 0.07)
        return Idea(name, value, f"{name} of {value}", f"A smaller or larger {name} may suit the "
                    "longer fights that the policy has now.", gain)  # fmt: skip

    def _end(self, n: int, idea: Idea, files: Files) -> None:
        """Record one ending."""
        state = self.state if n > 1 else RunState()
        parent = state.lead.commit if state.lead else "0" * 40
        is_baseline = n == 1
        begun = self.ledger.begin(
            TAG, is_baseline=is_baseline, rung=RUNG, agent="none" if is_baseline else AGENT,
            parent=parent, when=_when(n), ordinal=None if is_baseline else n - 1,
        )  # fmt: skip
        assert begun == n
        self.ledger.save_reply(n, 1, Reply(f"description: {idea.description}"))
        base = self._mean(state.lead.n) if state.lead else 0.0
        seeds = self._seeds(idea, base + idea.gain, state)
        experiment = _experiment(
            n, idea=idea, parent=parent, seeds=seeds, state=state, facts=self._facts(seeds, idea)
        )
        if self._parts.world and experiment.verdict:
            experiment = replace(experiment, verdict={**experiment.verdict, "world": True})
        are_due = lessons_are_due(self.ledger, TAG, self._config.agent.lessons_every)
        with self.ledger.transaction():
            ended = self.ledger.finish(experiment, files, f"fingerprint {n}", seeds)
            if are_due:
                self.ledger.add_lessons(TAG, LESSONS, AGENT, _when(n, 20))
        self._briefing.add(ended)

    def _seeds(self, idea: Idea, mean: float, state: RunState) -> list[SeedResult]:
        if idea.status in {Status.INVALID, Status.CRASH}:
            return []
        seeds = [(seed, Purpose.SCREEN) for seed in SEEDS]
        if idea.gain > 0 and state.lead is not None:
            seeds += [(seed, Purpose.CONFIRM) for seed in default_seeds(_CHOOSING)[len(SEEDS) :]]
        return [self._result(seed, mean, purpose) for seed, purpose in seeds]

    def _result(self, seed: int, mean: float, purpose: Purpose) -> SeedResult:
        value = round(mean + self._drawn.gauss(0, _SD), 6)
        solved = round(min(1.0, max(0.0, 0.35 + value)), 3)
        curve = tuple(round(-0.6 + (value + 0.6) * (i + 1) / 12, 4) for i in range(12))
        return SeedResult(seed, value, solved, curve, purpose=purpose, rung=RUNG)

    def _facts(self, seeds: Sequence[SeedResult], idea: Idea) -> dict[str, Any]:
        scored = [seed for seed in seeds if seed.purpose is Purpose.SCREEN]
        if not scored:
            return {}
        return {
            "mean_solve_rate": statistics.fmean(seed.solve_rate or 0.0 for seed in scored),
            "mean_eval_return": statistics.fmean(seed.value or 0.0 for seed in scored),
            "mean_episode_length": 9.4, "random_return": -0.62, "policy_parameters": 5637,
            "seed_results": [_seed_facts(seed, idea) for seed in scored],
            **({"view": "units float32 [7, 4], cover bool [9, 9], steps_left int64 []"}
               if self._parts.world else {}),
        }  # fmt: skip

    def _measure(self) -> None:
        """Measure lead and published candidate on one seed more than before the last challenger."""
        state = self.state
        assert state.incumbent is not None
        owner = state.incumbent.scored_by
        if owner is None:
            return
        known = {seed.seed for seed in self.ledger.reference(owner, RUNG)}
        held_out = min(48, max(12, len(known) + 1))
        for step, count in ((state.incumbent, held_out), (state.lead, held_out // 3)):
            assert step is not None
            scored_by = step.scored_by or step.n
            known = {seed.seed for seed in self.ledger.reference(scored_by, RUNG)}
            for seed in reference_seeds(owner, count):
                if seed not in known:
                    result = self._result(seed, self._mean(step.n), Purpose.REFERENCE)
                    self.ledger.save_seed(scored_by, RUNG, result)
        self.ledger.save_pending()

    def _mean(self, n: int) -> float:
        """Return the made-up mean of a candidate."""
        seeds = [s for s in self.ledger.at_rung(n, RUNG) if s.purpose is Purpose.SCREEN]
        return statistics.fmean(s.value for s in seeds if s.value is not None) if seeds else 0.2


def _experiment(
    n: int, *, idea: Idea, parent: str, seeds: Sequence[SeedResult], state: RunState,
    facts: dict[str, Any],
) -> Experiment:  # fmt: skip
    screen = {s.seed: s.value for s in seeds if s.purpose is Purpose.SCREEN and s.value is not None}
    score = statistics.fmean(screen.values()) if screen else None
    is_counted = idea.status in {Status.BASELINE, Status.LEAD, Status.DISCARD}
    verdict = _verdict(idea, state, len(seeds)) if seeds and n > 1 else {}
    return Experiment(
        n=n, tag=TAG, is_baseline=n == 1, status=idea.status, rung=RUNG,
        agent="none" if n == 1 else AGENT, description=idea.description, rationale=idea.rationale,
        parent=parent, commit=_commit(n), score=score if is_counted else None,
        scores_by_seed=screen if is_counted else {}, max_steps=40, report=Report(facts),
        flags=idea.flags, reason=idea.reason or str(verdict.get("reason", f"baseline: {score}")),
        details=_TRACEBACK if idea.status is Status.CRASH else "", verdict=verdict,
        tokens=Tokens(9000, 6000, 600), created_at=_when(n), finished_at=_when(n, 20),
    )  # fmt: skip


def _verdict(idea: Idea, state: RunState, evaluations: int) -> dict[str, Any]:
    assert state.lead is not None
    found = Gain(idea.gain, 0.12 if idea.gain > 0 else 0.16, 8.0)
    shrunk = found.shrunk(_SD)
    is_lead = idea.status is Status.LEAD
    text = f"{found} over {evaluations} seeds, {percent(shrunk.probability)} likely to be better"
    reason = f"takes the lead: {text}" if is_lead else f"discarded: {text}"
    facts: dict[str, Any] = {
        "status": idea.status.value, "stage": "seeds", "gain": found.value,
        "standard_error": found.standard_error, "statistic": found.z, "evaluations": evaluations,
        "estimate": shrunk.value, "estimate_se": shrunk.standard_error, "quantity": "return",
        "reason": reason, "incumbent": state.lead.scored_by, "against": state.lead.n,
        "changed": list(idea.changed), "epoch": False,
    }  # fmt: skip
    if is_lead:
        facts["lead"] = True
    if idea.review:
        facts["review"] = dict(idea.review)
    return facts


def _seed_facts(seed: SeedResult, idea: Idea) -> dict[str, Any]:
    rising = [round(i / 9, 3) for i in range(10)]
    value = seed.value or 0.0
    parts = {"damage": [round(0.4 * value * x, 4) for x in rising],
             "verdict": [round(-0.5 + (value + 0.4) * x, 4) for x in rising]}  # fmt: skip
    if idea.name == "SURVIVAL_REWARD":
        parts["survival"] = [round(0.4 + 0.5 * x, 4) for x in rising]
    return {
        "seed": seed.seed, "eval_return": value, "solve_rate": seed.solve_rate,
        "train_returns": list(seed.curve), "env_steps": 13_900, "train_s": 3.1,
        "learning": {
            "entropy": [round(1.6 - 0.9 * x, 3) for x in rising],
            "value_loss": [round(0.3 - 0.2 * x, 4) for x in rising],
            "approx_kl": [round(0.012 - 0.006 * x, 5) for x in rising],
            "explained_variance": [round(-0.1 + 0.7 * x, 3) for x in rising],
        },
        "reward_parts": {
            name: {"at": at, "max": max(at), "mean": statistics.fmean(at), "min": min(at)}
            for name, at in parts.items()
        },
    }  # fmt: skip


def _edited(files: Files, idea: Idea) -> Files:
    """Return the files with one constant set, in whichever file has it."""
    for path, text in (("env", files.env), ("train", files.train)):
        changed, count = re.subn(rf"(?m)^{idea.name} = \S+", f"{idea.name} = {idea.value}", text)
        if count:
            return replace(files, **{path: changed})
    line = f"{idea.name} = {idea.value}\n"
    before, constants, after = files.env.partition("\n\n\nclass ")
    return replace(files, env=f"{before}\n{line.rstrip()}{constants}{after}")


def _when(n: int, minutes: int = 0) -> str:
    return f"2026-11-27T{n // 2:02d}:{30 * (n % 2) + minutes % 30:02d}:{minutes // 30:02d}.000Z"


def _commit(n: int) -> str:
    return f"{n:040x}"
