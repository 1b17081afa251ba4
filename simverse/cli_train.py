"""`sim train`: its options, and a training from its first line to its last."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simverse.arguments import count
from simverse.cli_parts import (
    EVALUATION_SEED_OFFSET,
    REPORT_EPISODES,
    UsageError,
    check_target,
    find_task,
    loggers_of,
    make_env,
    named,
    ppo_config,
    progress_bar,
    report,
    save_policy,
    use_device,
    wrapped,
)

if TYPE_CHECKING:
    from torch import nn

    from simverse.tasks import Task
    from simverse.training.checkpoints import TrainingCheckpoints
    from simverse.training.config import PPOConfig
    from simverse.training.evaluation import EvaluateEvery
    from simverse.training.stats import EpisodeStats

_EVALUATIONS = 10
"""How often the policy is evaluated in a training, if nobody says."""


def add_options(parser: argparse.ArgumentParser, episodes: Any) -> None:
    """Add what `train` takes besides what names the environment; `episodes` reads their number."""
    parser.add_argument("--episodes", type=episodes, metavar="N", help="rollouts, with updates")
    parser.add_argument("--num-envs", type=count(65_536), metavar="N", help="sub-environments")
    parser.add_argument("--lr", type=float, metavar="X", help="Adam's step size")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="save the policy here")
    parser.add_argument(
        "--save-best", type=Path, metavar="FILE",
        help="evaluate greedily in held-out episodes, and keep the best policy here",
    )  # fmt: skip
    parser.add_argument(
        "--evaluate-every", type=episodes, metavar="N",
        help="with --save-best: episodes between evaluations (default: a tenth of all)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", type=Path, metavar="FILE",
        help="keep the training's state here, and continue from it if it is there",
    )  # fmt: skip
    parser.add_argument(
        "--normalize-observations", action="store_true", help="by their running mean and deviation"
    )
    parser.add_argument(
        "--normalize-rewards", action="store_true",
        help="by the deviation of the discounted return; what is shown stays the task's own",
    )  # fmt: skip
    parser.add_argument(
        "--frame-stack", type=count(256), metavar="K", help="show the last K frames"
    )
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="write event files here")
    parser.add_argument("--wandb", action="store_true", help="log to Weights & Biases")
    parser.set_defaults(run=train)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One training, ready to begin."""

    task: "Task"
    """Its environments are held-out ones, wrapped as that of training."""
    env: Any
    policy: "nn.Module"
    config: "PPOConfig"
    episodes: int
    device: str
    evaluate: "EvaluateEvery | None"
    checkpoints: "TrainingCheckpoints | None"


def train(args: argparse.Namespace) -> int:
    """Train a policy and report how it fares in fresh episodes."""
    plan = _plan(args)
    task, policy, max_steps = plan.task, plan.policy, plan.config.max_steps
    before = report(task, policy, max_steps, args.seed, plan.device)
    history = _trained(plan, args)
    plan.env.close()
    print(_length(plan, history))
    print(f"untrained: {before}")
    print(f"trained:   {report(task, policy, max_steps, args.seed, plan.device)}")
    if args.checkpoint is not None:
        save_policy(
            args.checkpoint, task, plan.env, policy, plan.config, episodes=plan.episodes,
            seed=args.seed,
        )  # fmt: skip
        print(f"saved to {args.checkpoint}")
    if plan.evaluate is not None:
        print(_best(plan, plan.evaluate, args))
    return 0


def _plan(args: argparse.Namespace) -> _Plan:
    import torch

    device = use_device(args.device)
    task = find_task(*named(args))
    num_envs = args.num_envs or task.num_envs
    config = ppo_config(task, num_envs, args)
    episodes = args.episodes or task.episodes
    if args.evaluate_every is not None and args.save_best is None:
        raise UsageError("--evaluate-every is for --save-best FILE, which keeps the best policy")
    for path in (args.checkpoint, args.save_best, args.resume):
        if path is not None:
            check_target(path)
    torch.manual_seed(args.seed)
    plain = make_env(
        task, num_envs=num_envs, max_steps=config.max_steps, seed=args.seed, device=device
    )
    env, task = wrapped(plain, task, _wrappers(args), gamma=config.gamma)
    policy = task.build_policy(env).to(device)
    evaluate = _evaluation(args, task, policy, config, episodes=episodes, device=device)
    return _Plan(
        task=task, env=env, policy=policy, config=config, episodes=episodes, device=device,
        evaluate=evaluate, checkpoints=_checkpoints(args, task, evaluate),
    )  # fmt: skip


