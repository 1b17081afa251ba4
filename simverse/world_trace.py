"""Traces of worlds: what a fresh one does under fixed random actions, for the conformance check."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simverse.conformance import ConformanceError, attempt, freezing_notes, problems_of
from simverse.core.checks import num_actions
from simverse.core.views import DONE, View, ViewField, ViewLayout
from simverse.core.world import check_world_step
from simverse.trace import Trace, TracedTask, global_generators

_STEPS_AFTER_DONE = 3
"""Further steps in a row that say done, of which more are a sign that nothing begins anew."""
_ACTION_SEED = 0
"""Worlds of all seeds are played with the same actions."""


class WorldTask(TracedTask):
    """How the worlds of one check are made and played."""

    def actions(self, env: Any) -> Tensor:
        """Return the actions of every step `[T, N]`: the same ones in each world."""
        generator = torch.Generator().manual_seed(_ACTION_SEED)
        shape = (self.steps, self.config.num_envs)
        return torch.randint(num_actions(env), shape, generator=generator).to(self.device)

    def play(self, trace: Trace, *, global_seed: int) -> None:
        """Add to a trace what a fresh world does, the global generators seeded.

        Raises whatever the world does, and `EnvironmentContractError`.
        """
        count = self.config.num_envs
        with global_generators(global_seed), torch.no_grad():
            world = self.make()
            view = world.reset()
            layout = ViewLayout.of(view, count)
            _add_view(trace, "the view", 0, view)
            for number, actions in enumerate(self.actions(world), start=1):
                result = world.step(actions.clone())
                step = check_world_step(result, layout, count)
                trace.add("reward", number, step.reward)
                trace.add("done", number, step.done)
                trace.add("success", number, step.success)
                trace.has_success |= result[3].get("success") is not None
                trace.add("truncated", number, step.truncated)
                if step.final_view is not None:
                    _add_view(trace, "info['final_view']", number, step.final_view)
                _add_view(trace, "the view", number, step.view)
            view = layout.check(world.reset(), count)
            trace.marked_after_reset = DONE in view and bool(view[DONE].any())


def _add_view(trace: Trace, what: str, step: int, view: View) -> None:
    for name, value in view.items():
        trace.add(f"{what}'s {name!r}", step, value)


@torch.no_grad()
def layout_of(world: Any, num_envs: int) -> ViewLayout:
    """Return the layout of a world's views; it is reset for that."""
    return ViewLayout.of(world.reset(), num_envs)


@torch.no_grad()
def first_step_problems(task: WorldTask) -> list[str]:
    """Return what is wrong with the first `reset` and `step`: one wrong value hides no other."""
    world, count = task.make(), task.config.num_envs
    try:
        view = attempt("reset()", world.reset)
    except ConformanceError as error:
        return list(error.problems)
    problems, layout = [], None
    if not isinstance(view, Mapping) or not view:
        problems += problems_of("reset()", partial(ViewLayout.of, view, count))
    else:
        for name, value in view.items():
            problems += problems_of("reset()", partial(ViewLayout.of, {name: value}, count))
        problems += [] if problems else problems_of("reset()", partial(ViewLayout.of, view, count))
    if not problems:
        layout = ViewLayout.of(view, count)
    try:
        result = attempt("step()", partial(world.step, task.actions(world)[0]))
    except ConformanceError as error:
        return problems + list(error.problems)
    for variant, expected in _one_at_a_time(result, layout, count):
        problems += problems_of("step()", partial(check_world_step, variant, expected, count))
    return problems


def _one_at_a_time(
    result: Any, layout: ViewLayout | None, count: int
) -> Iterator[tuple[Any, ViewLayout]]:
    """Yield steps with one value of `result` each and beyond reproach otherwise, with a layout.

    Without a `layout` the views are left out.
    """
    beyond = ViewLayout((ViewField("x", torch.float32, ()),)) if layout is None else layout
    view = {f.name: torch.zeros((count, *f.shape), dtype=f.dtype) for f in beyond.fields}
    if not isinstance(result, tuple) or len(result) != 4:
        yield result, beyond
        return
    seen, reward, done, info = result
    fine = torch.zeros(count), torch.zeros(count, dtype=torch.bool)
    if layout is not None:
        yield (seen, *fine, {}), beyond
    yield (view, reward, fine[1], {}), beyond
    yield (view, fine[0], done, {}), beyond
    if not isinstance(info, Mapping):
        yield (view, *fine, info), beyond
        return
    told = {name: info[name] for name in ("truncated", "final_view") if name in info}
    if layout is None and told.get("final_view") is not None:
        told["final_view"] = view
    yield (view, *fine, {"success": info.get("success")}), beyond
    yield (view, *fine, told), beyond


def view_problems(trace: Trace, layout: ViewLayout, spaces: Mapping[str, Any] | None) -> list[str]:
    """Return what is wrong with the numbers of a trace's views, and with their declared spaces."""
    problems = []
    for field in layout.fields:
        space = None if spaces is None else spaces.get(field.name)
        if spaces is not None and space is None and field.name != DONE:
            problems.append(f"view_spaces lacks the view's {field.name!r}")
        for what in ("the view", "info['final_view']"):
            if trace.has(name := f"{what}'s {field.name!r}"):
                problems += _value_problems(name, trace.all(name), field)
                problems += [] if space is None else _bound_problems(name, trace.all(name), space)
    names = {field.name for field in layout.fields}
    problems += [f"view_spaces has {n!r}, the view has not" for n in spaces or {} if n not in names]
    return problems


