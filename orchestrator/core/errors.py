"""Errors by whose fault they are. Anything else that is raised is a bug and may crash loudly."""


class AutorlError(Exception):
    """Base of the errors below; its text is one clear line for a person."""


class UserError(AutorlError):
    """Something the user can put right: config, workspace, key. Exit code 2, nothing changed."""


class NotRunningError(AutorlError):
    """The command needs a running daemon and there is none. Exit code 3."""


class CommandFailedError(AutorlError):
    """The command could not do what was asked, and its arguments were fine. Exit code 1."""


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
    """The ledger could not be written (locked, disk full): nothing was; it may pass."""


class StoreError(AutorlError):
    """Git could not do its part (disk full, no descriptors, a lock in the way): it may pass."""


class ShortageError(AutorlError):
    """The system has no process, thread or memory to give: nobody's fault, and it may pass."""


class ConflictError(AutorlError):
    """Somebody else moved a ref of ours; nothing was overwritten."""


class StopRequestedError(AutorlError):
    """The run was told to end now; the experiment in hand is recorded as aborted."""
