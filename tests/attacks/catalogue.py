"""All hostile candidates."""

from tests.attacks.covert import COVERT
from tests.attacks.covert_kernel import COVERT_KERNEL
from tests.attacks.forging import FORGING
from tests.attacks.messages import MESSAGES
from tests.attacks.namespaces import NAMESPACES
from tests.attacks.network import NETWORK
from tests.attacks.paying import PAYING
from tests.attacks.processes import PROCESSES
from tests.attacks.reads import READS
from tests.attacks.resources import RESOURCES
from tests.attacks.tampering import TAMPERING
from tests.attacks.template import Attack
from tests.attacks.writes import WRITES

ATTACKS: tuple[Attack, ...] = (
    *READS, *WRITES, *NETWORK, *PROCESSES, *RESOURCES, *NAMESPACES, *FORGING, *PAYING,
    *TAMPERING, *MESSAGES, *COVERT, *COVERT_KERNEL,
)  # fmt: skip

assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
