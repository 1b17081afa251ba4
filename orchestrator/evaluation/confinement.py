"""Confinement of candidates on this system, as determined by a probe."""

import functools

from orchestrator.config.schema import Config
from orchestrator.core.errors import CommandFailedError, UserError
from sandbox import Tier
from sandbox.probe import Examination, examine

_DESCRIPTIONS = {
    Tier.NAMESPACES: "on: own namespaces, no network, files read-only, seccomp",
    Tier.REDUCED: "reduced: no namespaces here; Landlock and seccomp only",
    Tier.SANDBOX_EXEC: "sandbox-exec (never tested)",
    Tier.OFF: "OFF (by config): candidates can read and write your files and use the network",
}


@functools.cache
def examination() -> Examination:
    """Return the probe's result for this system; it runs once per process."""
    return examine()


def choose_tier(config: Config) -> Tier:
    """Return the strongest confinement that held when the probe tried to escape from it.

    Raises:
        UserError: none did, and the configuration does not say `sandbox: off`.
        CommandFailedError: the probe could not run, which says nothing about this system.
    """
    if config.sandbox == "off":
        return Tier.OFF
    result = examination()
    if result.fault is not None:
        raise CommandFailedError(f"{result.problem}. Mend that, then start again")
    if result.problem is not None or result.tier is None:
        raise UserError(
            f"{result.problem}. `autorl-daemon doctor` shows the details; `sandbox: off` in "
            "config.yaml runs candidates unconfined, at your own risk"
        )
    return result.tier


def sandbox_state(tier: str | None, config: Config) -> str:
    """Describe the confinement in one line; `tier` is that of the current run, if there is one."""
    if config.sandbox == "off" and tier is None:
        tier = Tier.OFF
    return (
        _DESCRIPTIONS[Tier(tier)]
        if tier
        else "auto: the probe decides at start (`doctor` shows it)"
    )
