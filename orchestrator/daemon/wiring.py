"""The one place that names adapters: builds the parts of a run from a checked start."""

from orchestrator.agents.choice import make_agent, takes_time
from orchestrator.config.schema import Config
from orchestrator.daemon.start_checks import StartRequest
from orchestrator.engine.dependencies import Dependencies
from orchestrator.engine.ports import Monitor
from orchestrator.evaluation.local import LocalEvaluator
from orchestrator.store.branch import Branch
from orchestrator.store.git import GitStore
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from sandbox import Tier


def wire(
    request: StartRequest,
    *,
    ledger: Ledger,
    run: Run,
    store: GitStore,
    monitor: Monitor,
    tier: Tier,
) -> Dependencies:
    """Build the parts of a run.

    Args:
        request: the start, checked.
        ledger: the workspace's ledger.
        run: the run's row in it.
        store: the repository.
        monitor: heartbeat and log.
        tier: how candidates are confined.
    """
    config, root = request.config, request.workspace.root
    return Dependencies(
        run=run,
        config=config,
        workspace=root,
        baseline=request.baseline,
        lanes=lane_count(config),
        ledger=ledger,
        branch=Branch(run, ledger, store),
        agent=make_agent(config, root, run.tag, lambda rung: ledger.trials(run.tag, rung)),
        evaluator=LocalEvaluator(
            root,
            config,
            key=ledger.key(),
            scratch=request.workspace.state / "work",
            tier=tier,
            slots=config.evaluator.slots,
        ),
        monitor=monitor,
    )


def lane_count(config: Config) -> int:
    """Return how many experiments may be in flight.

    With an agent that takes time, one more than can be evaluated at once: the next proposal is made
    while the others are evaluated.
    """
    if config.engine.lanes is not None:
        return config.engine.lanes
    slots = config.evaluator.slots
    return slots + 1 if takes_time(config) else slots
