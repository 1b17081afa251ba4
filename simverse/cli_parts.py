"""The parts of `sim`'s commands: what they act on, how it is made, and what is shown of it."""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from simverse.checkpoint import Checkpoint
    from simverse.play import Episodes
    from simverse.tasks import Task
    from simverse.training.config import PPOConfig
    from simverse.training.loggers import Logger
    from simverse.training.stats import EpisodeStats

REPORT_EPISODES = 64
_REPORT_SEED_OFFSET = 1_000_003  # so that what is reported was not trained on
EVALUATION_SEED_OFFSET = 2_000_003  # nor chosen by


class UsageError(Exception):
    """The command line asks for something that does not exist or makes no sense."""


def named(args: argparse.Namespace) -> list[str | None]:
    """Return the environment as it was named, in whatever form."""
    gym = None if args.env_id is None else f"gym:{args.env_id}"
    folder = args.candidate
    # With a separator it is no name of an environment's.
    candidate = None if folder is None else str(folder if folder.is_absolute() else f"./{folder}")
    return [args.env, args.env_option, gym, candidate]


def find_task(*given: str | None) -> "Task":
    """Return the task that exactly one of these texts names: a name, `gym:ID`, folder or file."""
    from simverse import tasks

    named = [text for text in given if text is not None]
    if len(named) != 1:
        raise UsageError("name an environment (see `sim envs`) or give --candidate DIR, not both")
    try:
        return tasks.find_task(named[0])
    except ValueError as error:
        raise UsageError(str(error)) from error


def is_horizon(value: object) -> TypeGuard[int]:
    """Return whether a checkpoint's `max_steps` can be a horizon."""
    return type(value) is int and 1 <= value <= 100_000


@contextlib.contextmanager
def code_of(
    stored: "Checkpoint", named: list[str | None], *, its_own: bool
) -> Iterator[list[str | None]]:
    """Return what a checkpoint is to be played in, as the arguments of `find_task`.

    Args:
        stored: the checkpoint.
        named: what was named; a folder's code is compared with the checkpoint's.
        its_own: whether the code that it holds is to be run.
    """
    from simverse.envs.registry import ENTRIES, GYM_PREFIX

    if its_own and any(named):
        raise UsageError("--its-code runs the file's own code: name no environment beside it")
    if its_own and not stored.files:
        raise UsageError("--its-code: the file holds no code")
    if its_own:
        with tempfile.TemporaryDirectory(prefix="sim-policy-") as folder:
            place = Path(folder) / "policy"  # the name that is shown
            for path, text in stored.files.items():
                _write_below(place, path, text)
            yield [f"{place}/candidate"]
        return
    if not any(named):
        if stored.env not in ENTRIES and not stored.env.startswith(GYM_PREFIX):
            more = " (or --its-code, if you trust the file)" if stored.files else ""
            raise UsageError(
                f"the checkpoint is of the candidate {stored.env}: name its folder with "
                f"--candidate{more}"
            )
        if set(stored.env.removeprefix(GYM_PREFIX)) & {":", "?"}:
            # Such a name runs code: it is the user's to say, not the file's.
            raise UsageError(
                f"the checkpoint is of {stored.env}, which imports a package or has options: name "
                f"it too: '{stored.env}'"
            )
        named = [stored.env]
    _note_other_code(stored, Path(next(text for text in named if text is not None)))
    yield named


def _write_below(folder: Path, path: str, text: str) -> None:
    """Write a file of a checkpoint's, one of a workspace's modules and no other."""
    package, _, name = path.partition("/")
    if package not in {"candidate", "task"} or not name.removesuffix(".py").isidentifier():
        raise UsageError(f"the file holds code for {path!r:.60}, which is no place for any")
    (folder / package).mkdir(parents=True, exist_ok=True)
    (folder / package / name).write_text(text, encoding="utf-8", newline="")


def _note_other_code(stored: "Checkpoint", folder: Path) -> None:
    """Say so where a candidate's file is not the one that the policy was trained with."""
    places = (folder, folder / "candidate")
    place = next((place for place in places if (place / "env.py").is_file()), None)
    for path, text in stored.files.items():
        file = None if place is None else place.parent / path
        if file is not None and path.startswith("candidate/"):
            file = place and place / Path(path).name
        if file is not None and (not file.is_file() or file.read_text(encoding="utf-8") != text):
            print(f"sim: note: {file} is not what the policy was trained with", file=sys.stderr)


def ppo_config(task: "Task", num_envs: int, args: argparse.Namespace) -> "PPOConfig":
    """Return the settings of training: the task's own, and those given."""
    from simverse.training.config import PPOConfig

    given = {} if args.lr is None else {"lr": args.lr}
    settings = {**task.settings, **given}
    max_steps = args.max_steps or task.max_steps
    try:
        return PPOConfig.for_task(num_envs=num_envs, max_steps=max_steps, **settings)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def make_env(task: "Task", **options: Any) -> Any:
    """Make the task's environment; what it can't make is a usage error."""
    try:
        return task.make(**options)
    except ValueError as error:
        raise UsageError(str(error)) from error