def _value_problems(name: str, values: Tensor, field: ViewField) -> list[str]:
    """Return whether values `[T, N, ...]` can't cross to a policy."""
    rows = values.flatten(0, 1)
    alone = ViewLayout((field,))
    begun = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    call = partial(alone.pack, {field.name: rows}, begun)
    return [line.replace(f"the view's {field.name!r}", name) for line in _told(call)]


def _told(call: Any) -> list[str]:
    return [line.removeprefix(": ") for line in problems_of("", call)]


def _bound_problems(name: str, values: Tensor, space: Any) -> list[str]:
    """Return how values `[T, N, ...]` differ from their declared space."""
    shape = getattr(space, "shape", None)
    if shape is not None and tuple(shape) != tuple(values.shape[2:]):
        return [f"{name} has the shape {list(values.shape[2:])}, its space {list(shape)}"]
    limits = _limits(space)
    if limits is None:
        return []
    low, high = (torch.as_tensor(np.asarray(limit, dtype=np.float64)) for limit in limits)
    numbers = values.double().cpu()
    outside = (numbers < low) | (numbers > high)
    if not bool(outside.any()):
        return []
    worst, least, most = float(numbers[outside][0]), float(low.min()), float(high.max())
    return [f"{name} has {worst:g}, outside of its space ({least:g} to {most:g})"]


def _limits(space: Any) -> tuple[Any, Any] | None:
    """Return the least and greatest values of one of Gymnasium's spaces; None if it has none."""
    if hasattr(space, "low") and hasattr(space, "high"):
        return space.low, space.high
    start = getattr(space, "start", 0)
    if hasattr(space, "nvec"):
        return start, start + np.asarray(space.nvec) - 1
    if getattr(space, "n", None) is None:
        return None
    # A space of `n` flags at once has an `n` too, and a shape.
    return (start, start + int(space.n) - 1) if space.shape == () else (0, 1)


def ending_problems(trace: Trace, max_steps: int) -> list[str]:
    """Return how a trace's finished episodes neither stay frozen nor are followed by others.

    Within the horizon of `max_steps` alone: whoever plays a world resets it there.
    """
    dones = trace.all("done")[:max_steps]
    over = _marks(trace)[: max_steps + 1]
    was_over, is_over = over[:-1], over[1:]
    problems = []
    if bool((is_over & ~was_over & ~dones).any()):
        problems.append(
            "the view's 'done' is set where step() did not say done: it marks what is over, from "
            "the step that says done until reset()"
        )
    ended = dones & ~was_over
    in_a_row = torch.zeros_like(dones[0], dtype=torch.int64)
    for now in ended:
        in_a_row = torch.where(now, in_a_row + 1, 0)
    # One that takes but a step is no sign, where the first episodes took more.
    if bool((in_a_row > _STEPS_AFTER_DONE).any()) and not bool(ended[0].any()):
        problems.append(
            "done stays set, step after step: a finished sub-environment must begin anew inside "
            "step(), or its view must have 'done' set until reset()"
        )
    return problems


def _final_view_notes(trace: Trace, layout: ViewLayout) -> list[str]:
    """Return a note where every `final_view` is the first view of the next episode."""
    dones = trace.all("done")
    names = [field.name for field in layout.fields]
    finals = [f"info['final_view']'s {name!r}" for name in names]
    if not bool(dones.any()) or not all(trace.has(name) for name in finals):
        return []
    has_moved = False
    for name, final_name in zip(names, finals, strict=True):
        seen, final = trace.all(f"the view's {name!r}"), trace.all(final_name)
        if len(final) != len(dones) or not torch.equal(final[dones], seen[1:][dones]):
            return []
        has_moved |= not torch.equal(seen[1:][~dones], seen[:-1][~dones])
    if not has_moved:
        return []
    return [
        "info['final_view'] is the first view of the next episode wherever one ends: take it "
        "before sub-environments begin anew"
    ]


def trace_notes(trace: Trace, layout: ViewLayout, max_steps: int, num_envs: int) -> list[str]:
    """Return what a world's course shows that may not be meant."""
    notes = _final_view_notes(trace, layout)
    if not trace.has_success:
        notes.append("info['success'] is missing: nothing succeeds")
    if trace.has("truncated") and bool((trace.all("truncated") & ~trace.all("done")).any()):
        notes.append("info['truncated'] is set without done: it is not looked at there")
    dones, names = trace.all("done"), [f"the view's {field.name!r}" for field in layout.fields]
    notes += freezing_notes(_marks(trace), trace.all("reward"), map(trace.all, names))
    if unended := int(_unended(trace, dones, max_steps).sum()):
        notes.append(
            f"{unended} of {num_envs} sub-environments ran for the horizon's {max_steps} steps "
            "without done: evaluation ends them there"
        )
    return notes


def _marks(trace: Trace) -> Tensor:
    """Return the views' `done`, bool `[T + 1, N]`; False everywhere if they have none."""
    marks, dones = f"the view's {DONE!r}", trace.all("done")
    if trace.has(marks):
        return trace.all(marks)
    return torch.zeros((len(dones) + 1, *dones.shape[1:]), dtype=torch.bool, device=dones.device)


def _unended(trace: Trace, dones: Tensor, max_steps: int) -> Tensor:
    """Return which sub-environments reached the horizon without `done`, bool `[N]`.

    Args:
        trace: of a world.
        dones: `[T, N]`.
        max_steps: the horizon.
    """
    void = _marks(trace)[:-1]
    length, found = torch.zeros_like(dones[0], dtype=torch.int64), torch.zeros_like(dones[0])
    for done, is_void in zip(dones, void, strict=True):
        length += ~is_void
        found |= (length >= max_steps) & ~done
        length.masked_fill_(done, 0)
    return found