def _wrappers(args: argparse.Namespace) -> Iterator[str]:
    """Yield the wrappers that were asked for, the innermost first."""
    if args.normalize_rewards:
        yield "normalize_rewards"
    if args.normalize_observations:
        yield "normalize_observations"
    if args.frame_stack is not None and args.frame_stack > 1:
        yield f"frame_stack={args.frame_stack}"


def _evaluation(
    args: argparse.Namespace,
    task: "Task",
    policy: "nn.Module",
    config: "PPOConfig",
    *,
    episodes: int,
    device: str,
) -> "EvaluateEvery | None":
    if args.save_best is None:
        return None
    from simverse.training.evaluation import EvaluateEvery

    env = make_env(
        task,
        num_envs=REPORT_EPISODES,
        max_steps=config.max_steps,
        seed=args.seed + EVALUATION_SEED_OFFSET,
        device=device,
    )
    return EvaluateEvery(
        env,
        policy,
        every=args.evaluate_every or max(1, episodes // _EVALUATIONS),
        episodes=REPORT_EPISODES,
        max_steps=config.max_steps,
        best=args.save_best,
        name=task.name,
        training=asdict(config) | {"seed": args.seed},
    )


def _checkpoints(
    args: argparse.Namespace, task: "Task", evaluate: "EvaluateEvery | None"
) -> "TrainingCheckpoints | None":
    if args.resume is None:
        return None
    from simverse.training.checkpoints import TrainingCheckpoints

    if not args.resume.exists():
        print(f"sim: note: no {args.resume} yet: a new training", file=sys.stderr)
    also = {} if evaluate is None else {"evaluation": evaluate}
    return TrainingCheckpoints(args.resume, name=task.name, also=also)


def _trained(plan: _Plan, args: argparse.Namespace) -> list["EpisodeStats"]:
    from simverse.training.ppo import train as train_ppo

    _, env_steps = (0, 0) if plan.checkpoints is None else plan.checkpoints.behind()
    with contextlib.ExitStack() as stack:
        loggers = loggers_of(plan.task, plan.config, args, env_steps=env_steps)
        watching: list[Callable[[EpisodeStats], None]] = [
            *map(stack.enter_context, loggers),
            stack.enter_context(progress_bar(plan.task.name, plan.episodes)),
        ]
        if plan.evaluate is not None:
            watching.append(plan.evaluate)

        def on_episode(stats: "EpisodeStats") -> None:
            for watcher in watching:
                watcher(stats)

        history = train_ppo(
            plan.env,
            plan.policy,
            plan.config,
            episodes=plan.episodes,
            seed=args.seed,
            device=plan.device,
            on_episode=on_episode,
            checkpoints=plan.checkpoints,
        )
    if plan.evaluate is not None and history and plan.episodes % plan.evaluate.every:
        plan.evaluate.evaluate(plan.episodes)
    return history


def _length(plan: _Plan, history: Sequence["EpisodeStats"]) -> str:
    """Say how much was trained."""
    name, behind = plan.task.name, plan.episodes - len(history)
    if not history:
        return f"{name}: all {plan.episodes} episodes were behind already"
    steps, seconds = sum(h.env_steps for h in history), sum(h.seconds for h in history)
    which = (
        f"{plan.episodes} episodes" if not behind else f"episodes {behind + 1} to {plan.episodes}"
    )
    return f"{name}: {which}, {steps:,} steps in {seconds:.1f} s ({steps / seconds:,.0f} a second)"


def _best(plan: _Plan, evaluate: "EvaluateEvery", args: argparse.Namespace) -> str:
    """Say how the best policy fares in fresh episodes, which did not choose it."""
    from simverse import checkpoint as checkpoints

    stored = checkpoints.load(args.save_best)
    env = evaluate.env
    checkpoints.restore(plan.policy, stored, env)
    fresh = report(plan.task, plan.policy, plan.config.max_steps, args.seed, plan.device)
    env.close()
    after = stored.training["episodes"]
    return f"best:      {fresh}\nthe best, after {after} episodes, is in {args.save_best}"
