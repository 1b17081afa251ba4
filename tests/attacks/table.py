"""Run all attacks and print what came of each: `python -m tests.attacks.table [NAME…]`.

Exits with 1 if a confined attack did damage, or an attack did none to the unconfined copy.
"""

import sys
import time

from tests.attacks.catalogue import ATTACKS
from tests.attacks.edit_paths import EDITS, applied, refused
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


def main(names: list[str]) -> int:
    """Print the table and a summary; return the exit code."""
    started = time.monotonic()
    words: list[str] = []
    print(_ROW.format("attack", "strikes at", "unconfined", "confined", "verdict"))
    with Trial() as trial:
        for attack in ATTACKS:
            if not names or attack.name in names:
                row, word = _attack_row(trial, attack)
                words.append(word)
                print(row, flush=True)
    for edit in () if names else EDITS:
        harm, problem = applied(edit), refused(edit)
        word = "BROKEN" if problem else "held" if harm or edit.harmless else "VACUOUS"
        words.append(word)
        ending = "refused" if edit.code else "harmless"
        print(_ROW.format(edit.name, "a reply", "files" if harm else "-", ending, word + problem))
    bad = sum(word in {"BROKEN", "VACUOUS"} for word in words)
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    print(f"{len(words)} attacks: {counts}; {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
