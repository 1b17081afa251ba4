"""Errors by whose fault they are. Any other exception is a bug and stops the daemon."""

import errno

_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class AutorlError(Exception):
    """Base of the errors below; its text is one clear line for the user."""


class UserError(AutorlError):
    """The user can correct it: config, workspace, key. Exit code 2, nothing changed."""


class NotRunningError(AutorlError):
    """The command needs a running daemon and there is none. Exit code 3."""


class CommandFailedError(AutorlError):
    """The command failed although its arguments were valid. Exit code 1."""


class EditError(AutorlError):
    """The agent's reply can't be applied (the experiment's fault). `code` names the failure."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AgentFinishedError(AutorlError):
    """The agent has nothing more to propose; the text is the run's stop reason."""


class AgentBlockedError(AutorlError):
    """The agent can't work until a person acts (bad key, no quota): the run pauses."""


class EvaluatorError(AutorlError):
    """The evaluator itself failed, not the candidate: its text says how."""


class LedgerError(AutorlError):
    """The ledger could not be read or written (locked, disk full); nothing was. Transient."""


class StoreError(AutorlError):
    """Git failed (disk full, no descriptors, a lock in the way). Transient."""


class ShortageError(AutorlError):
    """The system has no process, thread or memory to give. Transient, no candidate's fault."""


class ConflictError(AutorlError):
    """Another program moved a ref of ours; nothing was overwritten."""


class StopRequestedError(AutorlError):
    """The run must end now; experiments in flight are recorded as aborted."""


def is_shortage(error: Exception) -> bool:
    """Had the system no descriptor or memory to give? It passes, whatever was to be read."""
    return isinstance(error, OSError) and error.errno in _SHORTAGES
