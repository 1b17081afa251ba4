"""`sim`: train in an environment, watch what was learnt, list what there is.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted. Results go to standard output, progress and
errors to standard error.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simverse.arguments import Parser, bound, count, seed
from simverse.cli_parts import (
    REPORT_EPISODES,
    UsageError,
    check_target,
    code_of,
    find_task,
    is_horizon,
    make_env,
    named,
    summary,
    use_device,
    wrapped,
    write_replay,
)
from simverse.cli_train import add_options
from simverse.errors import SimverseError

if TYPE_CHECKING:
    from simverse.checkpoint import Checkpoint
    from simverse.play import Act
    from simverse.tasks import Task

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


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


def rollout(args: argparse.Namespace) -> int:
    """Play episodes with a checkpoint's policy, greedily, or at random without one."""
    from simverse import checkpoint as checkpoints

    device = use_device(args.device)
    stored = None if args.checkpoint is None else checkpoints.load(args.checkpoint)
    if args.replay is not None:
        if stored is None:
            raise UsageError("--replay shows a trained policy: it needs --checkpoint")
        check_target(args.replay)
    with contextlib.ExitStack() as stack:
        forms = named(args)
        if stored is not None:
            forms = stack.enter_context(code_of(stored, forms, its_own=args.its_code))
        return _rollout(args, find_task(*forms), stored, device)


def _rollout(
    args: argparse.Namespace, task: "Task", stored: "Checkpoint | None", device: str
) -> int:
    from simverse import checkpoint as checkpoints
    from simverse.core.distributions import action_distribution
    from simverse.play import greedy, play_many, uniform

    trained_for = None if stored is None else stored.training.get("max_steps")
    max_steps: int = args.max_steps or task.max_steps
    if args.max_steps is None and is_horizon(trained_for):
        max_steps = trained_for
    width = min(args.episodes, REPORT_EPISODES)
    env = make_env(task, num_envs=width, max_steps=max_steps, seed=args.seed, device=device)
    env, task = wrapped(env, task, () if stored is None else stored.wrappers)
    policy = task.build_policy(env).to(device)
    distribution = action_distribution(env.action_space, policy)
    act: Act = uniform(distribution, args.seed)
    if stored is not None:
        checkpoints.restore(policy, stored, env)
        if stored.wrappers:
            env.eval()
        act = greedy(policy, distribution)
    played = play_many(env, act, episodes=args.episodes, max_steps=max_steps)
    env.close()
    how = "random actions" if stored is None else f"greedy, {args.checkpoint}"
    print(f"{task.name}, {how}: {summary(played)}")
    if args.replay is not None:
        write_replay(task, policy, max_steps, args, device)
    return DONE


def check(args: argparse.Namespace) -> int:
    """Check that an environment or a world keeps its contract; list everything wrong with it."""
    from simverse.checking import check_named

    outcome = check_named(args.env, reward_bound=args.reward_bound, seed=args.seed)
    for line in outcome.lines:
        print(line)
    return DONE if outcome.is_good else FAILED


def watch(args: argparse.Namespace) -> int:
    """Show a replay in the terminal, or as a GIF."""
    from simverse import watch as watching

    found = watching.read(None if str(args.file) == "-" else args.file)
    if args.gif is None:
        watching.show(found, sys.stdout, ascii_only=args.ascii)
    else:
        check_target(args.gif)
        print(f"{args.gif}: {watching.write_gif(found, args.gif)} frames")
    return DONE


# -- arguments -----------------------------------------------------------------------------------


_FORMS = (
    "a name from `sim envs`, gym:ID, gym:PACKAGE:ID, a workspace's or candidate's folder, or a "
    "file that defines create_env or create_world"
)
_STEPS, _EPISODES = count(100_000), count(1_000_000)
_BOUND = "largest reward in size (default: 1 for a candidate, none for others)"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="sim", description="Batched environments and PPO.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listing = commands.add_parser("envs", help="list the environments")
    listing.set_defaults(run=envs)

    checking = commands.add_parser("check", help="check what an environment or world promises")
    checking.add_argument("env", metavar="ENV", help=_FORMS)
    checking.add_argument("--reward-bound", type=bound, metavar="X", help=_BOUND)
    checking.add_argument("--seed", type=seed, default=0, metavar="S", help="default: 0")
    checking.set_defaults(run=check)

    watching = commands.add_parser("watch", help="show a replay")
    watching.add_argument("file", type=Path, metavar="FILE", help="a replay; - for standard input")
    watching.add_argument("--gif", type=Path, metavar="FILE", help="write an animated GIF instead")
    watching.add_argument("--ascii", action="store_true", help="letters alone, no colours")
    watching.set_defaults(run=watch)

    common = Parser(add_help=False)
    common.add_argument("env", nargs="?", metavar="ENV", help=_FORMS)
    common.add_argument("--env", dest="env_option", metavar="ENV", help="the same")
    common.add_argument("--env-id", metavar="ID", help="the same as gym:ID")
    common.add_argument("--candidate", type=Path, metavar="DIR", help="a candidate's folder")
    common.add_argument("--max-steps", type=_STEPS, metavar="N", help="horizon in steps")
    common.add_argument("--seed", type=seed, default=0, metavar="S", help="default: 0")
    common.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu (default), cuda, mps or auto"
    )

    training = commands.add_parser("train", parents=[common], help="train a policy with PPO")
    add_options(training, _EPISODES)

    playing = commands.add_parser("rollout", parents=[common], help="play episodes")
    playing.add_argument(
        "--checkpoint", "--policy", dest="checkpoint", type=Path, metavar="FILE",
        help="the policy to play, of `sim train` or of `autorl-daemon policy`",
    )  # fmt: skip
    playing.add_argument(
        "--its-code", action="store_true",
        help="run the candidate's code that the policy's file holds: only if you trust the file",
    )  # fmt: skip
    playing.add_argument("--episodes", type=_EPISODES, default=20, metavar="N", help="default: 20")
    playing.add_argument("--replay", type=Path, metavar="FILE", help="write one episode here")
    playing.set_defaults(run=rollout)
    return parser


if __name__ == "__main__":
    sys.exit(main())
