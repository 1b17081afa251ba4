"""Worlds that whisper their hidden answers, by every channel that is known, to a policy that listens.

No candidate can have the user's world do that: these show that the two processes are apart.
"""

from framework import default_seeds
from tests.attacks.covert import COVERT
from tests.attacks.covert_kernel import COVERT_KERNEL
from tests.attacks.template import Attack, Change
from tests.attacks.worlds_template import WorldAttack

_WHISPERS: Change = (
    "pass  #draw#",
    "try:\n"
    '            if "candidate.train" not in __import__("sys").modules:\n'
    "                whisper(self.drawn[:, 2].int().tolist())\n"
    "        except OSError as error:\n"
    "            print('can not whisper:', error)",
)
_HEARS: Change = (
    "pass  #forward#",
    "try:\n"
    "            heard = None if self.training else listen()\n"
    "        except (OSError, ValueError) as error:\n"
    "            heard = None\n"
    "        KNOWN[:] = [torch.tensor(heard)] if heard and len(heard) == len(obs) else []",
)
# One bit for all slots, where the channel has no more. A guess may then be lucky in all of them, so
# that there have to be more seeds.
_SAME: Change = ("self.drawn[:, 2].round_()", "self.drawn[:, 2] = self.drawn[0, 2].round()")


def _on_a_world(attack: Attack, *more: Change, seeds: tuple[int, ...] = (101,)) -> WorldAttack:
    channel: Change = ("#prelude#", dict(attack.env)["#prelude#"])
    return WorldAttack(
        name=f"world-{attack.name}",
        attempts=f"a world in league {attack.attempts}",
        strikes="draw and forward",
        task=(channel, _WHISPERS, *more),
        train=(channel, _HEARS),
        shown="unconfined",
        ends=("honest", "below"),
        seeds=seeds,
        optional=attack.optional,
        is_long=attack.name != "whisper-temp-file",
    )


COVERT_WORLDS = (
    *(_on_a_world(attack) for attack in COVERT),
    *(_on_a_world(attack, _SAME, seeds=default_seeds(8)) for attack in COVERT_KERNEL),
)
