"""Commands on the results of a run, and the user's overrides and notes."""

import argparse
import json
import os
import sys
from pathlib import Path

from orchestrator.cli import pager
from orchestrator.cli.common import DONE, FAILED, draw_chart, whole_number
from orchestrator.core.clock import local_with_zone
from orchestrator.core.errors import UserError
from orchestrator.core.records import HUMAN
from orchestrator.core.text import one_line
from orchestrator.proposals.brief import NOTE_CHARS
from orchestrator.reporting.run_view import open_ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import find_workspace


def results(args: argparse.Namespace) -> int:
    """List the experiments."""
    from orchestrator.reporting.results import Selection, accept_times, results_document
    from orchestrator.reporting.run_view import find_run, open_ledger, read_run
    from orchestrator.store.results_tsv import COLUMNS, tsv_row

    workspace = find_workspace(args.workspace)
    if args.by is not None:
        return _results_by_agent(args)
    chosen = Selection(args.kept, args.sort, args.n)
    with open_ledger(workspace) as ledger:
        if args.tag is not None:
            find_run(ledger, args.tag)
        if args.json:
            print(json.dumps(results_document(ledger, args.tag, chosen), indent=2))
        elif args.tsv:
            print("\t".join(COLUMNS))
            experiments = list(ledger.experiments(args.tag))
            for experiment in chosen.of(experiments, accept_times(ledger, args.tag)):
                print(tsv_row(experiment))
        else:
            from orchestrator.reporting.tables import results_text

            view = read_run(workspace, ledger, args.tag)
            text = results_text(view, chosen.of(view.experiments, view.accepted_at))
            pager.show(text, is_paged=args.pager)
    return DONE


def _results_by_agent(args: argparse.Namespace) -> int:
    """Compare the agents of a run, by default the last one."""
    from orchestrator.reporting.by_agent import agents_document, agents_lines
    from orchestrator.reporting.run_view import find_run

    given = {"--tsv": args.tsv, "--kept": args.kept, "--sort": args.sort, "-n": args.n}
    if useless := next((option for option, value in given.items() if value), None):
        raise UserError(f"{useless} has no effect beside --by agent: leave it out")
    with open_ledger(find_workspace(args.workspace)) as ledger:
        run = find_run(ledger, args.tag) if args.tag is not None else ledger.last_run()
        if run is None:
            raise UserError("there is no run here yet: `autorl-daemon start`")
        experiments = list(ledger.experiments(run.tag))
    if args.json:
        print(json.dumps(agents_document(experiments, _free(run)), indent=2))
    else:
        lines = agents_lines(run.tag, experiments, _free(run))
        pager.show("\n".join(lines), is_paged=args.pager)
    return DONE


def _free(run: Run) -> set[str]:
    """Return who of a run's agents calls no model, by the configuration it works with."""
    from orchestrator.agents.choice import choose_backend
    from orchestrator.agents.several import FREE, by_name
    from orchestrator.config.reloading import RunningConfig

    running = RunningConfig.from_json(run.config)
    configured = by_name(running.config) if running else ()
    return {HUMAN, *(name for name, one in configured if choose_backend(one)[0] in FREE)}


def runs(args: argparse.Namespace) -> int:
    """List the runs of the workspace."""
    from orchestrator.reporting.run_view import open_ledger
    from orchestrator.reporting.runs import runs_document, runs_lines
    from orchestrator.reporting.status import running_tag

    workspace = find_workspace(args.workspace)
    with open_ledger(workspace) as ledger:
        documents = runs_document(ledger, running_tag(workspace))
    if args.json:
        print(json.dumps(documents, indent=2))
    elif documents:
        pager.show("\n".join(runs_lines(documents)), is_paged=args.pager)
    else:
        raise UserError("there is no run here yet: `autorl-daemon start`")
    return DONE


def show(args: argparse.Namespace) -> int:
    """Show one experiment: description, verdict, evidence, and change."""
    from orchestrator.core.text import clean
    from orchestrator.reporting.results import accept_times, result_document, seed_document
    from orchestrator.reporting.run_view import (
        candidate_diff,
        find_experiment,
        fresh_of,
        open_ledger,
        read_run,
    )
    from orchestrator.reporting.show import show_lines

    workspace = find_workspace(args.workspace)
    with open_ledger(workspace) as ledger:
        experiment = find_experiment(ledger, args.n)
        change = candidate_diff(ledger, experiment)
        evidence = ledger.evidence(experiment.n)
        accepted_at = accept_times(ledger, experiment.tag).get(experiment.n)
        if args.json:
            became = read_run(workspace, ledger, experiment.tag).became(experiment.n)
            document = result_document(
                experiment, fresh_of(evidence), is_accepted=accepted_at is not None, became=became
            ) | {
                "evidence": [seed_document(seed) for seed in evidence],
                "metrics": dict(experiment.report.facts),
                "details": experiment.details,
                "diff": change,
                "accepted_at": accepted_at,
            }
            print(json.dumps(document, indent=2))
        elif args.diff:
            if sys.stdout.isatty():  # it would obey a candidate's escape sequences
                pager.show(clean(change.rstrip("\n"), len(change)), is_paged=args.pager)
            else:  # a pipe gets the patch unchanged
                print(change, end="")
        else:
            view = read_run(workspace, ledger, experiment.tag)
            folder = workspace.logs / "experiments" / str(args.n)
            lines = show_lines(
                experiment, evidence, folder, change, seed_count=view.seed_count,
                accepted_at=view.accepted_at.get(experiment.n), became=view.became(experiment.n),
            )  # fmt: skip
            pager.show("\n".join(lines), is_paged=args.pager)
    return DONE


