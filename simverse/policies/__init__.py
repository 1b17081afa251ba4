from simverse.policies.critic import CentralizedCritic
from simverse.policies.named import NamedPolicy
from simverse.policies.random import RandomPolicy
from simverse.policies.recurrent import RecurrentPolicy
from simverse.policies.simple import SimplePolicy

__all__ = [
    "CentralizedCritic",
    "NamedPolicy",
    "RandomPolicy",
    "RecurrentPolicy",
    "SimplePolicy",
]
