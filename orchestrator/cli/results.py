"""Commands on the results of a run, and the user's overrides and notes."""

import argparse
import json
import sys
from pathlib import Path

from orchestrator.cli.common import DONE, draw_chart
from orchestrator.core.errors import UserError
from orchestrator.reporting.run_view import open_ledger
from orchestrator.store.workspace import find_workspace


def results(args: argparse.Namespace) -> int:
    """List the experiments."""
    from orchestrator.reporting.results import results_document
    from orchestrator.reporting.run_view import open_ledger, read_run
    from orchestrator.reporting.terminal import print_results
    from orchestrator.store.results_tsv import COLUMNS, tsv_row

    workspace = find_workspace(args.workspace)
    with open_ledger(workspace) as ledger:
        if args.json:
            print(json.dumps(results_document(ledger, args.tag), indent=2))
        elif args.tsv:
            print("\t".join(COLUMNS))
            for experiment in ledger.experiments(args.tag):
                print(tsv_row(experiment))
        else:
            print_results(read_run(workspace, ledger, args.tag))
    return DONE


def show(args: argparse.Namespace) -> int:
    """Show one experiment: description, verdict, evidence, and change."""
    from orchestrator.core.evaluations import Purpose
    from orchestrator.core.text import clean
    from orchestrator.reporting.results import result_document, seed_document
    from orchestrator.reporting.run_view import (
        candidate_diff,
        find_experiment,
        of_purpose,
        open_ledger,
    )
    from orchestrator.reporting.terminal import show_lines

    workspace = find_workspace(args.workspace)
    with open_ledger(workspace) as ledger:
        experiment = find_experiment(ledger, args.n)
        change = candidate_diff(ledger, experiment)
        evidence = ledger.evidence(experiment.n)
        if args.json:
            document = result_document(experiment, of_purpose(evidence, Purpose.REFERENCE)) | {
                "evidence": [seed_document(seed) for seed in evidence],
                "metrics": dict(experiment.report.facts),
                "details": experiment.details,
                "diff": change,
            }
            print(json.dumps(document, indent=2))
        elif args.diff:
            # A terminal would obey a candidate's escape sequences; a pipe gets the patch unchanged.
            print(clean(change, len(change)) if sys.stdout.isatty() else change, end="")
        else:
            folder = workspace.logs / "experiments" / str(args.n)
            print("\n".join(show_lines(experiment, evidence, folder, change)))
    return DONE


def accept(args: argparse.Namespace) -> int:
    """Make experiment N the incumbent, whatever its verdict."""
    from orchestrator.daemon import requests

    workspace = find_workspace(args.workspace)
    with open_ledger(workspace) as ledger:
        accepted = requests.accept(workspace, ledger, args.n)
    if accepted.commit is None:
        print(f"experiment {args.n} becomes the incumbent; what is in flight is judged against it")
    else:
        tag, commit = accepted.experiment.tag, accepted.commit[:12]
        print(f"experiment {args.n} is the incumbent of autorl/{tag} ({commit})")
    return DONE


def export(args: argparse.Namespace) -> int:
    """Write a candidate's two files to a folder."""
    from orchestrator.reporting.run_view import find_experiment, open_ledger, read_run

    workspace = find_workspace(args.workspace)
    if len(args.what) > 2:
        raise UserError("export takes an experiment's number and a folder, or the folder alone")
    n, folder = (None, args.what[0]) if len(args.what) == 1 else args.what
    with open_ledger(workspace) as ledger:
        if n is None:
            incumbent = read_run(workspace, ledger).state.incumbent
            if incumbent is None:
                raise UserError("the run has no accepted candidate yet")
            number = incumbent.n
        else:
            if not n.isdigit():
                raise UserError(f"{n!r} is not an experiment's number")
            number = find_experiment(ledger, int(n)).n
        files = ledger.files(number)
    if files is None:
        raise UserError(f"experiment {number} holds no candidate (its reply was not usable)")
    target = Path(folder).expanduser()
    targets = {target / Path(path).name: text for path, text in files.by_path().items()}
    if present := [str(path) for path in targets if path.exists()]:
        raise UserError(f"{', '.join(present)} exists already: name another folder")
    target.mkdir(parents=True, exist_ok=True)
    for path, text in targets.items():
        path.write_text(text, encoding="utf-8", newline="")
    print(f"wrote {' and '.join(path.name for path in targets)} of experiment {number} to {target}")
    return DONE


def plot(args: argparse.Namespace) -> int:
    """Draw the run."""
    workspace = find_workspace(args.workspace)
    chart = args.output or workspace.logs / "plot.png"
    draw_chart(workspace, chart, args.tag)
    print(chart)
    return DONE


def note(args: argparse.Namespace) -> int:
    """Add a note for the agent, for every prompt from now on."""
    from orchestrator.daemon import requests

    requests.note(find_workspace(args.workspace), " ".join(args.text))
    print("noted: the agent sees it from its next prompt on")
    return DONE
