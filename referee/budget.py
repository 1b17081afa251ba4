"""The budget of a training and an evaluation: what was used, and whether it was too much. Pure."""

from dataclasses import dataclass

BUDGET_EXCEEDED = "budget exceeded"
SIDE_CPU_SHARE, SIDE_CPU_SLACK_S = 0.3, 0.2
"""Processor time that other threads and processes may take for small jobs: as a share of the main
thread's, and in seconds."""
ACTING_SLACK_S, ACTING_SHARE = 5.0, 2.0
"""A policy may compute so long while it is evaluated, or this multiple of what a step of training
took for each step that is played. Honest ones take a fraction of that."""
BUILD_SLACK_S = 2.0
"""Importing the candidate and building policy and environment may take this long, or as long as the
training. Honest ones take a tenth of a second."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The resources that one seed's training used."""

    env_steps: int
    """Steps of single sub-environments, as the trainer reports them."""
    allowed_steps: int
    threads: int
    """Threads that torch was set to at its end, as the trainer reports them."""
    main_s: float
    """Processor time of the trainer's main thread, as the kernel reports it."""
    beside_s: float
    """Processor time of its other threads and of all it started, as the kernel reports it."""
    build_s: float
    """Time to import the candidate, ask for its overrides, and build policy and environment."""
    train_s: float
    acting_s: float = 0.0
    """Processor time of the trainer's main thread while its policy was evaluated."""
    acting_steps: int = 0
    """Steps of single sub-environments that its policy may have played there."""


def budget_exceeded(work: Work) -> str | None:
    """Flag training beyond its budget: steps, threads, or time before it starts.

    Threads may exist and wait, for files say; what they compute beside the training counts. It is
    measured in processor time, which does not depend on how busy the machine is. A policy that
    computes for minutes as it is evaluated may be searching for the seed behind what it sees.
    """
    share = max(1.0, work.acting_steps / max(1, work.allowed_steps))
    acting_limit_s = max(ACTING_SLACK_S, ACTING_SHARE * share * (work.main_s - work.acting_s))
    if work.env_steps > work.allowed_steps:
        detail = f"{work.env_steps} training steps where {work.allowed_steps} are allowed"
    elif work.threads > 1:
        detail = f"torch ran on {work.threads} threads, and has one"
    elif work.beside_s > max(SIDE_CPU_SLACK_S, SIDE_CPU_SHARE * work.main_s):
        detail = (
            f"{work.beside_s:.2f} s of processor time in other threads and processes, beside "
            f"{work.main_s:.2f} s in its own"
        )
    elif work.acting_s > acting_limit_s:
        detail = (
            f"{work.acting_s:.2f} s of processor time while its policy was evaluated, and "
            f"{work.main_s - work.acting_s:.2f} s before"
        )
    elif work.build_s > max(BUILD_SLACK_S, work.train_s):
        detail = f"{work.build_s:.2f} s to import and build the candidate, longer than the training"
    else:
        return None
    return f"{BUDGET_EXCEEDED}: {detail}"
