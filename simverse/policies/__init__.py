from simverse.policies.critic import CentralizedCritic
from simverse.policies.random import RandomPolicy
from simverse.policies.simple import SimplePolicy

__all__ = ["CentralizedCritic", "RandomPolicy", "SimplePolicy"]
