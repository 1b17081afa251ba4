"""Seeds: the evaluation's default ones, and the keyed hash from which all others derive."""

import hashlib
import hmac
from dataclasses import dataclass

PUBLIC_KEY = b"autorl-daemon: the fixed public key of train.py"
"""Seeds of evaluations outside the daemon derive from this key; each workspace has a secret one."""


def default_seeds(count: int) -> tuple[int, ...]:
    """Return the first `count` evaluation seeds: 101, 138, 175 and so on, 37 apart.

    Raises:
        ValueError: a count below 1.
    """
    if count < 1:
        raise ValueError(f"seed_count must be at least 1, not {count}")
    return tuple(101 + 37 * index for index in range(count))


def derive_seed(key: bytes, seed: int, phase: str, batch: int = 0) -> int:
    """Return the 31-bit seed for one use, a keyed hash: without the key it can't be guessed.

    31 bits because candidates may pass it to numpy's legacy generator, which takes no more.
    """
    message = f"{seed}/{phase}/{batch}".encode()
    return int.from_bytes(hmac.new(key, message, hashlib.sha256).digest()[:4]) >> 1


@dataclass(frozen=True)
class PhaseSeeds:
    """The seeds of all phases of one evaluation seed."""

    key: bytes
    seed: int

    def of(self, phase: str, batch: int = 0) -> int:
        """Return the seed of a phase, such as `train` or the `evaluate` of a batch."""
        return derive_seed(self.key, self.seed, phase, batch)

    def secret(self, phase: str, batch: int = 0) -> int:
        """Return 128 bits for the same use: more than can be searched."""
        message = f"{self.seed}/{phase}/{batch}/secret".encode()
        return int.from_bytes(hmac.new(self.key, message, hashlib.sha256).digest()[:16])
