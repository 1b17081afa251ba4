"""The conformance check of worlds: random actions in fresh ones, and everything wrong with them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from simverse.conformance import (
    ConformanceError,
    attempt,
    description_of,
    drawing_problems,
    problems_of,
    reproducibility,
    require,
    reward_problems,
)
from simverse.core.checks import check_num_envs, num_actions
from simverse.core.config import EnvConfig
from simverse.core.views import ViewLayout
from simverse.core.world import WORLD_MEMBERS, checked_horizon, horizon
from simverse.trace import Trace
from simverse.world_trace import (
    WorldTask,
    ending_problems,
    first_step_problems,
    layout_of,
    trace_notes,
    view_problems,
)

CreateWorld = Callable[..., Any]
"""`create_world(config, *, num_envs, device, dtype)`, as `task/world.py` defines it."""
_MOST_STEPS = 1_000
_OTHER_SEEDS = (1, 1_000_003)
"""Added to the seed of a check: worlds of these must have the same shape."""


@dataclass(frozen=True, kw_only=True)
class WorldReport:
    """What was seen of a world that keeps its contract."""

    name: str
    description: str
    """What the world says of itself, in one line."""
    fields: str
    """Those of its views: `walls bool [7, 7], distance float32 []`."""
    num_actions: int
    max_steps: int
    """The horizon, in steps."""
    steps: int
    """Steps played, of each sub-environment."""
    finished: int
    """Sub-environments that finished an episode within them."""
    succeeded: int
    """Sub-environments that succeeded within them."""
    reward_range: tuple[float, float]
    """Least and greatest reward seen."""
    notes: tuple[str, ...]
    """What is allowed but may not be meant, one line each."""


def check_world(
    create_world: CreateWorld,
    *,
    num_envs: int = 8,
    seed: int = 0,
    device: str = "cpu",
    steps: int | None = None,
) -> WorldReport:
    """Play random actions in a few worlds and report what was seen.

    `steps` are played, by default as many as the horizon, at most 1,000.

    Raises `ConformanceError` with every problem found: attributes, the action space, a horizon or
    fields that differ between seeds or with one sub-environment, views (names, shapes, dtypes,
    numbers that are not finite or outside of `view_spaces`), rewards that are not finite or exceed
    `reward_bound` in size, the flags of a step, a seed that does not decide what happens whatever
    the global generators hold, episodes that end and are followed by none, a view's `done` that is
    still set after `reset` or where nothing is over. An exception of the world's own is a
    problem too. What the contract allows but may not be meant is a note.
    """
    config = EnvConfig(num_envs=num_envs, seed=seed)
    task = WorldTask(create_world, config, device, 1 if steps is None else steps)
    world = attempt("create_world()", task.make)
    problems = _declaration_problems(world, num_envs)
    if not _is_playable(world, num_envs):
        raise ConformanceError(problems)
    if steps is None:
        task = replace(task, steps=min(horizon(world), _MOST_STEPS))
    require(problems + first_step_problems(task))
    layout = layout_of(world, num_envs)
    problems += drawing_problems(world)
    problems += _other_problems(task, world, layout)
    trace = Trace()
    wrong = problems_of("a rollout", partial(task.play, trace, global_seed=seed))
    course, notes = ([], []) if wrong else _course(task, trace)
    problems += [] if wrong else ending_problems(trace, horizon(world))
    bound = getattr(world, "reward_bound", None)
    if trace.has("reward"):
        problems += reward_problems(trace.all("reward"), bound)
    problems += view_problems(trace, layout, getattr(world, "view_spaces", None))
    if trace.marked_after_reset:
        problems.append("the view's 'done' is still set after reset()")
    require(problems + course + wrong)
    return _report(task, world, layout, trace, notes)


def _report(
    task: WorldTask, world: Any, layout: ViewLayout, trace: Trace, notes: list[str]
) -> WorldReport:
    rewards = trace.all("reward")
    return WorldReport(
        name=type(world).__name__,
        description=description_of(world),
        fields=layout.describe(),
        num_actions=num_actions(world),
        max_steps=horizon(world),
        steps=task.steps,
        finished=int(trace.all("done").any(dim=0).sum()),
        succeeded=int(trace.all("success").any(dim=0).sum()),
        reward_range=(float(rewards.min()), float(rewards.max())),
        notes=(*notes, *trace_notes(trace, layout, horizon(world), task.config.num_envs)),
    )


def _declaration_problems(world: Any, num_envs: int) -> list[str]:
    """Return what is wrong with what a world says of itself."""
    problems = [f"the world has no {name}" for name in WORLD_MEMBERS if not hasattr(world, name)]
    for what, read in (
        ("num_envs", lambda: check_num_envs(world, num_envs)),
        ("action_space", lambda: num_actions(world)),
        ("max_steps", lambda: horizon(world)),
    ):
        if what == "num_envs" or hasattr(world, what):
            wrong = problems_of("create_world()", read)
            problems += [line.removeprefix("create_world(): ") for line in wrong]
    bound = getattr(world, "reward_bound", None)
    if bound is not None and not _is_bound(bound):
        problems.append(f"reward_bound must be a positive number or None, got {bound!r:.60}")
    spaces = getattr(world, "view_spaces", None)
    if spaces is not None and not isinstance(spaces, Mapping):
        problems.append(f"view_spaces must be a dict or None, got a {type(spaces).__name__}")
    return problems


def _is_bound(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def _is_playable(world: Any, num_envs: int) -> bool:
    """Can it be played and judged, whatever else is wrong with what it says of itself?"""
    bound, spaces = getattr(world, "reward_bound", None), getattr(world, "view_spaces", None)
    is_readable = (bound is None or _is_bound(bound)) and isinstance(spaces, Mapping | None)
    return is_readable and not problems_of("", partial(checked_horizon, world, num_envs))


def _other_problems(task: WorldTask, world: Any, layout: ViewLayout) -> list[str]:
    """Return how worlds of other seeds, or with one sub-environment, have another shape."""
    seed, problems = task.config.seed, []
    others: dict[str, dict[str, Any]] = {
        f"seed {seed + more}": {"seed": seed + more} for more in _OTHER_SEEDS
    }
    others["num_envs=1"] = {"num_envs": 1}
    expected = _shape_of(world, layout)
    for what, changes in others.items():
        other = replace(task, config=replace(task.config, **changes))
        try:
            found = attempt(f"with {what}", partial(_shape_of_another, other))
        except ConformanceError as error:
            problems += list(error.problems)
            continue
        problems += [
            f"with {what} {name} is {found[name]}, with seed {seed} {value}"
            for name, value in expected.items()
            if found[name] != value
        ]
    return problems


def _shape_of_another(task: WorldTask) -> dict[str, Any]:
    world, count = task.make(), task.config.num_envs
    checked_horizon(world, count)
    return _shape_of(world, layout_of(world, count))


def _shape_of(world: Any, layout: ViewLayout) -> dict[str, Any]:
    return {
        "max_steps": horizon(world),
        "the number of actions": num_actions(world),
        "reward_bound": getattr(world, "reward_bound", None),
        "the view": layout.describe(),
    }


@torch.no_grad()
def _course(task: WorldTask, trace: Trace) -> tuple[list[str], list[str]]:
    """Return problems and notes about what decides a world's course."""
    problems, drawn = reproducibility(task, trace)
    # What an environment may do, a world may not: its draws decide a score.
    problems += drawn
    other, notes = Trace(), []
    config = replace(task.config, seed=task.config.seed + _OTHER_SEEDS[0])
    seed = task.config.seed
    another = partial(replace(task, config=config).play, other, global_seed=seed)
    problems += problems_of("a rollout with another seed", another)
    if not problems and trace.difference(other) is None:
        notes.append("another seed leads to the same course: it decides nothing")
    return problems, notes
