"""`autorl-daemon`: the command line; errors mapped to exit codes in one place.

Exit codes: 0 done, 1 failed, 2 usage or bad config, 3 not running, 130 interrupted. With `--json`
standard output is one JSON document (`logs`: JSON Lines); messages go to standard error.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orchestrator import __version__
from orchestrator.cli.agents import agents
from orchestrator.cli.common import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_RUNNING,
    USAGE,
    complain,
    show_anything,
    whole_number,
)
from orchestrator.cli.completion import SHELLS, script
from orchestrator.cli.lessons import lessons
from orchestrator.cli.parser import Parser
from orchestrator.cli.report import report
from orchestrator.cli.results import accept, export, note, plot, results, runs, show
from orchestrator.cli.running import (
    logs,
    notify,
    pause,
    propose,
    reload,
    resume,
    service,
    start,
    status,
    stop,
)
from orchestrator.cli.steering import measure, prune
from orchestrator.cli.track import track
from orchestrator.cli.watching import play, policy
from orchestrator.cli.web import web
from orchestrator.cli.workspaces import demo, doctor, init
from orchestrator.core.errors import AutorlError, NotRunningError, UserError
from orchestrator.reporting.results import SORT_KEYS
from sandbox import settle

_SEED = "of the evaluation (default: the best one)"
# A hook or an alias sets these for another repository; the workspace decides.
_FOREIGN_REPOSITORY = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    settle()
    show_anything()
    parsed = make_parser().parse_args(arguments)
    for name in _FOREIGN_REPOSITORY:
        os.environ.pop(name, None)
    try:
        code: int = parsed.run(parsed)
    except UserError as error:
        return complain(error, USAGE)
    except NotRunningError as error:
        return complain(error, NOT_RUNNING)
    except AutorlError as error:
        return complain(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `autorl-daemon results | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:  # a read-only folder, a full disk; a daemon also logs it
        return complain(error, FAILED)
    return code


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="autorl-daemon",
        description="Leave it running overnight: an agent proposes changes to a candidate, a fixed "
        "evaluator trains and scores each, git keeps what is better.",
    )
    parser.add_argument("--version", action="version", version=f"autorl-daemon {__version__}")
    _add_workspace(parser, default=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], int], **more: Any) -> Any:
        name = function.__name__
        text = (function.__doc__ or "").strip()
        sub = commands.add_parser(name, help=text, description=text, **more)
        sub.set_defaults(run=function)
        if name != "init":
            _add_workspace(sub, default=argparse.SUPPRESS)  # else it would undo one given before
        return sub

    sub = command(init)
    sub.add_argument("dir", type=Path, metavar="DIR")
    sub.add_argument("--example", metavar="NAME", help="start from a shipped example")
    sub.add_argument(
        "--world", metavar="EXAMPLE|gym:ID", nargs="?", const="",
        help="with a task that the agent can't change, in task/world.py: an example's, an "
        "environment of Gymnasium's, or (without a name, after DIR) one to be written",
    )  # fmt: skip
    sub.add_argument("--nested", action="store_true", help="even inside another repository")

    sub = command(demo)
    sub.add_argument("--example", metavar="NAME", help="which example (default: keydoor)")
    sub.add_argument("--agent", default="optuna", help="agent.backend (default: optuna)")
    sub.add_argument("--max-experiments", type=_count, default=20, metavar="N")

    command(doctor)
    sub = command(agents)
    sub.add_argument("--json", action="store_true")
    _add_daemon_commands(command)
    _add_result_commands(command)
    _add_steering_commands(command)
    sub = command(completion)
    sub.add_argument("shell", choices=SHELLS)
    sub.set_defaults(commands=commands.choices)
    return parser


def completion(args: argparse.Namespace) -> int:
    """Print what teaches a shell the commands: bash, zsh or fish."""
    print(script(args.shell, args.commands), end="")
    return DONE


def _add_workspace(parser: argparse.ArgumentParser, default: Any) -> None:
    text = "the workspace (default: here or above)"
    parser.add_argument("--workspace", type=Path, metavar="DIR", default=default, help=text)


def _add_daemon_commands(command: Callable[..., Any]) -> None:
    sub = command(start)
    sub.add_argument("--foreground", action="store_true", help="stay in this terminal")
    sub.add_argument("--tag", help="name of the run (default: today, as in nov22)")
    sub.add_argument("--max-experiments", type=_count, metavar="N", help="limits.experiments")
    sub.add_argument("--set", action="append", default=[], metavar="K=V", help="beats config.yaml")
    sub.add_argument(
        "--from-worktree",
        action="store_true",
        help="have candidate/ judged as the next experiment, as `propose` does",
    )
    sub.add_argument("--description", default="", metavar="TEXT", help="what it tries")
    sub.add_argument(
        "--no-check",
        dest="check",
        action="store_false",
        help="neither play the candidate for a few steps before its baseline nor try the endpoint",
    )
    sub.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    sub = command(stop)
    sub.add_argument("--now", action="store_true", help="abort the experiments in flight")
    command(pause)
    command(resume)
    command(reload)
    sub = command(propose)
    sub.add_argument("--description", default="", metavar="TEXT", help="what it tries")
    sub = command(service)
    sub.add_argument("what", choices=["install", "remove"])
    sub.add_argument("--tag", help="name of the run (default: the last one, else today)")
    sub.add_argument("--now", action="store_true", help="also start, or stop, it now")
    sub = command(notify)
    sub.add_argument("what", choices=["test"], help="send a test message")
    sub = command(status)
    sub.add_argument("--json", action="store_true")
    sub = command(logs)
    sub.add_argument("-f", "--follow", action="store_true", help="print lines as they are written")
    sub.add_argument("-n", type=_lines, default=20, metavar="N", help="lines (default: 20)")
    sub.add_argument("--json", action="store_true", help="print JSON Lines")


def _add_result_commands(command: Callable[..., Any]) -> None:
    sub = command(results)
    form = sub.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--tsv", action="store_true")
    sub.add_argument("--tag", help="one run only")
    sub.add_argument("--by", choices=["agent"], help="compare the agents of a run (the last one)")
    sub.add_argument("--kept", action="store_true", help="only what was kept or accepted")
    sub.add_argument("-n", type=_count, metavar="N", help="the last N; with --sort the first N")
    sub.add_argument("--sort", choices=SORT_KEYS, metavar="KEY", help=f"{', '.join(SORT_KEYS)}")
    _add_pager(sub)
    sub = command(runs)
    sub.add_argument("--json", action="store_true")
    _add_pager(sub)
    sub = command(show)
    sub.add_argument("n", type=_count, metavar="N")
    sub.add_argument("--diff", action="store_true", help="only the change, as a patch")
    sub.add_argument("--json", action="store_true")
    _add_pager(sub)
    sub = command(report)
    sub.add_argument("--html", type=Path, metavar="FILE", help="as one page with the chart")
    sub.add_argument("--markdown", type=Path, metavar="FILE", help="as Markdown")
    sub.add_argument("--tag", help="which run (default: the last)")
    _add_pager(sub)
    _add_watching(command)
    sub = command(web)
    sub.add_argument("--port", type=_port, metavar="P", help="default: the first free from 8765")
    sub.add_argument("--host", default="127.0.0.1", metavar="H", help="default: 127.0.0.1")
    sub.add_argument("--export", type=Path, metavar="DIR", help="write the page as files")
    sub.add_argument("--tag", help="which run to export (default: the last)")
    sub = command(track)
    sub.add_argument("--tensorboard", type=Path, metavar="DIR", help="event files, in DIR/TAG")
    sub.add_argument("--wandb", metavar="PROJECT", help="a run of Weights & Biases")
    sub.add_argument("--tag", help="which run (default: the last)")
    sub.add_argument("--follow", action="store_true", help="go on until the run stops")
    sub = command(export)
    sub.add_argument("what", nargs="+", metavar="[N] DIR", help="experiment (default: incumbent)")
    sub = command(plot)
    sub.add_argument("-o", "--output", type=Path, metavar="FILE", help=".png, .svg or .pdf")
    sub.add_argument("--tag", help="which run (default: the last)")


def _add_steering_commands(command: Callable[..., Any]) -> None:
    sub = command(accept)
    sub.add_argument("n", type=_count, metavar="N")
    sub.add_argument("--yes", action="store_true", help="don't ask, nor refuse what failed")
    sub = command(prune)
    sub.add_argument("n", type=_count, metavar="N")
    sub.add_argument("--why", default="", metavar="TEXT", help="the agent is told")
    sub = command(measure)
    sub.add_argument("n", type=_count, metavar="N")
    sub.add_argument("--seeds", type=_count, default=8, metavar="K", help="fresh ones (default: 8)")
    sub = command(note)
    sub.add_argument("text", nargs="*", metavar="TEXT")
    sub.add_argument("--list", action="store_true", help="print the notes, each with its number")
    sub.add_argument(
        "--delete", type=_count, metavar="N", help="no longer show note N to the agent"
    )

    sub = command(lessons)
    sub.add_argument(
        "--edit",
        nargs="?",
        const="editor",
        choices=["editor", "-"],
        help="write them anew: in $EDITOR (the default), or from standard input with -",
    )


def _add_watching(command: Callable[..., Any]) -> None:
    sub = command(play)
    sub.add_argument("n", type=_count, metavar="N")
    sub.add_argument("--gif", type=Path, metavar="FILE", help="write an animated GIF instead")
    sub.add_argument("--ascii", action="store_true", help="letters alone, no colours")
    sub.add_argument("--seed", type=_count, metavar="S", help=_SEED)
    text = "best, worst, median of the seed's, or a number (default: the first that counts)"
    sub.add_argument("--episode", metavar="K", help=text)
    sub = command(policy)
    sub.add_argument("n", type=_count, metavar="N")
    sub.add_argument("file", type=Path, metavar="FILE")
    sub.add_argument("--seed", type=_count, metavar="S", help=_SEED)


def _add_pager(sub: argparse.ArgumentParser) -> None:
    text = "print at once, also what is longer than the terminal"
    sub.add_argument("--no-pager", dest="pager", action="store_false", help=text)


def _lines(text: str) -> int:
    return _count(text, least=0)


def _port(text: str) -> int:
    port = _count(text, least=0)
    if port > 65535:
        raise argparse.ArgumentTypeError("must be a port, from 0 to 65535")
    return port


def _count(text: str, least: int = 1) -> int:
    try:
        return whole_number(text, least)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    raise SystemExit(main())
