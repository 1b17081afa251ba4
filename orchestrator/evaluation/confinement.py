"""How candidates are confined here, found out by trying."""

import functools

from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError
from sandbox import Tier
from sandbox.probe import Examination, examine

_SAYS = {
    Tier.NAMESPACES: "on: own namespaces, no network, files read-only, seccomp",
    Tier.REDUCED: "reduced: no namespaces here; Landlock and seccomp only",
    Tier.SANDBOX_EXEC: "sandbox-exec (never tested)",
    Tier.OFF: "OFF (by config): candidates can read and write your files and use the network",
}


@functools.cache
def examination() -> Examination:
    """Return what this system can do; the probe runs once a process."""
    return examine()


def choose_tier(config: Config) -> Tier:
    """Return how candidates are to be confined, after the probe has tried to get out.

    Raises:
        UserError: they can't be, and the configuration does not say `sandbox: off`.
    """
    if config.sandbox == "off":
        return Tier.OFF
    found = examination()
    if found.problem is not None or found.tier is None:
        raise UserError(
            f"{found.problem}. `autorl-daemon doctor` shows the details; `sandbox: off` in "
            "config.yaml runs candidates unconfined, at your own risk"
        )
    return found.tier


def sandbox_state(tier: str | None, config: Config) -> str:
    """Return one line on how candidates are confined; `tier` is that of a run, if there is one."""
    if config.sandbox == "off" and tier is None:
        tier = Tier.OFF
    return _SAYS[Tier(tier)] if tier else "auto: the probe decides at start (`doctor` shows it)"
