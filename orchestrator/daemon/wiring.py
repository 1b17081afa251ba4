"""The one place that names adapters: builds the parts of a run from a checked start."""

from collections.abc import Callable

from orchestrator.agents.anyone import AnyAgent
from orchestrator.agents.choice import review_settings, takes_time
from orchestrator.agents.replaceable import ReplaceableAgent
from orchestrator.agents.reviewer import ModelReviewer
from orchestrator.agents.several import make_agents
from orchestrator.config.caps import with_caps
from orchestrator.config.schema import Config, LogsConfig
from orchestrator.daemon.candidate_check import CHECKER, check_settings
from orchestrator.daemon.reloading import Reloader, running_config
from orchestrator.daemon.start_checks import StartRequest, check_costs
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.ports import Monitor
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.store.branch import Branch
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.watched import KEPT
from sandbox import Tier


def wire(
    request: StartRequest,
    *,
    ledger: Ledger,
    run: Run,
    store: GitStore,
    monitor: Monitor,
    tier: Tier,
    log_by: Callable[[LogsConfig], None] = lambda _logs: None,
) -> Dependencies:
    """Build the parts of a run.

    Args:
        request: the start, checked.
        ledger: the workspace's ledger.
        run: the run's row in it.
        store: the repository.
        monitor: heartbeat and log.
        tier: how candidates are confined.
        log_by: called when the settings of the log have changed.
    """
    config, root = request.config, request.workspace.root

    def agent_of(config: Config) -> AnyAgent:
        return make_agents(
            with_caps(config),
            root,
            run.tag,
            lambda rung: ledger.trials(run.tag, rung),
            checker=CHECKER,
            check=check_settings(config, tier),
        )

    agent = ReplaceableAgent(agent_of(config))
    reviewer = ModelReviewer(review_settings(with_caps(config)))
    running = running_config(config, request.settings)
    ledger.set_config(run.tag, running.as_json())
    apply = _applied_to(agent, agent_of, reviewer, log_by)
    return Dependencies(
        run=run,
        config=config,
        workspace=root,
        baseline=request.baseline,
        lanes=lane_count(config),
        ledger=ledger,
        branch=Branch(run, ledger, store, request.world),
        agent=agent,
        evaluator=LocalEvaluator(
            root,
            config,
            key=ledger.key(),
            scratch=request.workspace.state / "work",
            tier=tier,
            slots=config.evaluator.slots,
            world=request.world,
            keep_dir=root / KEPT,
        ),
        monitor=monitor,
        world=request.world,
        reload=Reloader(
            request.workspace, run.tag, running, ledger=ledger, monitor=monitor, apply=apply
        ),
        reviewer=reviewer,
    )


def _applied_to(
    agent: ReplaceableAgent,
    agent_of: Callable[[Config], AnyAgent],
    reviewer: ModelReviewer,
    log_by: Callable[[LogsConfig], None],
) -> Callable[[Config, Config], int]:
    """Return a function that gives agent, reviewer and log the settings of a configuration."""

    def apply(former: Config, new: Config) -> int:
        check_costs(new)
        reviews = review_settings(with_caps(new))
        if _proposing(new) != _proposing(former):
            agent.replace(agent_of(new))
        reviewer.replace(reviews)
        if new.logs != former.logs:
            log_by(new.logs)
        return lane_count(new)

    return apply


def _proposing(config: Config) -> tuple[object, ...]:
    """Return what those who propose are made of."""
    return with_caps(config).proposers, config.agents_by


def lane_count(config: Config) -> int:
    """Return how many experiments may be in flight.

    With an agent that takes time, one more than can be evaluated at once: the next proposal is made
    while the others are evaluated.
    """
    if config.engine.lanes is not None:
        return config.engine.lanes
    slots = config.evaluator.slots
    return slots + 1 if takes_time(config) else slots
