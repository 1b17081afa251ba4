"""Rereads `config.yaml` for a running engine; the agent and the log get their new settings here."""

import os
from collections.abc import Callable

from orchestrator.config.loading import load_config
from orchestrator.config.reloading import RunningConfig, TakesEffect, changes, effective
from orchestrator.config.schema import Config
from orchestrator.config.sources import ENVIRONMENT_PREFIX
from orchestrator.core.errors import UserError
from orchestrator.core.records import Rung
from orchestrator.engine.ports import Monitor, Reloaded
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace


def running_config(config: Config, settings: tuple[str, ...]) -> RunningConfig:
    """Return a configuration with what it was read from, in this process's environment."""
    environment = {k: v for k, v in os.environ.items() if k.startswith(ENVIRONMENT_PREFIX)}
    return RunningConfig(config, settings, environment)


class Reloader:
    """The port `Reload` of one run."""

    def __init__(
        self,
        workspace: Workspace,
        tag: str,
        running: RunningConfig,
        *,
        ledger: Ledger,
        monitor: Monitor,
        apply: Callable[[Config, Config], int],
    ) -> None:
        """Set up.

        Args:
            workspace: whose `config.yaml` is read.
            tag: the run.
            running: what the daemon works with.
            ledger: where what it works with is recorded, for `status` and `reload`.
            monitor: the log.
            apply: gives agent and log their settings, from the former configuration and the new
                one; returns how many experiments may be in flight. Raises `UserError`.
        """
        self._workspace, self._tag, self._running = workspace, tag, running
        self._ledger, self._monitor, self._apply = ledger, monitor, apply

    def __call__(self, rung: Rung | None) -> Reloaded | None:
        """Reread the configuration; one that can't be used leaves the former one in place."""
        former = self._running
        try:
            read = load_config(
                self._workspace.config, environment=former.environment, settings=former.settings
            )
            found = changes(former.config, read, rung)
            config = effective(former.config, read, rung)
            lanes = self._apply(former.config, config)
        except UserError as error:
            self._ledger.set_config(self._tag, former.refused(str(error)).as_json())
            self._monitor.log("reload refused", "warning", reason=str(error))
            return None
        self._running = RunningConfig(config, former.settings, former.environment)
        self._ledger.set_config(self._tag, self._running.as_json())
        by_time = {
            time: [str(change) for change in found if change.takes_effect is time]
            for time in TakesEffect
        }
        self._monitor.log(
            "configuration reread",
            changed=by_time[TakesEffect.NOW],
            needs_restart=by_time[TakesEffect.RESTART] or None,
            needs_new_run=by_time[TakesEffect.NEW_RUN] or None,
        )
        return Reloaded(config, lanes)