def accept(args: argparse.Namespace) -> int:
    """Publish experiment N, whatever its verdict; proposals start from it."""
    from orchestrator.daemon import requests

    workspace = find_workspace(args.workspace)
    if (numbers := requests.in_hand(workspace)) and not args.yes:
        shown = " and ".join(f"#{n}" for n in numbers)
        warning = (
            f"{shown} in flight: judged anew against {args.n}; should it take the lead just "
            f"before, {args.n} takes its place"
        )
        if not _confirmed(warning):
            return FAILED
    with open_ledger(workspace) as ledger:
        accepted = requests.accept(workspace, ledger, args.n, may_fail=args.yes)
    if accepted.commit is None:
        print(
            f"experiment {args.n} is published, and leads; what is in flight is judged against it"
        )
    else:
        tag, commit = accepted.experiment.tag, accepted.commit[:12]
        print(f"experiment {args.n} is published on autorl/{tag} ({commit}), and leads")
    return DONE


def _confirmed(warning: str) -> bool:
    """Say what a person may not have meant; on a terminal, ask whether to go on."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        print(f"autorl-daemon: {warning}", file=sys.stderr)
        return True
    print(f"{warning}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def export(args: argparse.Namespace) -> int:
    """Write a candidate's two files to a folder."""
    from orchestrator.reporting.run_view import find_experiment, open_ledger, read_run
    from orchestrator.store.user_files import open_regular

    workspace = find_workspace(args.workspace)
    if len(args.what) > 2:
        raise UserError("export takes an experiment's number and a folder, or the folder alone")
    if len(args.what) == 1 and args.what[0].isdigit():
        one = args.what[0]
        raise UserError(
            f"export {one} DIR writes experiment {one}; ./{one} is a folder of that name"
        )
    n, folder = (None, args.what[0]) if len(args.what) == 1 else args.what
    with open_ledger(workspace) as ledger:
        if n is None:
            incumbent = read_run(workspace, ledger).state.incumbent
            if incumbent is None:
                raise UserError("the run has no accepted candidate yet")
            number = incumbent.n
        else:
            number = find_experiment(ledger, whole_number(n)).n
        files = ledger.files(number)
    if files is None:
        raise UserError(f"experiment {number} holds no candidate (its reply was not usable)")
    target = Path(folder)
    targets = {target / Path(path).name: text for path, text in files.by_path().items()}
    if present := [str(path) for path in targets if os.path.lexists(path)]:
        raise UserError(f"{', '.join(present)} exists already: name another folder")
    target.mkdir(parents=True, exist_ok=True)
    for path, text in targets.items():
        with open_regular(path, "x", newline="") as file:
            file.write(text)
    names = " and ".join(path.name for path in targets)
    print(one_line(f"wrote {names} of experiment {number} to {target}", 5000))
    return DONE


def plot(args: argparse.Namespace) -> int:
    """Draw the run."""
    workspace = find_workspace(args.workspace)
    chart = args.output or workspace.logs / "plot.png"
    draw_chart(workspace, chart, args.tag)
    print(chart)
    return DONE


def note(args: argparse.Namespace) -> int:
    """Add a note for the agent, for every prompt from now on; list notes, or delete one."""
    from orchestrator.daemon import requests
    from orchestrator.store.ledger import Ledger

    workspace = find_workspace(args.workspace)
    if args.list + (args.delete is not None) + bool(args.text) != 1:
        raise UserError("note takes one of: TEXT, --list, --delete N")
    if args.list:
        if workspace.ledger.exists():
            with Ledger(workspace.ledger) as ledger:
                for known in ledger.numbered_notes():
                    when = local_with_zone(known.created_at)
                    print(f"{known.id:>4}  {when}  {one_line(known.text, NOTE_CHARS)}")
    elif args.delete is not None:
        requests.delete_note(workspace, args.delete)
        print(f"deleted: the agent no longer sees note {args.delete} from its next prompt on")
    else:
        requests.note(workspace, " ".join(args.text))
        print("noted: the agent sees it from its next prompt on")
    return DONE
