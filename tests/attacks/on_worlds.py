"""All attacks on the score of a task that has a world, and the table of them."""

import time

from tests.attacks.worlds_channel import CHANNEL
from tests.attacks.worlds_covert import COVERT_WORLDS
from tests.attacks.worlds_facts import FACTS
from tests.attacks.worlds_limits import LIMITS
from tests.attacks.worlds_modules import MODULES
from tests.attacks.worlds_paying import PAYING
from tests.attacks.worlds_reading import READING
from tests.attacks.worlds_tampering import TAMPERING
from tests.attacks.worlds_template import WorldAttack
from tests.attacks.worlds_trial import WorldTrial
from tests.attacks.worlds_views import VIEWS

ON_WORLDS: tuple[WorldAttack, ...] = (
    *PAYING, *TAMPERING, *MODULES, *READING, *CHANNEL, *FACTS, *VIEWS, *LIMITS, *COVERT_WORLDS,
)  # fmt: skip

assert len({attack.name for attack in ON_WORLDS}) == len(ON_WORLDS)

_ROW = "{:<32} {:<26} {:<11} {:<16} {:<9} {}"


def print_table(names: list[str]) -> list[str]:
    """Run the attacks, those of these names if there are any; return their verdicts in a word."""
    words: list[str] = []
    started = time.monotonic()
    print(_ROW.format("attack on a world", "strikes at", "shown by", "how", "ends", "verdict"))
    with WorldTrial() as trial:
        for attack in ON_WORLDS:
            if not names or attack.name in names:
                row, word = _row(trial, attack)
                words.append(word)
                print(row, flush=True)
    print(f"{len(words)} attacks on worlds in {time.monotonic() - started:.0f} s")
    return words


def _row(trial: WorldTrial, attack: WorldAttack) -> tuple[str, str]:
    found = trial.withstand(attack)
    word = "held"
    if found.violations:
        word = "BROKEN"
    elif not found.shown:
        word = "held, vacuous here" if attack.optional else "VACUOUS"
    score = found.outcome.score
    ending = f"{word}{'' if score is None else f' at {score:g}'}"
    flags = ", ".join(flag.partition(":")[0] for flag in found.outcome.flags)
    ending += f" [{flags}]" if flags else ""
    ending += "".join(f"; {text[:200]}" for text in found.violations)
    shown = found.shown or "not shown"
    row = _ROW.format(
        attack.name, attack.strikes[:26], attack.shown, shown[:16], found.ending, ending
    )
    return row, word
