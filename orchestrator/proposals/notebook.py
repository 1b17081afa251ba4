"""Numbers: the trainer's defaults, the lead, how the last experiment learnt. Pure."""

import re
from collections.abc import Mapping, Sequence

from orchestrator.core.text import counted, one_line, percent
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.measurements import Measurements, RewardPart

_DEFAULT_STEPS = 20
_PPO = """\
# PPO's defaults

What training_overrides() does not set: lr 3e-4 (Adam, constant), gamma 0.99, gae_lambda 0.95,
clip_epsilon 0.2, entropy_coef 0.01, max_grad_norm 0.5, training_epochs 2, batch_size
max(32, 4 * num_envs), buffer_size max(num_envs * max_steps, 256), normalize_advantages true; the
squared error of the value counts 0.25. A training episode is one rollout of all num_envs
environments up to max_steps, with one update per buffer_size transitions: a smaller buffer_size
makes more updates of the same data, a smaller batch_size more gradient steps an update."""
_ENDS = """\
What follows the end of an episode counts as 0: `done` is terminal, at the horizon too. Only where
info["truncated"] is set with it, the critic's value of info["final_obs"] stands for what would have
followed. A rollout, or a segment of one, that stops within an episode bootstraps from its last
observation. `done` in the observation dict says which environments have ended and only wait for
reset(): their next step is not trained on, and once all wait, the rollout ends early. Without that
entry every step is trained on, which is right where environments reset themselves within step()."""
_WORLD_ENDS = """\
What follows the end of an episode counts as 0, at the horizon too, unless the world says that it
was cut short (info["truncated"]). Training pays what shape_reward returns; all returns that you are
shown, those of training too, are in the world's own reward, but for `shaped_return`."""
_RULES = """\
Three rules of thumb for reward parts: solve rate near zero, rewrite the reward as a whole; a part \
that hardly moves, rescale it, rewrite it or drop it (but a difference of potentials sums to about \
zero over an episode and works all the same); a part much larger than the rest, scale it down."""
_FEW_SOLVED = 0.5
"""Solve rate below which the reward is likely to be what holds the policy back."""
_SETTINGS = ("training_epochs", "batch_size", "buffer_size")
"""PPO settings that say how many updates and gradient steps there are."""
_NO_PARTS_IN_WORLD = (
    "It reports no reward parts: shape_reward may return a dict of up to 32 named tensors [N] "
    "whose sum training is paid, and you will see each of them over training here."
)
_NO_PARTS = (
    "It reports no reward parts: env.py may put a dict of up to 32 named tensors [N] into "
    'info["reward_parts"], and you will see each of them over training here.'
)


def ppo_defaults(brief: Brief) -> str:
    """Return the trainer's defaults, with their numbers where `num_envs` is known."""
    text = f"{_PPO}\n\n{_ENDS if brief.world is None else _WORLD_ENDS}"
    if brief.num_envs is None:
        return text
    batch_size = max(32, 4 * brief.num_envs)
    return f"{text}\nHere num_envs is {brief.num_envs}, so batch_size is {batch_size}."


def lead(brief: Brief, room: int) -> str:
    """Return what is known of the lead in at most `room` characters, empty if nothing is."""
    known = brief.known
    if known is None:
        return ""
    lines = [
        f"# What is known of the lead, #{brief.lead}, at {brief.rung}",
        "",
        *_tried(brief),
        _standing(brief),
        *(
            [f"- a view's fields, each with dtype and shape without N: {known.view}"]
            if known.view
            else []
        ),
        *_scores(known),
        *_training(known),
        *_budget(known, brief),
    ]
    return _fitting(lines, room)


def last_learning(brief: Brief, room: int) -> str:
    """Return how the last experiment learnt beside the lead, in at most `room` characters."""
    last, known = brief.last, brief.known
    if last is None:
        last, known = known, None
    if last is None:
        return ""
    is_beside = known is not None and known.n != last.n
    beside = f", beside the lead's (in brackets: #{known.n})" if known and is_beside else ""
    other = known if is_beside else None
    lines = [f"# How #{last.n} learnt{beside}", "", "At up to ten checkpoints of training:", ""]
    lines += _pair("training return", last.curve, other.curve if other else ())
    for name, series in last.learning.items():
        lines += _pair(_name(name), series, other.learning.get(name, ()) if other else ())
    lines += _parts(last.reward_parts, other.reward_parts if other else {})
    if last.reward_parts and _is_about_rewards(brief, last):
        whose = "the reward" if brief.world is None else "shape_reward"
        lines += ["", _RULES.replace("the reward", whose)]
    if not last.reward_parts:
        lines += ["", _NO_PARTS if brief.world is None else _NO_PARTS_IN_WORLD]
    return _fitting(lines, room)


def curves(measured: Measurements) -> list[str]:
    """Return a few lines on an experiment whose code is shown."""
    lines = []
    if measured.default_seeds:
        lines.append("- default seeds: " + _by_seed(measured))
    lines += _pair("training return at checkpoints", measured.curve, ())
    return lines


def _is_about_rewards(brief: Brief, last: Measurements) -> bool:
    """Is little solved, or was the reward the last thing that was changed?"""
    solved = last.default_solve_rate
    return (solved is not None and solved < _FEW_SOLVED) or (
        bool(brief.history) and "reward" in brief.history[-1].changed
    )


def _tried(brief: Brief) -> list[str]:
    """Return what the lead's experiment tried, where the history has it."""
    chosen = " (accepted by the human)" if brief.lead in brief.accepted else ""
    tried = [e.description for e in brief.history if e.n == brief.lead]
    return [f"- it is: {one_line(text)}{chosen}" for text in tried]


