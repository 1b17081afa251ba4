"""Run all attacks and print what came of each: `python -m tests.attacks.table [OPTION] [NAME…]`.

With `--tier reduced` no namespace can be made, so that workers get the reduced tier, as on a system
that has none. Exits with 1 if a confined attack did damage, or an attack did none to the unconfined
copy.
"""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

from sandbox.probe import examine
from sandbox.syscalls import call
from tests.attacks.catalogue import ATTACKS
from tests.attacks.edit_paths import EDITS, applied, refused
from tests.attacks.on_worlds import ON_WORLDS, print_table
from tests.attacks.template import Attack
from tests.attacks.trial import Trial

_ROW = "{:<34} {:<27} {:<10} {:<10} {}"


def _attack_row(trial: Trial, attack: Attack) -> tuple[str, str]:
    """Return the row's last three columns as one text, and the verdict."""
    suffered = trial.unconfined(attack)
    verdict = trial.confined(attack)
    shown = attack.shows if attack.shows in suffered else "not shown"
    word = "held"
    if verdict.violations:
        word = "BROKEN"
    elif shown == "not shown":
        word = "held, vacuous here" if attack.optional else "VACUOUS"
    why = "; ".join(verdict.violations) or (attack.optional if shown == "not shown" else "")
    flags = ", ".join(flag.partition(":")[0] for flag in verdict.outcome.flags)
    score = "" if verdict.outcome.score is None else f" at {verdict.outcome.score:g}"
    ending = f"{word}{score}{f' [{flags}]' if flags else ''}{f': {why[:200]}' if why else ''}"
    return _ROW.format(
        attack.name, attack.strikes[:27], shown, verdict.outcome.status, ending
    ), word


def _without_namespaces() -> None:
    """Move to a user namespace in which no other namespace may be made."""
    uid, gid = os.getuid(), os.getgid()
    call("unshare", 0x10000000)  # CLONE_NEWUSER
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    for kind in ("pid", "user", "mnt"):
        Path(f"/proc/sys/user/max_{kind}_namespaces").write_text("0")


def main(arguments: list[str]) -> int:
    """Print the table and a summary; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.table")
    parser.add_argument("--tier", choices=["reduced"])
    parser.add_argument("--worlds", action="store_true", help="only those on a world")
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args(arguments)
    if given.tier:
        _without_namespaces()
    print(f"user {os.getuid()}, tier {examine().tier}")
    return _run(given.names, only_worlds=given.worlds)


def _run(names: list[str], *, only_worlds: bool) -> int:
    started = time.monotonic()
    words: list[str] = []
    print(_ROW.format("attack", "strikes at", "unconfined", "confined", "verdict"))
    chosen = [attack for attack in ATTACKS if not names or attack.name in names]
    with Trial() if chosen and not only_worlds else contextlib.nullcontext() as trial:
        for attack in chosen if trial else ():
            row, word = _attack_row(trial, attack)
            words.append(word)
            print(row, flush=True)
    for edit in () if names or only_worlds else EDITS:
        harm, problem = applied(edit), refused(edit)
        word = "BROKEN" if problem else "held" if harm or edit.harmless else "VACUOUS"
        words.append(word)
        ending = "refused" if edit.code else "harmless"
        print(_ROW.format(edit.name, "a reply", "files" if harm else "-", ending, word + problem))
    if not names or any(attack.name in names for attack in ON_WORLDS):
        words += print_table(names)
    bad = sum(word in {"BROKEN", "VACUOUS"} for word in words)
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    print(f"{len(words)} attacks: {counts}; {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
