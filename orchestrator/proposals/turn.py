"""The end of a prompt, which changes each time: lessons, notes, failure, flags, the ask. Pure."""

from orchestrator.core.flags import FLAGS_OF_WORLDS, MEANINGS, NO_TASK, name_of
from orchestrator.core.records import CANDIDATE_PATHS, FAILED, Attempt
from orchestrator.core.text import clean, fenced, one_line
from orchestrator.proposals.brief import NOTE_CHARS, Brief

FAILURE_CHARS = 5000
_FENCE_CHARS = 20


def lessons(brief: Brief, room: int) -> str:
    """Return what was learnt so far, in at most `room` characters."""
    known = brief.lessons
    if known is None or not known.text.strip():
        return ""
    whose = "the human" if known.author == "human" else "you"
    title = f"# Lessons (written by {whose} after #{known.after_n})\n\n"
    if room < len(title) + 200:
        return ""
    return title + fenced(clean(known.text, room - len(title) - 2 * _FENCE_CHARS).strip())


def notes(brief: Brief) -> str:
    """Return the human's notes in force."""
    if not brief.notes:
        return ""
    shown = "\n".join(f"- {clean(note, NOTE_CHARS)}" for note in brief.notes)
    return f"# Notes from the human\n\n{shown}"


def failure(brief: Brief) -> str:
    """Return how the last experiment failed, with its output; empty if it did not."""
    if not brief.history or brief.history[-1].status not in FAILED:
        return ""
    last = brief.history[-1]
    output = ""
    if last.details.strip():
        output = "\n\nOutput:\n" + fenced(clean(last.details, FAILURE_CHARS))
    reason = one_line(last.reason, 500)
    return f"# The last experiment failed\n\n#{last.n} {last.status}: {reason}{output}"


def flagged(brief: Brief) -> str:
    """Name the flags of the last experiment and of the lead, and why they are no gain."""
    lines = []
    if brief.history:
        last = brief.history[-1]
        lines = [_flag_line(f"the last experiment, #{last.n}", flag) for flag in last.flags]
    lines += [_flag_line("the lead", flag) for flag in brief.lead_flags]
    lines = list(filter(None, lines))
    if not lines:
        return ""
    veto = [name for name in brief.veto if brief.world is None or name in FLAGS_OF_WORLDS]
    vetoed = (
        f"\n\nA better score is rejected if it comes with one of these flags: "
        f"{', '.join(veto)}. Earn the score by the task."
        if veto
        else ""
    )
    return "# What was flagged\n\n" + "\n".join(dict.fromkeys(lines)) + vetoed


def _flag_line(who: str, flag: str) -> str:
    why = MEANINGS.get(name_of(flag))
    return f"- {who}: {one_line(flag, 250)}. Why that is no gain: {why}." if why else ""


def in_flight(brief: Brief) -> str:
    """Return what other lanes do meanwhile, empty if nothing."""
    if not brief.in_flight:
        return ""
    return "# In flight\n\n" + "\n".join(f"- {one_line(each, 300)}" for each in brief.in_flight)


def ask(brief: Brief) -> str:
    """Return what the agent shall do now."""
    pinned = (
        f" The horizon is pinned to {brief.task_max_steps} steps; another one is rejected."
        if brief.task_max_steps and brief.world is None
        else ""
    )
    parts = [
        "# Your turn",
        f"{_whose_files(brief)} The budget now is {brief.rung} (training episodes/evaluation "
        f"episodes); only scores at this budget are compared.{pinned} Propose the next experiment: "
        "one idea, in the reply format.",
    ]
    if brief.lessons_due:
        parts.append(_LESSONS_ASK)
    return "\n\n".join(parts)


_LESSONS_ASK = """\
This time write down, between the rationale and the edit, what the record has taught you so far: a
section that begins with a line `lessons:`, then at most 12 short points under "works", "does not
work" and "open", with the numbers of the experiments. It replaces the lessons above, if there are
any, so keep what still holds; it is what you will know when older entries are left out."""


def _whose_files(brief: Brief) -> str:
    if no_task := _no_task(brief):
        files = (
            f"The files above are those of #{brief.files_of}, the latest attempt that ran."
            if brief.files_of is not None
            else f"The files above are those of the start, #{brief.lead}."
        )
        return (
            f"{files} Nothing is accepted yet: the start is no task ({one_line(no_task, 200)}). "
            "The first candidate that is valid, carries no flag that rejects it, and in which "
            "something can be learnt becomes the baseline, whatever its return."
        )
    standing = brief.standing
    if standing is not None:
        return (
            f"The files above are those of the lead, experiment #{brief.lead}: it looks better "
            f"than #{standing.published}, which is published, and is not proven yet."
        )
    chosen = "accepted by the human" if brief.lead in brief.accepted else "which is published too"
    return f"The files above are those of the lead, experiment #{brief.lead}, {chosen}."


def _no_task(brief: Brief) -> str:
    """Return why the start is no task, empty if it is one."""
    for flag in brief.lead_flags:
        if name_of(flag) == NO_TASK:
            return flag.partition(":")[2].strip() or "nothing can be learnt in it"
    return ""


def repair(attempt: Attempt, limit: int) -> str:
    """Return the answer to a reply that failed."""
    return (
        "That reply could not be used. Nothing of it was applied; the files are as shown above.\n\n"
        f"Output:\n{fenced(clean(attempt.error, limit))}\n\n"
        "Answer again with the complete, corrected edit in the reply format "
        f"(only {' and '.join(CANDIDATE_PATHS)})."
    )
