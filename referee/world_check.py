"""Checks the user's own world before a run, with no candidate's code in reach. Imports torch."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from referee.candidate_code import make_world, place_world, seed_everything
from referee.problems import Problems, StoppedError
from referee.records import DEFAULT_MAX_STEPS, EvaluationRequest
from referee.world_files import AT_FAULT, WORLD_PATH
from simverse.core.world import World
from simverse.testing import ConformanceError, check_world
from simverse.worlds.workspace import load_world


def checked_world(check: Problems, request: EvaluationRequest, steps: int) -> World | None:
    """Return the user's world, if it keeps its contract; else all that is wrong is listed."""
    world = None
    with contextlib.suppress(StoppedError):
        world = _world(check, request, steps)
    # Whoever reads them is told whose they are.
    check.problems = [
        problem if problem.startswith("task/") else AT_FAULT + problem for problem in check.problems
    ]
    return None if check.problems else world


def _world(check: Problems, request: EvaluationRequest, steps: int) -> World:
    files = request.world
    assert files is not None
    create = check.attempt(f"{AT_FAULT}its import", lambda: load_world(place_world(files)))
    world = check.attempt(f"{AT_FAULT}create_world()", partial(_created, create, request))
    playing = partial(_problems, create, request, steps)
    check.problems += check.attempt(f"{AT_FAULT}its play", playing)
    if request.max_steps not in {None, world.max_steps}:
        check.problems.append(
            f"{WORLD_PATH} has a horizon of {world.max_steps} steps, and task.max_steps says "
            f"{request.max_steps}: leave task.max_steps out of config.yaml"
        )
    return world


def _created(create: Callable[..., Any], request: EvaluationRequest) -> World:
    seed_everything(0)
    return make_world(
        create, num_envs=request.num_envs, max_steps=request.max_steps or DEFAULT_MAX_STEPS,
        seed=0, device=request.device,
    )  # fmt: skip


def _problems(create: Callable[..., Any], request: EvaluationRequest, steps: int) -> list[str]:
    try:
        check_world(create, num_envs=request.num_envs, device=request.device, steps=steps)
    except ConformanceError as error:
        return list(error.problems)
    return []
