"""`sim`: train in an environment, watch what was learnt, list what there is.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted. Results go to standard output, progress and
errors to standard error.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simverse.errors import SimverseError

if TYPE_CHECKING:
    from simverse.play import Act, Episodes
    from simverse.tasks import Task
    from simverse.training.config import PPOConfig
    from simverse.training.loggers import Logger
    from simverse.training.stats import EpisodeStats

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
REPORT_EPISODES = 64
REPORT_SEED_OFFSET = 1_000_003  # so that what is reported was not trained on


class UsageError(Exception):
    """The command line asks for something that does not exist or makes no sense."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except UsageError as error:
        return _complain(error, USAGE)
    except (SimverseError, OSError) as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _complain(error: Exception, code: int) -> int:
    if isinstance(error, BrokenPipeError):  # `sim envs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    print(f"sim: {' '.join(str(error).split())}", file=sys.stderr)
    return code


# -- commands ------------------------------------------------------------------------------------


def envs(args: argparse.Namespace) -> int:
    """List the environments, one line each."""
    del args
    from simverse.envs.registry import ENTRIES, GYM_PREFIX, make, names

    print(f"{'name':<13}{'observation':<13}{'actions':>7}{'horizon':>9}  task")
    for name in names():
        entry = ENTRIES[name]
        if name == GYM_PREFIX.rstrip(":"):
            cells = f"{GYM_PREFIX + 'ID':<13}{'its own':<13}{'its own':>7}{'its own':>9}"
        else:
            env = make(name, num_envs=1)
            shape = " x ".join(map(str, env.observation_space.shape))
            cells = f"{name:<13}{shape:<13}{env.action_space.n:>7}{entry.max_steps:>9}"
        print(f"{cells}  {entry.summary}")
    return DONE


def train(args: argparse.Namespace) -> int:
    """Train a policy and report how it fares in fresh episodes."""
    import torch

    from simverse.training.ppo import train as train_ppo

    device = _device(args.device)
    task = _task(args.env, args.candidate)
    num_envs = args.num_envs or task.num_envs
    config = _config(task, num_envs, args)
    episodes = args.episodes or task.episodes
    if args.checkpoint is not None:
        _check_target(args.checkpoint)
    torch.manual_seed(args.seed)
    env = _made(task, num_envs=num_envs, max_steps=config.max_steps, seed=args.seed, device=device)
    policy = task.build_policy(env).to(device)
    before = _report(task, policy, config.max_steps, args.seed, device)

    with contextlib.ExitStack() as stack:
        loggers = [stack.enter_context(logger) for logger in _loggers(task, config, args)]
        show = stack.enter_context(_progress(task.name, episodes))

        def on_episode(stats: "EpisodeStats") -> None:
            show(stats)
            for logger in loggers:
                logger(stats)

        history = train_ppo(
            env,
            policy,
            config,
            episodes=episodes,
            seed=args.seed,
            device=device,
            on_episode=on_episode,
        )
    env.close()
    steps, seconds = sum(h.env_steps for h in history), sum(h.seconds for h in history)
    print(
        f"{task.name}: {episodes} episodes, {steps:,} steps in {seconds:.1f} s "
        f"({steps / seconds:,.0f} a second)"
    )
    print(f"untrained: {before}")
    print(f"trained:   {_report(task, policy, config.max_steps, args.seed, device)}")
    if args.checkpoint is not None:
        _save(args.checkpoint, task, env, policy, config, episodes=episodes, seed=args.seed)
        print(f"saved to {args.checkpoint}")
    return DONE


def rollout(args: argparse.Namespace) -> int:
    """Play episodes with a checkpoint's policy, greedily, or at random without one."""
    from simverse import checkpoint as checkpoints
    from simverse.play import greedy, play_many, uniform

    device = _device(args.device)
    stored = None if args.checkpoint is None else checkpoints.load(args.checkpoint)
    name = args.env if args.env_id is None else f"gym:{args.env_id}"
    if name is None and args.candidate is None and stored is not None:
        name = stored.env
    if args.replay is not None:
        if stored is None:
            raise UsageError("--replay shows a trained policy: it needs --checkpoint")
        _check_target(args.replay)
    task = _task(name, args.candidate)
    max_steps = args.max_steps or task.max_steps
    width = min(args.episodes, REPORT_EPISODES)
    env = _made(task, num_envs=width, max_steps=max_steps, seed=args.seed, device=device)
    policy = task.build_policy(env).to(device)
    act: Act = uniform(int(env.action_space.n), args.seed)
    if stored is not None:
        checkpoints.restore(policy, stored, env)
        act = greedy(policy, int(env.action_space.n))
    played = play_many(env, act, episodes=args.episodes, max_steps=max_steps)
    env.close()
    how = "random actions" if stored is None else f"greedy, {args.checkpoint}"
    print(f"{task.name}, {how}: {_summary(played)}")
    if args.replay is not None:
        _write_replay(task, policy, max_steps, args, device)
    return DONE


# -- their parts ---------------------------------------------------------------------------------


def _task(name: str | None, candidate: Path | None) -> "Task":
    from simverse import tasks

    if (name is None) == (candidate is None):
        raise UsageError("name an environment (see `sim envs`) or give --candidate DIR, not both")
    try:
        if candidate is not None:
            return tasks.candidate_task(candidate)
        return tasks.named_task(str(name))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _config(task: "Task", num_envs: int, args: argparse.Namespace) -> "PPOConfig":
    from simverse.training.config import PPOConfig

    given = {} if args.lr is None else {"lr": args.lr}
    settings = {**task.settings, **given}
    max_steps = args.max_steps or task.max_steps
    try:
        return PPOConfig.for_task(num_envs=num_envs, max_steps=max_steps, **settings)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def _made(task: "Task", **options: Any) -> Any:
    try:
        return task.make(**options)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _device(name: str) -> str:
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