def _standing(brief: Brief) -> str:
    """Return whether the lead is proven, and how it stands if it is not."""
    known = brief.standing
    if known is None:
        return "- it is the published candidate: no other is ahead of it"
    text = f"- it leads and is not proven; published is #{known.published}"
    if known.gain is None or known.probability is None:
        return f"{text}, with which it is not compared yet"
    what = "" if known.quantity == "return" else f" {known.quantity}"
    seeds = counted(known.seeds, "fresh seed" if known.is_fresh else "seed")
    flatter = "" if known.is_fresh else ", which chose it"
    gain = f"about {known.gain:+.4f}{what} ± {known.standard_error:.4f} over it"
    likely = f"{percent(known.probability)} likely to be better, {seeds}{flatter}"
    return f"{text}: {gain}, shrunk towards 0 ({likely})"


def _scores(known: Measurements) -> list[str]:
    lines = []
    rate = known.held_out_solve_rate
    if known.interval is not None:
        mean = known.interval
        lines += [
            f"- held-out seeds (they did not choose it): mean return {mean.mean:.4f}, 95 % CI "
            f"{mean.low:.4f} to {mean.high:.4f}, {counted(len(known.held_out), 'seed')}"
            + ("" if rate is None else f"; solve rate {rate:.2f}"),
            "- every one of them, return (solve rate): "
            + ", ".join(_score(score.value, score.solve_rate) for score in known.held_out),
        ]
    else:
        lines.append("- not measured yet on held-out seeds")
    if known.default_seeds:
        lines.append(
            "- default seeds (the score; they flatter what they chose): " + _by_seed(known)
        )
    return lines


def _by_seed(measured: Measurements) -> str:
    return ", ".join(
        f"{seed}: {_score(score.value, score.solve_rate)}" for seed, score in measured.default_seeds
    )


def _score(value: float, solve_rate: float | None) -> str:
    return f"{value:.3f}" + ("" if solve_rate is None else f" ({solve_rate:.2f})")


def _training(known: Measurements) -> list[str]:
    lines = _pair("learning curve, training return at checkpoints", known.curve, ())
    facts = []
    if known.episode_length is not None:
        of = f" of {known.max_steps}" if known.max_steps else ""
        facts.append(f"greedy episodes last {known.episode_length:.1f}{of} steps")
    if known.random_return is not None:
        facts.append(f"random play earns {known.random_return:.4f}")
    if known.parameters is not None:
        facts.append(f"the policy has {known.parameters:,} parameters")
    if known.train_s is not None:
        facts.append(f"training takes {known.train_s:.1f} s a seed")
    return [*lines, "- " + "; ".join(facts)] if facts else lines


def _budget(known: Measurements, brief: Brief) -> list[str]:
    """Return the environment steps of training, and the updates where their number is known."""
    num_envs, episodes = brief.num_envs, brief.rung.train_episodes
    if num_envs is None:
        return []
    slots = num_envs * (known.max_steps or _DEFAULT_STEPS)
    played = f" (it played {known.env_steps:,})" if known.env_steps else ""
    own = [name for name in _SETTINGS if re.search(rf"\b{name}\b", brief.files.train)]
    if own:
        updates = (
            f"train.py sets {', '.join(own)} itself: an episode of at most {slots:,} steps makes "
            "ceil(steps / buffer_size) updates, each of training_epochs * ceil(buffer_size / "
            "batch_size) gradient steps"
        )
    else:
        minibatches = -(-slots // max(32, 4 * num_envs))
        updates = (
            f"with PPO's defaults, which it uses, that is {episodes} updates of 2 epochs of "
            f"{counted(minibatches, 'minibatch').replace('batchs', 'batches')}"
        )
    return [
        f"- the budget of {episodes} training episodes a seed is at most {episodes * slots:,} "
        f"environment steps{played}; {updates}"
    ]


def _pair(name: str, series: Sequence[float], other: Sequence[float]) -> list[str]:
    """Return one series as a line, with the lead's in brackets."""
    if not series:
        return []
    beside = f" [{_row(other)}]" if other else ""
    return [f"- {name}: {_row(series)}{beside}"]


def _parts(parts: Mapping[str, RewardPart], others: Mapping[str, RewardPart]) -> list[str]:
    if not parts:
        return []
    lines = ["", "Reward parts, summed over an episode, at the same checkpoints:", ""]
    for name, part in parts.items():
        other = others.get(name)
        lines += _pair(_name(name), part.at, other.at if other else ())
        was = f" [{_extremes(other)}]" if other else ""
        lines[-1] += f"; {_extremes(part)}{was}"
    return lines


def _extremes(part: RewardPart) -> str:
    return f"max {_short(part.max)}, mean {_short(part.mean)}, min {_short(part.min)}"


def _name(name: str) -> str:
    """Return a name that a candidate chose as a word of code."""
    return "`" + name.replace("`", "'") + "`"


def _row(series: Sequence[float]) -> str:
    return " ".join(map(_short, series))


def _short(value: float) -> str:
    return f"{value:.3g}"


def _fitting(lines: Sequence[str], room: int) -> str:
    """Return the first lines that fit; none if that would be no more than a title."""
    text = "\n".join(lines).strip()
    if len(text) <= room:
        return text
    left_out = "(the rest is left out for its length)"
    kept: list[str] = []
    for line in lines:
        if sum(map(len, kept)) + len(kept) + len(line) + len(left_out) + 1 > room:
            break
        kept.append(line)
    return "\n".join([*kept, left_out]) if len(kept) > 3 else ""