def wrapped(
    env: Any, task: "Task", names: Iterable[str], *, gamma: float = 0.99
) -> tuple[Any, "Task"]:
    """Return an environment with these wrappers, and a task that makes held-out ones with them."""
    from dataclasses import replace

    from simverse import wrappers

    try:
        env = wrappers.wrap(env, tuple(names), gamma=gamma)
    except ValueError as error:
        raise UsageError(str(error)) from error
    make = task.make
    return env, replace(task, make=lambda **sizes: wrappers.held_out(make(**sizes), like=env))


def use_device(name: str) -> str:
    """Return the device by its name, checked and set up."""
    import torch

    from simverse.training.utils import configure_torch_backend, resolve_torch_device

    # Small networks run fastest on one thread.
    torch.set_num_threads(1)
    if name == "auto":
        name = resolve_torch_device(prefer_mps=False)
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"no device {name!r}: {str(error).splitlines()[0]}") from error
    configure_torch_backend(name)
    return name


def check_target(path: Path) -> None:
    """Complain about a file that cannot be written before the work is done, not after."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write into {path.parent}")


def loggers_of(
    task: "Task", config: "PPOConfig", args: argparse.Namespace, *, env_steps: int = 0
) -> Iterator[contextlib.AbstractContextManager["Logger"]]:
    """Yield the loggers that were asked for; `env_steps` are behind already."""
    from dataclasses import asdict

    from simverse.training import loggers

    if args.tensorboard is not None:
        yield loggers.TensorBoardLogger(args.tensorboard, env_steps=env_steps)
    if args.wandb:
        settings = {"env": task.name, "seed": args.seed, **asdict(config)}
        yield loggers.WandbLogger(
            project=loggers.DEFAULT_WANDB_PROJECT,
            name=task.name,
            config=settings,
            env_steps=env_steps,
        )


@contextlib.contextmanager
def progress_bar(title: str, episodes: int) -> Iterator[Callable[["EpisodeStats"], None]]:
    """Show a bar on a terminal that may get codes, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("return {task.fields[mean_return]:.3f}"),
        TextColumn("solved {task.fields[solve_rate]:.0%}"),
        TextColumn("{task.fields[speed]:,.0f} steps/s"),
    )
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in {"dumb", "unknown"}
    console = Console(stderr=True, force_terminal=False if is_plain else None)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=episodes, mean_return=0.0, solve_rate=0.0, speed=0.0)

        def show(stats: "EpisodeStats") -> None:
            progress.update(
                bar,
                completed=stats.episode + 1,
                mean_return=stats.mean_return,
                solve_rate=stats.solve_rate,
                speed=stats.env_steps / stats.seconds,
            )

        yield show


def report(task: "Task", policy: Any, max_steps: int, seed: int, device: str) -> str:
    """Play fresh episodes greedily; return a line on them."""
    from simverse.core.distributions import action_distribution
    from simverse.play import greedy, play_many

    env = make_env(
        task,
        num_envs=REPORT_EPISODES,
        max_steps=max_steps,
        seed=seed + _REPORT_SEED_OFFSET,
        device=device,
    )
    act = greedy(policy, action_distribution(env.action_space, policy))
    played = play_many(env, act, episodes=REPORT_EPISODES, max_steps=max_steps)
    env.close()
    return summary(played)


def summary(played: "Episodes") -> str:
    """Return a line on episodes that were played."""
    count = len(played.returns)
    spread = float(played.returns.std()) if count > 1 else 0.0
    return (
        f"return {float(played.returns.mean()):.3f} ± {spread:.3f}, "
        f"solved {float(played.success.float().mean()):.0%}, "
        f"{float(played.lengths.float().mean()):.1f} steps, over {count} fresh episodes"
    )


def save_policy(
    path: Path,
    task: "Task",
    env: Any,
    policy: Any,
    config: "PPOConfig",
    *,
    episodes: int,
    seed: int,
) -> None:
    """Save a trained policy as a checkpoint."""
    from dataclasses import asdict

    from simverse.checkpoint import save
    from simverse.training.checkpoints import checkpoint_of

    facts = asdict(config) | {"episodes": episodes, "seed": seed}
    save(path, checkpoint_of(env, policy, task.name, facts))


def write_replay(
    task: "Task", policy: Any, max_steps: int, args: argparse.Namespace, device: str
) -> None:
    """Record one greedy episode into the file of `--replay`."""
    from simverse.replay import dumps, record

    env = make_env(task, num_envs=1, max_steps=max_steps, seed=args.seed, device=device)
    document = record(env, policy, max_steps=max_steps, name=task.name, seed=args.seed)
    env.close()
    text = dumps(document)
    args.replay.write_text(text, encoding="utf-8")
    print(
        f"replay of {len(document['steps'])} steps, return {document['return']:.3f}, "
        f"{len(text.encode()) / 1000:.1f} kB: {args.replay}"
    )