def _check_target(path: Path) -> None:
    """Complain about a file that cannot be written before the work is done, not after."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write into {path.parent}")


def _loggers(
    task: "Task", config: "PPOConfig", args: argparse.Namespace
) -> Iterator[contextlib.AbstractContextManager["Logger"]]:
    from dataclasses import asdict

    from simverse.training import loggers

    if args.tensorboard is not None:
        yield loggers.TensorBoardLogger(args.tensorboard)
    if args.wandb:
        settings = {"env": task.name, "seed": args.seed, **asdict(config)}
        yield loggers.WandbLogger(project="simverse", name=task.name, config=settings)


@contextlib.contextmanager
def _progress(title: str, episodes: int) -> Iterator[Callable[["EpisodeStats"], None]]:
    """Show a bar on a terminal, nothing elsewhere."""
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
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=episodes, mean_return=0.0, solve_rate=0.0, speed=0.0)

        def show(stats: "EpisodeStats") -> None:
            progress.update(
                bar,
                advance=1,
                mean_return=stats.mean_return,
                solve_rate=stats.solve_rate,
                speed=stats.env_steps / stats.seconds,
            )

        yield show


def _report(task: "Task", policy: Any, max_steps: int, seed: int, device: str) -> str:
    from simverse.play import greedy, play_many

    env = _made(
        task,
        num_envs=REPORT_EPISODES,
        max_steps=max_steps,
        seed=seed + REPORT_SEED_OFFSET,
        device=device,
    )
    act = greedy(policy, int(env.action_space.n))
    played = play_many(env, act, episodes=REPORT_EPISODES, max_steps=max_steps)
    env.close()
    return _summary(played)


def _summary(played: "Episodes") -> str:
    count = len(played.returns)
    spread = float(played.returns.std()) if count > 1 else 0.0
    return (
        f"return {float(played.returns.mean()):.3f} ± {spread:.3f}, "
        f"solved {float(played.success.float().mean()):.0%}, "
        f"{float(played.lengths.float().mean()):.1f} steps, over {count} fresh episodes"
    )


def _save(
    path: Path,
    task: "Task",
    env: Any,
    policy: Any,
    config: "PPOConfig",
    *,
    episodes: int,
    seed: int,
) -> None:
    from dataclasses import asdict

    from simverse.checkpoint import Checkpoint, save

    save(
        path,
        Checkpoint(
            env=task.name,
            observation_shape=tuple(int(size) for size in env.observation_space.shape),
            num_actions=int(env.action_space.n),
            weights=policy.state_dict(),
            training=asdict(config) | {"episodes": episodes, "seed": seed},
        ),
    )


def _write_replay(
    task: "Task", policy: Any, max_steps: int, args: argparse.Namespace, device: str
) -> None:
    from simverse.replay import dumps, record

    env = _made(task, num_envs=1, max_steps=max_steps, seed=args.seed, device=device)
    document = record(env, policy, max_steps=max_steps, name=task.name, seed=args.seed)
    env.close()
    text = dumps(document)
    args.replay.write_text(text, encoding="utf-8")
    print(
        f"replay of {len(document['steps'])} steps, return {document['return']:.3f}, "
        f"{len(text.encode()) / 1000:.1f} kB: {args.replay}"
    )


# -- arguments -----------------------------------------------------------------------------------


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 2**31, got {number}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sim", description="Batched environments and PPO.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listing = commands.add_parser("envs", help="list the environments")
    listing.set_defaults(run=envs)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--candidate", type=Path, metavar="DIR", help="a candidate's folder")
    common.add_argument("--max-steps", type=_positive, metavar="N", help="horizon in steps")
    common.add_argument("--seed", type=_seed, default=0, metavar="S", help="default: 0")
    common.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu (default), cuda, mps or auto"
    )

    training = commands.add_parser("train", parents=[common], help="train a policy with PPO")
    training.add_argument("env", nargs="?", metavar="ENV", help="a name from `sim envs`, or gym:ID")
    training.add_argument("--episodes", type=_positive, metavar="N", help="rollouts, with updates")
    training.add_argument("--num-envs", type=_positive, metavar="N", help="sub-environments")
    training.add_argument("--lr", type=float, metavar="X", help="Adam's step size")
    training.add_argument("--checkpoint", type=Path, metavar="FILE", help="save the policy here")
    training.add_argument("--tensorboard", type=Path, metavar="DIR", help="write event files here")
    training.add_argument("--wandb", action="store_true", help="log to Weights & Biases")
    training.set_defaults(run=train)

    playing = commands.add_parser("rollout", parents=[common], help="play episodes")
    which = playing.add_mutually_exclusive_group()
    which.add_argument("--env-id", metavar="ID", help="a Gymnasium environment, as CartPole-v1")
    which.add_argument("--env", metavar="NAME", help="a name from `sim envs`")
    playing.add_argument("--checkpoint", type=Path, metavar="FILE", help="the policy to play")
    playing.add_argument("--episodes", type=_positive, default=20, metavar="N", help="default: 20")
    playing.add_argument("--replay", type=Path, metavar="FILE", help="write one episode here")
    playing.set_defaults(run=rollout)
    return parser


if __name__ == "__main__":
    sys.exit(main())
