"""What the model proposed in two runs of version 0.1, and what that version made of it.

The replies are in `tests/data/transcripts/`, as they came. Each edits the files of an earlier
experiment, so each is applied to those here: what a proposal is does not depend on what today's
rules would have kept before it.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.core.records import Files, Reply
from orchestrator.daemon.new_workspace import initialise
from orchestrator.proposals.reply import read_reply
from orchestrator.store.workspace import Workspace

REPLIES = Path(__file__).parent.parent / "data" / "transcripts"


@dataclass(frozen=True)
class Line:
    """One experiment of a transcript."""

    run: str
    n: int
    """Its number in that run."""
    reply: str
    """The file of the reply that was evaluated."""
    base: int
    """The experiment whose files it edits; 1 is the baseline."""
    what: str
    """What it does, in a few words."""
    then: str
    """What version 0.1 made of it."""

    @property
    def name(self) -> str:
        """Names it in tables and tests."""
        return f"{self.run} #{self.n}"


LINES = (
    Line("squad", 2, "0001", 1, "four updates a rollout, lr 1e-3", "kept: +0.33 ± 0.09"),
    Line("squad", 3, "0003", 2, "a plane that shows how far cover is", "discarded: +0.07 ± 0.14"),
    Line("squad", 4, "0005", 2, "eight updates a rollout", "discarded after one seed"),
    Line("squad", 5, "0006", 2, "pays 0.05 a step for being alive", "kept: +0.78 ± 0.14"),
    Line("squad", 6, "0008", 5, "takes that bonus out again, 64 hidden units",
         "discarded at -0.45 on one seed"),
    Line("squad", 7, "0010", 2, "entropy 0.05, 64 hidden units", "discarded: +0.19 ± 0.08"),
    Line("squad", 9, "0013", 2, "layer normalisation and ReLU", "discarded: +0.09 ± 0.10"),
    Line("squad", 10, "0014", 7, "one shared encoder for every unit", "discarded: +0.03"),
    Line("squad", 11, "0015", 7, "grenades bring a unit down at once (a rule of the game)",
         "kept: +0.21 ± 0.04"),
    Line("squad", 12, "0016", 11, "grenades reach across the grid", "rejected: horizon"),
    Line("squad", 13, "0017", 11, "pays 0.6 instead of 0.5 for the verdict",
         "rejected: beyond the bound"),
    Line("warehouse", 2, "0001", 1, "the warehouse of the brief", "discarded at -0.03"),
    Line("warehouse", 3, "0002", 1, "the warehouse, with a potential that shows the way",
         "discarded at -0.02; a person accepted it"),
    Line("warehouse", 5, "0006", 3, "lr 3e-3, ten epochs", "kept: +0.06 ± 0.01"),
    Line("warehouse", 6, "0007", 5, "three times as much pay for the way",
         "kept: +0.07 ± 0.02, flagged"),
    Line("warehouse", 7, "0009", 6, "four updates a rollout", "discarded: -0.00 ± 0.03"),
    Line("warehouse", 8, "0010", 6, "a plane of visited cells", "discarded: +0.02, flagged"),
    Line("warehouse", 9, "0011", 6, "visited cells and four updates", "discarded: -0.07"),
    Line("warehouse", 10, "0012", 6, "pays for nearness only to a box in sight",
         "discarded after one seed"),
    Line("warehouse", 11, "0013", 6, "discount 0.95 (said to come with #8's plane)",
         "kept: +0.05 ± 0.02"),
    Line("warehouse", 13, "0014", 11, "four updates, six epochs", "kept: +0.21 ± 0.06 at 48/12"),
)  # fmt: skip
BY_NAME = {line.name: line for line in LINES}


@cache
def files_of(run: str, n: int) -> Files:
    """Return the candidate of an experiment; of 1 the one that the run began with."""
    if n == 1:
        return _beginning(run)
    line = BY_NAME[f"{run} #{n}"]
    return read_reply(Reply(reply_text(line)), files_of(run, line.base)).files


def reply_text(line: Line) -> str:
    """Return a reply as it came."""
    return (REPLIES / line.run / f"{line.reply}.reply.md").read_text(encoding="utf-8")


def _beginning(run: str) -> Files:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / run
        initialise(root, run if run == "squad" else None)
        return Workspace(root).candidate()
