"""Print the size of a prompt by part, and how much of it the next prompt begins with again.

A simulated run of fifty experiments (`simulated.py`) with the squad example's files.
"""

import argparse
import tempfile
from itertools import pairwise
from pathlib import Path

from benchmarks.prompt.simulated import SimulatedRun
from orchestrator.core.records import Files
from orchestrator.proposals.brief import Brief
from orchestrator.proposals.prompt import build_messages, prompt_parts
from orchestrator.proposals.shares import CHARS_PER_TOKEN, Shares

EXAMPLE = Path(__file__).parents[2] / "examples" / "squad"
_MOMENTS = (1, 10, 20, 50)


def main() -> None:
    """Simulate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=50)
    parser.add_argument("--context-tokens", type=int, default=64_000)
    parser.add_argument("--print", action="store_true", help="print the last prompt, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        briefs = simulate(Path(folder), args.experiments)
    tokens = args.context_tokens
    print(f"Size by part, in characters; the context is {tokens:,} tokens "
          f"of {CHARS_PER_TOKEN} characters, {Shares.of(tokens).limit:,} in all.\n")  # fmt: skip
    moments = sorted({min(n, args.experiments) for n in _MOMENTS})
    print_sizes({n: prompt_parts(briefs[n - 1], Shares.of(tokens)) for n in moments})
    print()
    print_prefixes(briefs, tokens)
    if args.print:
        print("\n\n".join(m.content for m in build_messages(briefs[-1], context_tokens=tokens)))


def simulate(folder: Path, count: int) -> list[Brief]:
    """Return the brief after each of so many experiments, the baseline included."""
    files = Files(
        (EXAMPLE / "candidate" / "env.py").read_text(),
        (EXAMPLE / "candidate" / "train.py").read_text(),
    )
    run = SimulatedRun(folder, files, (EXAMPLE / "program.md").read_text())
    briefs = [run.brief()]
    while len(briefs) < count:
        run.step()
        briefs.append(run.brief())
    return briefs


def print_sizes(by_moment: dict[int, dict[str, str]]) -> None:
    """Print a table: a row a part, a column a moment."""
    names = list(next(iter(by_moment.values())))
    print(f"{'after experiment':<20}" + "".join(f"{f'#{n}':>10}" for n in by_moment))
    for name in names:
        row = "".join(f"{len(parts[name]):>10,}" for parts in by_moment.values())
        print(f"{name:<20}{row}")
    totals = [sum(map(len, parts.values())) for parts in by_moment.values()]
    print(f"{'all':<20}" + "".join(f"{total:>10,}" for total in totals))
    print(f"{'tokens, estimated':<20}" + "".join(f"{t / CHARS_PER_TOKEN:>10,.0f}" for t in totals))


def print_prefixes(briefs: list[Brief], context_tokens: int) -> None:
    """Print how much of each prompt of the last thirty the next one begins with."""
    texts = [
        "".join(message.content for message in build_messages(b, context_tokens=context_tokens))
        for b in briefs[-31:]
    ]
    kept = [common(one, two) / len(two) for one, two in pairwise(texts)]
    kept_chars = sum(common(one, two) for one, two in pairwise(texts))
    print(f"Common prefix of consecutive prompts, over {len(kept)} experiments, as a share:")
    print(" ".join(f"{share:.2f}" for share in kept))
    print(f"mean {sum(kept) / len(kept):.2f}, least {min(kept):.2f}; "
          f"{kept_chars / sum(map(len, texts[1:])):.2f} of all characters")  # fmt: skip


def common(one: str, two: str) -> int:
    """Return how many characters two texts share from the front."""
    for index, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            return index
    return min(len(one), len(two))


if __name__ == "__main__":
    main()
