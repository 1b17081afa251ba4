"""What a person may do from the page: the same requests as on the command line."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.core.errors import UserError
from orchestrator.core.records import CANDIDATE_PATHS, Files
from orchestrator.daemon import lead_requests, program_file, requests
from orchestrator.reporting.run_view import open_ledger
from orchestrator.store.lock import holder
from orchestrator.store.workspace import Workspace

Given = Mapping[str, Any]
"""What the page sends with an action."""


def act(workspace: Workspace, name: str, given: Given) -> str:
    """Do what is asked for; return what was done, in words.

    Raises:
        UserError: there is no such action, or it can't be done.
        NotRunningError: it needs a running daemon.
        CommandFailedError: it failed.
    """
    action = ACTIONS.get(name)
    if action is None:
        raise UserError(f"there is no action {name[:40]!r}")
    return action(workspace, given)


def _pause(workspace: Workspace, _given: Given) -> str:
    requests.ask(workspace, "pause")
    return "Pausing: what is in flight ends first, nothing new is begun."


def _resume(workspace: Workspace, _given: Given) -> str:
    requests.ask(workspace, "resume")
    return "Resuming."


def _stop(workspace: Workspace, _given: Given) -> str:
    requests.ask(workspace, "stop")
    return "Stopping: what is in flight ends first."


def _stop_now(workspace: Workspace, _given: Given) -> str:
    requests.terminate(workspace)
    return "Stopped. What was in flight was aborted."


def _note(workspace: Workspace, given: Given) -> str:
    requests.note(workspace, _text(given, "text"))
    return "Noted: the agent sees it from its next prompt on."


def _delete_note(workspace: Workspace, given: Given) -> str:
    number = _number(given, "id")
    requests.delete_note(workspace, number)
    return f"Deleted: the agent no longer sees note {number} from its next prompt on."


def _accept(workspace: Workspace, given: Given) -> str:
    n, may_fail = _number(given, "n"), given.get("may_fail") is True
    with open_ledger(workspace) as ledger:
        accepted = requests.accept(workspace, ledger, n, may_fail=may_fail)
    if accepted.commit is None:
        return f"Asked for: #{n} is published and leads; what is in flight is judged against it."
    return f"#{n} is published on autorl/{accepted.experiment.tag}, and leads."


def _prune(workspace: Workspace, given: Given) -> str:
    n = _number(given, "n")
    lead_requests.prune(workspace, n, _text(given, "why"))
    return f"Asked for: the lead goes back to what #{n} was proposed from. The agent is told why."


def _measure(workspace: Workspace, given: Given) -> str:
    n, seeds = _number(given, "n"), _number(given, "seeds")
    lead_requests.measure(workspace, n, seeds)
    return f"Asked for: {seeds} more fresh seeds of #{n}, before the next experiment."


def _propose(workspace: Workspace, given: Given) -> str:
    files = None
    if given.get("files") is not None:
        texts = given["files"]
        if not (isinstance(texts, dict) and set(texts) == set(CANDIDATE_PATHS)):
            raise UserError("a candidate has two files: candidate/env.py and candidate/train.py")
        files = Files(*(_text(texts, path) for path in CANDIDATE_PATHS))
    tag = requests.propose(workspace, _text(given, "description"), files=files)
    if holder(workspace.lock):
        return f"Proposed: it is the next experiment of autorl/{tag}, judged like any other."
    return f"Proposed: it is the first experiment once `autorl-daemon start --tag {tag}` runs."


def _lessons(workspace: Workspace, given: Given) -> str:
    requests.edit_lessons(workspace, _text(given, "text"))
    return "Written: the agent sees these lessons from its next prompt on."


def _program(workspace: Workspace, given: Given) -> str:
    program_file.edit_program(workspace, _text(given, "text"), before=_text(given, "before"))
    return "Written: the agent is given this brief from its next prompt on."


def _reload(workspace: Workspace, _given: Given) -> str:
    reread = requests.reload(workspace)
    if not reread.changes:
        return "config.yaml says what the daemon works with: nothing has changed."
    done = "taken up where that is possible" if reread.is_done else "the daemon will read it soon"
    changes = "; ".join(f"{change} ({change.takes_effect.value})" for change in reread.changes)
    return f"Changed, {done}: {changes}."


ACTIONS: Mapping[str, Callable[[Workspace, Given], str]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "stop-now": _stop_now,
    "note": _note,
    "delete-note": _delete_note,
    "accept": _accept,
    "measure": _measure,
    "propose": _propose,
    "prune": _prune,
    "lessons": _lessons,
    "program": _program,
    "reload": _reload,
}


def _text(given: Given, name: str) -> str:
    text = given.get(name, "")
    if not isinstance(text, str):
        raise UserError(f"{name} must be text")
    return text


def _number(given: Given, name: str) -> int:
    number = given.get(name)
    if type(number) is not int or not 0 < number < 2**53:
        raise UserError(f"{name} must be a positive number")
    return number
